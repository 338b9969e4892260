"""The gate before a target never exceeds a limit, serves callers in fair turns and loses nobody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.dispatch.gate import Entry, Gate, GateSnapshot
from caxton_llm.errors import LimitExceeded
from caxton_llm.routing.limits import Sent, TargetLimits
from caxton_llm.wire.rate_limits import RateLimitInfo, Window
from gate_time import GateTime, settled

NOTHING_LEFT = RateLimitInfo(requests=Window(50, 0, 30.0))


@pytest.fixture
def time() -> GateTime:
    return GateTime()


class Crowd:
    """Tasks that want to pass; cancelled at the end of the test. `passed` says who did and when."""

    def __init__(self, gate: Gate, time: GateTime) -> None:
        self.gate = gate
        self.time = time
        self.passed: list[tuple[str, float]] = []
        self.refused: list[LimitExceeded] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *callers: str, tokens: int = 0, patience_s: float = 1000.0) -> None:
        for caller in callers:
            self.tasks.append(asyncio.create_task(self._pass(caller, tokens, patience_s)))
        await settled()

    async def _pass(self, caller: str, tokens: int, patience_s: float) -> None:
        try:
            await self.gate.enter(caller, tokens, patience_s=patience_s)
        except LimitExceeded as refused:
            self.refused.append(refused)
        else:
            self.passed.append((caller, self.time.clock()))

    def leave(self, outcome: Any = "other") -> None:
        self.gate.leave(self.time.clock(), outcome, tokens_estimated=0, tokens_used=None)

    @property
    def names(self) -> str:
        return "".join(name for name, _ in self.passed)


@contextlib.asynccontextmanager
async def crowd(time: GateTime, **limits: Any) -> AsyncIterator[Crowd]:
    patient = {"max_queue": 2000, "max_queue_ms": 1e6}
    people = Crowd(Gate(TargetLimits(**patient | limits), clock=time.clock, call_later=time.call_later), time)
    yield people
    for task in people.tasks:
        task.cancel()
    await asyncio.gather(*people.tasks, return_exceptions=True)


# -- limits --------------------------------------------------------------------------------------------------------------


async def test_without_limits_everybody_passes_at_once(time: GateTime) -> None:
    async with crowd(time) as people:
        await people.come(*"abc" * 400)
        assert len(people.passed) == 1200
        assert (people.gate.in_flight, people.gate.queued) == (1200, 0)


async def test_requests_per_minute_pass_as_soon_as_the_window_has_room_and_no_sooner(time: GateTime) -> None:
    async with crowd(time, requests_per_minute=2) as people:
        await people.come("a")
        await time.pass_s(10)
        await people.come("b", "c", "d", "e")
        await time.pass_s(200)
        assert people.passed == [("a", 0), ("b", 10), ("c", 60), ("d", 70), ("e", 120)]


async def test_waiting_costs_one_timer_and_no_polling(time: GateTime) -> None:
    async with crowd(time, requests_per_minute=1) as people:
        await people.come("a", "b")
        before = time.started
        await time.pass_s(59.9)
        assert (people.names, time.started - before) == ("a", 0)
        await time.pass_s(0.1)
        assert people.names == "ab"
        assert time.timers == []


async def test_tokens_per_minute_count_the_estimate_until_the_real_number_is_known(time: GateTime) -> None:
    async with crowd(time, tokens_per_minute=100) as people:
        gate = people.gate
        assert gate.try_enter(0.0, 80)
        entry = gate.entry
        assert not gate.try_enter(0.0, 30)
        gate.leave(1.0, "success", tokens_estimated=80, tokens_used=10, entry=entry)
        assert gate.try_enter(1.0, 90)
        assert gate.snapshot().remaining_tokens == 0


async def test_tokens_beyond_the_estimate_count_even_when_the_entry_is_not_known(time: GateTime) -> None:
    async with crowd(time, tokens_per_minute=100) as people:
        assert people.gate.try_enter(0.0, 50)
        people.gate.leave(1.0, "success", tokens_estimated=50, tokens_used=70)
        assert people.gate.snapshot().remaining_tokens == 30


async def test_a_place_among_the_requests_at_once_is_handed_on_by_leave(time: GateTime) -> None:
    async with crowd(time, max_concurrency=2) as people:
        await people.come(*"abcd")
        assert people.names == "ab"
        people.leave()
        await settled()
        assert people.names == "abc"
        assert people.gate.in_flight == 2


async def test_overload_lowers_the_number_at_once_and_success_raises_it(time: GateTime) -> None:
    async with crowd(time, max_concurrency=10) as people:
        await people.come(*"abcdefghij", "k")
        people.leave("overloaded")
        people.leave("overloaded")
        await settled()
        assert people.gate.snapshot().concurrency_limit == 7
        assert (people.gate.in_flight, people.gate.queued) == (8, 1)
        people.leave("success")
        people.leave("success")
        await settled()
        assert (people.gate.in_flight, people.gate.queued) == (7, 0)


async def test_what_the_provider_says_is_used_up_waits_for_its_reset(time: GateTime) -> None:
    async with crowd(time) as people:
        await people.come("a")
        people.gate.learn(NOTHING_LEFT, 0.0)
        await people.come("b")
        await time.pass_s(29)
        assert people.names == "a"
        await time.pass_s(1)
        assert people.passed[-1] == ("b", 30)


async def test_a_pause_holds_everybody_until_its_end(time: GateTime) -> None:
    async with crowd(time) as people:
        people.gate.pause(7.0)
        await people.come("a", "b")
        assert people.gate.wait_s(0.0, 0) == 7
        await time.pass_s(7)
        assert people.passed == [("a", 7), ("b", 7)]


async def test_the_entry_numbers_requests_in_the_order_in_which_they_go_out(time: GateTime) -> None:
    async with crowd(time, max_concurrency=2) as people:
        gate, entries = people.gate, list[Entry]()

        async def enter(tokens: int) -> None:
            await gate.enter("a", tokens, patience_s=100)
            entries.append(gate.entry)

        people.tasks += [asyncio.create_task(enter(tokens)) for tokens in (5, 6, 7)]
        await settled()
        time.clock.advance(3)
        people.leave()
        await settled()
        assert entries == [Entry(0, Sent(1, 5)), Entry(0, Sent(2, 11)), Entry(3, Sent(3, 18))]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(5, 40),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(0, 30)), max_size=25),
)
def test_no_limit_is_exceeded_and_nobody_starves_however_many_come_at_once(
    per_minute: int, at_once: int, tokens_per_minute: int, arrivals: list[tuple[str, int, int]]
) -> None:
    async def scenario() -> None:
        time = GateTime()
        limits = TargetLimits(
            requests_per_minute=per_minute,
            tokens_per_minute=tokens_per_minute,
            max_concurrency=at_once,
            max_queue_ms=1e9,
        )
        gate, begun = Gate(limits, clock=time.clock, call_later=time.call_later), list[tuple[float, int]]()

        async def call(caller: str, tokens: int, duration: int) -> None:
            await gate.enter(caller, tokens, patience_s=1e6)
            begun.append((time.clock(), tokens))
            assert gate.in_flight <= at_once
            done = asyncio.Event()
            time.call_later(float(duration), done.set)
            await done.wait()
            gate.leave(time.clock(), "success", tokens_estimated=tokens, tokens_used=None)

        tasks = [asyncio.create_task(call(*arrival)) for arrival in arrivals]
        await time.pass_s(120.0 * len(arrivals) + 1)
        assert all(task.done() and task.exception() is None for task in tasks)
        for start, _ in begun:
            inside = [tokens for moment, tokens in begun if start <= moment < start + 60]
            assert len(inside) <= per_minute
            assert sum(inside) <= tokens_per_minute or len([tokens for tokens in inside if tokens]) == 1
        assert (gate.in_flight, gate.queued, time.timers) == (0, 0, [])

    asyncio.run(scenario())


# -- fairness ------------------------------------------------------------------------------------------------------------


async def test_a_caller_with_a_thousand_waiting_delays_another_by_one_turn(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1) as people:
        await people.come(*"a" * 1001)
        await people.come("b")
        people.leave()
        await settled()
        people.leave()
        await settled()
        assert people.names == "aab"


async def test_callers_take_turns_and_each_keeps_its_own_order(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1) as people:
        await people.come(*"xaaabbc")
        for _ in range(6):
            people.leave()
            await settled()
        assert people.names == "xabcaba"


async def test_a_large_request_is_not_overtaken_by_small_ones(time: GateTime) -> None:
    async with crowd(time, tokens_per_minute=100) as people:
        await people.come("x", tokens=50)
        await people.come("a", tokens=90)
        await people.come("b", tokens=10)
        assert people.names == "x"
        assert not people.gate.try_enter(0.0, 10)
        await time.pass_s(60)
        assert people.names == "xab"


async def test_a_full_queue_makes_room_for_a_caller_with_less_waiting(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1, max_queue=4) as people:
        await people.come(*"aaaaa")
        await people.come("b")
        assert (len(people.refused), people.gate.queued) == (1, 4)
        people.leave()
        await settled()
        people.leave()
        await settled()
        assert people.names == "aab"


# -- refusal -------------------------------------------------------------------------------------------------------------


async def test_a_full_queue_refuses_with_the_time_to_wait(time: GateTime) -> None:
    async with crowd(time, requests_per_minute=2, max_queue=2) as people:
        await people.come(*"aaaa")
        with pytest.raises(
            LimitExceeded, match=r"requests_per_minute \(2\) is reached.* 2 requests wait.*max_queue"
        ) as full:
            await people.gate.enter("a", 0, patience_s=1000)
        assert full.value.retry_after_s == 120
        assert full.value.source == "gateway"
        assert people.gate.queued == 2


async def test_without_a_queue_the_refusal_is_immediate_and_says_what_to_raise(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1, max_queue=0) as people:
        await people.come("a")
        with pytest.raises(LimitExceeded, match=r"as may be at once .*\(1\).*raise max_concurrency") as full:
            await people.gate.enter("b", 0, patience_s=1000)
        assert full.value.retry_after_s == 1


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"requests_per_minute": 1}, "raise requests_per_minute"),
        ({"tokens_per_minute": 5}, "raise tokens_per_minute"),
    ],
)
async def test_who_cannot_wait_long_enough_is_refused_at_once(
    time: GateTime, limits: dict[str, int], message: str
) -> None:
    async with crowd(time, **limits) as people:
        await people.come("a", tokens=5)
        with pytest.raises(LimitExceeded, match=message) as late:
            await people.gate.enter("a", 5, patience_s=59)
        assert late.value.retry_after_s == 60
        assert people.gate.queued == 0
        assert time.timers == []


async def test_whoever_waits_is_refused_when_its_patience_ends(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1, max_queue_ms=5000) as people:
        await people.come("a")
        await people.come("b", patience_s=2)
        await people.come("c", patience_s=5)
        await time.pass_s(2)
        assert [len(people.refused), people.gate.queued] == [1, 1]
        await time.pass_s(3)
        assert [len(people.refused), people.gate.queued] == [2, 0]
        assert time.timers == []


async def test_who_waits_is_refused_as_soon_as_a_pause_makes_it_hopeless(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1) as people:
        await people.come("a")
        await people.come("b", patience_s=5)
        await people.come("c", patience_s=90)
        people.gate.pause(60.0)
        await settled()
        assert [error.retry_after_s for error in people.refused] == [60]
        assert "provider's own rate limit" in str(people.refused[0])
        people.leave()
        await time.pass_s(60)
        assert people.names == "ac"


# -- cancellation ----------------------------------------------------------------------------------------------------------


async def test_a_cancelled_waiter_leaves_no_trace(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1) as people:
        await people.come(*"abc")
        people.tasks[1].cancel()
        await settled()
        assert people.gate.queued == 1
        people.leave()
        await settled()
        assert people.names == "ac"
        assert time.timers == []


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_waiter_that_is_cancelled_in_the_moment_of_its_turn_hands_it_on(
    time: GateTime, cancelled_first: bool
) -> None:
    async with crowd(time, max_concurrency=1, requests_per_minute=3, tokens_per_minute=30) as people:
        await people.come(*"abc", tokens=10)
        steps = [people.tasks[1].cancel, people.leave]
        for step in steps if cancelled_first else reversed(steps):
            step()
        await settled()
        assert people.names == "ac"
        assert people.gate.snapshot() == GateSnapshot(
            queued=0, in_flight=1, concurrency_limit=1, remaining_requests=1, remaining_tokens=10
        )


async def test_a_waiter_that_is_cancelled_while_it_is_refused_is_forgotten(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1) as people:
        await people.come("a", "b")
        people.tasks[1].cancel()
        people.gate.pause(1e9)
        await settled()
        assert people.tasks[1].cancelled()
        assert (people.gate.queued, people.gate.in_flight) == (0, 1)


async def test_the_gate_uses_the_event_loop_s_timers_when_it_is_given_none() -> None:
    loop = asyncio.get_running_loop()
    gate = Gate(TargetLimits(), clock=loop.time)
    gate.pause(loop.time() + 0.02)
    async with asyncio.timeout(5):
        assert await gate.enter("a", 0, patience_s=1) >= 0.02
    assert gate.in_flight == 1


# -- estimates -------------------------------------------------------------------------------------------------------------


async def test_the_estimate_counts_who_waits_already(time: GateTime) -> None:
    async with crowd(time, requests_per_minute=2) as people:
        assert people.gate.wait_s(0.0, 0) == 0
        await people.come(*"aa")
        assert people.gate.wait_s(0.0, 0) == 60
        await people.come(*"aa")
        assert people.gate.wait_s(0.0, 0) == 120


async def test_a_taken_place_is_an_estimate_above_zero(time: GateTime) -> None:
    async with crowd(time, max_concurrency=1) as people:
        await people.come("a")
        assert people.gate.wait_s(0.0, 0) > 0


async def test_the_snapshot_tells_the_tighter_of_what_is_configured_and_what_was_learned(time: GateTime) -> None:
    async with crowd(time, requests_per_minute=10) as people:
        await people.come("a")
        told = RateLimitInfo(requests=Window(50, 3, 60.0), tokens=Window(None, 700, 60.0))
        people.gate.learn(told, 0.0, entry=people.gate.entry)
        assert people.gate.snapshot() == GateSnapshot(
            queued=0, in_flight=1, concurrency_limit=None, remaining_requests=3, remaining_tokens=700
        )
