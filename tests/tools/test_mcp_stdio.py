"""Servers that are programs of ours: real processes by the official SDK, whatever becomes of them."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from caxton_llm.tools.access import ToolAccess
from caxton_llm.tools.servers import McpServers
from caxton_llm.tools.settings import McpServerSettings, McpSettings
from mcp_running import ALL, PROGRAMS, Now, call, ended, names, program, running, spec_of


def writes_its_number(path: Path) -> str:
    """A program that never answers."""
    return f"import os, pathlib, signal\npathlib.Path({str(path)!r}).write_text(str(os.getpid()))\nsignal.pause()"


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_a_program_gets_the_configured_environment_and_nothing_of_the_gateways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-secret")
    settings = program("odd_tools.py")
    async with running(settings) as servers:
        outcome = await call(servers, "environment")
    assert "planted-secret" not in outcome.text
    # Python itself may add LC_CTYPE.
    assert set(json.loads(outcome.text)) - {"LC_CTYPE"} == set(settings.env)


async def test_a_server_that_dies_in_a_call_says_so_and_is_there_again_for_the_next() -> None:
    async with running(program("odd_tools.py")) as servers:
        first = await call(servers, "process")
        outcome = await call(servers, "die", code=3)
        second = await call(servers, "process")
        (status,) = servers.statuses
    assert (outcome.is_error, outcome.failure) == (True, "interrupted")
    assert "whether it took effect is not known" in outcome.text
    assert first.text != second.text
    assert (status.state, status.failures) == ("ready", 0)


async def test_a_server_that_dies_again_and_again_is_left_alone_for_longer_each_time() -> None:
    clock = Now()
    async with running(program("odd_tools.py"), clock=clock) as servers:
        spec = await spec_of(servers, "die")
        await servers.call(spec, {"code": 3}, access=ALL)
        again = await servers.call(spec, {"code": 3}, access=ALL)
        refused = await servers.call(spec, {"code": 3}, access=ALL)
        assert (again.failure, refused.failure) == ("interrupted", "unavailable")
        assert "is down and is tried again in 2.0 s: the program ended with exit code 3" in refused.text
        assert servers.statuses[0].state == "waiting"
        clock.seconds += 2.0
        assert (await servers.call(spec, {"code": 3}, access=ALL)).failure == "interrupted"
        waiting = await servers.call(spec, {"code": 3}, access=ALL)
        assert "tried again in 4.0 s" in waiting.text


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program-here",), "cannot be started: No such file or directory"),
        ((sys.executable, "-c", "import sys; sys.exit('no licence')"), "ended with exit code 1: no licence"),
        ((sys.executable, "-c", "print('hello'); import time"), "the program ended with exit code 0"),
    ],
)
async def test_a_program_that_does_not_start_leaves_a_gap_that_says_why(command: tuple[str, ...], reason: str) -> None:
    broken = McpServerSettings(name="broken", command=command)
    async with running(broken, program("odd_tools.py")) as servers:
        offered = await servers.tools(ALL)
    (gap,) = offered.gaps
    assert (gap.server, gap.name) == ("broken", "")
    assert reason in gap.reason
    assert {spec.server for spec in offered.tools} == {"odd"}


async def test_a_program_that_hangs_at_its_start_is_given_up_and_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = (sys.executable, "-c", writes_its_number(pid_file))
    hanging = McpServerSettings(name="hanging", command=command, start_timeout_s=1.0)
    async with running(hanging) as servers:
        (gap,) = (await servers.tools(ALL)).gaps
    assert "within 1 s" in gap.reason
    assert ended(int(text_of(pid_file)))


async def test_who_does_not_want_to_wait_for_a_start_is_told_and_finds_it_later(tmp_path: Path) -> None:
    async with running(program("odd_tools.py")) as servers:
        (gap,) = (await servers.tools(ALL, timeout_s=0.0)).gaps
        assert "still starting" in gap.reason
        assert "echo" in await names(servers)


async def test_closing_leaves_no_process_behind_not_even_one_that_the_server_has_started() -> None:
    async with running(program("odd_tools.py")) as servers:
        own = int((await call(servers, "process")).text)
        started = int((await call(servers, "spawn")).text)
    assert ended(own)
    assert ended(started)


async def test_a_program_that_ignores_that_it_shall_end_is_killed(tmp_path: Path) -> None:
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(
        "import runpy, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"runpy.run_path({str(PROGRAMS / 'odd_tools.py')!r}, run_name='__main__')\n"
        "while True: signal.pause()\n"
    )
    async with running(program(stubborn)) as servers:
        own = int((await call(servers, "process")).text)
    assert ended(own)


async def test_an_event_loop_that_ends_takes_its_servers_along_and_another_one_starts_them_again() -> None:
    servers = McpServers(McpSettings(servers=(program("odd_tools.py"),)))

    async def forgetful() -> str:
        return (await call(servers, "process")).text

    async def careful() -> str:
        text = await forgetful()
        await servers.close()
        return text

    first = await asyncio.to_thread(asyncio.run, forgetful())
    assert ended(int(first))
    second = await asyncio.to_thread(asyncio.run, careful())
    assert second not in ("", first)
    assert ended(int(second))


async def test_closing_while_a_server_starts_waits_for_nobody(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    hanging = McpServerSettings(name="hanging", command=(sys.executable, "-c", writes_its_number(pid_file)))
    async with running(hanging) as servers:
        waiting = asyncio.create_task(servers.tools(ALL))
        while not text_of(pid_file):
            await asyncio.to_thread(os.sched_yield)
    (gap,) = (await asyncio.wait_for(waiting, 20)).gaps
    assert gap.server == "hanging"
    assert ended(int(text_of(pid_file)))


async def test_only_so_many_calls_are_sent_at_a_time(tmp_path: Path) -> None:
    begun = asyncio.Event()
    marker = str(tmp_path / "marker")
    async with running(program("odd_tools.py", max_parallel_calls=1)) as servers:
        holding = asyncio.create_task(call(servers, "hold", marker=marker, on_progress=lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 20)
        waiting = await call(servers, "echo", text="x", timeout_s=0.2)
        holding.cancel()
        await asyncio.wait([holding], timeout=20)
        sent = await call(servers, "calls")
    assert waiting.failure == "timeout"
    assert json.loads(sent.text) == ["hold"]


async def test_what_a_program_writes_to_its_standard_error_is_logged_until_the_first_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    code = "import sys; sys.exit('cannot use planted-secret')"
    env = {"KEY": "planted-secret"}
    broken = McpServerSettings(name="broken", command=(sys.executable, "-c", code), env=env)
    async with running(broken, program("odd_tools.py")) as servers:
        (gap,) = (await servers.tools(ALL)).gaps
        await call(servers, "complain", text="the content of a call")
    assert gap.reason.endswith("cannot use *** (it is given PATH, HOME, LANG and its 'env' only)")
    assert "the server broken says: cannot use ***" in caplog.text
    assert "planted-secret" not in caplog.text
    assert "the content of a call" not in caplog.text


async def test_a_change_of_the_tools_is_heard() -> None:
    async with running(program("odd_tools.py")) as servers:
        before = await names(servers)
        await call(servers, "learn", name="learnt")
        after = await names(servers)
        assert (await call(servers, "learnt", text="new")).text == "new"
    assert set(after) - set(before) == {"learnt"}


async def test_two_hundred_tools_over_pages_come_in_the_order_of_their_names() -> None:
    async with running(program("many_tools.py", name="many")) as servers:
        found = await names(servers)
        outcome = await call(servers, "tool_199")
    assert found == [f"tool_{number:03}" for number in range(200)]
    assert outcome.text == "tool_199"


async def test_an_agent_without_tools_starts_no_server() -> None:
    async with running(program("odd_tools.py")) as servers:
        assert (await servers.tools(ToolAccess("talker"))).tools == ()
        assert (await servers.tools(ToolAccess("other", ("elsewhere.*",)))).tools == ()
        assert servers.statuses[0].state == "idle"


async def test_only_configured_tools_are_offered_and_callable() -> None:
    async with running(program("odd_tools.py", tools=("echo", "gone"))) as servers:
        offered = await servers.tools(ALL)
        (echo,) = offered.tools
        hidden = await servers.call(replace(echo, remote_name="calls"), {"text": "x"}, access=ALL)
    assert echo.remote_name == "echo"
    assert [(gap.name, gap.reason) for gap in offered.gaps] == [("gone", "the server has no tool of this name")]
    assert (hidden.failure, hidden.text) == ("unavailable", "the server 'odd' does not offer 'calls'")


async def test_a_closed_server_says_so() -> None:
    async with running(program("odd_tools.py")) as servers:
        spec = await spec_of(servers, "echo")
    outcome = await servers.call(spec, {"text": "x"}, access=ALL)
    assert (outcome.failure, outcome.text) == ("unavailable", "the server 'odd' is closed")


async def test_a_pattern_that_no_tool_fits_is_told_with_those_that_there_are() -> None:
    async with running(program("odd_tools.py")) as servers:
        offered = await servers.tools(ToolAccess("tester", ("odd.ec*", "odd.nothing")))
    assert [tool.name for tool in offered.tools] == ["echo"]
    (gap,) = offered.gaps
    assert gap.name == "odd.nothing"
    assert "there is: odd." in gap.reason
