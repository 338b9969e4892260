"""Threads for the calls of a memory, which block: few, so that the gateway's own requests have the machine."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from caxton_llm.errors import ConfigurationError
from caxton_llm.server.thread_pool import ThreadPool

if TYPE_CHECKING:
    from caxton_llm.memory_system import Memory

__all__ = ["MemoryWork", "NoMemory"]

_T = TypeVar("_T")

_THREADS = 4
_WAITING = 200
_LONG = 2


class NoMemory(ConfigurationError):
    """The gateway has none."""

    http_status = 501

    def __init__(self) -> None:
        super().__init__("this gateway has no memory: add a `memory` block to its configuration, see docs/memory.md")
        self.code = "no_memory"


class MemoryWork:
    """Runs blocking calls of a memory beside the event loop. Raises `NoMemory` without one, and `LimitExceeded` when too many
    calls are under way. It closes the memory."""

    def __init__(self, memory: "Memory | None") -> None:
        self._memory = memory
        self._short = ThreadPool(_THREADS, _THREADS + _WAITING, "too many requests to the memory are waiting", 1.0)
        many = f"{_LONG} imports or rebuilds are running; wait until one is done"
        self._long = ThreadPool(_LONG, _LONG, many, 10.0)

    async def run(self, call: "Callable[[Memory], _T]") -> _T:
        """A call that takes moments."""
        return await self._run(self._short, call)

    async def run_long(self, call: "Callable[[Memory], _T]") -> _T:
        """A call that may take minutes."""
        return await self._run(self._long, call)

    async def _run(self, pool: ThreadPool, call: "Callable[[Memory], _T]") -> _T:
        memory = self._memory
        if memory is None:
            raise NoMemory
        return await pool.run(lambda: call(memory))

    def close(self) -> None:
        """Wait for what is running, then close the memory. Blocks."""
        self._short.close()
        self._long.close()
        if self._memory is not None:
            self._memory.close()
