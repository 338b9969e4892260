"""The order of the steps: attempts, retries, the commit point, deadlines, records."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from caxton_llm.errors import (
    Authentication,
    DeadlineExceeded,
    FirstByteTimeout,
    InvalidRequest,
    LlmError,
    Overloaded,
    ProviderFailure,
    RateLimited,
    StreamInterrupted,
    UnknownModel,
    UnsupportedFeature,
)
from caxton_llm.gateway import Gateway
from caxton_llm.model_info import ModelPrice
from caxton_llm.protocols import LlmProvider
from caxton_llm.providers.prices import cost_usd
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.streaming import Gathering
from caxton_llm.testing import FakeClock, FakeProvider
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, ChunkChoice, Delta, Message, Usage
from routed import Records, candidate, gateway

PRICE = ModelPrice(input=1_000_000.0, output=2_000_000.0)


class Streaming(FakeProvider):
    """Streams the pieces it was given, one batch each; an error among them is raised in its place."""

    def __init__(self, *attempts: list[str | LlmError | ChatChunk]) -> None:
        super().__init__("unused")
        self._attempts = list(attempts)
        self.closed = 0

    def stream_chat(self, request: ChatRequest) -> ChatStream:
        pieces = self._attempts[min(len(self.requests), len(self._attempts) - 1)]
        self.requests.append(request)

        async def batches(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            try:
                for piece in pieces:
                    if isinstance(piece, LlmError):
                        raise piece
                    yield [text(piece) if isinstance(piece, str) else piece]
                stream.usage = Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
            finally:
                self.closed += 1

        return ChatStream(batches, provider="p", model="m")


def text(content: str) -> ChatChunk:
    return ChatChunk(choices=[ChunkChoice(index=0, delta=Delta(content=content))])


def role_only() -> ChatChunk:
    return ChatChunk(choices=[ChunkChoice(index=0, delta=Delta(role="assistant", content=""))])


def gateway_for(
    provider: LlmProvider,
    *,
    clock: FakeClock | None = None,
    records: Records | None = None,
    retry: RetryPolicy | None = None,
    timeouts: Timeouts | None = None,
    gathering: Gathering | None = None,
    cost: Callable[[str, str, Usage | None], float | None] = lambda _asked, _answered, usage: cost_usd(PRICE, usage),
) -> Gateway:
    clock = clock or FakeClock()
    observers = [records] if records else []
    only = candidate(
        "p",
        provider,
        clock=clock,
        observers=observers,
        cost=cost,
        retry=retry or RetryPolicy(),
        timeouts=timeouts or Timeouts(),
    )
    return gateway(only, clock=clock, observers=observers, gathering=gathering)


REQUEST = ChatRequest(messages=[Message(role="user", content="Hello")])


async def test_the_name_is_replaced_by_the_model_and_the_answer_says_who_gave_it_and_what_it_cost() -> None:
    provider = FakeProvider("Hi")
    response = await gateway_for(provider).complete(REQUEST)
    assert provider.requests[0].model == "m"
    assert (response.text, response.provider, response.attempts) == ("Hi", "p", 1)
    assert response.cost_usd == pytest.approx(3.0)
    assert REQUEST.model == "default"


async def test_an_unknown_name_lists_the_names_that_exist() -> None:
    with pytest.raises(UnknownModel, match="default, p") as caught:
        await gateway_for(FakeProvider("Hi")).complete(ChatRequest(model="nope", messages=[]))
    assert caught.value.param == "model"


async def test_a_retryable_error_is_retried_with_growing_waits_and_counted() -> None:
    clock, records = FakeClock(), Records()
    provider = FakeProvider(Overloaded("busy"), ProviderFailure("broken"), "Hi")
    response = await gateway_for(provider, clock=clock, records=records).complete(REQUEST)
    assert response.attempts == 3
    assert clock.slept == [1.0, 2.0]
    assert records.retries == [("p", "overloaded"), ("p", "provider_failure")]
    assert [(record.status, record.attempts) for record in records.finished_records] == [("success", 3)]


async def test_retry_after_replaces_the_backoff() -> None:
    clock = FakeClock()
    await gateway_for(FakeProvider(RateLimited("slow", retry_after_s=7.5), "Hi"), clock=clock).complete(REQUEST)
    assert clock.slept == [7.5]


async def test_a_retry_after_beyond_the_deadline_ends_the_request_at_once() -> None:
    clock = FakeClock()
    provider = FakeProvider(RateLimited("slow", retry_after_s=500.0))
    with pytest.raises(RateLimited) as caught:
        await gateway_for(provider, clock=clock).complete(REQUEST)
    assert clock.slept == []
    assert caught.value.retry_after_s == 500.0


async def test_attempts_end_with_the_policy_and_the_error_lists_them() -> None:
    records = Records()
    with pytest.raises(Overloaded) as caught:
        await gateway_for(FakeProvider(Overloaded("busy")), records=records).complete(REQUEST)
    assert [attempt.error for attempt in caught.value.attempts] == ["overloaded"] * 3
    assert caught.value.provider == "p"
    assert records.finished_records[0].error_kind == "overloaded"


async def test_a_request_that_was_refused_before_it_was_sent_has_no_attempts() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        await gateway_for(FakeProvider(UnsupportedFeature("n cannot be sent"))).complete(REQUEST)
    assert caught.value.attempts == []


async def test_a_request_that_the_provider_refused_has_one_attempt() -> None:
    with pytest.raises(InvalidRequest) as caught:
        await gateway_for(FakeProvider(InvalidRequest("no", source="provider"))).complete(REQUEST)
    assert [attempt.error for attempt in caught.value.attempts] == ["invalid_request"]


async def test_failed_attempts_and_the_waits_behind_them_count_as_the_provider_s_time() -> None:
    clock = FakeClock()

    class SlowToFail(FakeProvider):
        async def complete_chat(self, request: ChatRequest) -> ChatResponse:
            clock.advance(2.0)
            response = await super().complete_chat(request)
            response.upstream_s = 2.0
            return response

    response = await gateway_for(SlowToFail(Overloaded("busy"), "Hi"), clock=clock).complete(REQUEST)
    assert clock.slept == [1.0]
    assert response.upstream_s == 5.0


async def test_an_error_that_cannot_be_mended_by_repeating_is_not_repeated() -> None:
    provider = FakeProvider(Authentication("no"))
    with pytest.raises(Authentication):
        await gateway_for(provider).complete(REQUEST)
    assert len(provider.requests) == 1


async def test_retry_on_errors_decides_which_kinds_are_repeated() -> None:
    provider = FakeProvider(Overloaded("busy"))
    with pytest.raises(Overloaded):
        await gateway_for(provider, retry=RetryPolicy(retry_on_errors=("timeout",))).complete(REQUEST)
    assert len(provider.requests) == 1


class Silent(FakeProvider):
    """Never answers; says when it was cancelled."""

    def __init__(self) -> None:
        super().__init__("unused")
        self.cancelled = asyncio.Event()
        self.asked = asyncio.Event()

    async def complete_chat(self, request: ChatRequest) -> ChatResponse:
        self.requests.append(request)
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError("unreachable")


async def test_an_attempt_that_takes_too_long_is_cancelled_and_is_a_timeout() -> None:
    provider = Silent()
    gateway = gateway_for(provider, timeouts=Timeouts(attempt_s=0.01), retry=RetryPolicy(max_attempts=1))
    with pytest.raises(FirstByteTimeout, match="timeout_seconds"):
        await gateway.complete(REQUEST)
    assert provider.cancelled.is_set()


async def test_the_deadline_limits_all_attempts_together() -> None:
    clock = FakeClock()

    class Slow(FakeProvider):
        async def complete_chat(self, request: ChatRequest) -> ChatResponse:
            clock.advance(30.0)
            raise Overloaded("busy")

    gateway = gateway_for(
        Slow("unused"), clock=clock, timeouts=Timeouts(deadline_s=65.0), retry=RetryPolicy(max_attempts=10)
    )
    with pytest.raises(Overloaded) as caught:
        await gateway.complete(REQUEST)
    assert len(caught.value.attempts) == 3  # the fourth would begin after the deadline


async def test_an_attempt_cut_by_the_deadline_says_so() -> None:
    provider = Silent()
    clock = FakeClock()

    async def complete() -> ChatResponse:
        return await gateway_for(provider, clock=clock, timeouts=Timeouts(deadline_s=0.01)).complete(REQUEST)

    task = asyncio.ensure_future(complete())
    await provider.asked.wait()
    clock.advance(1.0)
    with pytest.raises(DeadlineExceeded, match="deadline_seconds"):
        await task


async def test_a_cancelled_caller_cancels_the_provider_and_is_recorded() -> None:
    provider, records = Silent(), Records()
    task = asyncio.ensure_future(gateway_for(provider, records=records).complete(REQUEST))
    await provider.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.cancelled.is_set()
    assert [(record.status, record.error_kind) for record in records.finished_records] == [("cancelled", "cancelled")]


async def collect(stream: ChatStream) -> str:
    return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])


async def test_a_stream_that_breaks_before_its_first_content_is_retried() -> None:
    provider = Streaming([role_only(), StreamInterrupted("cut")], [role_only(), "Hel", "lo"])
    records = Records()
    stream = gateway_for(provider, records=records).stream(REQUEST)
    assert await collect(stream) == "Hello"
    assert (stream.attempts, stream.usage is not None) == (2, True)
    assert stream.cost_usd == pytest.approx(7.0)
    assert provider.closed == 2
    assert records.finished_records[0].streamed


async def test_a_stream_that_breaks_after_its_first_content_is_an_error_and_never_a_second_answer() -> None:
    provider, records = Streaming(["Hel", StreamInterrupted("cut")], ["other"]), Records()
    stream = gateway_for(provider, records=records).stream(REQUEST)
    seen = ""
    with pytest.raises(StreamInterrupted) as caught:
        async for chunk in stream:
            seen += chunk.choices[0].delta.content or ""
    assert seen == "Hel"
    assert len(provider.requests) == 1
    assert [attempt.error for attempt in caught.value.attempts] == ["stream_interrupted"]
    usage = records.finished_records[0].usage
    assert usage is not None
    assert usage.estimated


async def test_a_stream_that_breaks_after_a_retry_tells_when_each_attempt_began() -> None:
    clock = FakeClock()
    provider = Streaming([Overloaded("busy")], ["Hel", StreamInterrupted("cut")])
    with pytest.raises(StreamInterrupted) as caught:
        await collect(gateway_for(provider, clock=clock).stream(REQUEST))
    assert [(attempt.error, attempt.started) for attempt in caught.value.attempts] == [
        ("overloaded", 0.0),
        ("stream_interrupted", 1.0),
    ]


async def test_a_stream_that_is_closed_early_closes_the_provider_and_records_estimated_tokens() -> None:
    provider, records = Streaming(["Hello there", "more"]), Records()
    stream = gateway_for(provider, records=records).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert provider.closed == 1
    record = records.finished_records[0]
    assert record.status == "cancelled"
    assert record.usage is not None
    assert record.usage.completion_tokens == 2


async def test_a_stream_without_any_content_ends_quietly_because_the_provider_said_so() -> None:
    assert await collect(gateway_for(Streaming([role_only()])).stream(REQUEST)) == ""


async def test_an_unknown_price_is_an_unknown_cost() -> None:
    response = await gateway_for(FakeProvider("Hi"), cost=lambda _asked, _answered, _usage: None).complete(REQUEST)
    assert response.cost_usd is None


async def test_the_cost_is_that_of_the_model_which_answered_to_the_one_asked_for() -> None:
    def cost(asked: str, answered: str, usage: Usage | None) -> float | None:
        return cost_usd(PRICE, usage) if (asked, answered) == ("m", "fake-model") else None

    gateway = gateway_for(FakeProvider("Hi"), cost=cost)
    response = await gateway.complete(REQUEST)
    stream = gateway.stream(REQUEST)
    async for _ in stream:
        pass
    assert response.cost_usd == stream.cost_usd == 3.0


async def test_small_text_chunks_are_joined_but_the_first_never_waits() -> None:
    provider = Streaming(["a", "b", "c", "d", "e"])
    stream = gateway_for(provider, gathering=Gathering(chunk_size=2, wait_s=60.0)).stream(REQUEST)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["a", "bc", "de"]


async def test_what_was_gathered_goes_out_before_an_error() -> None:
    provider = Streaming(["a", "b", StreamInterrupted("cut")])
    stream = gateway_for(provider, gathering=Gathering(chunk_size=100, wait_s=60.0)).stream(REQUEST)
    seen = []
    with pytest.raises(StreamInterrupted):
        async for chunk in stream:
            seen.append(chunk.choices[0].delta.content)
    assert seen == ["a", "b"]
