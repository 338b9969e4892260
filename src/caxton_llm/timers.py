"""Time limits that cost next to nothing when they are not reached.

A timer of the event loop costs more than all other bookkeeping of a request. Timers of one length expire in the order in
which they were started, so a single timer of the loop, set for the oldest, serves any number of them; starting and cancelling
one is a dictionary's work.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

__all__ = ["FixedDelay", "TimeLimit", "Timer"]


class Timer(Protocol):
    """A callback that is due some time; `asyncio.TimerHandle` is one."""

    def cancel(self) -> object: ...


class FixedDelay:
    """Timers that all call back after `seconds`. One that is cancelled in time costs no timer of the loop."""

    __slots__ = ("_armed", "_loop", "_waiting", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiting: dict[_Waiting, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._armed = False

    def start(self, callback: Callable[[], object]) -> Timer:
        """Call `callback` after the delay, on the running event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._waiting and self._loop is not None and not self._loop.is_closed():  # it runs in another thread
                return loop.call_later(self.seconds, callback)
            self._loop, self._armed = loop, False  # the timers of a loop that has ended will never be due
            self._waiting.clear()
        waiting = _Waiting(loop.time() + self.seconds, callback, self._waiting)
        self._waiting[waiting] = None
        if not self._armed:
            self._arm(loop, waiting.due)
        return waiting

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._armed = True
        loop.call_at(due, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call back what is due, each in its own turn of the loop, because a callback may fail or cancel another."""
        if loop is not self._loop:
            return
        self._armed = False
        now = loop.time()
        for waiting in self._waiting:
            if waiting.due > now:
                self._arm(loop, waiting.due)
                break
            loop.call_soon(waiting.call_back)


class _Waiting:
    """One timer of a `FixedDelay`."""

    __slots__ = ("_all", "_callback", "due")

    def __init__(self, due: float, callback: Callable[[], object], everyone: "dict[_Waiting, None]") -> None:
        self.due = due
        self._callback = callback
        self._all = everyone

    def cancel(self) -> bool:
        """Whether it was still to come."""
        return self._all.pop(self, self) is None

    def call_back(self) -> None:
        if self.cancel():
            self._callback()


class TimeLimit:
    """`with TimeLimit(delay.start):` raises `TimeoutError` when the block takes longer than the timer that `start` starts.

    Like `asyncio.timeout`, which makes a timer of the loop each time: a cancellation from elsewhere stays one.
    """

    __slots__ = ("_cancelling", "_expired", "_start", "_task", "_timer")

    _task: "asyncio.Task[object]"
    _timer: Timer

    def __init__(self, start: Callable[[Callable[[], object]], Timer]) -> None:
        self._start = start
        self._expired = False

    @property
    def expired(self) -> bool:
        """Whether the time was over before the block was."""
        return self._expired

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit can only be set inside a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = self._start(self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        del self._timer  # it leads back here, and what runs in circles waits for the garbage collector
        # A task that somebody else cancelled as well has a cancellation more than ours, and stays cancelled.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
