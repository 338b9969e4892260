"""Tasks that run in the background of an event loop, and their end."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Generic, TypeVar

__all__ = ["SharedTasks", "end_tasks", "of_this_loop"]

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


def of_this_loop(tasks: "Sequence[asyncio.Task[_Result]]") -> "list[asyncio.Task[_Result]]":
    """Those of the running event loop; another loop, which is closed, took its tasks along."""
    here = asyncio.get_running_loop()
    return [task for task in tasks if task.get_loop() is here]


async def end_tasks(tasks: "Sequence[asyncio.Task[_Result]]") -> None:
    """Cancel them, and wait until they have ended, however they do."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class SharedTasks(Generic[_Key, _Result]):
    """Work that is done once for all who want it at the same time; who gives up does not end it for the others. `ended` makes
    the error for those who wait when it is ended."""

    def __init__(self, ended: Callable[[], Exception]) -> None:
        self._ended = ended
        self._tasks: dict[_Key, asyncio.Task[_Result]] = {}
        self._awaited: Counter[asyncio.Task[_Result]] = Counter()

    async def result(self, key: _Key, work: Callable[[], Coroutine[None, None, _Result]]) -> _Result:
        """What the work of this key comes to; raises what it raises."""
        task = next(iter(self._here(key)), None)
        if task is None or task.done():
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._forget(key, done))
        self._awaited[task] += 1
        try:
            await asyncio.wait([task])
        finally:
            self._awaited[task] -= 1
            if not self._awaited[task]:
                del self._awaited[task]
        if task.cancelled():
            raise self._ended()
        return task.result()

    def is_awaited(self, key: _Key) -> bool:
        """Whether anybody waits for the work of this key."""
        return any(self._awaited[task] for task in self._here(key))

    def runs(self, key: _Key) -> bool:
        """Whether the work of this key is being done."""
        return bool(self._here(key))

    def _here(self, key: _Key) -> "list[asyncio.Task[_Result]]":
        task = self._tasks.get(key)
        return of_this_loop([task]) if task is not None else []

    async def end(self) -> None:
        """End all of it."""
        await end_tasks(of_this_loop(list(self._tasks.values())))

    def _forget(self, key: _Key, task: "asyncio.Task[_Result]") -> None:
        """An error is raised for those who wait; it is no fault of the program that nobody does any more."""
        if not task.cancelled():
            task.exception()
        if self._tasks.get(key) is task:
            del self._tasks[key]
