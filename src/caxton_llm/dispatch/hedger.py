"""A second target asked while the first is slow: the first content wins, the other is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from caxton_llm.dispatch.dispatcher import Dispatcher, Send
from caxton_llm.dispatch.run import Answered, Run
from caxton_llm.observers.record import Observer
from caxton_llm.routing.hedging import HedgeBudget, HedgePolicy
from caxton_llm.timers import FixedDelay, Timer

__all__ = ["Hedger"]

_Result = TypeVar("_Result")

_ENOUGH_ANSWERS = 20
"""So many latencies make a percentile."""


class Hedger:
    """Dispatches runs, and hedges those that take too long, as long as the budget lasts.

    `discard` ends a result that came too late to be used (a stream must be closed).
    """

    def __init__(self, policy: HedgePolicy, dispatcher: Dispatcher, observers: Sequence[Observer]) -> None:
        self._policy = policy
        self._dispatcher = dispatcher
        self._observers = observers
        self._budget = HedgeBudget(policy.max_share)
        self._delay = None if policy.after_s is None else FixedDelay(policy.after_s)
        self._ending: set[asyncio.Future[None]] = set()
        """What is being ended; kept, because the event loop does not keep it."""

    async def dispatch(
        self, run: Run, send: "Send[_Result]", discard: Callable[[_Result], Awaitable[None]], *, streamed: bool
    ) -> Answered[_Result]:
        """Like `Dispatcher.dispatch`, over two targets at a time where that pays.

        A request that is answered in time costs one timer more than without hedging, and no task.
        """
        self._budget.request()
        wait_s = self._wait_s(run, streamed=streamed)
        if wait_s is None or run.plan.left < 2:
            return await self._dispatcher.dispatch(run, send)
        race: _Race[_Result] = _Race(partial(self._second, run, send), partial(self._record_losers, run))
        timer = self._start(wait_s, race.begin)
        try:
            first = await race.first(self._dispatcher.dispatch(run, send))
        finally:
            timer.cancel()
            race.over = True
            if race.second is not None:
                self._settle(race, discard)
        return first

    def _start(self, wait_s: float, begin: Callable[[], object]) -> Timer:
        if self._delay is not None:
            return self._delay.start(begin)
        return asyncio.get_running_loop().call_later(wait_s, begin)

    def _wait_s(self, run: Run, *, streamed: bool) -> float | None:
        if self._policy.after_s is not None:
            return self._policy.after_s
        first = run.plan.peek()
        if first is None:
            return None
        latencies = first.state.first_content if streamed else first.state.whole
        return latencies.percentile(0.95, at_least=_ENOUGH_ANSWERS)

    def _second(self, run: Run, send: "Send[_Result]") -> "asyncio.Task[Answered[_Result]] | None":
        """Ask another target, where one is left that is well, a send is left, and the budget allows it."""
        another = run.plan.peek()
        if another is None or run.sends_left <= 0 or another.state.breaker.share(self._dispatcher.now()) <= 0.0:
            return None
        return asyncio.create_task(self._dispatcher.dispatch(run, send)) if self._budget.take() else None

    def _record_losers(self, run: Run, winner: Answered[_Result]) -> None:
        """The sends that are about to be cancelled belong to the record, too."""
        now = self._dispatcher.now()
        run.attempts += [each.attempt(run, "cancelled", now) for each in run.under_way if each is not winner.course]

    def _settle(self, race: "_Race[_Result]", discard: Callable[[_Result], Awaitable[None]]) -> None:
        """Tell who has won, and end what is not needed."""
        winner = race.winner
        for observer in self._observers:
            name = None if winner is None else winner.candidate.target.name
            observer.hedged(name, won=winner is not None and winner is race.answer_of_second)
        if race.second is not None and (winner is None or winner is not race.answer_of_second):
            race.second.cancel()
            ending = asyncio.ensure_future(self._ended(race.second, discard))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _ended(
        self, loser: "asyncio.Task[Answered[_Result]]", discard: Callable[[_Result], Awaitable[None]]
    ) -> None:
        """How long a provider takes to let go is its affair: nobody waits for this."""
        await asyncio.wait({loser})
        if not loser.cancelled() and loser.exception() is None:  # it was answered before it could be cancelled
            late = loser.result()
            late.passage.succeeded(self._dispatcher.now(), None)
            await discard(late.result)


class _Race(Generic[_Result]):
    """The first request, in the task of its caller, against a second in a task of its own, once that has begun.

    A second that is answered first cancels the first, in the way of `TimeLimit`: a cancellation from elsewhere stays one.
    """

    def __init__(
        self,
        ask_second: "Callable[[], asyncio.Task[Answered[_Result]] | None]",
        on_win: Callable[[Answered[_Result]], None],
    ) -> None:
        self.second: asyncio.Task[Answered[_Result]] | None = None
        self.winner: Answered[_Result] | None = None
        self.over = False
        self._ask_second = ask_second
        self._on_win = on_win
        self._caller: asyncio.Task[object] | None = asyncio.current_task()
        self._cancelled = False

    @property
    def answer_of_second(self) -> Answered[_Result] | None:
        second = self.second
        if second is None or not second.done() or second.cancelled() or second.exception() is not None:
            return None
        return second.result()

    def begin(self) -> None:
        """The first has had its time."""
        self.second = self._ask_second()
        if self.second is not None:
            self.second.add_done_callback(self._second_is_done)

    def _second_is_done(self, second: "asyncio.Task[Answered[_Result]]") -> None:
        if not self.over and self._caller is not None and not second.cancelled() and second.exception() is None:
            self._on_win(second.result())
            self._cancelled = True
            self._caller.cancel()

    async def first(self, dispatch: "Awaitable[Answered[_Result]]") -> Answered[_Result]:
        """The answer that came first, whoever gave it; when both fail, the error of the one that failed last."""
        before = 0 if self._caller is None else self._caller.cancelling()
        try:
            self.winner = await dispatch
            self.over = True
            self._on_win(self.winner)
        except asyncio.CancelledError:
            if not self._cancelled or self._caller is None or self._caller.uncancel() > before:
                raise
            self.winner = self.answer_of_second
            if self.winner is None:
                raise
        except Exception:
            if self.second is None:
                raise
            self.over = True  # from here on its answer is waited for, and need not be announced
            self.winner = await asyncio.shield(self.second)
        return self.winner
