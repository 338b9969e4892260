"""`/api/v1/memory` of a running gateway: records, searches, and what is refused."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from caxton_llm.memory.store import StoreStats
from caxton_llm.memory_system import Memory
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.types import Json
from hashing_embedder import HashingEmbedder
from live_gateway import gateway_with

API = "/api/v1/memory"
BUILTIN: dict[str, Json] = {"llm": {"provider": "builtin"}, "server": {"max_body_bytes": 4 * 2**20}}


@pytest_asyncio.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    memory = Memory(SqliteMemory(tmp_path / "memory", HashingEmbedder()))
    async with gateway_with(BUILTIN, memory) as gateway, httpx.AsyncClient(base_url=gateway.url, timeout=20) as client:
        yield client


async def write(http: httpx.AsyncClient, *entities: dict[str, Json], kind: str = "entities") -> list[dict[str, Json]]:
    response = await http.post(f"{API}/{kind}", json=list(entities))
    assert response.status_code == 200, response.text
    written: list[dict[str, Json]] = response.json()["written"]
    return written


def refused(response: httpx.Response, status: int = 400) -> tuple[str | None, str]:
    """The field at fault, and the message."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert response.headers["x-should-retry"] == "false"
    assert error["request_id"] == response.headers["x-caxton-request-id"]
    return error["param"], error["message"]


# -- writing ----------------------------------------------------------------------------------------------------------------


async def test_an_entity_is_written_merged_by_its_name_and_read_with_its_history(http: httpx.AsyncClient) -> None:
    alice: dict[str, Json] = {"name": "Alice", "type": "person", "observations": ["drinks tea"]}
    first = (await http.post(f"{API}/entities", json=alice)).json()["written"]
    assert [(one["version"], one["action"], one["duplicates"]) for one in first] == [(1, "created", 0)]
    more: dict[str, Json] = {
        **alice,
        "name": "ALICE",
        "observations": ["Drinks tea.", {"text": "has a cat", "confidence": 0.5}],
    }
    (second,) = await write(http, more)
    assert second == {"id": first[0]["id"], "version": 2, "action": "merged", "duplicates": 1}
    one = (await http.get(f"{API}/entities/{second['id']}")).json()
    assert one.keys() == {"record"}
    assert one["record"]["observations"] == [{"text": "drinks tea"}, {"text": "has a cat", "confidence": 0.5}]
    versions = (await http.get(f"{API}/entities/{second['id']}", params={"history": "true"})).json()["versions"]
    assert [version["version"] for version in versions] == [2, 1]
    assert versions[1]["observations"] == [{"text": "drinks tea"}]


async def test_what_was_read_can_be_changed_and_put_back(http: httpx.AsyncClient) -> None:
    (written,) = await write(http, {"name": "Alice", "observations": ["drinks tea", "has a cat"]})
    record = (await http.get(f"{API}/entities/{written['id']}")).json()["record"]
    record["observations"].pop()
    replaced = await http.put(f"{API}/entities/{written['id']}", json=record)
    assert replaced.json() == {"id": written["id"], "version": 2, "action": "updated", "duplicates": 0}
    read = (await http.get(f"{API}/entities/{written['id']}")).json()["record"]
    assert read["observations"] == [{"text": "drinks tea"}]
    assert refused(await http.put(f"{API}/entities/nobody", json=record))[0] == "id"
    assert refused(await http.put(f"{API}/entities/nobody", json={"name": "x"}), 404)[0] == "id"


async def test_an_id_may_have_any_characters(http: httpx.AsyncClient) -> None:
    for name in ("a/b", "ü ☕", "x/observations", "?&#"):
        await write(http, {"id": name, "name": name})
        path = f"{API}/entities/{quote(name, safe='')}"
        assert (await http.get(path)).json()["record"]["id"] == name
        added = await http.post(f"{path}/observations", json={"text": "tea"})
        assert (added.json()["id"], added.json()["version"]) == (name, 2)
        assert (await http.delete(path)).json()["records"] == 1


async def test_observations_are_added_to_an_entity(http: httpx.AsyncClient) -> None:
    (written,) = await write(http, {"name": "Alice", "type": "person", "tenant": "t", "observations": ["drinks tea"]})
    path = f"{API}/entities/{written['id']}/observations"
    added = await http.post(path, params={"tenant": "t"}, json=[{"text": "has a cat"}, {"text": "Drinks tea!"}])
    assert added.json() == {"id": written["id"], "version": 2, "action": "merged", "duplicates": 1}
    refused(await http.post(path, json={"text": "of nobody"}), 404)


async def test_relations_and_turns_are_written_listed_and_deleted(http: httpx.AsyncClient) -> None:
    alice, bob = await write(http, {"name": "Alice"}, {"name": "Bob"})
    knows: dict[str, Json] = {"from": alice["id"], "to": bob["id"], "type": "knows", "strength": 0.5}
    (relation,) = await write(http, knows, kind="relations")
    await write(
        http,
        {"conversation": "c", "index": 0, "text": "hello"},
        {"conversation": "d", "index": 0, "text": "hi"},
        kind="turns",
    )
    for params in ({}, {"entity": bob["id"]}, {"type": "knows"}):
        page = (await http.get(f"{API}/relations", params=params)).json()
        assert [(one["from"], one["to"], one["strength"]) for one in page["records"]] == [(alice["id"], bob["id"], 0.5)]
    assert (await http.get(f"{API}/relations", params={"type": "likes"})).json() == {"records": [], "cursor": None}
    turns = (await http.get(f"{API}/turns", params={"conversation": "d"})).json()["records"]
    assert [turn["text"] for turn in turns] == ["hi"]
    refused(await http.delete(f"{API}/entities/{relation['id']}"), 404)
    gone = (await http.delete(f"{API}/relations/{relation['id']}")).json()
    assert gone["records"] == gone["relations"] == 1
    refused(await http.get(f"{API}/relations/{relation['id']}"), 404)


async def test_all_records_of_a_call_are_written_or_none(http: httpx.AsyncClient) -> None:
    response = await http.post(f"{API}/entities", json=[{"name": "a"}, {"name": " "}])
    assert refused(response)[0] == "records[1].name"
    assert (await http.get(f"{API}/stats")).json()["stats"]["entities"] == 0


# -- listing ----------------------------------------------------------------------------------------------------------------


async def test_pages_lead_through_everything_even_when_what_was_read_is_deleted(http: httpx.AsyncClient) -> None:
    await write(http, *({"name": f"n{number}"} for number in range(7)))
    seen: list[str] = []
    params: dict[str, str] = {"limit": "3"}
    for _ in range(3):
        page = (await http.get(f"{API}/entities", params=params)).json()
        for record in page["records"]:
            seen.append(record["name"])
            await http.delete(f"{API}/entities/{record['id']}")
        params["cursor"] = str(page["cursor"])
    assert seen == [f"n{number}" for number in range(7)]
    assert page["cursor"] is None
    assert refused(await http.get(f"{API}/entities", params={"cursor": "gone"}))[0] == "cursor"


async def test_a_list_holds_what_its_filter_lets_through(http: httpx.AsyncClient) -> None:
    await write(
        http,
        {"name": "Zoë", "type": "person"},
        {"name": "zoë", "type": "boat"},
        {"name": "secret", "scope": "agent", "agent": "a"},
        {"name": "elsewhere", "tenant": "t"},
    )

    async def names(**params: str) -> list[str]:
        return [one["name"] for one in (await http.get(f"{API}/entities", params=params)).json()["records"]]

    assert await names() == ["Zoë", "zoë", "secret"]
    assert await names(name="ZOË") == ["Zoë", "zoë"]
    assert await names(name="ZOË", type="boat") == ["zoë"]
    assert await names(type="person") == ["Zoë"]
    assert await names(agent="b") == ["Zoë", "zoë"]
    assert await names(agent="a", scope="agent") == ["secret"]
    assert await names(tenant="t") == ["elsewhere"]
    assert await names(tenant="nobody") == []


# -- searching --------------------------------------------------------------------------------------------------------------


async def test_a_search_tells_what_it_found_and_why(http: httpx.AsyncClient) -> None:
    await write(
        http,
        {"name": "Alice", "type": "person", "observations": ["drinks green tea ☕"], "metadata": {"tags": ["Taste"]}},
        {"name": "北京", "type": "city", "observations": ["北京是中国的首都"]},
    )
    found = (await http.post(f"{API}/search", json={"query": "green tea"})).json()
    assert found.keys() == {"hits", "searched", "candidates", "above_threshold", "search_ms", "problem"}
    best = found["hits"][0]
    assert best["record"]["name"] == "Alice"
    assert best["passage"] == "Alice (person): drinks green tea ☕"
    assert {"lexical", "dense"} <= set(best["found_by"])
    parts = sum(value for name, value in best["reasons"].items() if name != "total")
    assert best["score"] == best["reasons"]["total"] == pytest.approx(parts)
    assert (found["searched"], found["search_ms"] >= 0) == (2, True)
    chinese = (await http.post(f"{API}/search", json={"query": "首都", "max_results": 1})).json()
    assert chinese["hits"][0]["record"]["name"] == "北京"
    some = {"query": "tea", "focus_areas": ["taste"], "filters": {"kinds": ["entity"], "types": ["person"]}}
    assert (await http.post(f"{API}/search", json=some)).json()["searched"] == 1


@pytest.mark.parametrize("query", ["", "the of and", "☕🎉", "anything"])
async def test_an_empty_memory_and_a_query_without_words_are_answered(http: httpx.AsyncClient, query: str) -> None:
    empty = (await http.post(f"{API}/search", json={"query": query})).json()
    assert (empty["hits"], empty["searched"]) == ([], 0)
    await write(http, {"name": "Alice", "observations": ["to be or not to be"]})
    assert (await http.post(f"{API}/search", json={"query": query})).status_code == 200


# -- deleting ---------------------------------------------------------------------------------------------------------------


async def test_what_is_deleted_is_gone_and_the_answer_says_whether_traces_remain(http: httpx.AsyncClient) -> None:
    alice, bob = await write(http, {"name": "Alice", "observations": ["drinks tea"]}, {"name": "Bob"})
    await write(http, {"from": alice["id"], "to": bob["id"], "type": "knows"}, kind="relations")
    gone = await http.delete(f"{API}/entities/{alice['id']}")
    assert gone.json()["indexes"] in ("clean", "purge needed")
    assert (gone.json()["records"], gone.json()["relations"]) == (2, 1)
    refused(await http.delete(f"{API}/entities/{alice['id']}"), 404)
    assert (await http.post(f"{API}/purge")).json() == {"indexes": "clean"}
    hits = (await http.post(f"{API}/search", json={"query": "Alice tea"})).json()["hits"]
    assert [hit["record"]["name"] for hit in hits] == ["Bob"]


async def test_a_purge_that_a_reader_is_in_the_way_of_is_not_called_clean(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    (alice,) = await write(http, {"name": "Alice", "observations": ["drinks tea"]})
    reader = sqlite3.connect(tmp_path / "memory/memory.db", isolation_level=None)
    try:
        reader.execute("begin")
        reader.execute("select count(*) from records").fetchone()
        assert (await http.delete(f"{API}/entities/{alice['id']}")).json()["indexes"] == "purge needed"
        answer = await http.post(f"{API}/purge")
        assert answer.status_code == 500
        assert "may still hold what was deleted" in answer.json()["error"]["message"]
    finally:
        reader.close()


# -- what is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("entities", {"name": "a", "scope": "galaxy"}, "scope"),
        ("entities", [{"name": "a"}, {"name": "b", "observation": ["x"]}], "[1].observation"),
        ("entities", {"type": "person"}, "name"),
        (
            "entities",
            {"name": "a", "observations": [{"text": "x", "confidence": 2}]},
            "records[0].observations[0].confidence",
        ),
        ("entities", {"name": "a", "observations": [{"text": "x", "sauce": "y"}]}, "observations[0].sauce"),
        ("entities", {"name": "a", "observations": [5]}, "observations[0]"),
        ("entities", {"name": "a", "kind": "turn"}, "kind"),
        ("entities", {"name": "a", "observations": ["x" * (2 * 2**20 + 1)]}, "records[0].observations[0].text"),
        ("entities", [{"name": f"n{n}"} for n in range(1001)], "body"),
        ("relations", {"from": "a", "to": "b", "type": "knows"}, "records[0].from"),
        ("turns", {"conversation": "c", "index": -1, "text": "x"}, "records[0].index"),
        ("search", {"query": "x", "max_results": 0}, "max_results"),
        ("search", {"query": "x", "max_results": 10**30}, "max_results"),
        ("search", {"query": "x", "max_result": 5}, "max_result"),
        ("search", {"query": "x", "min_similarity": 1.5}, "min_similarity"),
        ("search", {"query": "x", "filters": {"scopes": ["galaxy"]}}, "filters.scopes[0]"),
        ("search", {"query": "x", "filters": {"area": ["y"]}}, "filters.area"),
        ("search", {"query": "x" * 100_001}, "query"),
        ("search", {"query": "x\0"}, "query"),
        ("search", {"query": "x", "focus_areas": ["a"], "filters": {"focus_areas": ["b"]}}, "focus_areas"),
        ("search", {}, "query"),
    ],
)
async def test_a_mistake_is_told_with_the_path_of_its_field(
    http: httpx.AsyncClient, path: str, body: Json, field: str
) -> None:
    assert refused(await http.post(f"{API}/{path}", json=body))[0] == field


async def test_an_unknown_scope_is_told_with_those_that_there_are(http: httpx.AsyncClient) -> None:
    for body in ({"query": "x", "filters": {"scopes": ["galaxy"]}}, {"query": "x", "filters": {"kinds": ["planet"]}}):
        message = refused(await http.post(f"{API}/search", json=body))[1]
        assert "agent, workspace, global" in message or "entity, relation, turn" in message
        assert "galaxy" not in message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"5", b'"\\ud800"', b"null"])
async def test_a_body_that_is_no_record_is_a_400(http: httpx.AsyncClient, body: bytes) -> None:
    for path in ("entities", "relations", "turns", "search"):
        refused(await http.post(f"{API}/{path}", content=body))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("tenat=t", "tenat"),
        ("tenant=a&tenant=b", "tenant"),
        ("scope=x", "scope"),
    ],
)
async def test_a_mistake_in_the_address_is_told(http: httpx.AsyncClient, query: str, field: str) -> None:
    assert refused(await http.get(f"{API}/entities?{query}"))[0] == field


async def test_a_body_over_the_limit_is_a_413(http: httpx.AsyncClient) -> None:
    big = json.dumps([{"name": f"n{n}", "observations": ["x" * 2**20]} for n in range(5)])
    refused(await http.post(f"{API}/entities", content=big), 413)


async def test_an_observation_of_a_megabyte_is_kept_and_found(http: httpx.AsyncClient) -> None:
    text = "filler words " * 90_000 + "needle"
    assert len(text) > 2**20
    (written,) = await write(http, {"name": "long", "observations": [text]})
    found = (await http.post(f"{API}/search", json={"query": "needle"})).json()["hits"][0]
    assert found["record"]["id"] == written["id"]
    assert "needle" in found["passage"]


async def test_a_gateway_without_a_memory_says_how_to_get_one() -> None:
    async with gateway_with(BUILTIN) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        for response in (
            await http.get(f"{API}/stats"),
            await http.post(f"{API}/search", json={"query": "x"}),
            await http.get(f"{API}/export"),
            await http.post(f"{API}/import", content=b"{}"),
        ):
            assert "`memory` block" in refused(response, 501)[1]
            assert response.json()["error"]["code"] == "no_memory"


async def test_a_store_that_fails_is_a_500_that_says_why(tmp_path: Path) -> None:
    memory = Memory(SqliteMemory(tmp_path, HashingEmbedder()))
    async with gateway_with(BUILTIN, memory) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        await asyncio.to_thread(memory.close)
        for response in (await http.get(f"{API}/stats"), await http.get(f"{API}/export")):
            assert "closed" in refused(response, 500)[1]
            assert response.json()["error"]["kind"] == "memory_store"


SAID = "something that a caller wrote"


class Mistaken(SqliteMemory):
    """Has a mistake in its code."""

    def stats(self) -> StoreStats:
        raise RuntimeError(SAID)


async def test_an_internal_error_tells_nobody_what_a_caller_wrote(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(Mistaken(tmp_path, HashingEmbedder()))
    async with gateway_with(BUILTIN, memory) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        response = await http.get(f"{API}/stats")
    assert (response.status_code, response.json()["error"]["kind"]) == (500, "internal")
    assert response.headers["x-caxton-request-id"] in caplog.text
    assert "RuntimeError" in caplog.text
    assert SAID not in response.text + caplog.text


async def test_many_requests_at_once_are_all_answered_and_chat_goes_on(http: httpx.AsyncClient) -> None:
    hello = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}
    responses = await asyncio.gather(
        *(http.post(f"{API}/entities", json={"name": f"n{n}", "observations": [f"word{n}"]}) for n in range(40)),
        *(http.post(f"{API}/search", json={"query": f"word{n}"}) for n in range(40)),
        *(http.post("/v1/chat/completions", json=hello) for _ in range(5)),
    )
    assert {response.status_code for response in responses} == {200}
    assert (await http.get(f"{API}/stats")).json()["stats"]["entities"] == 40


async def test_a_damaged_index_is_told_by_the_statistics_and_searches_go_on(tmp_path: Path) -> None:
    with Memory(SqliteMemory(tmp_path, HashingEmbedder())) as memory:
        memory.load([b'{"record": {"kind": "entity", "name": "Alice", "observations": [{"text": "drinks tea"}]}}'])
        memory.rebuild()
    for file in (tmp_path / "index").rglob("*"):
        if file.is_file() and file.suffix in (".store", ".idx", ".term"):
            file.write_bytes(b"broken" + file.read_bytes()[6:])
    memory = Memory(SqliteMemory(tmp_path, HashingEmbedder()))
    async with gateway_with(BUILTIN, memory) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        found = (await http.post(f"{API}/search", json={"query": "tea"})).json()["hits"]
        assert [hit["record"]["name"] for hit in found] == ["Alice"]
        assert "damaged" in (await http.get(f"{API}/stats")).json()["problems"][0]
