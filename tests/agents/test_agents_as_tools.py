"""Agents that call each other's capabilities as tools: answers, circles, depth, failures."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from caxton_llm.agent_loop.loop_record import LoopResult
from caxton_llm.agent_loop.tool_runner import AgentCalls, ToolLimits, ToolResult, ToolRunner
from caxton_llm.agents.agent import Agent, Capability
from caxton_llm.agents.capability_tools import capability_tools
from caxton_llm.agents.chain import CallChain
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.errors import AgentCallRefused, InvalidRequest, LlmError, ProviderFailure
from caxton_llm.testing import FakeProvider
from caxton_llm.types import ChatResponse, Choice, Json, Message
from looping import asked, call, calling, fitter_of, loop_of, results_of

REPORTS = Agent(name="Reports", offers=(Capability(name="report"),), requires=("chart",))
CHARTS = Agent(
    name="Charts",
    offers=(
        Capability(name="chart", input_schema={"properties": {"title": {"type": "string"}}, "required": ["title"]}),
    ),
    requires=("report", "facts"),
)
FACTS = Agent(name="Facts", offers=(Capability(name="facts"),))
REGISTRY = CapabilityRegistry([REPORTS, CHARTS, FACTS])


class Agents:
    """Every agent with its own model, each called through its own loop."""

    def __init__(self, *, limit: int = 5, **models: FakeProvider) -> None:
        self.models: Mapping[str, FakeProvider] = models
        self.limit = limit
        self.chains: list[str] = []

    async def ask(self, agent: Agent, chain: CallChain) -> LoopResult:
        self.chains.append(" -> ".join(map(str, chain.calls)))
        calls = AgentCalls(registry=REGISTRY, chain=chain, call=self.call)
        runner = ToolRunner(capability_tools(agent, REGISTRY), agents=calls)
        return await loop_of(self.models[agent.name], runner).complete(asked(), fitter_of(runner))

    async def call(self, capability: str, _arguments: dict[str, Json], chain: CallChain) -> ChatResponse:
        return (await self.ask(REGISTRY.offers(capability)[0], chain)).response

    async def begin(self) -> LoopResult:
        return await self.ask(REPORTS, CallChain(limit=self.limit).calling("Reports"))


async def test_an_agent_gets_the_answer_of_another_as_a_fenced_result() -> None:
    agents = Agents(
        Reports=FakeProvider(calling(call("chart", {"title": "Sales"})), "Here is the chart."),
        Charts=FakeProvider("a chart"),
    )
    result = await agents.begin()
    assert result.response.text == "Here is the chart."
    assert results_of(agents.models["Reports"].requests[1]) == ['<data from="tool">\na chart\n</data>']
    assert agents.chains == ["Reports", "Reports -> Charts (chart)"]


async def test_a_circle_is_a_result_that_names_the_chain_and_both_go_on() -> None:
    agents = Agents(
        Reports=FakeProvider(calling(call("chart", {"title": "Sales"})), "Without a chart."),
        Charts=FakeProvider(calling(call("report", {"request": "numbers"})), "no numbers"),
    )
    result = await agents.begin()
    (refused,) = results_of(agents.models["Charts"].requests[1])
    assert refused == (
        "The call failed: agents call each other in a circle: Reports -> Charts (chart) -> Reports (report)"
    )
    assert result.response.text == "Without a chart."
    assert len(agents.models["Reports"].requests) == 2


async def test_too_many_agents_in_a_chain_are_a_result() -> None:
    agents = Agents(
        limit=2,
        Reports=FakeProvider(calling(call("chart", {"title": "Sales"})), "Done."),
        Charts=FakeProvider(calling(call("facts", {"request": "numbers"})), "no numbers"),
        Facts=FakeProvider("never asked"),
    )
    await agents.begin()
    (refused,) = results_of(agents.models["Charts"].requests[1])
    assert refused.startswith("The call failed: more than 2 agents call each other: Reports -> Charts (chart) -> Facts")
    assert agents.models["Facts"].requests == []


async def one(call_agent: Any, arguments: Json = None, **settings: Any) -> ToolResult:
    """One call of the chart capability by an agent whose call is this function."""
    calls = AgentCalls(registry=REGISTRY, chain=CallChain().calling("Reports"), call=call_agent)
    runner = ToolRunner(capability_tools(REPORTS, REGISTRY), agents=calls, **settings)
    (result,) = await runner.run([call("chart", {"title": "Sales"} if arguments is None else arguments)])
    return result


async def never(*_: object) -> ChatResponse:
    raise AssertionError("it is not called")


async def test_arguments_that_do_not_fit_the_capability_are_told_and_nobody_is_called() -> None:
    result = await one(never, {"title": 7})
    assert result.outcome.failure == "arguments"
    content = str(result.message.content)
    assert content.startswith('The call failed:\n<data from="tool">\nthe arguments do not fit')
    assert "7 is not of type 'string'" in content


@pytest.mark.parametrize(
    ("error", "failure", "told"),
    [
        (ProviderFailure("words of a provider"), "agent", "the agent 'Charts' gave no answer: provider_failure"),
        (InvalidRequest("words of a provider", source="provider"), "agent", "gave no answer: invalid_request"),
        (InvalidRequest("the template needs audience"), "agent", "gave no answer: the template needs audience"),
        (AgentCallRefused("too deep"), "refused", "too deep"),
    ],
)
async def test_an_agent_that_gives_no_answer_is_a_result(error: LlmError, failure: str, told: str) -> None:
    async def fails(*_: object) -> ChatResponse:
        raise error

    result = await one(fails)
    assert result.outcome.failure == failure
    assert told in str(result.message.content)
    assert "words of a provider" not in str(result.message.content)


@pytest.mark.parametrize(
    ("degraded", "text", "told"),
    [(True, "Try again later.", "no provider could answer"), (False, " ", "it said nothing")],
    ids=["degraded", "empty"],
)
async def test_an_answer_that_stands_for_none_is_a_failed_call_that_counts(
    degraded: bool, text: str, told: str
) -> None:
    choice = Choice(index=0, message=Message(role="assistant", content=text), finish_reason="stop")
    given = ChatResponse(id="", model="m", choices=[choice], degraded=degraded)

    async def answers(*_: object) -> ChatResponse:
        return given

    result = await one(answers)
    assert (result.outcome.failure, result.outcome.is_error) == ("agent", True)
    assert result.message.content == f"The call failed: the agent 'Charts' gave no answer: {told}"
    assert result.answer is given


async def test_what_a_called_agent_took_is_part_of_the_whole() -> None:
    agents = Agents(
        Reports=FakeProvider(calling(call("chart", {"title": "Sales"})), "Here is the chart."),
        Charts=FakeProvider("a chart"),
    )
    result = await agents.begin()
    assert result.response.cost_usd == pytest.approx(1.5)
    assert result.response.attempts == 3


async def test_an_agent_that_hangs_ends_at_the_limit() -> None:
    async def hangs(*_: object) -> ChatResponse:
        await asyncio.Event().wait()
        raise AssertionError

    result = await one(hangs, limits=ToolLimits(timeout_s=0.01))
    assert result.outcome.failure == "timeout"
    assert "whether it took effect is not known" in str(result.message.content)


async def test_a_timeout_that_is_not_ours_is_not_taken_for_one() -> None:
    async def broken(*_: object) -> ChatResponse:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await one(broken)


async def test_a_mistake_of_the_program_is_raised_and_ends_the_other_calls() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def broken(_capability: str, arguments: dict[str, Json], _chain: CallChain) -> ChatResponse:
        if arguments["title"] == "bad":
            await begun.wait()
            raise RuntimeError("a mistake")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    (chart,) = capability_tools(REPORTS, REGISTRY)
    calls = AgentCalls(registry=REGISTRY, chain=CallChain(), call=broken)
    runner = ToolRunner([replace(chart, read_only=True)], agents=calls)
    with pytest.raises(RuntimeError, match="a mistake"):
        await runner.run([call("chart", {"title": title}, id=title) for title in ("slow", "bad")])
    assert ended.is_set()


async def test_without_agents_a_capability_is_a_result_that_says_so() -> None:
    (result,) = await ToolRunner(capability_tools(REPORTS, REGISTRY)).run([call("chart", {"title": "x"})])
    assert (result.outcome.failure, result.outcome.is_error) == ("unavailable", True)
