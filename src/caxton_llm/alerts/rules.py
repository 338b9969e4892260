"""When an operator is told that something is wrong: rules over how the targets are doing. Pure: time is an argument.

    provider_down      the circuit breaker is not closed, or the health check failed twice in a row
    breaker_opened     the circuit breaker has opened
    error_rate         `error_rate` of the answers in `error_rate_window_s` failed, of at least `min_requests`
    latency_degraded   the p95 of the last `min_requests` answers is more than `latency_factor` times what it usually is
    all_targets_down   `provider_down` for every target

An alert is told once when it begins, again every `repeat_s` while it lasts, and once when it has ended. What has begun ends
before it begins again. No message holds text of a user or of a provider, only configured names, kinds of errors, figures.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Literal, get_args

from msgspec import Struct

__all__ = [
    "DOWN_AFTER_CHECKS",
    "RULES",
    "Alert",
    "AlertPolicy",
    "AlertRule",
    "AlertRules",
    "AlertStatus",
    "Pace",
    "Severity",
    "TargetSample",
]

AlertRule = Literal["provider_down", "breaker_opened", "error_rate", "latency_degraded", "all_targets_down"]
Severity = Literal["warning", "critical"]
AlertStatus = Literal["firing", "lasting", "recovered"]

RULES: tuple[AlertRule, ...] = get_args(AlertRule)

DOWN_AFTER_CHECKS = 2
_USUAL_FROM = 3
"""Batches of answers before it is known what is usual."""
_USUAL_OF = 50


class AlertPolicy(Struct, frozen=True, kw_only=True):
    """When alerts begin and end. Times in seconds."""

    error_rate: float = 0.2
    error_rate_window_s: float = 60.0
    min_requests: int = 20
    latency_factor: float = 3.0
    hold_s: float = 5.0
    """How long something must be wrong before it is told, and right before that is told: a target that flaps is one alert.
    An opening of a breaker is told at once."""
    repeat_s: float = 3600.0
    """0: a lasting alert is not told again."""


class Pace(Struct, frozen=True):
    """How fast a target answers: how many answers there were so far, and the p95 of the last of them in seconds."""

    answers: int = 0
    recent_p95_s: float | None = None


class TargetSample(Struct, frozen=True, kw_only=True):
    """How one target is doing at a moment. Counts are since the start."""

    name: str
    breaker: str
    """`closed`, `half_open` or `open`."""
    checks_failed_in_a_row: int = 0
    successes: int = 0
    failures: int = 0
    last_error: str | None = None
    """The kind of the last error."""
    whole: Pace = Pace()
    first_content: Pace = Pace()

    @property
    def is_down(self) -> bool:
        return self.breaker != "closed" or self.checks_failed_in_a_row >= DOWN_AFTER_CHECKS


class Alert(Struct, frozen=True, kw_only=True):
    """Something that an operator is told. `lasted_s` is the time since it began to be wrong."""

    rule: str
    """A rule of `RULES`, or `test`."""
    target: str
    """Empty: all of them."""
    severity: Severity
    status: AlertStatus
    message: str
    lasted_s: float = 0.0

    @property
    def key(self) -> str:
        """What makes two alerts the same."""
        return f"{self.rule}:{self.target}"


class _Finding(Struct, frozen=True):
    """What a rule says of a target now; an empty `wrong` is nothing."""

    rule: AlertRule
    target: str
    severity: Severity
    wrong: str
    right: str
    hold_s: float


class AlertRules:
    """Compares samples over time. Call `evaluate` regularly with all targets."""

    def __init__(self, policy: AlertPolicy) -> None:
        self._policy = policy
        self._courses: dict[tuple[str, str], _Course] = {}
        self._rates: dict[str, _Rate] = {}
        self._usual: dict[tuple[str, str], _Usual] = {}

    def evaluate(self, samples: Sequence[TargetSample], now: float) -> list[Alert]:
        """What is to be told now."""
        findings = [finding for sample in samples for finding in self._findings(sample, now)]
        findings.append(self._all_down(samples))
        return [alert for finding in findings if (alert := self._next(finding, now)) is not None]

    @property
    def lasting(self) -> set[str]:
        """The keys of the alerts that have begun and not ended."""
        return {f"{rule}:{target}" for (rule, target), course in self._courses.items() if course.told_at is not None}

    def _next(self, finding: _Finding, now: float) -> Alert | None:
        course = self._courses.setdefault((finding.rule, finding.target), _Course())
        status = course.step(bool(finding.wrong), now, finding.hold_s, self._policy)
        if status is None:
            return None
        return Alert(
            rule=finding.rule,
            target=finding.target,
            severity=finding.severity,
            status=status,
            message=finding.right if status == "recovered" else finding.wrong,
            lasted_s=now - course.wrong_since,
        )

    def _findings(self, sample: TargetSample, now: float) -> list[_Finding]:
        name, hold_s = sample.name, self._policy.hold_s
        opened = f"the circuit breaker of {name} has opened{_because(sample)}" if sample.breaker == "open" else ""
        if sample.breaker == "half_open" and f"breaker_opened:{name}" in self.lasting:
            opened = f"the circuit breaker of {name} lets requests through on trial"
        return [
            _Finding("provider_down", name, "critical", _down(sample), f"{name} answers again", hold_s),
            _Finding("breaker_opened", name, "warning", opened, f"the circuit breaker of {name} is closed", 0.0),
            _Finding(
                "error_rate",
                name,
                "warning",
                self._rates.setdefault(name, _Rate()).wrong(sample, now, self._policy),
                f"the error rate of {name} is below {self._policy.error_rate:.0%} again",
                hold_s,
            ),
            _Finding(
                "latency_degraded", name, "warning", self._slow(sample), f"{name} is as fast as usual again", hold_s
            ),
        ]

    def _slow(self, sample: TargetSample) -> str:
        found = [
            self._usual.setdefault((sample.name, what), _Usual()).slow(pace, self._policy)
            for what, pace in (("first", sample.first_content), ("whole", sample.whole))
        ]
        for what, ratio in zip(("the first content", "whole answers"), found, strict=True):
            if ratio is not None:
                return f"{what} of {sample.name} take {ratio[0]:.3g} s (p95), {ratio[1]:.3g} s are usual"
        return ""

    def _all_down(self, samples: Sequence[TargetSample]) -> _Finding:
        down = bool(samples) and all(sample.is_down for sample in samples)
        wrong = f"no provider answers: {', '.join(sample.name for sample in samples)}" if down else ""
        return _Finding("all_targets_down", "", "critical", wrong, "a provider answers again", self._policy.hold_s)


class _Course:
    """One alert over time: quiet, wrong for a while, told, right for a while, quiet."""

    __slots__ = ("_right_since", "_wrong", "told_at", "wrong_since")

    def __init__(self) -> None:
        self._wrong = False
        self.wrong_since = 0.0
        self._right_since: float | None = None
        self.told_at: float | None = None
        """When it was told last, while it lasts."""

    def step(self, wrong: bool, now: float, hold_s: float, policy: AlertPolicy) -> AlertStatus | None:
        if self.told_at is None:
            return self._quiet(wrong, now, hold_s)
        if wrong:
            self._right_since = None
            if policy.repeat_s > 0 and now - self.told_at >= policy.repeat_s:
                self.told_at = now
                return "lasting"
            return None
        if self._right_since is None:
            self._right_since = now
        if now - self._right_since < policy.hold_s:
            return None
        self.told_at = self._right_since = None
        self._wrong = False
        return "recovered"

    def _quiet(self, wrong: bool, now: float, hold_s: float) -> AlertStatus | None:
        if wrong and not self._wrong:
            self.wrong_since = now
        self._wrong = wrong
        if not wrong or now - self.wrong_since < hold_s:
            return None
        self.told_at = now
        return "firing"


class _Rate:
    """The counts of one target over the window: the oldest is the last that was taken before the window began."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int, int]] = deque()

    def wrong(self, sample: TargetSample, now: float, policy: AlertPolicy) -> str:
        counts = self._counts
        counts.append((now, sample.successes, sample.failures))
        while len(counts) > 1 and counts[1][0] <= now - policy.error_rate_window_s:
            counts.popleft()
        _, successes, failures = counts[0]
        failed = sample.failures - failures
        total = sample.successes - successes + failed
        if total < policy.min_requests or failed < policy.error_rate * total:
            return ""
        seconds = policy.error_rate_window_s
        return f"{failed} of {total} answers of {sample.name} in {seconds:g} s failed{_because(sample)}"


class _Usual:
    """What is usual for a target: the p95 of batches of `min_requests` answers, those of a slow time left out."""

    __slots__ = ("_answers", "_batches")

    def __init__(self) -> None:
        self._answers = 0
        self._batches: deque[float] = deque(maxlen=_USUAL_OF)

    def slow(self, pace: Pace, policy: AlertPolicy) -> tuple[float, float] | None:
        """The recent p95 and the usual one when the recent one is too high."""
        if pace.recent_p95_s is None or pace.answers < policy.min_requests:
            return None
        usual = median(self._batches) if len(self._batches) >= _USUAL_FROM else None
        if usual is not None and pace.recent_p95_s > policy.latency_factor * usual:
            return pace.recent_p95_s, usual
        if pace.answers - self._answers >= policy.min_requests:
            self._answers = pace.answers
            self._batches.append(pace.recent_p95_s)
        return None


def _down(sample: TargetSample) -> str:
    if sample.breaker != "closed":
        return f"{sample.name} is down{_because(sample)}"
    if sample.is_down:
        return f"{sample.name} is down: its health check failed {sample.checks_failed_in_a_row} times in a row"
    return ""


def _because(sample: TargetSample) -> str:
    return f"; last error: {sample.last_error}" if sample.last_error else ""
