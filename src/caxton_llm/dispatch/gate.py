"""The gate before a target: requests pass at the rate that the target bears, and the rest waits in fair turns.

A request passes when every limit has room: requests and tokens per minute, the provider's own limits as far as its answers
have told, and the number of requests at once. The queue belongs to the callers in turn (round robin, each caller's own
requests in order), and nobody overtakes whoever's turn it is, so a large request is not starved by small ones and a caller
with a thousand waiting delays another's single request by one turn. When the queue is full, the caller with the most
waiting gives up its last place to one who has fewer.

Who waits is woken by `leave` and by one timer, set for the next moment at which a limit has room. A gate belongs to one event
loop at a time.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from caxton_llm.errors import LimitExceeded
from caxton_llm.protocols import Clock
from caxton_llm.routing.limits import AdaptiveConcurrency, LearnedLimits, Sent, SlidingWindow, TargetLimits
from caxton_llm.routing.turns import Turns
from caxton_llm.timers import Timer
from caxton_llm.wire.rate_limits import RateLimitInfo

__all__ = ["CallLater", "Entry", "Gate", "GateSnapshot", "Outcome"]

CallLater = Callable[[float, Callable[[], object]], Timer]
"""Calls back after so many seconds, on the running event loop: its `call_later`, or a fake in tests."""

Outcome = Literal["success", "overloaded", "other"]

_SHORTEST_TIMER_S = 0.001
"""So that the rounding of a clock cannot make the timer spin."""
_TOO_LATE = "and room comes later than this request may wait"
_ANSWER_S = 1.0
"""How long an answer is taken to last where a wait depends on one."""


class Entry(Struct, frozen=True):
    """One passage through the gate: its time, and all that had been sent when it was made."""

    at: float
    sent: Sent


class GateSnapshot(Struct, frozen=True, kw_only=True):
    """A gate's state for metrics; `None` is unlimited or unknown."""

    queued: int
    in_flight: int
    concurrency_limit: int | None
    remaining_requests: int | None
    remaining_tokens: int | None


class Gate:
    """Paces the requests to one target. Every entry needs its `leave`.

    `now` is the time of `clock`, in seconds. `tokens` is the caller's estimate, 0 where tokens are not counted.
    """

    __slots__ = (
        "_call_later",
        "_clock",
        "_concurrency",
        "_entered_at",
        "_entered_requests",
        "_entered_tokens",
        "_learned",
        "_limits",
        "_requests",
        "_timer",
        "_tokens",
        "_turns",
        "in_flight",
    )

    def __init__(self, limits: TargetLimits, *, clock: Clock, call_later: CallLater | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._call_later = call_later if call_later is not None else _call_later
        self._requests = _window(limits.requests_per_minute)
        self._tokens = _window(limits.tokens_per_minute)
        self._learned = LearnedLimits()
        self._concurrency = AdaptiveConcurrency(limits.max_concurrency)
        self._turns: Turns[_Waiter] = Turns()
        self._timer: Timer | None = None
        self._entered_at = 0.0
        self._entered_requests = self._entered_tokens = 0
        self.in_flight = 0

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return self._turns.count

    # -- passing --------------------------------------------------------------------------------------------------------

    def try_enter(self, now: float, tokens: int) -> bool:
        """Pass at once if nobody waits and every limit has room."""
        if self._turns.count or self._blocked_s(now, tokens) > 0.0:
            return False
        self._admit(now, tokens)
        self._went_out(now, tokens)
        return True

    async def enter(self, caller: str, tokens: int, *, patience_s: float) -> float:
        """Pass when it is this caller's turn and every limit has room; returns the seconds waited.

        The wait is no longer than `patience_s`. Raises `LimitExceeded` when it would be,
        or when the queue is full; its `retry_after_s` says when room is expected.
        """
        began = self._clock()
        if self.try_enter(began, tokens):
            return 0.0
        waiter = self._queue(caller, tokens, began, patience_s)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        finally:
            waiter.timer.cancel()
        if waiter.refusal is not None:
            try:
                raise waiter.refusal
            finally:
                waiter.refusal = None  # its traceback leads back here, and circles wait for the garbage collector
        self._went_out(waiter.admitted_at, tokens)
        return max(0.0, waiter.admitted_at - began)

    @property
    def entry(self) -> Entry:
        """The latest passage. Read it directly after `try_enter` or `enter`, before anything is awaited."""
        return Entry(self._entered_at, Sent(self._entered_requests, self._entered_tokens))

    def leave(
        self,
        now: float,
        outcome: Outcome,
        *,
        tokens_estimated: int,
        tokens_used: int | None,
        entry: Entry | None = None,
    ) -> None:
        """End a passage. `overloaded` lowers the number of requests at once, `success` raises it.

        The tokens used replace the estimate, where both are known. Without the entry a smaller number is not credited,
        because it is not known which minute it belongs to.
        """
        if outcome == "success":
            self._concurrency.succeeded()
        elif outcome == "overloaded":
            self._concurrency.overloaded(now, self.in_flight)
        self.in_flight -= 1
        if self._tokens is not None and tokens_used is not None and tokens_used != tokens_estimated:
            if entry is not None:
                self._tokens.correct(entry.at, tokens_estimated, tokens_used)
            elif tokens_used > tokens_estimated:
                self._tokens.take(now, tokens_used - tokens_estimated)
        if self._turns.count:
            self._let_in(now)

    # -- what becomes known -----------------------------------------------------------------------------------------------

    def learn(self, info: RateLimitInfo, now: float, *, entry: Entry | None = None) -> None:
        """Take over what the answer to a request says of the provider's limits.

        To be called before its `leave`. With the entry of that request it is known exactly what the provider had not
        counted yet; without, all other requests in flight are taken off.
        """
        if entry is not None:
            counted = entry.sent
        else:
            counted = Sent(self._learned.sent_requests - max(0, self.in_flight - 1), self._learned.sent_tokens)
        self._learned.learn(info, now, counted)
        self._reconsider(now)

    def pause(self, until: float) -> None:
        """Let nobody through before that moment, after the provider has said when to come back.

        Who would have to wait longer than it may is refused at once.
        """
        self._learned.pause(until)
        self._reconsider(self._clock())

    def forget(self) -> None:
        """Forget what the provider said of its limits, and how many requests at once were too many."""
        self._learned.forget()
        self.restore()

    def restore(self) -> None:
        """The target is well again: as many requests at once as ever."""
        self._concurrency.restore()
        self._reconsider(self._clock())

    def wait_s(self, now: float, tokens: int) -> float:
        """An estimate of the seconds until a request that comes now would pass; 0 when it would at once.

        Rates are known; how long a place among the requests at once stays taken is a guess.
        """
        return max(self._rate_s(now, tokens, self.queued, self._queued_tokens()), self._place_s())

    def snapshot(self) -> GateSnapshot:
        now = self._clock()
        left = self._learned.snapshot(now)
        return GateSnapshot(
            queued=self.queued,
            in_flight=self.in_flight,
            concurrency_limit=self._concurrency.limit,
            remaining_requests=_least(left.requests, self._requests, now),
            remaining_tokens=_least(left.tokens, self._tokens, now),
        )

    # -- the limits -------------------------------------------------------------------------------------------------------

    def _blocked_s(self, now: float, tokens: int) -> float:
        """Seconds until the limits have room for whoever is next; endless while only `leave` can make room."""
        limit = self._concurrency.limit
        if limit is not None and self.in_flight >= limit:
            return math.inf
        wait = self._learned.wait_s(now, tokens)
        if self._requests is not None:
            wait = max(wait, self._requests.wait_s(now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(now, tokens))
        return wait

    def _rate_s(self, now: float, tokens: int, requests_ahead: int, tokens_ahead: int) -> float:
        """Seconds until all rates have room for a request behind so many others."""
        wait = self._learned.wait_s(now, tokens)
        if self._requests is not None:
            wait = max(wait, _wait_behind(self._requests, now, requests_ahead, 1))
        if self._tokens is not None:
            wait = max(wait, _wait_behind(self._tokens, now, tokens_ahead, tokens))
        return wait

    def _place_s(self) -> float:
        """A guess of the seconds until one of the requests at once has ended for everybody who waits and one more."""
        limit = self._concurrency.limit
        return 0.0 if limit is None or self.in_flight < limit else (self.queued + 1) * _ANSWER_S / limit

    def _admit(self, now: float, tokens: int) -> None:
        self.in_flight += 1
        self._learned.sent(tokens)
        if self._requests is not None:
            self._requests.take(now)
        if self._tokens is not None:
            self._tokens.take(now, tokens)

    def _went_out(self, at: float, tokens: int) -> None:
        """Number the passages in the order in which the requests are really sent, which is that of their tasks."""
        self._entered_at = at
        self._entered_requests += 1
        self._entered_tokens += tokens

    # -- the queue --------------------------------------------------------------------------------------------------------

    def _queue(self, caller: str, tokens: int, now: float, patience_s: float) -> "_Waiter":
        ahead = self._turns.ahead(caller)
        wait = self._rate_s(now, tokens, ahead, self._queued_tokens() * ahead // max(self.queued, 1))
        if wait > patience_s:
            raise self._refused(_TOO_LATE, now, tokens, wait)
        if self.queued >= self._limits.max_queue:
            self._make_room(caller, tokens, now)
        waiter = _Waiter(caller, tokens, now + patience_s)
        waiter.timer = self._call_later(patience_s, lambda: self._expire(waiter))
        self._turns.join(caller, waiter)
        self._set_timer(now)
        return waiter

    def _make_room(self, caller: str, tokens: int, now: float) -> None:
        """Refuse the last of a caller who has more waiting than this one, or else this one."""
        why = f"and {self.queued} requests wait already (max_queue)"
        last = self._turns.last_of_longest(caller)
        if last is None:
            raise self._refused(why, now, tokens, self.wait_s(now, tokens))
        self._refuse(last, f"{why}, most of them this caller's", now)

    def _let_in(self, now: float) -> None:
        """Let in whoever's turn it is while there is room, then wait for more room."""
        while (waiter := self._turns.next()) is not None and self._blocked_s(now, waiter.tokens) <= 0.0:
            self._turns.advance()
            waiter.queued = False
            waiter.admitted_at = now
            self._admit(now, waiter.tokens)
            waiter.wake()
        self._set_timer(now)

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiter = self._turns.next()
        if waiter is not None:
            wait = self._blocked_s(now, waiter.tokens)
            if wait < math.inf:
                self._timer = self._call_later(max(wait, _SHORTEST_TIMER_S), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._let_in(self._clock())

    def _reconsider(self, now: float) -> None:
        """Something has become known: refuse whose patience cannot suffice any more, let in who can pass."""
        if not self._turns.count:
            return
        wait = self._learned.wait_s(now, 0)
        if wait > 0.0:
            for waiter in list(self._turns):
                if now + wait > waiter.deadline:
                    self._refuse(waiter, _TOO_LATE, now)
        self._let_in(now)

    def _expire(self, waiter: "_Waiter") -> None:
        if waiter.queued:
            now = self._clock()
            self._refuse(waiter, "and there was no room in time", now)
            self._let_in(now)

    def _refuse(self, waiter: "_Waiter", why: str, now: float) -> None:
        self._remove(waiter)
        waiter.refusal = self._refused(why, now, waiter.tokens, self.wait_s(now, waiter.tokens))
        waiter.wake()

    def _withdraw(self, waiter: "_Waiter") -> None:
        """The waiting task was cancelled: before its turn, or after and before it could go on."""
        now = self._clock()
        if waiter.queued:
            self._remove(waiter)
        elif waiter.refusal is None:
            self.in_flight -= 1
            self._learned.unsent(waiter.tokens)
            if self._requests is not None:
                self._requests.correct(waiter.admitted_at, 1, 0)
            if self._tokens is not None:
                self._tokens.correct(waiter.admitted_at, waiter.tokens, 0)
        self._let_in(now)

    def _remove(self, waiter: "_Waiter") -> None:
        self._turns.remove(waiter.caller, waiter)
        waiter.queued = False

    def _queued_tokens(self) -> int:
        return sum(waiter.tokens for waiter in self._turns)

    def _refused(self, why: str, now: float, tokens: int, wait_s: float) -> LimitExceeded:
        """`retry_after_s` is never 0, or a caller would ask again at once."""
        what, advice = self._tightest(now, tokens)
        message = f"{what}, {why}; {advice}, or configure another target"
        return LimitExceeded(message, retry_after_s=max(wait_s, _ANSWER_S), should_retry=True)

    def _tightest(self, now: float, tokens: int) -> tuple[str, str]:
        """Which limit holds requests back the longest, and what raises it."""
        limits, at_once = self._limits, self._concurrency.limit
        found = [
            (
                self._place_s(),
                f"as many requests as may be at once are under way at the target ({self.in_flight})",
                "raise max_concurrency or max_queue_ms"
                if limits.max_concurrency is not None and at_once == limits.max_concurrency
                else "the number has been lowered because the target was overloaded, so give it time",
            ),
            (
                self._learned.wait_s(now, tokens),
                "the provider's own rate limit is reached",
                "ask the provider for more",
            ),
        ]
        for name, window, amount, ahead in (
            ("requests_per_minute", self._requests, 1, self.queued),
            ("tokens_per_minute", self._tokens, tokens, self._queued_tokens()),
        ):
            if window is not None:
                wait = _wait_behind(window, now, ahead, amount)
                found.append((wait, f"{name} ({window.limit}) is reached", f"raise {name} or max_queue_ms"))
        _, what, advice = max(found, key=lambda each: each[0])
        return what, advice


class _Waiter:
    """One request in the queue."""

    __slots__ = ("admitted_at", "caller", "deadline", "queued", "refusal", "timer", "tokens", "turn")

    timer: Timer

    def __init__(self, caller: str, tokens: int, deadline: float) -> None:
        self.caller = caller
        self.tokens = tokens
        self.deadline = deadline
        self.queued = True
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.admitted_at = 0.0
        self.refusal: LimitExceeded | None = None

    def wake(self) -> None:
        if not self.turn.done():  # its task may have been cancelled, and has not run since
            self.turn.set_result(None)


def _call_later(seconds: float, callback: Callable[[], object]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, callback)


def _window(limit: int | None) -> SlidingWindow | None:
    return None if limit is None else SlidingWindow(limit)


def _wait_behind(window: SlidingWindow, now: float, ahead: int, amount: int) -> float:
    """Seconds until the amount fits behind what is ahead of it; beyond the whole limit a minute for each time more."""
    if not ahead:
        return window.wait_s(now, amount)
    total = ahead + min(amount, window.limit)
    minutes = max(0, -(-total // window.limit) - 1)
    return window.wait_s(now, total - minutes * window.limit) + 60.0 * minutes


def _least(told: int | None, window: SlidingWindow | None, now: float) -> int | None:
    if window is None:
        return told
    configured = int(window.remaining(now))
    return configured if told is None else min(told, configured)
