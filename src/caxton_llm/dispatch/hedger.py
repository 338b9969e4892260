"""A second target asked while the first is slow: the first content wins, the other is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from caxton_llm.dispatch.dispatcher import Answered, Dispatcher, Run, Send
from caxton_llm.observers.record import Observer
from caxton_llm.routing.hedging import HedgeBudget, HedgePolicy

__all__ = ["Hedger"]

_Result = TypeVar("_Result")
_Asked = asyncio.Future[Answered[_Result]]


class Hedger:
    """Dispatches runs, and hedges those that take too long, as long as the budget lasts.

    `discard` ends a result that came too late to be used (a stream must be closed).
    """

    def __init__(self, policy: HedgePolicy, dispatcher: Dispatcher, observers: Sequence[Observer]) -> None:
        self._policy = policy
        self._dispatcher = dispatcher
        self._observers = observers
        self._budget = HedgeBudget(policy.max_share)

    async def dispatch(
        self, run: Run, send: "Send[_Result]", discard: Callable[[_Result], Awaitable[None]], *, streamed: bool
    ) -> Answered[_Result]:
        """Like `Dispatcher.dispatch`, over two targets at a time where that pays."""
        self._budget.request()
        wait_s = self._wait_s(run, streamed=streamed)
        if wait_s is None or run.plan.left < 2:
            return await self._dispatcher.dispatch(run, send)
        first: _Asked[_Result] = asyncio.ensure_future(self._dispatcher.dispatch(run, send))
        asked = [first]
        try:
            done, _ = await asyncio.wait({first}, timeout=wait_s)
            if not done and run.plan.left and self._budget.take():
                run.hedged = True
                asked.append(asyncio.ensure_future(self._dispatcher.dispatch(run, send)))
            winner = await _first_success(asked)
            if run.hedged:
                for observer in self._observers:
                    observer.hedged(winner.result().candidate.target.name, won=winner is not first)
            asked.remove(winner)
            return winner.result()
        finally:
            for loser in asked:
                await self._end(loser, discard)

    def _wait_s(self, run: Run, *, streamed: bool) -> float | None:
        first = run.plan.peek()
        if first is None:
            return None
        latencies = first.state.first_content if streamed else first.state.whole
        return self._policy.wait_s(latencies.percentile(0.95, at_least=self._policy.enough_answers))

    async def _end(self, loser: _Asked[_Result], discard: Callable[[_Result], Awaitable[None]]) -> None:
        loser.cancel()
        await asyncio.wait({loser})
        if not loser.cancelled() and loser.exception() is None:  # it was answered in the same moment
            late = loser.result()
            late.passage.succeeded(self._dispatcher.now(), None)
            await discard(late.result)


async def _first_success(asked: list[_Asked[_Result]]) -> _Asked[_Result]:
    """The one that was answered first; when all fail, the one that failed last, for its error knows all attempts."""
    waiting = set(asked)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in asked:
            if each in done and each.exception() is None:
                return each
        if not waiting:
            failed = next(iter(done))
            failed.result()
            return failed
