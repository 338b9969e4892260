"""What happens to requests, told to whoever wants to know."""

from msgspec import Struct

from caxton_llm.types import Usage

__all__ = ["Observer", "RequestRecord"]


class RequestRecord(Struct, frozen=True, kw_only=True):
    """One finished request. `status` is `success`, `degraded`, `error` or `cancelled`; no field holds text of a user.

    `target` and `model` are those that answered, or that were tried last.
    """

    target: str
    kind: str
    model: str
    status: str
    error_kind: str | None
    seconds: float
    attempts: int
    usage: Usage | None
    cost_usd: float | None
    streamed: bool
    warnings: int = 0
    """How many things the answer warns of: a truncated prompt, an unreadable event that was skipped."""


class Observer:
    """Called on the path of a request, so it must not wait or raise. Every method may be left as it is: it does nothing.

    Names of targets come from the configuration, kinds of errors from this package: both are bounded in number.
    """

    def finished(self, record: RequestRecord) -> None:
        """A request has ended."""

    def attempt_failed(self, target: str, error_kind: str) -> None:
        """One send to a target ended with an error."""

    def retried(self, target: str, error_kind: str) -> None:
        """The same target is asked again."""

    def fell_back(self, failed: str, target: str, error_kind: str) -> None:
        """Another target is asked after one has failed."""

    def queued(self, target: str, seconds: float) -> None:
        """A request has waited for its turn at a target."""

    def hedged(self, target: str | None, *, won: bool) -> None:
        """Two targets were asked at once; `target` answered first (`None`: neither), `won` says whether it was the second."""

    def resumed(self, failed: str, target: str) -> None:
        """A stream that broke off is continued by another target."""

    def checked(self, target: str, error_kind: str | None, seconds: float, cost_usd: float | None) -> None:
        """A health check has ended; its cost is `None` when it is unknown, 0 when nothing was generated."""

    def breaker_changed(self, target: str, state: str) -> None:
        """A circuit breaker is `open`, `half_open` or `closed` now."""

    def alerted(self, channel: str, rule: str, *, sent: bool) -> None:
        """An alert was sent through a channel (`webhook-2`), or could not be."""
