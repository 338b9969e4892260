"""The loop against providers over HTTP that check what they are sent: conversations with calls, thinking, forced choices."""

import json
from collections.abc import AsyncIterator

import pytest

from caxton_llm import Caxton
from caxton_llm.agent_loop.loop import AgentLoop, LoopResult
from caxton_llm.agent_loop.tool_runner import ToolRunner
from caxton_llm.types import ChatRequest, Json
from fakes import FakeAnthropic, FakeOpenAI
from fakes.provider import FakeProvider as FakeServer
from fakes.script import ToolCall, Usage
from looping import asked, fitter_of, progress_of
from mcp_running import ALL, program, running

STEPS = Usage(prompt=10, completion=5)


@pytest.fixture
async def runner() -> AsyncIterator[ToolRunner]:
    async with running(program("odd_tools.py")) as servers:
        offered = await servers.tools(ALL)
        yield ToolRunner(offered.tools, servers=servers, access=ALL)


@pytest.fixture(params=["openai", "anthropic"])
def server(request: pytest.FixtureRequest, fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic) -> FakeServer:
    return fake_openai if request.param == "openai" else fake_anthropic


def configured(server: FakeServer, model: str = "") -> Json:
    kind, usual = ("openai", "gpt-4o") if isinstance(server, FakeOpenAI) else ("anthropic", "claude-sonnet-4-5")
    base = {"provider": kind, "api_key": server.api_key, "base_url": server.base_url}
    return {"llm": {**base, "model": model or usual}}


async def answered(server: FakeServer, runner: ToolRunner, request: ChatRequest, *, streams: bool) -> LoopResult:
    """The result of a request, whole or streamed."""
    done: list[LoopResult] = []

    async def on_done(result: LoopResult) -> None:
        done.append(result)

    async with Caxton.from_dict(configured(server)) as caxton:
        loop = AgentLoop(caxton.gateway, runner, max_steps=2)
        if not streams:
            return await loop.complete(request, fitter_of(runner))
        async with loop.stream(request, fitter_of(runner), on_done) as stream:
            chunks = [chunk async for chunk in stream]
    (result,) = done
    assert [chunk.usage for chunk in chunks if chunk.usage is not None] == [result.usage]
    assert "".join(chunk.text for chunk in chunks).endswith(result.response.text)
    assert len([state for _, state in progress_of(chunks) if state == "done"]) == len(result.outcomes)
    return result


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_calls_and_their_results_reach_the_provider_in_its_own_form(
    server: FakeServer, runner: ToolRunner, streams: bool
) -> None:
    server.reply(tools=[ToolCall("echo", {"text": "a"}), ToolCall("echo", {"text": "b"})], usage=STEPS)
    server.reply("Both.", usage=STEPS)
    result = await answered(server, runner, asked(max_tokens=100), streams=streams)
    assert result.response.text == "Both."
    assert result.usage is not None
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (20, 10)
    assert result.response.cost_usd is not None
    sent = json.dumps(server.requests[-1].json["messages"][1:])
    assert sent.count('<data from=\\\\\\"tool\\\\\\">') + sent.count('<data from=\\"tool\\">') == 2


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_a_forced_choice_is_sent_once_and_at_the_end_none_is_allowed(
    server: FakeServer, runner: ToolRunner, streams: bool
) -> None:
    for _ in range(2):
        server.reply(tools=[ToolCall("echo", {"text": "a"})], usage=STEPS)
    server.reply("Enough.", usage=STEPS)
    request = asked(max_tokens=100, tool_choice="required")
    result = await answered(server, runner, request, streams=streams)
    assert result.response.text == "Enough."
    choices = [received.json.get("tool_choice") for received in server.requests]
    named = [choice.get("type") if isinstance(choice, dict) else choice for choice in choices]
    assert named in (["required", None, "none"], ["any", None, "none"])


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_thinking_goes_back_with_its_signature(
    fake_anthropic: FakeAnthropic, runner: ToolRunner, streams: bool
) -> None:
    fake_anthropic.reply(reasoning="Hm.", tools=[ToolCall("echo", {"text": "a"})], usage=STEPS)
    fake_anthropic.reply("Done.", usage=STEPS)
    request = asked(max_tokens=4000, extra={"thinking": {"type": "enabled", "budget_tokens": 1024}})
    result = await answered(fake_anthropic, runner, request, streams=streams)
    assert result.response.text == "Done."
    blocks = fake_anthropic.requests[-1].json["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert fake_anthropic.signatures[blocks[0]["signature"]] == "Hm."
