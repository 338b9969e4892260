"""Calls of tools of one running server, and what becomes of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from caxton_llm.errors import AccessDenied
from caxton_llm.tool_specs import ToolProgress
from caxton_llm.tools.access import ToolAccess
from caxton_llm.tools.servers import McpServers
from mcp_running import ALL, call, names, program, running, spec_of
from module_loops import module_scoped

pytestmark = pytest.mark.asyncio(loop_scope="module")


@module_scoped
async def servers() -> AsyncIterator[McpServers]:
    async with running(program("odd_tools.py", max_result_bytes=1000)) as together:
        yield together


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def cancelled(servers: McpServers, marker: Path) -> None:
    """The server goes on, and has heard that nobody waits for the call."""
    for _ in range(100):
        assert (await call(servers, "echo", text="still there")).text == "still there"
        if text_of(marker):
            break
    assert text_of(marker) == "cancelled"


async def test_a_call_gives_the_text_of_the_tool_and_its_structure(servers: McpServers) -> None:
    spec = await spec_of(servers, "echo")
    outcome = await servers.call(spec, {"text": "hello"}, access=ALL)
    assert (outcome.text, outcome.structured) == ("hello", {"result": "hello"})
    assert (outcome.is_error, outcome.truncated, outcome.failure) == (False, False, None)
    assert (spec.server, spec.remote_name, spec.read_only, spec.idempotent) == ("odd", "echo", True, True)


async def test_progress_is_told_while_a_call_runs(servers: McpServers) -> None:
    told: list[ToolProgress] = []
    outcome = await call(servers, "steps", count=3, on_progress=told.append)
    assert outcome.text == "done"
    assert told == [ToolProgress(progress=n, total=3, message=f"step {n}") for n in (1, 2, 3)]


async def test_a_call_that_hangs_ends_at_its_limit_and_the_server_is_told(servers: McpServers, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    outcome = await call(servers, "hold", marker=str(marker), timeout_s=1.0)
    assert (outcome.is_error, outcome.failure) == (True, "timeout")
    assert "whether it took effect is not known" in outcome.text
    await cancelled(servers, marker)


async def test_a_call_whose_caller_leaves_is_cancelled_at_the_server(servers: McpServers, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    begun = asyncio.Event()
    leaving = asyncio.create_task(call(servers, "hold", marker=str(marker), on_progress=lambda _: begun.set()))
    await asyncio.wait_for(begun.wait(), 20)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await cancelled(servers, marker)


async def test_a_result_of_ten_megabytes_is_cut_and_marked(servers: McpServers) -> None:
    outcome = await call(servers, "big", size=10_000_000)
    structure = await call(servers, "big_structure", size=10_000_000)
    assert outcome.text == "x" * 1000 + "\n[cut: 1,000 of 10,000,000 bytes are shown]"
    assert outcome.truncated
    assert not outcome.is_error
    assert structure.structured is None
    assert structure.truncated
    assert "is left out" in structure.text


async def test_an_error_of_the_tool_is_an_outcome(servers: McpServers) -> None:
    outcome = await call(servers, "refuse")
    assert outcome.is_error
    assert outcome.failure is None
    assert outcome.text


async def test_content_of_every_kind_becomes_text(servers: McpServers) -> None:
    outcome = await call(servers, "mixture")
    assert outcome.text.splitlines() == [
        "words",
        "[image, image/png, 8 bytes: not shown]",
        "[resource a link: odd://link]",
        "the inner text",
    ]


async def test_a_tool_that_is_not_among_the_agents_is_refused_before_anything_is_sent(servers: McpServers) -> None:
    reader = ToolAccess("reader", ("odd.calls",))
    assert await names(servers, reader) == ["calls"]
    spec = await spec_of(servers, "echo")
    before = (await call(servers, "calls")).text
    with pytest.raises(AccessDenied, match=r"the agent 'reader' may not call the tool 'odd\.echo'"):
        await servers.call(spec, {"text": "x"}, access=reader)
    assert (await call(servers, "calls")).text == before
