"""How the targets are doing, as gauges: read when somebody looks, so that no request pays for them."""

import math

from prometheus_client import CollectorRegistry, Gauge

from caxton_llm.observers.reading import TargetReading

__all__ = ["TargetGauges"]

_STATES = {"closed": 0, "half_open": 1, "open": 2}


class TargetGauges:
    """One set of gauges in a registry. With several processes, what adds up is added, of the rest the worst is shown."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, mode: str, *labels: str) -> Gauge:
            return Gauge(f"caxton_llm_{name}", text, ("provider", *labels), registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        self._breaker = gauge("breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", "livemax")
        self._healthy = gauge("provider_healthy", "1 while requests are sent to the provider, else 0.", "livemin")
        self._in_flight = gauge("in_flight", "Requests that the provider is working on.", "livesum")
        self._queued = gauge("queue_length", "Requests that wait for their turn at the provider.", "livesum")
        self._limit = gauge("concurrency_limit", "Requests that the provider may get at a time.", "livesum")
        self._remaining = gauge(
            "rate_limit_remaining", "What the provider said is left of its rate limits.", "livemin", "type"
        )
        self._told: set[tuple[str, str]] = set()
        self._latency = gauge("latency_seconds", "Duration of the last whole answers.", "livemax", "quantile")

    def show(self, reading: TargetReading) -> None:
        name = reading.name
        self._breaker.labels(name).set(_STATES[reading.breaker])
        self._healthy.labels(name).set(reading.healthy)
        self._in_flight.labels(name).set(reading.in_flight)
        self._queued.labels(name).set(reading.queued)
        if reading.concurrency_limit is not None:
            self._limit.labels(name).set(reading.concurrency_limit)
        for kind, left in (("requests", reading.remaining_requests), ("tokens", reading.remaining_tokens)):
            if left is not None:
                self._told.add((name, kind))
                self._remaining.labels(name, kind).set(left)
            elif (name, kind) in self._told:  # it was known, and is not any more
                self._remaining.labels(name, kind).set(math.nan)
        for quantile, seconds in (("0.5", reading.p50_s), ("0.95", reading.p95_s), ("0.99", reading.p99_s)):
            if seconds is not None:
                self._latency.labels(name, quantile).set(seconds)
