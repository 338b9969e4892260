"""However a request ends, its place at the target, its trial of the breaker and its stream are given back."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import ProviderFailure, StreamInterrupted
from caxton_llm.gateway import Gateway
from caxton_llm.routing.breaker import BreakerPolicy
from caxton_llm.routing.hedging import HedgePolicy
from caxton_llm.routing.limits import TargetLimits
from caxton_llm.testing import FakeClock, FakeProvider
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, ChunkChoice, Delta, Message
from routed import candidate, gateway, let_go

REQUEST = ChatRequest(messages=[Message(role="user", content="Hello")])
WAIT_S = 5.0


class Slow(FakeProvider):
    """Says `begun` and then nothing, as a whole answer or, after some text, as a stream."""

    def __init__(self, *pieces: str) -> None:
        super().__init__("never")
        self.begun = asyncio.Event()
        self.ended = 0
        self._pieces = pieces

    async def _silence(self) -> None:
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1

    async def complete_chat(self, request: ChatRequest) -> ChatResponse:
        await self._silence()
        return await super().complete_chat(request)

    def stream_chat(self, request: ChatRequest) -> ChatStream:
        async def batches(_stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            for piece in self._pieces:
                yield [ChatChunk(choices=[ChunkChoice(index=0, delta=Delta(content=piece))])]
            await self._silence()

        return ChatStream(batches, provider="slow", model=request.model)


def is_at_rest(*candidates: Candidate) -> bool:
    return all(
        each.state.gate.in_flight == 0 and each.state.gate.queued == 0 and each.state.breaker.trials == 0
        for each in candidates
    )


async def stop(task: "asyncio.Task[object]") -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=WAIT_S)
    assert task.cancelled()


async def read_all(chain: Gateway) -> str:
    async with chain.stream(REQUEST) as stream:
        return "".join([chunk.text async for chunk in stream])


async def test_a_caller_that_leaves_during_an_attempt_gives_its_place_back() -> None:
    clock, slow = FakeClock(), Slow()
    only = candidate("only", slow, clock=clock)
    asking = asyncio.create_task(gateway(only, clock=clock).complete(REQUEST))
    await asyncio.wait_for(slow.begun.wait(), WAIT_S)
    assert only.state.gate.in_flight == 1
    await stop(asking)
    assert is_at_rest(only)


async def test_a_caller_that_leaves_the_queue_gives_its_turn_back() -> None:
    clock, slow = FakeClock(), Slow()
    only = candidate("only", slow, clock=clock, limits=TargetLimits(max_concurrency=1))
    chain = gateway(only, clock=clock)
    first = asyncio.create_task(chain.complete(REQUEST))
    await asyncio.wait_for(slow.begun.wait(), WAIT_S)
    second = asyncio.create_task(chain.complete(REQUEST))
    await asyncio.sleep(0)
    assert only.state.gate.queued == 1
    await stop(second)
    assert only.state.gate.queued == 0
    await stop(first)
    assert is_at_rest(only)


async def test_a_trial_whose_caller_leaves_is_free_for_the_next() -> None:
    clock, slow = FakeClock(), Slow()
    only = candidate("only", slow, clock=clock, breaker=BreakerPolicy(failure_threshold=1, cooldown_s=1.0))
    only.state.breaker.failed(0.0, trial=0)
    clock.advance(2.0)
    asking = asyncio.create_task(gateway(only, clock=clock).complete(REQUEST))
    await asyncio.wait_for(slow.begun.wait(), WAIT_S)
    assert only.state.breaker.trials == 1
    await stop(asking)
    assert is_at_rest(only)
    assert only.state.breaker.share(clock()) == 1.0


@pytest.mark.parametrize("pieces", [(), ("some",)], ids=["before the first content", "after it"])
async def test_a_stream_that_nobody_reads_any_more_is_closed_and_its_place_given_back(pieces: tuple[str, ...]) -> None:
    clock, slow = FakeClock(), Slow(*pieces)
    only = candidate("only", slow, clock=clock)
    reading = asyncio.create_task(read_all(gateway(only, clock=clock)))
    await asyncio.wait_for(slow.begun.wait(), WAIT_S)
    await stop(reading)
    assert is_at_rest(only)
    assert slow.ended == 1


async def test_a_stream_that_is_left_early_gives_its_place_back_when_it_is_closed() -> None:
    clock = FakeClock()
    only = candidate("only", Slow("some", "more"), clock=clock)
    async with gateway(only, clock=clock).stream(REQUEST) as stream:
        async for chunk in stream:
            assert chunk.text == "some"
            break
        assert only.state.gate.in_flight == 1
    assert is_at_rest(only)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_the_loser_of_a_hedge_is_ended_and_both_places_given_back(streams: bool) -> None:
    clock, slow = FakeClock(), Slow()
    chosen = [candidate("slow", slow, clock=clock, priority=2), candidate("quick", FakeProvider("Hi"), clock=clock)]
    chain = gateway(*chosen, clock=clock, hedging=HedgePolicy(enabled=True, after_s=0.0, max_share=1.0))
    text = await read_all(chain) if streams else (await chain.complete(REQUEST)).text
    await let_go()
    assert (text, slow.ended) == ("Hi", 1)
    assert is_at_rest(*chosen)


async def test_a_caller_that_leaves_a_hedge_ends_both_requests() -> None:
    clock, slow, other = FakeClock(), Slow(), Slow()
    chosen = [candidate("slow", slow, clock=clock, priority=2), candidate("other", other, clock=clock)]
    chain = gateway(*chosen, clock=clock, hedging=HedgePolicy(enabled=True, after_s=0.0, max_share=1.0))
    asking = asyncio.create_task(chain.complete(REQUEST))
    await asyncio.wait_for(other.begun.wait(), WAIT_S)
    await stop(asking)
    await let_go()
    assert (slow.ended, other.ended) == (1, 1)
    assert is_at_rest(*chosen)


async def test_failures_before_and_after_the_first_content_give_every_place_back() -> None:
    clock = FakeClock()

    class Broken(FakeProvider):
        def stream_chat(self, request: ChatRequest) -> ChatStream:
            async def batches(_stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
                yield [ChatChunk(choices=[ChunkChoice(index=0, delta=Delta(content="half"))])]
                raise StreamInterrupted("cut")

            return ChatStream(batches, provider="broken", model=request.model)

    chosen = [
        candidate("down", FakeProvider(*(ProviderFailure("no") for _ in range(9))), clock=clock, priority=2),
        candidate("broken", Broken("x"), clock=clock),
    ]
    with pytest.raises(StreamInterrupted):
        await read_all(gateway(*chosen, clock=clock))
    assert is_at_rest(*chosen)
    assert chosen[1].state.failures == 1
