"""Time limits that share one timer of the loop behave like timers of their own."""

import asyncio

import pytest

from caxton_llm.timers import FixedDelay, TimeLimit, Timer


async def _expired(delay: FixedDelay) -> None:
    """Returns when a timer that is started now has called back."""
    done = asyncio.Event()
    delay.start(done.set)
    async with asyncio.timeout(5):
        await done.wait()


async def test_timers_call_back_in_the_order_in_which_they_were_started() -> None:
    delay, called = FixedDelay(0.01), list[int]()
    for number in range(5):
        delay.start(lambda number=number: called.append(number))  # type: ignore[misc]
    await _expired(delay)
    assert called == [0, 1, 2, 3, 4]


async def test_a_cancelled_timer_does_not_call_back() -> None:
    delay, called = FixedDelay(0.01), list[str]()
    kept, cancelled = delay.start(lambda: called.append("kept")), delay.start(lambda: called.append("cancelled"))
    cancelled.cancel()
    await _expired(delay)
    assert called == ["kept"]
    kept.cancel()


async def test_no_timer_calls_back_early() -> None:
    delay, loop = FixedDelay(0.02), asyncio.get_running_loop()
    started = loop.time()
    await _expired(delay)
    assert loop.time() >= started + delay.seconds


async def test_a_callback_may_start_or_cancel_others() -> None:
    delay, called = FixedDelay(0.01), list[str]()
    later: list[Timer] = []

    def first() -> None:
        called.append("first")
        later[0].cancel()
        delay.start(lambda: called.append("third"))

    delay.start(first)
    later.append(delay.start(lambda: called.append("second")))
    await _expired(delay)
    await _expired(delay)
    assert called == ["first", "third"]


async def test_a_failing_callback_does_not_stop_the_others() -> None:
    delay, called, reported = FixedDelay(0.01), list[str](), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["message"]))
    delay.start(lambda: 1 / 0)
    await _expired(delay)
    delay.start(lambda: called.append("later"))
    await _expired(delay)
    assert called == ["later"]
    assert len(reported) == 1


def test_timers_of_a_loop_that_has_ended_are_forgotten() -> None:
    delay, called = FixedDelay(0.01), list[str]()

    async def leave_one_behind() -> None:
        delay.start(lambda: called.append("of the ended loop"))

    asyncio.run(leave_one_behind())
    asyncio.run(_expired(delay))
    assert called == []


def test_loops_in_two_threads_do_not_lose_each_other_s_timers() -> None:
    delay, called = FixedDelay(0.05), list[str]()
    first = asyncio.new_event_loop()

    async def started() -> None:
        delay.start(lambda: called.append("of the first loop"))

    first.run_until_complete(started())
    asyncio.run(_expired(delay))
    first.run_until_complete(_expired(delay))
    first.close()
    assert called == ["of the first loop"]


async def test_a_time_limit_raises_timeout_error_where_the_block_waits() -> None:
    with pytest.raises(TimeoutError), TimeLimit(FixedDelay(0.01).start):
        await asyncio.Event().wait()


async def test_a_block_that_ends_in_time_is_left_alone() -> None:
    delay = FixedDelay(0.01)
    with TimeLimit(delay.start):
        pass
    await _expired(delay)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    delay = FixedDelay(60)

    async def limited() -> None:
        with TimeLimit(delay.start):
            await asyncio.Event().wait()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_expiry_wins() -> None:
    expire = []

    class Manual:
        def cancel(self) -> None: ...

    def start(callback: object) -> Manual:
        expire.append(callback)
        return Manual()

    async def limited() -> None:
        with TimeLimit(start):
            await asyncio.Event().wait()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    expire[0]()  # type: ignore[operator]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_is_not_hidden_by_the_limit() -> None:
    with pytest.raises(ValueError, match="own"), TimeLimit(FixedDelay(60).start):
        raise ValueError("own")
