"""An event loop in a thread of its own, for what must be called from code without `async`."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from caxton_llm.background import end_tasks

__all__ = ["LoopThread"]

_T = TypeVar("_T")


class LoopThread:
    """Runs coroutines for any thread, until it is closed. `closed_error` is raised from then on, also in who still waits.

    The thread is a daemon: it ends with the program.
    """

    def __init__(self, name: str, closed_error: Callable[[], Exception]) -> None:
        self._closed_error = closed_error
        self._closed = False
        self._closing = threading.Lock()
        """Held while work is handed to the loop, so that nothing comes after the end."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's result, or what it raises."""
        with self._closing:
            if self._closed:
                work.close()
                raise self._closed_error()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            if self._closed:
                raise self._closed_error() from None
            raise
        except BaseException:  # Ctrl-C reaches this thread, not the loop's: the work must end too
            future.cancel()
            raise

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run `last`, cancel what is still running, and end the thread. Safe to call twice."""
        with self._closing:
            if self._closed:
                last.close()
                return
            self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._end(last), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self, last: Coroutine[Any, Any, None]) -> None:
        await last
        await end_tasks([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        await self._loop.shutdown_asyncgens()
