"""The silence inside a body is measured exactly, with one timer, and only while somebody waits for bytes."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from caxton_llm.errors import IdleTimeout, LlmError
from caxton_llm.transport.body import HIGH_WATER, Body


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop whose time passes when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.armed = 0

    def time(self) -> float:
        return self.now

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, **kwargs: object
    ) -> asyncio.TimerHandle:
        self.armed += 1
        return super().call_at(when, callback, *args, **kwargs)  # type: ignore[arg-type]

    async def pass_(self, seconds: float) -> None:
        """Let every task come to its wait, then let time pass, then let what is due happen."""
        for passing in (0.0, seconds):
            self.now += passing
            for _ in range(4):
                await asyncio.sleep(0)


class Source:
    """A connection that records what its body wants."""

    def __init__(self) -> None:
        self.body: Body | None = None
        self.said: list[str] = []

    def cut(self, error: LlmError) -> None:
        self.said.append("cut")
        assert self.body is not None
        self.body.end(error)

    def pause_reading(self) -> None:
        self.said.append("pause")

    def resume_reading(self) -> None:
        self.said.append("resume")


def run(
    test: Callable[[Clockwork, Source, Body], Coroutine[object, object, None]], *, idle_s: float | None = 10
) -> None:
    loop = Clockwork()
    source = Source()
    body = source.body = Body(source, loop, idle_s=idle_s, until_close=False)
    try:
        loop.run_until_complete(test(loop, source, body))
    finally:
        loop.close()


def arrive(body: Body, data: bytes) -> None:
    body.append(data)
    body.arrived()


def test_a_steady_stream_never_times_out_and_moves_one_timer() -> None:
    async def test(loop: Clockwork, source: Source, body: Body) -> None:
        for number in range(100):
            waiting = asyncio.create_task(body.wait())
            await loop.pass_(9.0)
            arrive(body, b"%d" % number)
            await waiting
            assert body.take() == b"%d" % number
        assert source.said == []
        assert loop.armed <= 101

    run(test)


def test_silence_is_measured_from_the_last_wait() -> None:
    async def test(loop: Clockwork, source: Source, body: Body) -> None:
        first = asyncio.create_task(body.wait())
        await loop.pass_(9.0)
        arrive(body, b"x")
        await first
        body.take()
        second = asyncio.create_task(body.wait())
        await loop.pass_(9.9)
        assert not second.done()
        await loop.pass_(0.2)
        await second
        assert isinstance(body.failure, IdleTimeout)

    run(test)


def test_a_reader_that_takes_its_time_is_not_the_servers_silence() -> None:
    async def test(loop: Clockwork, source: Source, body: Body) -> None:
        waiting = asyncio.create_task(body.wait())
        await loop.pass_(1.0)
        arrive(body, b"x")
        await waiting
        await loop.pass_(3600.0)
        assert body.failure is None
        again = asyncio.create_task(body.wait())
        await loop.pass_(9.0)
        assert body.failure is None
        await loop.pass_(1.5)
        await again
        assert isinstance(body.failure, IdleTimeout)

    run(test)


def test_who_reads_everything_is_woken_once_and_still_notices_silence() -> None:
    async def test(loop: Clockwork, source: Source, body: Body) -> None:
        waiting = asyncio.create_task(body.wait_for_all())
        for _ in range(10):
            await loop.pass_(9.0)
            arrive(body, b"x")
        assert not waiting.done()
        await loop.pass_(10.5)
        await waiting
        assert isinstance(body.failure, IdleTimeout)

    run(test)


def test_without_a_limit_no_timer_runs() -> None:
    async def test(loop: Clockwork, source: Source, body: Body) -> None:
        waiting = asyncio.create_task(body.wait())
        await loop.pass_(1e6)
        assert (waiting.done(), loop.armed) == (False, 0)
        body.end()
        await waiting

    run(test, idle_s=None)


def test_no_timer_is_left_when_a_body_ends() -> None:
    async def test(loop: Clockwork, source: Source, body: Body) -> None:
        waiting = asyncio.create_task(body.wait())
        await loop.pass_(1.0)
        body.end()
        await waiting
        await loop.pass_(100.0)
        assert (body.complete, body.failure, source.said) == (True, None, [])

    run(test)


@pytest.mark.parametrize("piece", [1000, HIGH_WATER // 4])
def test_unread_bytes_are_bounded_and_reading_goes_on_when_they_are_taken(piece: int) -> None:
    async def test(loop: Clockwork, source: Source, body: Body) -> None:
        count = 0
        while not source.said:
            arrive(body, b"x" * piece)
            count += 1
        assert source.said == ["pause"]
        assert HIGH_WATER < count * piece <= HIGH_WATER + piece
        arrive(body, b"x")
        assert source.said == ["pause"]
        assert len(body.take()) == count * piece + 1
        assert source.said == ["pause", "resume"]

    run(test)


def test_a_paused_connection_is_read_again_when_its_body_ends_or_everything_is_wanted() -> None:
    async def ends(loop: Clockwork, source: Source, body: Body) -> None:
        arrive(body, b"x" * (HIGH_WATER + 1))
        body.end()
        assert source.said == ["pause", "resume"]

    async def wanted(loop: Clockwork, source: Source, body: Body) -> None:
        arrive(body, b"x" * (HIGH_WATER + 1))
        waiting = asyncio.create_task(body.wait_for_all())
        await loop.pass_(0.0)
        arrive(body, b"x" * (HIGH_WATER + 1))
        assert source.said == ["pause", "resume"]
        body.end()
        await waiting

    run(ends)
    run(wanted)
