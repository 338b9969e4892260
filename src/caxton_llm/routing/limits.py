"""The rate limits of one target: what the configuration sets, what the provider's answers tell, and how many requests at
once it bears.

Times are seconds of one monotonic clock and are given; nothing here waits.
"""

import math
from collections import OrderedDict

from msgspec import Struct

from caxton_llm.wire.rate_limits import RateLimitInfo, Window

__all__ = ["AdaptiveConcurrency", "LearnedLimits", "LimitsLeft", "Sent", "SlidingWindow", "TargetLimits"]

_MINUTE_S = 60.0
_RESET_TOLERANCE_S = 1.5
"""Dates are in whole seconds, the provider's reset and the time from which it counts."""


class TargetLimits(Struct, frozen=True, kw_only=True):
    """What is configured for one target; `None` is no limit. Numbers of requests and tokens are 1 or more."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrency: int | None = None
    """Requests under way at once; the number adapts below it."""
    max_queue: int = 100
    """Requests that wait for a place; 0 refuses at once."""
    max_queue_ms: float = 5000.0
    """The longest wait for a place."""


class SlidingWindow:
    """A limit per minute that holds exactly: the amounts taken within any 60 s add up to no more than the limit.

    An amount above the limit itself would never fit. It waits until the window is empty and is let through then, so that
    nothing waits for ever. Amounts that are corrected upwards after the answer may exceed the limit too, because they are
    spent already; what follows waits the longer.
    """

    __slots__ = ("_taken", "_total", "limit")

    def __init__(self, limit_per_minute: int) -> None:
        self.limit = limit_per_minute
        self._taken: OrderedDict[float, float] = OrderedDict()
        """When what is taken becomes free -> how much; in the order of taking."""
        self._total = 0.0

    def wait_s(self, now: float, amount: float = 1.0) -> float:
        """Seconds until the amount fits, 0 when it does already."""
        self._forget(now)
        excess = self._total + amount - self.limit
        if excess <= 0 or self._total <= 0:
            return 0.0
        free_at = now
        for free_at, taken in self._taken.items():  # noqa: B007 - the last moment looked at is the answer
            excess -= taken
            if excess <= 0:
                break
        return free_at - now

    def take(self, now: float, amount: float = 1.0) -> None:
        """Count the amount, whether it fits or not."""
        free_at = now + _MINUTE_S
        self._taken[free_at] = self._taken.get(free_at, 0.0) + amount
        self._total += amount

    def correct(self, taken_at: float, estimated: float, real: float) -> None:
        """Replace an amount that was taken at exactly that time; without effect when it has become free meanwhile."""
        taken = self._taken.get(taken_at + _MINUTE_S)
        if taken is None:
            return
        self._taken[taken_at + _MINUTE_S] = taken + real - estimated
        self._total += real - estimated

    def remaining(self, now: float) -> float:
        """What fits at the moment, never below 0."""
        self._forget(now)
        return max(0.0, self.limit - self._total)

    def _forget(self, now: float) -> None:
        # A clock that was read a little earlier than the one before leaves entries out of order: they stay for longer.
        while self._taken:
            free_at = next(iter(self._taken))
            if free_at > now:
                return
            self._total -= self._taken.pop(free_at)
        self._total = 0.0  # no rounding error outlives its window


class Sent(Struct, frozen=True):
    """How much had been sent to a target when one request went out, that request included."""

    requests: int
    tokens: int


class LimitsLeft(Struct, frozen=True, kw_only=True):
    """What is left of a provider's limits, as far as known, and the seconds until they are whole again."""

    requests: int | None = None
    requests_reset_s: float | None = None
    tokens: int | None = None
    tokens_reset_s: float | None = None


class LearnedLimits:
    """What the provider's answers say about its limits, and what has been sent since.

    An answer tells what was left when its own request was admitted. Whatever was sent after that request is taken off, and
    an answer to a request sent before the one that was last learned from is old news and ignored; so a slow answer cannot
    bring back what is used up. A limit without a reset time holds nobody back: nothing says for how long it should.
    After the reset everything is there again: the limit where it was told, else it is unknown. A limit that visibly refills
    all the time is not waited for until its reset, but until enough of it has come back.
    """

    __slots__ = ("_news", "_parts", "_paused_until", "_requests", "_tokens", "sent_requests", "sent_tokens")

    def __init__(self) -> None:
        self.sent_requests = 0
        self.sent_tokens = 0
        self._requests: _View | None = None
        self._tokens: _View | None = None
        self._parts: dict[str, _View] = {}
        """Of input and output tokens. Estimates are of both together, so here only the provider's own word counts."""
        self._paused_until = -math.inf
        self._news = -1

    def sent(self, tokens: int) -> None:
        """Count a request that goes out now with an estimate of its tokens."""
        self.sent_requests += 1
        self.sent_tokens += tokens

    def unsent(self, tokens: int) -> None:
        """Take back a request that was counted and did not go out."""
        self.sent_requests -= 1
        self.sent_tokens -= tokens

    def learn(self, info: RateLimitInfo, now: float, counted: Sent) -> None:
        """Take over what an answer says; `counted` is what had been sent when its request went out."""
        if counted.requests < self._news:
            return
        self._news = counted.requests
        if info.requests is not None and info.requests.remaining is not None:
            self._requests = _View(info.requests, info.requests.remaining, counted.requests, now)
        if info.tokens is not None and info.tokens.remaining is not None:
            self._tokens = _View(info.tokens, info.tokens.remaining, counted.tokens, now)
        for name, window in (("input", info.input_tokens), ("output", info.output_tokens)):
            if window is not None and window.remaining is not None:
                self._parts[name] = _View(window, window.remaining, 0, now)

    def pause(self, until: float) -> None:
        """Send nothing before that moment; a shorter pause does not end a longer one."""
        self._paused_until = max(self._paused_until, until)

    def forget(self) -> None:
        """Know nothing of the provider's limits any more."""
        self._requests = self._tokens = None
        self._parts.clear()
        self._paused_until = -math.inf

    def wait_s(self, now: float, tokens: int) -> float:
        """Seconds until the provider would take a request with so many tokens, 0 as far as anybody knows."""
        wait = self._paused_until - now if self._paused_until > now else 0.0
        if self._requests is not None:
            wait = max(wait, self._requests.wait_s(now, self.sent_requests, 1))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(now, self.sent_tokens, tokens))
        if self._parts:
            wait = max(wait, *(view.wait_s(now, 0, 1) for view in self._parts.values()))
        return wait

    def snapshot(self, now: float) -> LimitsLeft:
        """What is left after what has been sent since the last answer."""
        requests, tokens = self._requests, self._tokens
        return LimitsLeft(
            requests=None if requests is None else requests.remaining(now, self.sent_requests),
            requests_reset_s=None if requests is None else requests.reset_s(now),
            tokens=None if tokens is None else tokens.remaining(now, self.sent_tokens),
            tokens_reset_s=None if tokens is None else tokens.reset_s(now),
        )


class _View:
    """One limit of the provider as last told, less what has been sent since.

    `base` is how much of all that was sent the provider had counted when it told.
    """

    __slots__ = ("_at", "_base", "_left", "_limit", "_next_base", "_rate", "_reset_at")

    def __init__(self, window: Window, remaining: int, base: int, now: float) -> None:
        self._limit = window.limit
        self._left: float | None = remaining
        self._base = self._next_base = base
        self._at = now
        self._reset_at = None if window.reset_s is None else now + window.reset_s
        self._rate = _refill_per_s(window, remaining)

    def wait_s(self, now: float, sent: int, amount: int) -> float:
        left = self._look(now, sent)
        if left is None or self._reset_at is None or left >= max(amount, 1):
            return 0.0
        needed = max(1, amount if self._limit is None else min(amount, self._limit))
        if left >= needed:  # the whole limit is there, and more than that never is
            return 0.0
        return (needed - left) / self._rate if self._rate else self._reset_at - now

    def remaining(self, now: float, sent: int) -> int | None:
        left = self._look(now, sent)
        return None if left is None else max(0, int(left))

    def reset_s(self, now: float) -> float | None:
        return None if self._reset_at is None else max(0.0, self._reset_at - now)

    def _look(self, now: float, sent: int) -> float | None:
        """What is left now, which is below 0 when more was sent than was left."""
        if self._rate and self._limit is not None and self._left is not None:
            full = min(self._limit, self._left + self._rate * (now - self._at))
            self._left, self._base, self._at = full - (sent - self._base), sent, now
        elif self._reset_at is not None and now >= self._reset_at:
            self._renew(now, sent)
        return None if self._left is None else self._left - (sent - self._base)

    def _renew(self, now: float, sent: int) -> None:
        """The reset has passed. What the provider had not counted then may count against the new window, so it stays taken
        off for one window more. No second reset was told: should no answer come, limits are by the minute."""
        self._left = self._limit
        self._base, self._next_base = self._next_base, sent
        self._reset_at = None if self._limit is None else now + _MINUTE_S


def _refill_per_s(window: Window, remaining: int) -> float:
    """How fast a limit refills, 0 for one that comes back all at once at its reset.

    The two are told apart by the reset: a limit that refills all the time is whole again after just the share of the minute
    that has been used (OpenAI: 1 of 500 requests, reset in 120 ms). Waiting there until the reset would waste a minute.
    """
    if window.limit is None or window.reset_s is None:
        return 0.0
    used_share_s = _MINUTE_S * (window.limit - remaining) / window.limit
    return window.limit / _MINUTE_S if abs(window.reset_s - used_share_s) <= _RESET_TOLERANCE_S else 0.0


class AdaptiveConcurrency:
    """How many requests a target bears at once: additive increase, multiplicative decrease.

    Starts at the maximum. An overload takes it to 0.7 of what was under way, at most once per second, so that one burst of
    failures counts once; each success adds 1/limit, which is about 1 per round of requests. Without a maximum there is no
    limit until the first overload, it never goes below 16, and having grown to 256 it is gone again.
    """

    __slots__ = ("_ceiling", "_decreased_at", "_floor", "_limit", "_unbounded")

    def __init__(self, maximum: int | None) -> None:
        self._unbounded = maximum is None
        self._ceiling = float(256 if maximum is None else maximum)
        self._floor = 16.0 if maximum is None else 1.0
        self._limit = self._ceiling
        self._decreased_at = -math.inf

    @property
    def limit(self) -> int | None:
        """Requests at once, 1 or more; `None` when nothing limits them."""
        return None if self._unbounded and self._limit >= self._ceiling else int(self._limit)

    def succeeded(self) -> None:
        if self._limit < self._ceiling:
            self._limit = min(self._ceiling, self._limit + 1.0 / self._limit)

    def overloaded(self, now: float, in_flight: int) -> None:
        """`in_flight`: requests under way, the refused one included."""
        if now - self._decreased_at >= 1.0:
            self._limit = max(self._floor, min(self._limit, float(in_flight)) * 0.7)
            self._decreased_at = now

    def restore(self) -> None:
        """Begin again at the maximum."""
        self._limit = self._ceiling
