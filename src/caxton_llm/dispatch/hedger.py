"""A second target asked while the first is slow: the first content wins, the other is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from caxton_llm.dispatch.dispatcher import Dispatcher, Send
from caxton_llm.dispatch.run import Answered, Run
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
        self._ending: set[asyncio.Future[None]] = set()
        """What is being ended; kept, because the event loop does not keep it."""

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
            if not done and self._may_ask_another(run):
                asked.append(asyncio.ensure_future(self._dispatcher.dispatch(run, send)))
            winner = await _first_success(asked)
        except BaseException:
            self._end(asked, discard)
            raise
        finally:
            if len(asked) > 1:
                self._tell(first, asked)
        self._record_losers(run, winner.result())
        self._end([each for each in asked if each is not winner], discard)
        return winner.result()

    def _may_ask_another(self, run: Run) -> bool:
        """Whether somebody is left who is well, a send is left, and the budget allows it."""
        another = run.plan.peek()
        now = self._dispatcher.now()
        return (
            another is not None
            and another.state.breaker.share(now) > 0.0
            and run.sends_left > 0
            and self._budget.take()
        )

    def _tell(self, first: _Asked[_Result], asked: list[_Asked[_Result]]) -> None:
        winner = next((each for each in asked if each.done() and not each.cancelled() and not each.exception()), None)
        for observer in self._observers:
            if winner is None:
                observer.hedged(None, won=False)
            else:
                observer.hedged(winner.result().candidate.target.name, won=winner is not first)

    def _record_losers(self, run: Run, won: Answered[_Result]) -> None:
        """The sends that are about to be cancelled belong to the record, too."""
        now = self._dispatcher.now()
        run.attempts += [each.attempt(run, "cancelled", now) for each in run.under_way if each is not won.course]

    def _end(self, asked: Sequence[_Asked[_Result]], discard: Callable[[_Result], Awaitable[None]]) -> None:
        """End what is not needed, without keeping anybody waiting: how long a provider takes to let go is its affair."""
        for each in asked:
            each.cancel()
            ending = asyncio.ensure_future(self._ended(each, discard))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _ended(self, loser: _Asked[_Result], discard: Callable[[_Result], Awaitable[None]]) -> None:
        await asyncio.wait({loser})
        if not loser.cancelled() and loser.exception() is None:  # it was answered before it could be cancelled
            late = loser.result()
            late.passage.succeeded(self._dispatcher.now(), None)
            await discard(late.result)

    def _wait_s(self, run: Run, *, streamed: bool) -> float | None:
        first = run.plan.peek()
        if first is None:
            return None
        latencies = first.state.first_content if streamed else first.state.whole
        return self._policy.wait_s(latencies.percentile(0.95, at_least=self._policy.enough_answers))


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
