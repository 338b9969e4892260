"""The state of a target as figures, for whoever shows or watches it."""

from msgspec import Struct

__all__ = ["TargetReading"]


class TargetReading(Struct, frozen=True, kw_only=True):
    """The state of one target at a moment; `None` is unknown."""

    name: str
    breaker: str
    """`closed`, `half_open` or `open`."""
    healthy: bool
    in_flight: int
    queued: int
    concurrency_limit: int | None
    """`None`: nothing limits it."""
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    """What is left of the provider's limit."""
    p50_s: float | None = None
    """Percentiles of whole answers, in seconds."""
    p95_s: float | None = None
    p99_s: float | None = None
