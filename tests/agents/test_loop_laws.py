"""Laws of the loop for whatever a model answers: it ends, conversations stay whole, a stream and a whole answer agree."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from caxton_llm.agent_loop.loop import AgentLoop, LoopResult
from caxton_llm.agent_loop.tool_runner import AgentCalls, ToolRunner
from caxton_llm.agents.agent import Agent, Capability
from caxton_llm.agents.capability_tools import capability_tools
from caxton_llm.agents.chain import CallChain
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.testing import FakeProvider
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, Choice, Json, Message
from caxton_llm.wire.conversation import check_conversation
from looping import asked, call, calling, fitter_of, function, loop_of

ASKING = Agent(name="Asking", requires=("look", "change"))
REGISTRY = CapabilityRegistry([Agent(name="Doing", offers=(Capability(name="look"), Capability(name="change")))])


async def answer(capability: str, _arguments: dict[str, Json], _chain: CallChain) -> ChatResponse:
    message = Message(role="assistant", content=f"<data> of {capability}")
    return ChatResponse(id="", model="other", choices=[Choice(index=0, message=message, finish_reason="stop")])


def make_runner() -> ToolRunner:
    look, change = capability_tools(ASKING, REGISTRY)
    calls = AgentCalls(registry=REGISTRY, chain=CallChain(), call=answer)
    return ToolRunner([replace(look, read_only=True), change], agents=calls)


names = st.sampled_from(["look", "change", "pick", "nobody"])
arguments = st.sampled_from(['{"request":"x"}', '{"request":', "{}", ""])
some_calls = st.lists(st.tuples(names, arguments), max_size=4).map(
    lambda made: [call(name, text, id=f"c{number}") for number, (name, text) in enumerate(made)]
)


@st.composite
def answers(draw: st.DrawFn) -> ChatResponse:
    calls = draw(some_calls)
    text = draw(st.none() | st.just("Text.")) if calls else draw(st.sampled_from(["Text.", "More."]))
    finish = draw(st.sampled_from(["tool_calls", "stop", "length", "content_filter"] if calls else ["stop", "length"]))
    made = calling(*calls, text=text, finish=finish)
    if not calls:
        made.choices[0].message.tool_calls = None
    if draw(st.booleans()):
        made.usage = None
    return made


scripts = st.lists(answers(), min_size=1, max_size=5)


async def streamed(loop: AgentLoop, request: ChatRequest, runner: ToolRunner) -> tuple[LoopResult, list[ChatChunk]]:
    done: list[LoopResult] = []

    async def on_done(result: LoopResult) -> None:
        done.append(result)

    async with loop.stream(request, fitter_of(runner), on_done) as stream:
        chunks = [chunk async for chunk in stream]
    assert (stream.usage, stream.cost_usd, stream.warnings) == (
        done[0].usage,
        done[0].response.cost_usd,
        done[0].response.warnings,
    )
    return done[0], chunks


async def both(script: list[ChatResponse], max_steps: int) -> None:
    runner, request = make_runner(), asked(tools=[function("pick")])
    first, second = FakeProvider(*script, model="m"), FakeProvider(*script, model="m")
    whole = await loop_of(first, runner, max_steps=max_steps).complete(request, fitter_of(runner))
    result, chunks = await streamed(loop_of(second, runner, max_steps=max_steps), request, runner)

    assert len(first.requests) <= max_steps + 1
    for sent in first.requests:
        check_conversation(sent.messages)
    assert [sent.messages for sent in first.requests] == [sent.messages for sent in second.requests]

    assert (result.message, result.steps, result.usage) == (whole.message, whole.steps, whole.usage)
    assert result.response.warnings == whole.response.warnings
    failures = [(outcome.name, outcome.failure) for outcome in whole.outcomes]
    assert [(outcome.name, outcome.failure) for outcome in result.outcomes] == failures
    assert all(made.function and made.function.name == "pick" for made in whole.response.tool_calls)

    ends = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert ends == [whole.response.choices[0].finish_reason]
    assert [chunk.usage for chunk in chunks if chunk.usage] == ([whole.usage] if whole.usage else [])
    texts = [str(step.content) for step in whole.steps if step.role == "assistant" and step.content]
    texts += [whole.response.text] if whole.response.text else []
    assert "".join(chunk.text for chunk in chunks) == "\n\n".join(texts)
    shown = [part for chunk in chunks for choice in chunk.choices for part in choice.delta.tool_calls or ()]
    assert [part.id for part in shown] == [made.id for made in whole.response.tool_calls]


@given(scripts, st.integers(1, 3))
def test_a_stream_and_a_whole_answer_come_to_the_same_and_every_conversation_is_whole(
    script: list[ChatResponse], max_steps: int
) -> None:

    asyncio.run(both(script, max_steps))
