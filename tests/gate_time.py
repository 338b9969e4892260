"""Time for a `Gate` that passes when a test says so: one clock, and timers that are due by it."""

import asyncio
from collections.abc import Callable

from caxton_llm.testing import FakeClock


class GateTime:
    """`clock` and `call_later` for a `Gate`; `pass_s` moves both, from one due timer to the next."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.timers: list[_FakeTimer] = []
        self.started = 0

    def call_later(self, seconds: float, callback: Callable[[], object]) -> "_FakeTimer":
        timer = _FakeTimer(self.clock() + seconds, callback, self.timers)
        self.timers.append(timer)
        self.started += 1
        return timer

    async def pass_s(self, seconds: float) -> None:
        end = self.clock() + seconds
        await settled()
        while self.timers and (timer := min(self.timers, key=lambda each: each.due)).due <= end:
            self.clock.now = max(self.clock(), timer.due)
            timer.cancel()
            timer.callback()
            await settled()
        self.clock.now = end


class _FakeTimer:
    def __init__(self, due: float, callback: Callable[[], object], pending: "list[_FakeTimer]") -> None:
        self.due = due
        self.callback = callback
        self._pending = pending

    def cancel(self) -> None:
        if self in self._pending:
            self._pending.remove(self)


async def settled() -> None:
    """Every task has gone as far as it can without time."""
    for _ in range(10):
        await asyncio.sleep(0)
