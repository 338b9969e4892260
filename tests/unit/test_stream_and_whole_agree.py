"""Whatever provider answers: a stream says, counts and costs what the whole answer does, for a client of either dialect."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from caxton_llm import Caxton
from caxton_llm.protocols import ClientDialect
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, Message, StreamOptions
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from caxton_llm.wire.openai_chat import client as openai_client
from caxton_llm.wire.sse import SseDecoder
from fakes.script import Part, Reasoning, Text, ToolCall, Usage
from live_gateway import ENTRIES, Entry, FakeProviders, entries_for

ASKED = [entry for entry in ENTRIES if entry.kind != "builtin"]
PRICED = ("openai", "azure", "anthropic")
CALLS = (ToolCall("look", {"at": "a"}, id="toolu_1"), ToolCall("look", {}, id="toolu_2"))

Case = tuple[Usage, tuple[Part, ...]]
CASES: dict[str, Case] = {
    "plain": (Usage(1000, 200), (Text("Hello there"),)),
    "cached": (Usage(1000, 200, cached=300), (Text("Hello there"),)),
    "written": (Usage(1000, 200, cached=300, cache_write=100), (Text("Hello there"),)),
    "written for an hour": (Usage(1000, 200, cache_write=100, cache_write_1h=60), (Text("Hello there"),)),
    "far and searching": (Usage(1000, 200, region="us", web_searches=3), (Text("Hello there"),)),
    "reasoning": (Usage(1000, 200, cached=1000, reasoning=150), (Reasoning("Well"), Text("Hello there"))),
    "nothing said": (Usage(7, 0), (Text(""),)),
    "tools": (Usage(1000, 200), (Text("Let me look"), *CALLS)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[tuple[FakeProviders, Caxton]]:
    async with FakeProviders() as fakes:
        configuration = {"llm": {"providers": entries_for(fakes), "retry_policy": {"max_attempts": 1}}}
        async with Caxton.from_dict(configuration, environ={}) as caxton:
            yield fakes, caxton


def cases_of(entry: Entry) -> list[str]:
    """Usage and content that this kind of provider has."""
    absent = {
        "openai": {"written", "reasoning"},
        "azure": {"written", "reasoning"},
        "vllm": {"written"},
        "ollama": {"written", "cached", "tools", "nothing said"},
        "custom": {"written", "cached", "tools", "reasoning", "nothing said"},
    }
    special = set() if entry.kind == "anthropic" else {"written for an hour", "far and searching"}
    return [name for name in CASES if name not in absent.get(entry.kind, set()) | special]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("entry", "case"), [pytest.param(entry, case, id=f"{entry}-{case}") for entry in ASKED for case in cases_of(entry)]
)
async def test_a_stream_says_counts_and_costs_what_the_whole_answer_does(
    entry: Entry, case: str, shared: tuple[FakeProviders, Caxton]
) -> None:
    fakes, caxton = shared
    fakes.start_over()
    usage, parts = CASES[case]
    for _ in range(2):
        fakes.behind(entry).reply(None, *parts, usage=usage, finish="tool_calls" if case == "tools" else "stop")
    request = ChatRequest(
        model=entry.name,
        messages=[Message(role="user", content="Hi")],
        stream_options=StreamOptions(include_usage=True),
        stream=True,
    )
    whole = await caxton.complete_chat(request)
    stream = caxton.stream_chat(request)
    chunks = [chunk async for chunk in stream]

    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (usage.prompt, usage.completion)
    assert (stream.usage, stream.cost_usd) == (whole.usage, whole.cost_usd)
    assert (whole.cost_usd is not None) is (entry.kind in PRICED)
    assert told_by_stream(chunks) == told_by_answer(whole)
    for dialect in (openai_client, anthropic_client):
        usage_of_whole = json.loads(dialect.encode_response(whole, request))["usage"]
        assert known(streamed_usage(dialect, chunks, stream, request)) == known(usage_of_whole)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stream_on_a_cheaper_tier_costs_what_the_whole_answer_does(
    shared: tuple[FakeProviders, Caxton],
) -> None:
    fakes, caxton = shared
    entry = next(entry for entry in ENTRIES if entry.kind == "openai")
    costs = {}
    for tier in ("priority", "default"):
        fakes.start_over()
        for _ in range(2):
            fakes.behind(entry).reply(None, Text("Hello there"), usage=Usage(1000, 200))
        request = ChatRequest(model=entry.name, messages=[Message(role="user", content="Hi")], service_tier=tier)
        whole = await caxton.complete_chat(request)
        stream = caxton.stream_chat(request)
        assert [chunk async for chunk in stream]
        assert stream.cost_usd == whole.cost_usd
        costs[tier] = whole.cost_usd or 0
    assert costs["priority"] == pytest.approx(costs["default"] * 1.7)


def known(usage: Any) -> Any:
    """vLLM writes what it does not know as null into a whole answer, and leaves it out of a stream."""
    return {name: value for name, value in usage.items() if value is not None}


def told_by_answer(response: ChatResponse) -> tuple[Any, ...]:
    choice = response.choices[0]
    calls = [(call.function.name, call.function.arguments) for call in response.tool_calls if call.function is not None]
    return response.text, choice.message.reasoning_content or "", calls, choice.finish_reason


def told_by_stream(chunks: list[ChatChunk]) -> tuple[Any, ...]:
    text, reasoning, finish = "", "", None
    calls: dict[int, tuple[str, str]] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        text += choice.delta.content or ""
        reasoning += choice.delta.reasoning_content or ""
        finish = choice.finish_reason or finish
        for call in choice.delta.tool_calls or ():
            name, arguments = calls.get(call.index, ("", ""))
            if call.function is not None:
                calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    return text, reasoning, list(calls.values()), finish


def streamed_usage(dialect: ClientDialect, chunks: list[ChatChunk], stream: ChatStream, request: ChatRequest) -> Any:
    """The usage that a client of the dialect holds at the end of the stream."""
    encoder = dialect.encoder(request, stream_dialect=stream.dialect, stream_model=stream.model)
    seen: dict[str, Any] = {}
    for _, payload in SseDecoder().feed(encoder.encode(chunks) + encoder.finish({})):
        if payload.startswith(b"{"):
            event = json.loads(payload)
            seen |= (event.get("message") or event).get("usage") or {}
    return seen
