"""The script of the `builtin` provider: fixed answers, delays, and failures before and in the middle of an answer."""

import asyncio
from typing import Any

import pytest

from builtin_calls import answer, provider, refusal, streamed, user
from caxton_llm.errors import (
    Authentication,
    ContentFiltered,
    ContextWindowExceeded,
    LlmError,
    Overloaded,
    ProviderFailure,
    RateLimited,
    StreamInterrupted,
)
from caxton_llm.providers.settings import BuiltinStep
from caxton_llm.types import ChatRequest, FunctionCall


async def test_the_steps_are_used_up_and_then_it_answers_from_the_request() -> None:
    request = ChatRequest(messages=[user("Hi")])
    subject = provider(BuiltinStep(text="one"), BuiltinStep(text="two", finish_reason="length"))
    answers = [await subject.complete_chat(request) for _ in range(3)]
    assert [response.text for response in answers[:2]] == ["one", "two"]
    assert answers[1].choices[0].finish_reason == "length"
    assert answers[2].text.startswith("You said: Hi")
    again = provider(BuiltinStep(text="one"), BuiltinStep(text="two"), repeat=True)
    assert [(await again.complete_chat(request)).text for _ in range(4)] == ["one", "two", "one", "two"]


async def test_a_step_can_call_a_tool_and_think() -> None:
    step = BuiltinStep(tool="get_weather", arguments={"city": "Rome"}, reasoning="Hm. So.")
    response = await answer(ChatRequest(messages=[user("Hi")]), step)
    assert response.tool_calls[0].function == FunctionCall("get_weather", '{"city":"Rome"}')
    assert response.choices[0].message.reasoning_content == "Hm. So."
    stream = await streamed(provider(step), ChatRequest(messages=[user("Hi")]))
    assert stream.calls[0][0][1:] == ["get_weather", '{"city":"Rome"}']
    assert stream.reasons == {0: "tool_calls"}


async def test_delays_come_before_the_answer_and_between_the_chunks() -> None:
    waits: list[float] = []
    step = BuiltinStep(text="abcdef", delay_ms=1500, chunks=3, chunk_delay_ms=20)
    stream = await streamed(provider(step, waits=waits), ChatRequest(messages=[user("Hi")]))
    assert [choice.delta.content for chunk in stream.chunks for choice in chunk.choices] == ["ab", "cd", "ef", None]
    assert waits == [1.5, 0.02, 0.02]
    waits.clear()
    await provider(step, waits=waits).complete_chat(ChatRequest(messages=[user("Hi")]))
    assert waits == [1.5]


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("rate_limited", RateLimited, 429),
        ("overloaded", Overloaded, 503),
        ("provider_failure", ProviderFailure, 500),
        ("authentication", Authentication, 401),
        ("context_window_exceeded", ContextWindowExceeded, 400),
        ("content_filtered", ContentFiltered, 400),
        ("stream_interrupted", StreamInterrupted, None),
    ],
)
async def test_a_step_can_fail_in_every_way(name: Any, kind: type[LlmError], status: int | None) -> None:
    step = BuiltinStep(error=name)
    request = ChatRequest(messages=[user("Hi")])
    error = await refusal(request, step, name="demo", model="tiny")
    stream = await streamed(provider(step, name="demo", model="tiny"), request)
    assert stream.chunks == []
    assert stream.error is not None
    for raised in (error, stream.error):
        assert type(raised) is kind
        assert (raised.status, raised.provider, raised.model) == (status, "demo", "tiny")


async def test_a_step_can_say_how_long_to_wait() -> None:
    error = await refusal(
        ChatRequest(messages=[user("Hi")]), BuiltinStep(error="rate_limited", retry_after_seconds=2.5)
    )
    assert error.retry_after_s == 2.5
    assert error.should_retry


@pytest.mark.parametrize(("after", "texts"), [(0, []), (2, ["a", " b"]), (9, ["a", " b", " c"])])
async def test_a_stream_can_break_in_the_middle(after: int, texts: list[str]) -> None:
    step = BuiltinStep(text="a b c", error="stream_interrupted", after_chunks=after)
    stream = await streamed(provider(step), ChatRequest(messages=[user("Hi")]))
    assert [choice.delta.content for chunk in stream.chunks for choice in chunk.choices] == texts
    assert type(stream.error) is StreamInterrupted
    assert stream.reasons == {}


async def test_a_step_can_stall_until_the_callers_patience_ends() -> None:
    request = ChatRequest(messages=[user("Hi")])
    whole = asyncio.ensure_future(provider(BuiltinStep(error="stall")).complete_chat(request))
    stream = provider(BuiltinStep(text="a b", error="stall", after_chunks=1)).stream_chat(request)
    first = await anext(stream)
    assert first.choices[0].delta.content == "a"
    rest = asyncio.ensure_future(anext(stream))
    for _ in range(10):  # turns of the loop, more than an answer takes
        await asyncio.sleep(0)
    for task in (whole, rest):
        assert not task.done()
        task.cancel()
    results = await asyncio.gather(whole, rest, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    await stream.aclose()
