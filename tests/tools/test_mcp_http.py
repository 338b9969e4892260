"""Servers over streamable HTTP on this machine, by the official SDK: with the protocol of today and that of 2025."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from caxton_llm.tools.settings import McpServerSettings
from mcp_running import ALL, HttpProgram, call, names, running, spec_of
from serving import free_port


def over_http(http: HttpProgram, **settings: object) -> McpServerSettings:
    return McpServerSettings(name="odd", url=http.url, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [(), ("--old",), ("--json",), ("--old", "--json")], ids=" ".join)
async def test_tools_are_listed_called_and_cut_over_http(options: tuple[str, ...], tmp_path: Path) -> None:
    with HttpProgram(*options) as http:
        async with running(over_http(http, max_result_bytes=1000)) as servers:
            assert "echo" in await names(servers)
            assert (await call(servers, "echo", text="hello")).text == "hello"
            assert (await call(servers, "big", size=10_000_000)).text.endswith(
                "[cut: 1,000 of 10,000,000 bytes are shown]"
            )
            late = await call(servers, "hold", marker=str(tmp_path / "marker"), timeout_s=0.5)
            assert late.failure == "timeout"
            found = await servers.data("odd", ["how_often"])
    assert found.found[0].value == {"reads": 1}


async def test_calls_run_beside_each_other_over_http() -> None:
    with HttpProgram() as http:
        async with running(over_http(http)) as servers:
            spec = await spec_of(servers, "echo")
            texts = [str(number) for number in range(20)]
            outcomes = await asyncio.gather(*(servers.call(spec, {"text": text}, access=ALL) for text in texts))
    assert [outcome.text for outcome in outcomes] == texts


@pytest.mark.parametrize("options", [(), ("--old",)], ids=["today", "2025"])
async def test_a_server_that_is_killed_and_started_again_is_found_again(options: tuple[str, ...]) -> None:
    with HttpProgram(*options) as http:
        async with running(over_http(http)) as servers:
            first = (await call(servers, "process")).text
            spec = await spec_of(servers, "process")
            http.kill()
            down = await servers.call(spec, {}, access=ALL)
            assert down.is_error
            assert down.failure in ("interrupted", "unavailable")
            http.start()
            outcomes = [await servers.call(spec, {}, access=ALL) for _ in range(2)]
    assert outcomes[-1].text not in ("", first)
    assert not outcomes[-1].is_error


async def test_a_server_that_was_started_again_in_between_is_asked_in_a_new_session() -> None:
    with HttpProgram("--old") as http:
        async with running(over_http(http)) as servers:
            spec = await spec_of(servers, "process")
            first = await servers.call(spec, {}, access=ALL)
            http.kill()
            http.start()
            second = await servers.call(spec, {}, access=ALL)
    assert not second.is_error
    assert first.text != second.text


async def test_a_server_that_dies_in_a_call_says_so_over_http() -> None:
    with HttpProgram() as http:
        async with running(over_http(http)) as servers:
            outcome = await call(servers, "die", code=3)
    assert outcome.failure == "interrupted"
    assert "whether it took effect is not known" in outcome.text


@pytest.mark.parametrize("options", [(), ("--old",)])
async def test_a_call_that_no_server_is_there_for_is_known_not_to_have_taken_effect(options: tuple[str, ...]) -> None:
    with HttpProgram(*options) as http:
        async with running(over_http(http)) as servers:
            spec = await spec_of(servers, "echo")
            await servers.call(spec, {"text": "x"}, access=ALL)
            http.kill()
            outcome = await servers.call(spec, {"text": "x"}, access=ALL)
    assert outcome.failure == "unavailable"
    assert "no connection could be made" in outcome.text
    assert "not known" not in outcome.text


async def test_the_key_is_sent_and_a_wrong_one_is_named_without_showing_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with HttpProgram(ODD_KEY="the-right-key") as http:
        async with running(over_http(http, api_key="the-right-key")) as servers:
            assert (await call(servers, "echo", text="call-content")).text == "call-content"
        async with running(over_http(http, headers={"Authorization": "Bearer the-wrong-key"})) as servers:
            (gap,) = (await servers.tools(ALL)).gaps
    assert "HTTP status 401: check 'api_key' and 'headers'" in gap.reason
    for secret in ("the-right-key", "the-wrong-key", "call-content"):
        assert secret not in caplog.text
        assert secret not in gap.reason


async def test_nobody_at_the_address_is_a_gap_that_says_so() -> None:
    nobody = McpServerSettings(name="nobody", url=f"http://127.0.0.1:{free_port()}/mcp")
    async with running(nobody) as servers:
        (gap,) = (await servers.tools(ALL)).gaps
    assert gap.reason == "the server 'nobody' cannot be used: no connection could be made"


async def test_a_change_of_the_tools_is_heard_over_http() -> None:
    with HttpProgram() as http:
        async with running(over_http(http)) as servers:
            before = await names(servers)
            await call(servers, "learn", name="learnt")
            for _ in range(100):  # the change comes in a stream of its own
                after = await names(servers)
                if after != before:
                    break
                await call(servers, "echo", text="x")
    assert set(after) - set(before) == {"learnt"}


async def test_arguments_that_the_tool_does_not_take_are_not_sent() -> None:
    with HttpProgram() as http:
        async with running(over_http(http)) as servers:
            outcome = await call(servers, "echo", text=7)
            sent = json.loads((await call(servers, "calls")).text)
    assert (outcome.failure, outcome.is_error) == ("arguments", True)
    assert "$.text: 7 is not of type 'string'" in outcome.text
    assert sent == []
