"""What happened to one request, told to whoever wants to know."""

from typing import Protocol

from msgspec import Struct

from caxton_llm.types import Usage

__all__ = ["Observer", "RequestRecord"]


class RequestRecord(Struct, frozen=True, kw_only=True):
    """One finished request. `status` is `success`, `error` or `cancelled`; no field holds text of a user."""

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


class Observer(Protocol):
    """Called on the path of a request, so it must not wait or raise."""

    def finished(self, record: RequestRecord) -> None: ...
    def retried(self, target: str, error_kind: str) -> None: ...
