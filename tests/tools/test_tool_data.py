"""The data that tools keep: where it is found, in which order, and for how long it is kept."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from caxton_llm.errors import MemoryStoreError
from caxton_llm.tools.servers import McpServers
from caxton_llm.tools.settings import McpServerSettings, ToolDataFile
from caxton_llm.types import Json
from mcp_running import HttpProgram, Now, program, running


async def remembered(key: str) -> Json:
    return {"remembered": key} if key.startswith("known") else None


async def test_each_key_is_found_in_the_first_source_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text('{"from": "a file"}')
    (tmp_path / "text.md").write_text("plain text")
    data: dict[str, Json | ToolDataFile] = {
        "how_often": "never seen, because there is a resource",
        "for_people": "configured instead",
        "templates": ["a", "b"],
        "schema": ToolDataFile(str(tmp_path / "file.json")),
        "notes": ToolDataFile(str(tmp_path / "text.md")),
        "known_but_gone": ToolDataFile(str(tmp_path / "gone.json")),
    }
    keys = ["how_often", "for_people", "templates", "schema", "notes", "known_but_gone", "known_topic", "nowhere"]
    async with running(program("odd_tools.py", tool_data=data)) as servers:
        gathered = await servers.data("odd", keys, memory=remembered)
    assert [(found.key, found.value, found.source) for found in gathered.found] == [
        ("how_often", {"reads": 1}, "resource"),
        ("for_people", "configured instead", "configured"),
        ("templates", ["a", "b"], "configured"),
        ("schema", {"from": "a file"}, "file"),
        ("notes", "plain text", "file"),
        ("known_but_gone", {"remembered": "known_but_gone"}, "memory"),
        ("known_topic", {"remembered": "known_topic"}, "memory"),
    ]
    (gap,) = gathered.missing
    assert (gap.server, gap.name) == ("odd", "nowhere")
    assert gap.reason == "no resource of the server has this name; the memory has nothing of this name"


async def test_resources_are_matched_by_name_or_address_and_by_whom_they_are_for(tmp_path: Path) -> None:
    async with running(program("odd_tools.py", max_result_bytes=1000)) as servers:
        gathered = await servers.data("odd", ["HOW-OFTEN", "reads", "for_models", "for_people", "picture", "long"])
    found = {data.key: data for data in gathered.found}
    assert set(found) == {"HOW-OFTEN", "reads", "for_models", "long"}
    assert (found["for_models"].value, found["for_models"].priority) == ("for models", 1.0)
    assert found["HOW-OFTEN"].priority is None
    assert found["long"].truncated
    assert str(found["long"].value).endswith("[cut: 1,000 of 5,000 bytes are shown]")
    assert {gap.name: gap.reason for gap in gathered.missing} == {
        "for_people": "the server's resource is meant for the user, not for an assistant",
        "picture": "the server's resource is not text",
    }


async def test_a_resource_is_kept_as_long_as_the_server_says() -> None:
    clock = Now()
    async with running(program("odd_tools.py", "--cached"), clock=clock) as servers:

        async def reads(owner: str = "") -> Json:
            (found,) = (await servers.data("odd", ["reads"], owner=owner)).found
            return found.value["reads"], found.fetched_at

        begun = clock.seconds
        assert servers.held_data("odd", [("reads",)]) is None
        assert await reads() == (1, begun)
        clock.seconds += 59
        assert servers.held_data("odd", [("reads",)]) == [await servers.data("odd", ["reads"])]
        assert servers.held_data("odd", [("reads", "nowhere")]) is None
        held = servers.held_data("odd", [("reads",), ("reads",)])
        assert held is not None
        assert all(one is held[0] for one in (*held, *(servers.held_data("odd", [("reads",)]) or ())))
        assert await reads() == (1, begun)
        assert await reads("another owner") == (1, begun)  # the server says that it is public
        clock.seconds += 1
        assert servers.held_data("odd", [("reads",)]) is None
        assert await reads() == (2, begun + 60)
        held = servers.held_data("odd", [("reads",)])
        assert held is not None
        assert held[0].found[0].value == {"reads": 2}
        clock.seconds -= 1
        assert servers.held_data("odd", [("reads",)]) is None


async def test_a_resource_that_is_stale_at_once_is_read_each_time() -> None:
    async with running(program("odd_tools.py"), clock=Now()) as servers:
        values = [(await servers.data("odd", ["reads"])).found[0].value for _ in range(3)]
    assert values == [{"reads": 1}, {"reads": 2}, {"reads": 3}]


async def test_a_resource_that_comes_too_late_for_a_request_is_there_for_the_next_one(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    odd = program("odd_tools.py", "--cached")
    async with running(msgspec.structs.replace(odd, env={**odd.env, "GATE": str(gate)}), clock=Now()) as servers:
        await servers.data("odd", ["reads"])  # it has started and listed
        late = await servers.data("odd", ["gated"], timeout_s=0.05)
        assert [gap.reason for gap in late.missing] == ["not there within 0.05 s; it is awaited for later requests"]
        gate.touch()
        found = (await servers.data("odd", ["gated"])).found[0]
        assert found.value == {"reads": 2}  # the same reading
        held = servers.held_data("odd", [("gated",)])
        assert held is not None
        assert held[0].found == (found,)


async def test_a_late_resource_that_may_not_be_kept_is_told_to_the_next_request_that_waits_in_vain(
    tmp_path: Path,
) -> None:
    gate, clock = tmp_path / "gate", Now()
    odd = program("odd_tools.py")

    async def told() -> list[Json]:
        return [one.value for one in (await servers.data("odd", ["gated"], timeout_s=0.1)).found]

    async with running(msgspec.structs.replace(odd, env={**odd.env, "GATE": str(gate)}), clock=clock) as servers:
        await servers.data("odd", ["reads"])  # it has started and listed
        assert await told() == []
        gate.touch()
        await has_come(servers)
        gate.unlink()
        assert await told() == [{"reads": 2}]  # while it is read anew
        gate.touch()
        await has_come(servers)
        assert (await servers.data("odd", ["gated"])).found[0].value == {"reads": 4}  # what comes in time is told
        gate.unlink()
        clock.seconds += 60  # what had come late is too old by now
        assert await told() == []


async def has_come(servers: McpServers) -> None:
    """What is read in the background has been."""
    reading = servers._data["odd"]._reading
    async with asyncio.timeout(20):
        while reading._tasks:
            await asyncio.wait(reading._tasks.values())


async def test_a_resource_that_is_still_being_read_does_not_hold_up_the_end(tmp_path: Path) -> None:
    odd = program("odd_tools.py")
    async with running(msgspec.structs.replace(odd, env={**odd.env, "GATE": str(tmp_path / "never")})) as servers:
        await servers.data("odd", ["reads"])  # it has started and listed
        await servers.data("odd", ["gated"], timeout_s=0.05)
        waiting = asyncio.create_task(servers.data("odd", ["gated"]))
        await asyncio.sleep(0)
    assert "closed" in (await waiting).missing[0].reason


async def test_without_a_word_of_the_server_the_configured_time_counts_and_each_owner_has_its_own() -> None:
    clock = Now()
    with HttpProgram("--old") as http:
        settings = McpServerSettings(name="odd", url=http.url, data_ttl_s=30.0)
        async with running(settings, clock=clock) as servers:

            async def reads(owner: str) -> Json:
                return (await servers.data("odd", ["reads"], owner=owner)).found[0].value["reads"]

            assert [await reads("a"), await reads("b"), await reads("a")] == [1, 2, 1]
            clock.seconds += 30
            assert await reads("a") == 3


async def test_a_server_that_is_down_leaves_its_configured_data_and_the_memory() -> None:
    gone = McpServerSettings(name="gone", command=("no-such-program-here",), tool_data={"templates": ["a"]})
    async with running(gone) as servers:
        gathered = await servers.data("gone", ["templates", "known_topic", "nowhere"], memory=remembered)
    assert [(found.key, found.source) for found in gathered.found] == [
        ("templates", "configured"),
        ("known_topic", "memory"),
    ]
    (gap,) = gathered.missing
    assert "cannot be started" in gap.reason


async def test_a_memory_that_hangs_or_fails_is_a_gap() -> None:
    async def hangs(key: str) -> Json:
        await asyncio.Event().wait()

    async def fails(key: str) -> Json:
        raise MemoryStoreError("the disk is full")

    async with running() as servers:
        slow = await servers.data("", ["x"], memory=hangs, timeout_s=0.1)
        broken = await servers.data("", ["x", "x"], memory=fails)
    assert [gap.reason for gap in slow.missing] == ["not there within 0.1 s"]
    assert [gap.reason for gap in broken.missing] == ["the memory could not be asked: the disk is full"]


@pytest.mark.parametrize("content", [b"{broken", b"\xff\xfe"])
async def test_a_file_that_is_not_what_its_name_says_is_a_gap(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(content)
    settings = McpServerSettings(name="gone", command=("no-such-program",), tool_data={"x": ToolDataFile(str(path))})
    async with running(settings) as servers:
        (gap,) = (await servers.data("gone", ["x"])).missing
    assert "data.json cannot be read: it is not what its name says" in gap.reason
