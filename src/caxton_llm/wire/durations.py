"""How providers write a time to come: seconds, a Go duration, an HTTP date, RFC 3339, seconds or milliseconds since 1970.

What cannot be understood is `None`; nothing here raises or reads a clock.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

__all__ = ["duration_s", "finite", "http_date", "reset_in_s", "until_s"]

# `ms` before `m`: 6m0s, 12ms, 1h2m3.5s, 114h18m0s
_DURATION = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|seconds?|m|minutes?|h|hours?|d|days?)(?![a-z])", re.IGNORECASE
)
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_DURATION = 200
"""No duration has more characters, and the search would take a time that grows with their square."""
_EPOCH_S = 1_000_000_000
_EPOCH_MS = 1_000_000_000_000


def reset_in_s(value: str, now: Callable[[], datetime | None]) -> float | None:
    """A reset time in any form as seconds from now, below zero when it has passed; `now` is asked only for a date."""
    if value[4:5] == "-":  # a date, which the pattern of a duration would search for long and in vain
        return until_s(_rfc3339(value), now)
    number = finite(value)
    if number is None:
        duration = duration_s(value)
        return duration if duration is not None else until_s(_rfc3339(value), now)
    if number < _EPOCH_S:
        return number
    moment = now()
    if moment is None:
        return None
    return (number / 1000 if number >= _EPOCH_MS else number) - moment.timestamp()


def finite(value: str | None) -> float | None:
    """The number that a text is."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def duration_s(value: str) -> float | None:
    """The durations inside a text, added up, in seconds."""
    if len(value) > _LONGEST_DURATION:
        return None
    parts = _DURATION.findall(value)
    seconds = sum(float(amount) * _unit(unit.lower()) for amount, unit in parts)
    return seconds if parts and math.isfinite(seconds) else None


@lru_cache(maxsize=16)  # many answers of one second carry the same, and reading it is the dearest thing here
def http_date(value: str | None) -> datetime | None:
    """The moment that an HTTP date names."""
    try:
        moment = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):  # the latter for a zone of many digits
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # HTTP knows no other zone


def until_s(moment: datetime | None, now: Callable[[], datetime | None]) -> float | None:
    """Seconds from now to a moment."""
    if moment is None:
        return None
    present = now()
    return None if present is None else (moment - present).total_seconds()


def _rfc3339(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _unit(name: str) -> float:
    return 0.001 if name.startswith(("ms", "milli")) else _UNIT_S[name[0]]
