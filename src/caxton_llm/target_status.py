"""How a target is doing, for people, for metrics and for alerts: three views of one `TargetState`.

Nothing here holds a message of a provider, a prompt or a key: names of the configuration, kinds of errors, figures.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from caxton_llm.alerts.notice import iso_time
from caxton_llm.alerts.rules import DOWN_AFTER_CHECKS, Pace, TargetSample
from caxton_llm.dispatch.target import TargetState
from caxton_llm.observers.reading import TargetReading
from caxton_llm.routing.latency import Latencies

__all__ = [
    "BreakerStatus",
    "CheckStatus",
    "ErrorStatus",
    "KeyStatus",
    "LatencyStatus",
    "LimitStatus",
    "Percentiles",
    "QueueStatus",
    "TargetStatus",
    "describe_target",
    "read_target",
    "sample_target",
]


class ErrorStatus(Struct, frozen=True):
    """An error that a target gave: its kind, the provider's HTTP status, and when (ISO 8601, UTC)."""

    kind: str
    status: int | None
    at: str


class Percentiles(Struct, frozen=True):
    """Milliseconds that so many percent of the last 256 answers stay below."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


class LatencyStatus(Struct, frozen=True):
    """Of whole answers, and of streams until their first content; `None` before the first."""

    whole: Percentiles | None
    first_content: Percentiles | None


class BreakerStatus(Struct, frozen=True):
    """The circuit breaker: `closed`, `open`, `half_open`; when it opened; the share of its requests that the target gets."""

    state: str
    opened_at: str | None
    share: float


class LimitStatus(Struct, frozen=True):
    """What is left of the provider's limits, as far as it tells, and what is configured; `None` is unknown or no limit."""

    remaining_requests: int | None
    remaining_tokens: int | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrency: int | None


class QueueStatus(Struct, frozen=True):
    """Requests under way, requests that wait, and how many may be under way at the moment."""

    in_flight: int
    queued: int
    concurrency_limit: int | None


class KeyStatus(Struct, frozen=True):
    """How many keys there are, and how many of them are left alone after a refusal."""

    count: int
    resting: int


class CheckStatus(Struct, frozen=True):
    """The last health check: when it ended, how long it took, the kind of its error, and how many failed in a row."""

    at: str
    ms: float
    error: str | None
    failed_in_a_row: int


class TargetStatus(Struct, frozen=True, kw_only=True):
    """One target at a moment. Times are ISO 8601 in UTC; counts are since the start."""

    name: str
    provider: str
    """The kind: `openai`, `anthropic`, ..."""
    models: tuple[str, ...]
    priority: int
    weight: float
    region: str | None
    state: Literal["up", "recovering", "down", "unknown"]
    """`down`: the breaker is open, two health checks failed in a row, or everything has failed so far. `recovering`: it gets
    a part of its requests. `unknown`: never asked."""
    last_error: ErrorStatus | None
    last_success_at: str | None
    successes: int
    failures: int
    latency: LatencyStatus
    breaker: BreakerStatus
    limits: LimitStatus
    queue: QueueStatus
    keys: KeyStatus
    health_check: CheckStatus | None


def describe_target(state: TargetState, now: float, wall: float) -> TargetStatus:
    """The state for people. `now` is the clock of the state, `wall` the same moment in seconds since the epoch."""
    target, gate, check = state.target, state.gate.snapshot(), state.check
    opened_at = state.breaker.opened_at
    return TargetStatus(
        name=target.name,
        provider=target.kind,
        models=target.models,
        priority=target.priority,
        weight=target.weight,
        region=target.region,
        state=_word(state, now),
        last_error=_last_error(state),
        last_success_at=None if state.last_success_at is None else iso_time(state.last_success_at),
        successes=state.successes,
        failures=state.failures,
        latency=LatencyStatus(_percentiles(state.whole), _percentiles(state.first_content)),
        breaker=BreakerStatus(
            state=state.breaker.state,
            opened_at=None if opened_at is None else iso_time(wall - (now - opened_at)),
            share=round(state.breaker.share(now), 3),
        ),
        limits=LimitStatus(
            remaining_requests=gate.remaining_requests,
            remaining_tokens=gate.remaining_tokens,
            requests_per_minute=target.limits.requests_per_minute,
            tokens_per_minute=target.limits.tokens_per_minute,
            max_concurrency=target.limits.max_concurrency,
        ),
        queue=QueueStatus(gate.in_flight, gate.queued, gate.concurrency_limit),
        keys=KeyStatus(len(state.keys.keys), state.keys.resting(now)),
        health_check=None
        if check is None
        else CheckStatus(iso_time(check.at), round(check.seconds * 1000, 1), check.error, check.failed_in_a_row),
    )


def read_target(state: TargetState, now: float) -> TargetReading:
    """The state for gauges."""
    gate = state.gate.snapshot()
    return TargetReading(
        name=state.target.name,
        breaker=state.breaker.state,
        healthy=_word(state, now) != "down",
        in_flight=gate.in_flight,
        queued=gate.queued,
        concurrency_limit=gate.concurrency_limit,
        remaining_requests=gate.remaining_requests,
        remaining_tokens=gate.remaining_tokens,
        p50_s=state.whole.percentile(0.5),
        p95_s=state.whole.percentile(0.95),
        p99_s=state.whole.percentile(0.99),
    )


def sample_target(state: TargetState, recent: int) -> TargetSample:
    """The state for alerts; `recent` is the number of answers that count as recent."""
    return TargetSample(
        name=state.target.name,
        breaker=state.breaker.state,
        checks_failed_in_a_row=0 if state.check is None else state.check.failed_in_a_row,
        successes=state.successes,
        failures=state.failures,
        last_error=None if state.last_error is None else state.last_error.kind,
        whole=_pace(state.whole, recent),
        first_content=_pace(state.first_content, recent),
    )


def _word(state: TargetState, now: float) -> Literal["up", "recovering", "down", "unknown"]:
    breaker, check = state.breaker, state.check
    if breaker.state == "open" or (check is not None and check.failed_in_a_row >= DOWN_AFTER_CHECKS):
        return "down"
    if breaker.state == "half_open" or breaker.share(now) < 1.0:
        return "recovering"
    if state.successes or (check is not None and check.error is None):
        return "up"
    return "down" if state.failures or (check is not None and check.failed_in_a_row) else "unknown"


def _last_error(state: TargetState) -> ErrorStatus | None:
    error = state.last_error
    return None if error is None else ErrorStatus(error.kind, error.status, iso_time(error.at))


def _percentiles(latencies: Latencies) -> Percentiles | None:
    found: Sequence[float | None] = [latencies.percentile(share) for share in (0.5, 0.95, 0.99)]
    known = [round(seconds * 1000, 1) for seconds in found if seconds is not None]
    return Percentiles(*known) if len(known) == len(found) else None


def _pace(latencies: Latencies, recent: int) -> Pace:
    return Pace(latencies.count, latencies.recent_percentile(0.95, recent))
