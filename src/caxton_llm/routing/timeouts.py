"""How long each step of a request may take."""

from msgspec import Struct

__all__ = ["Timeouts"]


class Timeouts(Struct, frozen=True, kw_only=True):
    """Limits in seconds, resolved from `connect_timeout_seconds`, `timeout_seconds`, `read_timeout_seconds` and
    `deadline_seconds`."""

    connect_s: float = 10.0
    """TCP and TLS."""
    attempt_s: float = 60.0
    """One attempt: until the whole answer, or for a stream until its first content event."""
    idle_s: float = 60.0
    """The longest silence inside an answer that has begun."""
    deadline_s: float = 120.0
    """The whole request over all attempts; for a stream until its first content event."""
