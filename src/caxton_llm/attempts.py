"""What was tried for one request, and what was passed over."""

from dataclasses import dataclass

__all__ = ["Attempt", "Skip"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One send to one target: `started` is seconds since the request began, `seconds` its duration.

    `error` is the kind of error it ended with. `key` is the number of the target's key from 1, where it has several.
    """

    target: str
    error: str
    started: float
    seconds: float
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A target that nothing was sent to, and why."""

    target: str
    reason: str
