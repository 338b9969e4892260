"""The specification's metrics for Prometheus ("Provider Metrics"), with their exact names and labels.

Labels take their values from the configuration and from this package only, so their number is bounded.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from caxton_llm.observers.reading import TargetReading
from caxton_llm.observers.record import Observer, RequestRecord
from caxton_llm.observers.target_gauges import TargetGauges

__all__ = ["SHARED_FOLDER_VARIABLE", "PrometheusObserver"]

SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which the metrics library learns that several processes share a folder."""

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

_ERROR_TYPES = {
    "connect_timeout": "timeout",
    "first_byte_timeout": "timeout",
    "idle_timeout": "timeout",
    "deadline_exceeded": "timeout",
    "rate_limited": "rate_limit",
    "provider_failure": "server_error",
}
"""Kinds of error under the names that the specification uses; the others keep their own."""


class PrometheusObserver(Observer):
    """Counts requests, errors, tokens, cost and durations per provider entry.

    `caxton_llm_token_usage_total` has the types `input`, `output`, `cached` and `reasoning`; the last two are parts of the
    first two. Unknown usage counts nothing.

    What every answer counts is added up in plain numbers, because a counter of the library costs as much as decoding a small
    answer. `publish` hands the sums over; `render` does so itself, but of other processes it shows what they have published.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, shared_folder: str | None = None) -> None:
        self.registry = CollectorRegistry()
        self._shared_folder = shared_folder
        self._duration = self._histogram(
            "request_duration_seconds",
            "Duration of requests from their arrival to the end of the answer.",
            "provider",
            "model",
        )
        self._waits = self._histogram(
            "queue_wait_seconds",
            "How long requests waited for their turn at a provider; those that did not wait are not counted.",
            "provider",
        )
        self._requests = self._counter("requests_total", "Requests by outcome.", "provider", "status")
        self._tokens = self._counter("token_usage_total", "Tokens by type.", "provider", "type")
        self._errors = self._counter("errors_total", "Failed requests by type of error.", "provider", "error_type")
        self._attempts = self._counter(
            "attempts_total", "Sends to a provider by outcome: `success`, or the type of error.", "provider", "outcome"
        )
        self._retries = self._counter(
            "retries_total", "Attempts that were repeated at the same provider.", "provider", "error_type"
        )
        self._fallbacks = self._counter(
            "fallbacks_total",
            "Requests that went on from one provider to another, by the error that caused it.",
            "provider",
            "to",
            "error_type",
        )
        self._hedges = self._counter(
            "hedges_total",
            "Requests that two providers were asked for, by who answered and whether it was the second.",
            "provider",
            "second",
        )
        self._resumes = self._counter(
            "resumes_total", "Streams that broke off and were continued by another provider.", "provider", "to"
        )
        self._changes = self._counter(
            "breaker_changes_total", "Changes of a circuit breaker by its new state.", "provider", "state"
        )
        self._checks = self._counter(
            "health_checks_total", "Health checks by outcome: `success`, or the type of error.", "provider", "outcome"
        )
        self._check_cost = self._counter(
            "health_check_cost_usd_total", "Estimated cost of health checks with a test prompt.", "provider"
        )
        self._cost = self._counter("cost_usd_total", "Estimated cost in US dollars.", "provider", "model")
        self._unpriced = self._counter(
            "cost_unknown_total", "Answers whose price or usage is unknown.", "provider", "model"
        )
        self._warnings = self._counter("warnings_total", "Warnings that came with answers.", "provider")
        self._alerts = self._counter(
            "alerts_total",
            "Alerts by channel and outcome: `success`, or `error` when they could not be sent.",
            "channel",
            "rule",
            "outcome",
        )
        self._gauges = TargetGauges(self.registry)
        self._read: Callable[[], Iterable[TargetReading]] = tuple
        self._tallies: dict[tuple[str, str], _Tally] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"caxton_llm_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"caxton_llm_{name}", text, labels, registry=self.registry, buckets=_SECONDS)

    def finished(self, record: RequestRecord) -> None:
        key = (record.target, record.model)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally(self, *key)
        tally.duration.observe(record.seconds)
        if record.status == "success":
            tally.success += 1
            tally.attempts += 1
        else:
            self._requests.labels(record.target, record.status).inc()
        if record.error_kind is not None and record.status == "error":
            self._count_error(record.target, record.error_kind)
        if record.warnings:
            self._warnings.labels(record.target).inc(record.warnings)
        self._count_usage(record, tally)

    def failed(self, provider: str, error_kind: str) -> None:
        """A failure of which no record tells; `provider` is an entry, or `gateway` when the request reached none."""
        self._requests.labels(provider, "error").inc()
        self._count_error(provider, error_kind)

    def retried(self, target: str, error_kind: str) -> None:
        self._retries.labels(target, _ERROR_TYPES.get(error_kind, error_kind)).inc()

    def attempt_failed(self, target: str, error_kind: str) -> None:
        self._attempts.labels(target, _ERROR_TYPES.get(error_kind, error_kind)).inc()

    def fell_back(self, failed: str, target: str, error_kind: str) -> None:
        self._fallbacks.labels(failed, target, _ERROR_TYPES.get(error_kind, error_kind)).inc()

    def queued(self, target: str, seconds: float) -> None:
        self._waits.labels(target).observe(seconds)

    def hedged(self, target: str | None, *, won: bool) -> None:
        self._hedges.labels(target or "none", "true" if won else "false").inc()

    def resumed(self, failed: str, target: str) -> None:
        self._resumes.labels(failed, target).inc()

    def breaker_changed(self, target: str, state: str) -> None:
        self._changes.labels(target, state).inc()

    def checked(self, target: str, error_kind: str | None, seconds: float, cost_usd: float | None) -> None:  # noqa: ARG002
        outcome = "success" if error_kind is None else _ERROR_TYPES.get(error_kind, error_kind)
        self._checks.labels(target, outcome).inc()
        if cost_usd:
            self._check_cost.labels(target).inc(cost_usd)

    def alerted(self, channel: str, rule: str, *, sent: bool) -> None:
        self._alerts.labels(channel, rule, "success" if sent else "error").inc()

    def watch(self, read: Callable[[], Iterable[TargetReading]]) -> None:
        """Where the state of the targets is read when somebody looks."""
        self._read = read

    @property
    def is_shared(self) -> bool:
        """Other processes render what this one publishes."""
        return self._shared_folder is not None

    def publish(self) -> None:
        """Make the counts so far visible."""
        for tally in self._tallies.values():
            tally.publish()
        for reading in self._read():
            self._gauges.show(reading)

    def render(self) -> bytes:
        """All metrics in the text format of Prometheus; of all processes when they share a folder."""
        self.publish()
        if self._shared_folder is None:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared, path=self._shared_folder)  # type: ignore[no-untyped-call]
        return generate_latest(shared)

    def _count_error(self, provider: str, error_kind: str) -> None:
        self._errors.labels(provider, _ERROR_TYPES.get(error_kind, error_kind)).inc()

    def _count_usage(self, record: RequestRecord, tally: "_Tally") -> None:
        usage = record.usage
        if usage is not None:
            tally.input_tokens += usage.prompt_tokens or 0
            tally.output_tokens += usage.completion_tokens or 0
            tally.cached_tokens += usage.cached_tokens or 0
            tally.reasoning_tokens += usage.reasoning_tokens or 0
        if record.cost_usd is not None:
            tally.cost += record.cost_usd
        elif record.status == "success":
            tally.unpriced += 1


class _Tally:
    """The counts of one target and model that are not published yet, and the counters that they go to."""

    __slots__ = (
        "_counters",
        "attempts",
        "cached_tokens",
        "cost",
        "duration",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "success",
        "unpriced",
    )

    def __init__(self, metrics: PrometheusObserver, target: str, model: str) -> None:
        self.duration = metrics._duration.labels(target, model)
        self._counters = {
            "success": metrics._requests.labels(target, "success"),
            "attempts": metrics._attempts.labels(target, "success"),
            "input_tokens": metrics._tokens.labels(target, "input"),
            "output_tokens": metrics._tokens.labels(target, "output"),
            "cached_tokens": metrics._tokens.labels(target, "cached"),
            "reasoning_tokens": metrics._tokens.labels(target, "reasoning"),
            "cost": metrics._cost.labels(target, model),
            "unpriced": metrics._unpriced.labels(target, model),
        }
        self._start()

    def _start(self) -> None:
        self.success = self.attempts = self.unpriced = 0
        self.input_tokens = self.output_tokens = self.cached_tokens = self.reasoning_tokens = 0
        self.cost = 0.0

    def publish(self) -> None:
        for name, counter in self._counters.items():
            if amount := getattr(self, name):
                counter.inc(amount)
        self._start()
