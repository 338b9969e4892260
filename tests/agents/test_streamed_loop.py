"""The loop of an agent as one stream: texts as they come, what happens to calls, one end, one usage."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest
from httpx2 import Client, MockTransport, Response
from openai.lib.streaming.chat import ChatCompletionStreamState

from anthropic_vendor import asked as asked_vendor
from anthropic_vendor import client as anthropic_client
from anthropic_vendor import read_stream
from builtin_calls import provider as scripted
from caxton_llm.agent_loop.loop import AgentLoop, LoopResult
from caxton_llm.agent_loop.tool_runner import ToolRunner
from caxton_llm.errors import DeadlineExceeded, LlmError, Overloaded
from caxton_llm.providers.settings import BuiltinStep
from caxton_llm.testing import FakeClock, FakeProvider
from caxton_llm.tools.servers import McpServers
from caxton_llm.types import ChatChunk, StreamOptions, Usage
from caxton_llm.wire.anthropic_messages.client.stream import AnthropicStreamEncoder
from caxton_llm.wire.openai_chat.client.encoder import OpenAIStreamEncoder
from looping import asked, call, calling, fitter_of, function, loop_of, progress_of, read, results_of
from mcp_running import ALL, program, running
from module_loops import module_scoped
from routed import Records, candidate, gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOKING = BuiltinStep(text="Let me look.", tool="steps", arguments={"count": 2})
ANSWER = BuiltinStep(text="There are two.")


@module_scoped
async def servers() -> AsyncIterator[McpServers]:
    async with running(program("odd_tools.py")) as together:
        await together.start()
        yield together


@module_scoped
async def runner(servers: McpServers) -> ToolRunner:
    offered = await servers.tools(ALL)
    return ToolRunner(offered.tools, servers=servers, access=ALL)


def text_of(chunks: list[ChatChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ends_of(chunks: list[ChatChunk]) -> list[str]:
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


async def test_the_texts_of_all_steps_are_streamed_and_calls_are_seen_as_progress(runner: ToolRunner) -> None:
    chunks = await read(loop_of(scripted(LOOKING, ANSWER), runner).stream(asked(), fitter_of(runner)))
    assert text_of(chunks) == "Let me look.\n\nThere are two."
    assert progress_of(chunks)[0] == ("steps", "started")
    assert progress_of(chunks)[-1] == ("steps", "done")
    assert ("steps", "running") in progress_of(chunks)
    assert ends_of(chunks) == ["stop"]
    assert not [choice for chunk in chunks for choice in chunk.choices if choice.delta.tool_calls]
    roles = [choice.delta.role for chunk in chunks for choice in chunk.choices if choice.delta.role]
    assert roles == ["assistant"]


async def test_progress_comes_between_the_texts_with_the_id_of_the_answer_and_no_choices(runner: ToolRunner) -> None:
    chunks = await read(loop_of(scripted(LOOKING, ANSWER), runner).stream(asked(), fitter_of(runner)))
    (done,) = [chunk for chunk in chunks if chunk.progress is not None and chunk.progress["state"] == "done"]
    assert done.choices == []
    assert set(done.progress) == {"tool", "call", "state", "seconds"}
    assert text_of(chunks[: chunks.index(done)]) == "Let me look."
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert all(chunk.wire is None for chunk in chunks)


async def test_one_usage_comes_at_the_end_and_is_the_sum(runner: ToolRunner) -> None:
    first = calling(call("echo", {"text": "x"}), usage=Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12))
    first.warnings = ["trimmed"]
    stream = loop_of(FakeProvider(first, Overloaded("wait"), "Done"), runner).stream(asked(), fitter_of(runner))
    chunks = await read(stream)
    total = Usage(prompt_tokens=11, completion_tokens=3, total_tokens=14)
    assert [chunk.usage for chunk in chunks if chunk.usage is not None] == [total]
    assert chunks[-1].usage == total
    assert (stream.usage, stream.cost_usd, stream.attempts, stream.dialect) == (total, 1.0, 3, "")
    assert [attempt.error for attempt in stream.failed_attempts] == ["overloaded"]


async def test_the_stream_and_the_whole_answer_come_to_the_same(runner: ToolRunner) -> None:
    done: list[LoopResult] = []

    async def on_done(result: LoopResult) -> None:
        done.append(result)

    await read(loop_of(scripted(LOOKING, ANSWER), runner).stream(asked(), fitter_of(runner), on_done))
    (streamed,) = done
    whole = await loop_of(scripted(LOOKING, ANSWER), runner).complete(asked(), fitter_of(runner))
    assert streamed.steps == whole.steps
    assert (streamed.message, streamed.usage) == (whole.message, whole.usage)
    assert [outcome.name for outcome in streamed.outcomes] == [outcome.name for outcome in whole.outcomes]


async def test_what_is_done_at_the_end_is_done_before_the_end_is_seen(runner: ToolRunner) -> None:
    seen: list[ChatChunk] = []
    before: list[list[str]] = []

    async def on_done(_result: LoopResult) -> None:
        before.append(ends_of(seen))

    async with loop_of(scripted(ANSWER), runner).stream(asked(), fitter_of(runner), on_done) as stream:
        async for chunk in stream:
            seen.append(chunk)
    assert (before, ends_of(seen)) == ([[]], ["stop"])


async def test_calls_of_the_callers_tools_are_streamed_to_it_at_the_end(runner: ToolRunner) -> None:
    model = scripted(BuiltinStep(tool="pick", arguments={"a": 1}))
    stream = loop_of(model, runner).stream(asked(tools=[function("pick")]), fitter_of(runner))
    chunks = await read(stream)
    (made,) = [part for chunk in chunks for choice in chunk.choices for part in choice.delta.tool_calls or ()]
    assert made.function is not None
    assert (made.index, made.function.name, made.function.arguments) == (0, "pick", '{"a":1}')
    assert ends_of(chunks) == ["tool_calls"]
    assert progress_of(chunks) == []


async def test_where_both_are_called_the_callers_is_not_shown(runner: ToolRunner) -> None:
    model = FakeProvider(calling(call("pick"), call("echo", {"text": "x"})), "Done")
    chunks = await read(loop_of(model, runner).stream(asked(tools=[function("pick")]), fitter_of(runner)))
    assert not [choice for chunk in chunks for choice in chunk.choices if choice.delta.tool_calls]
    assert progress_of(chunks) == [("echo", "started"), ("echo", "done")]
    assert len(results_of(model.requests[1])) == 2


async def test_a_failure_in_a_later_step_is_raised_after_what_was_seen(runner: ToolRunner) -> None:
    broken = BuiltinStep(text="There are", error="stream_interrupted", after_chunks=1)
    done: list[LoopResult] = []

    async def on_done(result: LoopResult) -> None:
        done.append(result)

    chunks: list[ChatChunk] = []
    with pytest.raises(LlmError, match="the script cuts the answer"):
        async with loop_of(scripted(LOOKING, broken), runner).stream(asked(), fitter_of(runner), on_done) as stream:
            async for chunk in stream:
                chunks.append(chunk)
    assert (text_of(chunks), ends_of(chunks), done) == ("Let me look.\n\nThere", [], [])


async def test_closing_the_stream_ends_a_running_call(runner: ToolRunner, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    model = FakeProvider(calling(call("hold", {"marker": str(marker)})))
    stream = loop_of(model, runner).stream(asked(), fitter_of(runner))
    async for chunk in stream:
        if chunk.progress is not None and chunk.progress["state"] == "running":
            assert chunk.progress["message"] == "begun"
            break
    await asyncio.wait_for(stream.aclose(), 20)
    for _ in range(100):
        await runner.run([call("echo", {"text": "x"})])
        if marker.exists():
            break
    assert marker.read_text() == "cancelled"


async def test_a_stream_whose_calls_tell_nothing_says_that_it_is_alive(runner: ToolRunner, tmp_path: Path) -> None:
    model = FakeProvider(calling(call("hold", {"marker": str(tmp_path / "marker")})))
    stream = loop_of(model, runner, quiet_s=0.01).stream(asked(), fitter_of(runner))
    async with stream:
        async for chunk in stream:
            if not chunk.choices and chunk.progress is None:
                break
    encoder = OpenAIStreamEncoder(asked(), verbatim=False, model="m")
    assert encoder.encode([chunk]) == b": keep-alive\n\n"


async def test_closing_the_stream_ends_the_providers_request(runner: ToolRunner) -> None:
    records, clock = Records(), FakeClock()
    silent = BuiltinStep(text="There are", error="stall", after_chunks=1)
    target = candidate("main", scripted(LOOKING, silent), clock=clock)
    loop = AgentLoop(gateway(target, clock=clock, observers=[records]), runner)
    stream = loop.stream(asked(), fitter_of(runner))
    async for chunk in stream:
        if "There" in chunk.text:
            break
    await asyncio.wait_for(stream.aclose(), 20)
    assert [record.status for record in records.finished_records] == ["success", "cancelled"]


async def test_who_leaves_after_the_last_text_has_had_the_whole_answer(runner: ToolRunner) -> None:
    done: list[LoopResult] = []

    async def on_done(result: LoopResult) -> None:
        done.append(result)

    async with loop_of(scripted(LOOKING, ANSWER), runner).stream(asked(), fitter_of(runner), on_done) as stream:
        text = ""
        while not text.endswith("There are two."):
            text += text_of(await stream.next_batch())
    (result,) = done
    assert result.response.text == "There are two."


async def test_who_leaves_in_the_middle_of_a_text_has_not(runner: ToolRunner) -> None:
    done: list[LoopResult] = []

    async def on_done(result: LoopResult) -> None:
        done.append(result)

    async with loop_of(scripted(ANSWER), runner).stream(asked(), fitter_of(runner), on_done) as stream:
        assert text_of(await stream.next_batch()) != ANSWER.text
    assert done == []


async def test_the_deadline_holds_for_a_stream_too(runner: ToolRunner, tmp_path: Path) -> None:
    model = FakeProvider(calling(call("hold", {"marker": str(tmp_path / "marker")})))
    loop = loop_of(model, runner, deadline_s=0.5, clock=FakeClock())
    with pytest.raises(DeadlineExceeded):
        await read(loop.stream(asked(), fitter_of(runner)))


async def test_a_text_that_has_begun_may_take_longer_than_the_deadline(runner: ToolRunner) -> None:
    clock = FakeClock()
    target = candidate("main", scripted(ANSWER), clock=clock)
    stream = AgentLoop(gateway(target, clock=clock), runner, deadline_s=5.0, clock=clock).stream(
        asked(), fitter_of(runner)
    )
    text = ""
    async with stream:
        async for chunk in stream:
            text += chunk.text
            clock.advance(1.0 if not text else 100.0)
    assert text == ANSWER.text


# -- as clients see it --------------------------------------------------------------------------------------------------


async def seen_chunks(runner: ToolRunner) -> list[ChatChunk]:
    return await read(loop_of(scripted(LOOKING, ANSWER), runner).stream(asked(), fitter_of(runner)))


def through_openai(chunks: list[ChatChunk]) -> list[openai.types.chat.ChatCompletionChunk]:
    """What the vendor's client makes of a stream."""
    encoder = OpenAIStreamEncoder(asked(stream_options=StreamOptions(include_usage=True)), verbatim=False, model="m")
    body = encoder.encode(chunks) + encoder.finish({})

    def answer(_request: object) -> Response:
        return Response(200, headers={"content-type": "text/event-stream"}, content=body)

    http = Client(transport=MockTransport(answer))
    with openai.OpenAI(api_key="k", base_url="http://127.0.0.1", max_retries=0, http_client=http) as vendor:
        return list(vendor.chat.completions.create(model="m", messages=[{"role": "user", "content": "q"}], stream=True))


async def test_an_openai_client_takes_progress_as_chunks_that_add_nothing(runner: ToolRunner) -> None:
    events = through_openai(await seen_chunks(runner))
    told = [event.model_extra["caxton"]["progress"] for event in events if event.model_extra]
    assert [one["state"] for one in (told[0], told[-1])] == ["started", "done"]
    assert "".join(event.choices[0].delta.content or "" for event in events if not event.usage) == (
        "Let me look.\n\nThere are two."
    )
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(event)
    answer = state.get_final_completion()
    assert answer.choices[0].message.content == "Let me look.\n\nThere are two."
    assert answer.usage is not None


async def test_an_anthropic_client_takes_progress_as_pings(runner: ToolRunner) -> None:
    encoder = AnthropicStreamEncoder(verbatim=False, model="m")
    body = encoder.encode(await seen_chunks(runner)) + encoder.finish({})
    pings = [block for block in body.split(b"\n\n") if block.startswith(b"event: ping\n")]
    assert b'{"type":"ping","caxton":{"progress":{"tool":"steps",' in pings[0]
    message = read_stream(body)
    assert [block.text for block in message.content if isinstance(block, anthropic.types.TextBlock)] == [
        "Let me look.\n\nThere are two."
    ]
    with anthropic_client(body, "text/event-stream") as vendor:
        raw = vendor.messages.create(**asked_vendor(), stream=True)
        assert "message_stop" in [event.type for event in raw]
