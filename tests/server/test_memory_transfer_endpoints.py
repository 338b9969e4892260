"""`/api/v1/memory/export` and `/import`: streams that lose nothing, and ends that come too early."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import httpx
import pytest

from caxton_llm.errors import LimitExceeded, MemoryStoreError
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Kind, Record
from caxton_llm.memory_system import Memory
from caxton_llm.server.memory.work import MemoryWork, NoMemory
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.types import Json
from hashing_embedder import HashingEmbedder, fact, said
from live_gateway import gateway_with

API = "/api/v1/memory"
BUILTIN: dict[str, Json] = {"llm": {"provider": "builtin"}}
WAIT_S = 20.0

MCP = "".join(
    json.dumps(line) + "\n"
    for line in (
        {"type": "relation", "from": "Alice", "to": "Bob", "relationType": "knows"},
        {"type": "entity", "name": "Alice", "entityType": "person", "observations": ["likes tea", "likes tea."]},
        {"type": "entity", "name": "Bob", "entityType": "person", "observations": []},
    )
).encode()


@asynccontextmanager
async def serving(memory: Memory) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        gateway_with(BUILTIN, memory) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=WAIT_S) as client,
    ):
        yield client


def opened(folder: Path) -> Memory:
    return Memory(SqliteMemory(folder, HashingEmbedder()))


async def test_an_export_that_is_imported_elsewhere_is_exported_there_again_line_by_line(tmp_path: Path) -> None:
    one = opened(tmp_path / "one")
    one.add([fact(f"n{n}", f"word{n} ☕ 茶 " * 5) for n in range(1500)])
    one.add([fact("n7", "is lucky"), said(0, "hello"), fact("elsewhere", "x", tenant="t")])
    async with serving(one) as http, serving(opened(tmp_path / "other")) as other:
        exported = await http.get(f"{API}/export")
        assert exported.headers["content-type"] == "application/x-ndjson"
        imported = (await other.post(f"{API}/import", content=exported.content)).json()
        assert imported == {
            "lines": 1502,
            "created": 1502,
            "changed": 0,
            "unchanged": 0,
            "problems": [],
            "problems_total": 0,
        }
        assert (await other.get(f"{API}/export")).content == exported.content
        again = (await other.post(f"{API}/import", content=exported.content)).json()
        assert (again["created"], again["unchanged"]) == (0, 1502)
        assert len((await http.get(f"{API}/export", params={"tenant": "t"})).content.splitlines()) == 1
        short = (await http.get(f"{API}/export", params={"history": "false"})).content
        assert len(short.splitlines()) == 1502
        assert b"observations_kept" in exported.content
        assert b"observations_kept" not in short


@pytest.mark.parametrize("form", ["auto", "mcp"])
async def test_an_mcp_memory_file_is_imported(tmp_path: Path, form: str) -> None:
    async with serving(opened(tmp_path)) as http:
        imported = (await http.post(f"{API}/import", params={"format": form}, content=MCP)).json()
        assert (imported["created"], imported["problems"]) == (3, [])
        (alice,) = (await http.get(f"{API}/entities", params={"name": "alice"})).json()["records"]
        assert alice["observations"] == [{"text": "likes tea"}]
        (knows,) = (await http.get(f"{API}/relations")).json()["records"]
        assert knows["type"] == "knows"


async def test_a_bad_line_is_named_and_can_be_passed_over(tmp_path: Path) -> None:
    good = b'{"record": {"kind": "entity", "name": "%d"}}\n'
    body = good % 1 + b"nonsense\n" + good % 2
    async with serving(opened(tmp_path)) as http:
        strict = await http.post(f"{API}/import", content=body)
        assert strict.status_code == 400
        assert "line 2" in strict.json()["error"]["message"]
        lenient = (await http.post(f"{API}/import", params={"keep_going": "true"}, content=body)).json()
        assert (lenient["created"] + lenient["unchanged"], len(lenient["problems"])) == (2, 1)
        assert (await http.post(f"{API}/import", params={"format": "xml"}, content=b"")).status_code == 400
        empty = (await http.post(f"{API}/import", content=b"")).json()
        assert empty == {"lines": 0, "created": 0, "changed": 0, "unchanged": 0, "problems": [], "problems_total": 0}


async def test_lines_are_written_while_the_rest_is_still_to_come(tmp_path: Path) -> None:
    """So the body is never in memory as a whole. A client that leaves in the middle can send everything again."""
    memory = opened(tmp_path)
    line = b'{"record": {"kind": "entity", "name": "%d"}}\n'
    told = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield line % number
        told.set()
        await asyncio.Event().wait()

    async with serving(memory) as http:
        sending = asyncio.create_task(http.post(f"{API}/import", content=endless()))
        async with asyncio.timeout(WAIT_S):
            await told.wait()
            written = 0
            while written < 1000:
                written = (await http.get(f"{API}/stats")).json()["stats"]["entities"]
        sending.cancel()
        await asyncio.wait({sending}, timeout=WAIT_S)
        whole = b"".join(line % number for number in range(1200))
        async with asyncio.timeout(WAIT_S):
            assert (await http.post(f"{API}/import", content=whole)).json()["created"] == 200


async def test_a_gateway_that_stops_does_not_wait_for_an_import_that_never_ends(tmp_path: Path) -> None:
    memory = opened(tmp_path)
    begun = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield b'{"record": {"kind": "entity", "name": "a"}}\n'
        begun.set()
        await asyncio.Event().wait()

    configuration: dict[str, Json] = {**BUILTIN, "server": {"drain_seconds": 1}}
    async with asyncio.timeout(WAIT_S):
        async with gateway_with(configuration, memory) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
            sending = asyncio.create_task(http.post(f"{API}/import", content=silent(), timeout=WAIT_S))
            await begun.wait()
            await http.get("/health/live")
        sending.cancel()
        await asyncio.wait({sending})
    with pytest.raises(MemoryStoreError, match="closed"):
        memory.stats()


async def test_imports_beyond_two_at_once_are_asked_to_wait(tmp_path: Path) -> None:
    begun = [asyncio.Event(), asyncio.Event()]

    async def silent(event: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"\n"
        event.set()
        await asyncio.Event().wait()

    async with serving(opened(tmp_path)) as http, asyncio.timeout(WAIT_S):
        sending = [asyncio.create_task(http.post(f"{API}/import", content=silent(event))) for event in begun]
        await asyncio.gather(*(event.wait() for event in begun))
        third = await http.post(f"{API}/import", content=b"")
        while third.status_code == 200:
            third = await http.post(f"{API}/import", content=b"")
        assert third.status_code == 429
        assert int(third.headers["retry-after"]) > 0
        for task in sending:
            task.cancel()
        await asyncio.wait(sending)


class Endless(SqliteMemory):
    """Has records without end, and says when nobody reads them any more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, HashingEmbedder())
        self.given = 0
        self.ended = threading.Event()

    def records(self, *, tenant: str | None = None, kinds: Sequence[Kind] | None = None) -> Iterator[Record]:
        try:
            while True:
                self.given += 1
                yield fact(f"n{self.given}", "x" * 1000, version=1)
        finally:
            self.ended.set()


async def test_a_client_that_leaves_ends_its_export(tmp_path: Path) -> None:
    store = Endless(tmp_path)
    async with serving(Memory(store)) as http:
        async with http.stream("GET", f"{API}/export") as response:
            async for _ in response.aiter_bytes():
                break
        assert await asyncio.to_thread(store.ended.wait, WAIT_S)


async def test_a_client_that_does_not_read_makes_its_export_wait(tmp_path: Path) -> None:
    store = Endless(tmp_path)
    async with serving(Memory(store)) as http, http.stream("GET", f"{API}/export") as response:
        assert response.status_code == 200
        seen = -1
        async with asyncio.timeout(WAIT_S):
            while seen != store.given:
                seen = store.given
                for _ in range(20):
                    assert (await http.get(f"{API}/stats")).status_code == 200
        assert seen * 1000 < 64 * 2**20


class Failing(Endless):
    """Fails in the middle."""

    def records(self, *, tenant: str | None = None, kinds: Sequence[Kind] | None = None) -> Iterator[Record]:
        yield from islice(super().records(tenant=tenant, kinds=kinds), 1000)
        raise MemoryStoreError("the disk is gone")


async def test_an_export_that_fails_in_the_middle_does_not_look_whole(tmp_path: Path) -> None:
    async with serving(Memory(Failing(tmp_path))) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"{API}/export")


async def test_more_requests_than_can_wait_are_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    work = MemoryWork(opened(tmp_path))
    go_on = threading.Event()
    waiting = [asyncio.create_task(work.run(lambda _memory: go_on.wait(WAIT_S))) for _ in range(204)]
    await asyncio.sleep(0)
    with pytest.raises(LimitExceeded) as refused:
        await work.run(lambda memory: memory.stats())
    assert refused.value.retry_after_s == 1.0
    go_on.set()
    assert all(await asyncio.gather(*waiting))
    await asyncio.to_thread(work.close)
    with pytest.raises(NoMemory):
        await MemoryWork(None).run(lambda memory: memory.stats())


async def test_a_memory_is_searched_after_an_import_through_the_library(tmp_path: Path) -> None:
    memory = opened(tmp_path)
    async with serving(memory) as http:
        await http.post(f"{API}/import", content=MCP, params={"tenant": "t"})
        assert memory.find(["Alice"], Filters(tenant="t"))
        assert not memory.find(["Alice"])
