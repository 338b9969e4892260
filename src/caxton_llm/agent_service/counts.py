"""Token counts learned from what providers report, in the background: no answer waits for it."""

import asyncio
import contextlib
import logging
from collections import deque

from caxton_llm.background import end_tasks, of_this_loop
from caxton_llm.context_engine.engine import ContextEngine, SentRequest
from caxton_llm.stores.token_factors import TokenFactorFile

__all__ = ["CountsLearned"]

_log = logging.getLogger("caxton_llm.agents")
_SAVE_EVERY = 50
"""Requests that were learned from, between two times that it is written down."""
_MOST_WAITING = 32


class CountsLearned:
    """Learns from requests, one after the other. Its methods belong to the event loop.

    What was learned is kept in `factors`, where its folder is there already: where no conversation is kept none is begun.
    """

    def __init__(self, engine: ContextEngine, factors: TokenFactorFile | None) -> None:
        self.learned = 0
        self.left_out = 0
        """Requests that were not learned from, because too many waited or the end came first."""
        self._engine = engine
        self._factors = factors
        self._waiting: deque[tuple[SentRequest, int]] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    def submit(self, sent: SentRequest, real: int) -> None:
        """The provider has counted `real` tokens for the prompt of a request."""
        if len(self._waiting) >= _MOST_WAITING:
            self.left_out += 1
            return
        self._waiting.append((sent, real))
        if all(task.done() for task in of_this_loop(self._tasks)):
            self._tasks = [asyncio.get_running_loop().create_task(self._work(), name="caxton-token-counts")]

    async def idle(self) -> None:
        """Return when nothing waits."""
        await asyncio.gather(*of_this_loop(self._tasks))

    async def aclose(self, within_s: float = 5.0) -> None:
        """Learn from what waits, for at most `within_s` seconds, and write down what was learned."""
        tasks, self._tasks = of_this_loop(self._tasks), []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.gather(*tasks)
        await end_tasks(tasks)
        self.left_out += len(self._waiting)
        self._waiting.clear()
        if self.learned:
            await asyncio.to_thread(self._save)

    async def _work(self) -> None:
        while self._waiting:
            sent, real = self._waiting[0]
            try:
                await asyncio.to_thread(self._engine.learn, sent, real)
            except Exception as error:  # noqa: BLE001 - the next one is to be learned from all the same
                self.left_out += 1
                _log.warning("nothing was learned from the tokens of a request: %s", type(error).__name__)
            else:
                self.learned += 1
                if self.learned % _SAVE_EVERY == 0:
                    await asyncio.to_thread(self._save)
            finally:
                self._waiting.popleft()

    def _save(self) -> None:
        if self._factors is None or not self._factors.path.parent.is_dir():
            return
        try:
            self._factors.save(self._engine.calibration.snapshot())
        except OSError as error:
            _log.warning("what was learned about token counts could not be written: %s", error)
