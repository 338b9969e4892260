"""Threads for calls that block: few, so that the gateway's own requests have the machine."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from caxton_llm.errors import LimitExceeded

__all__ = ["ThreadPool"]

_T = TypeVar("_T")


class ThreadPool:
    """At most `threads` calls at the same time, and `most` with those that wait; one more raises `LimitExceeded` with
    `refusal`, to be tried again in `wait_s` seconds."""

    def __init__(self, threads: int, most: int, refusal: str, wait_s: float) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="caxton-stores")
        self._most = most
        self._refusal = refusal
        self._wait_s = wait_s
        self._running = 0

    async def run(self, call: Callable[[], _T]) -> _T:
        """The result of a call in one of the threads. Raises what it raises, and `LimitExceeded`."""
        if self._running >= self._most:
            raise LimitExceeded(self._refusal, retry_after_s=self._wait_s)
        self._running += 1
        done = self._threads.submit(call)
        loop = asyncio.get_running_loop()
        done.add_done_callback(lambda _done: self._ended(loop))
        return await asyncio.wrap_future(done)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """A call goes on when nobody waits for it any more, so it is counted until it ends by itself."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self._running -= 1

    def close(self) -> None:
        """Wait for what is running. Blocks."""
        self._threads.shutdown(wait=True, cancel_futures=True)
