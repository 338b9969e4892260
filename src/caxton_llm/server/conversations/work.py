"""Threads for the calls of the store of conversations, which block."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from caxton_llm.caxton import Caxton
from caxton_llm.server.agents.service import agents_of
from caxton_llm.server.thread_pool import ThreadPool

if TYPE_CHECKING:
    from caxton_llm.stores.conversations import ConversationStore

__all__ = ["ConversationWork"]

_T = TypeVar("_T")

_THREADS = 2
_WAITING = 200
_LONG = 2


class ConversationWork:
    """Runs blocking calls of the store beside the event loop. The store belongs to the agents, which close it.

    Raises `NoAgents` where there are none, and `LimitExceeded` when too many calls are under way.
    """

    def __init__(self, caxton: Caxton) -> None:
        self._caxton = caxton
        self._short = ThreadPool(_THREADS, _THREADS + _WAITING, "too many requests to conversations are waiting", 1.0)
        self._long = ThreadPool(_LONG, _LONG, f"{_LONG} imports are running; wait until one is done", 10.0)

    async def run(self, call: "Callable[[ConversationStore], _T]") -> _T:
        """A call that takes moments."""
        return await self._run(self._short, call)

    async def run_long(self, call: "Callable[[ConversationStore], _T]") -> _T:
        """A call that may take minutes."""
        return await self._run(self._long, call)

    async def _run(self, pool: ThreadPool, call: "Callable[[ConversationStore], _T]") -> _T:
        sources = agents_of(self._caxton).engine.sources
        return await pool.run(lambda: call(sources.conversations()))

    def close(self) -> None:
        """Wait for what is running. Blocks."""
        self._short.close()
        self._long.close()
