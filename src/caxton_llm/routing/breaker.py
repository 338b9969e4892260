"""A circuit breaker: a target that keeps failing is left alone for a while, then tried, then trusted again little by little.

    closed -> open        `failure_threshold` failures in a row, or `failure_rate` of the requests in `window_s`
    open -> half_open     after `cooldown_s`, or at once when there is nobody else to ask
    half_open -> closed   `half_open_requests` trials in a row succeeded; then the share of the traffic grows from a tenth to
                          all of it over `ramp_s`
    half_open -> open     a trial failed

Pure: every call takes the time in seconds. Only failures of the provider count; the caller decides which those are.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

__all__ = ["Breaker", "BreakerPolicy", "BreakerState"]

BreakerState = Literal["closed", "open", "half_open"]

_BUCKETS = 10
_FIRST_SHARE = 0.1


class BreakerPolicy(Struct, frozen=True, kw_only=True):
    """When a breaker opens, and how it closes again. Times in seconds."""

    enabled: bool = True
    failure_threshold: int = 5
    """Failures in a row that open it; the rate counts once there were twice as many requests in the window."""
    failure_rate: float = 0.5
    window_s: float = 30.0
    cooldown_s: float = 15.0
    half_open_requests: int = 1
    """Trials at a time in the half-open state, and successes in a row that close it."""
    ramp_s: float = 30.0


class Breaker:
    """The breaker of one target. `on_change` hears of every new state, in order."""

    def __init__(self, policy: BreakerPolicy, on_change: Callable[[BreakerState], None] | None = None) -> None:
        self.policy = policy
        self.state: BreakerState = "closed"
        self.opened_at: float | None = None
        """When it last opened; `None` once it is closed."""
        self._on_change = on_change
        self._ramp_from: float | None = None
        self._in_a_row = 0
        self.trials = 0
        """Trials under way in the half-open state."""
        self._passed = 0
        self._period = 0
        self._window = _Window(policy.window_s)

    def share(self, now: float) -> float:
        """The share of the requests that the target should get, 0..1: 0 while it is open or its trials are all taken."""
        if self.state == "closed":
            return 1.0 if self._ramp_from is None else self._ramped(now, self._ramp_from)
        if self.state == "open" and not self._cooled(now):
            return 0.0
        return 1.0 if self.trials < self.policy.half_open_requests else 0.0

    def enter(self) -> int:
        """A request goes to the target now. Hand what this returns back with the outcome: the number of the half-open
        period whose trial it is, or 0.

        A request that is sent although the breaker is open, because there is nobody else, is a trial too.
        """
        if self.state == "closed":
            return 0
        if self.state == "open":
            self._begin_trials()
        self.trials += 1
        return self._period

    def succeeded(self, now: float, *, trial: int) -> None:
        """The target answered."""
        if self.state == "closed":
            self._in_a_row = 0
            self._window.add(now, failed=False)
        elif self._is_current(trial):
            self.trials -= 1
            self._passed += 1
            if self._passed >= self.policy.half_open_requests:
                self._close(now)

    def failed(self, now: float, *, trial: int) -> None:
        """The target failed, by its own fault."""
        if not self.policy.enabled:
            return
        if self.state == "closed":
            self._in_a_row += 1
            self._window.add(now, failed=True)
            if self._should_open(now):
                self._open(now)
        elif self._is_current(trial):
            self._open(now)

    def forgotten(self, *, trial: int) -> None:
        """The request ended without saying anything about the target: cancelled, or the caller's own mistake."""
        if self._is_current(trial):
            self.trials -= 1

    def reset(self) -> None:
        """An operator trusts the target again: it gets all of its requests at once."""
        if self.state == "open":
            self._begin_trials()
        if self.state == "half_open":
            self._close(None)
        self._ramp_from = None

    def _begin_trials(self) -> None:
        self._period += 1
        self._passed = self.trials = 0
        self._change("half_open")

    def _is_current(self, trial: int) -> bool:
        """Trials of an earlier period come too late to say anything."""
        return self.state == "half_open" and trial == self._period

    def _should_open(self, now: float) -> bool:
        policy = self.policy
        if self._in_a_row >= policy.failure_threshold:
            return True
        total, failures = self._window.counts(now)
        return total >= 2 * policy.failure_threshold and failures >= policy.failure_rate * total

    def _open(self, now: float) -> None:
        self.opened_at = now
        self._ramp_from = None
        self.trials = self._passed = self._in_a_row = 0
        self._change("open")

    def _close(self, ramp_from: float | None) -> None:
        self.opened_at = None
        self._ramp_from = ramp_from if self.policy.ramp_s > 0 else None
        self.trials = self._passed = self._in_a_row = 0
        self._window = _Window(self.policy.window_s)
        self._change("closed")

    def _change(self, state: BreakerState) -> None:
        self.state = state
        if self._on_change is not None:
            self._on_change(state)

    def _cooled(self, now: float) -> bool:
        return self.opened_at is not None and now - self.opened_at >= self.policy.cooldown_s

    def _ramped(self, now: float, since: float) -> float:
        progress = (now - since) / self.policy.ramp_s
        if progress >= 1.0:
            self._ramp_from = None
            return 1.0
        return _FIRST_SHARE + (1.0 - _FIRST_SHARE) * max(0.0, progress)


class _Window:
    """Requests and failures of the last `seconds`, in ten parts: it forgets a tenth at a time."""

    __slots__ = ("_buckets", "_failures", "_total", "_width")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _BUCKETS
        self._buckets: deque[list[int]] = deque()
        """Number of the part, requests, failures; the newest is last."""
        self._total = self._failures = 0

    def add(self, now: float, *, failed: bool) -> None:
        number = int(now / self._width)
        buckets = self._buckets
        if not buckets or buckets[-1][0] != number:
            self._forget(number)
            buckets.append([number, 0, 0])
        newest = buckets[-1]
        newest[1] += 1
        self._total += 1
        if failed:
            newest[2] += 1
            self._failures += 1

    def counts(self, now: float) -> tuple[int, int]:
        """Requests and failures."""
        self._forget(int(now / self._width))
        return self._total, self._failures

    def _forget(self, number: int) -> None:
        buckets = self._buckets
        while buckets and buckets[0][0] <= number - _BUCKETS:
            _, total, failures = buckets.popleft()
            self._total -= total
            self._failures -= failures
