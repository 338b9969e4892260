"""How long a provider asks to wait, in all the ways in which providers say it.

In this order: `retry-after-ms`, `retry-after` (seconds or an HTTP date), the words of the message ("try again in 20s"), and
for a 429 the reset times of the windows that are used up. A date counts from the response's own `Date` header, because
nothing here reads a clock; without that header it says nothing. Values that are not above zero say nothing either: the
caller's own back-off applies then, as it does for what cannot be understood. No wait is longer than a day.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["retry_after_s"]

# `ms` before `m`: 6m0s, 12ms, 1h2m3.5s, 114h18m0s
_DURATION = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|seconds?|m|minutes?|h|hours?|d|days?)(?![a-z])", re.IGNORECASE
)
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_IN_WORDS = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*)+|\d+(?:\.\d+)?)", re.IGNORECASE
)
_LONGEST_S = 86400.0
_LONGEST_DURATION = 200
"""No duration has more characters, and the search would take a time that grows with their square."""
_EPOCH_S = 1_000_000_000
_EPOCH_MS = 1_000_000_000_000


def retry_after_s(headers: Mapping[str, str], text: str, *, status: int | None) -> float | None:
    """Seconds to wait, or `None` when the provider did not say. Header names are lower case."""
    now = _http_date(headers.get("date"))
    for wait in (
        _scaled(_number(headers.get("retry-after-ms")), 0.001),
        _number(headers.get("retry-after")),
        _until(_http_date(headers.get("retry-after")), now),
        _in_words(text),
        _window_reset(headers, now) if status == 429 else None,
    ):
        if wait is not None and wait > 0:
            return min(wait, _LONGEST_S)
    return None


def _in_words(text: str) -> float | None:
    found = _IN_WORDS.search(text)
    if found is None:
        return None
    duration = _duration(found.group(1))
    return duration if duration is not None else _number(found.group(1))


def _window_reset(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """The last reset among the windows that are used up, or of which it is not said how much is left."""
    waits = []
    for name, value in headers.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        left = _number(headers.get(name.replace("reset", "remaining")))
        if left is None or left <= 0:
            waits.append(_reset_in(value, now))
    return max((wait for wait in waits if wait is not None), default=None)


def _reset_in(value: str, now: datetime | None) -> float | None:
    """A reset time as seconds from now: seconds, a Go duration, RFC 3339, or seconds or milliseconds since 1970."""
    number = _number(value)
    if number is None:
        duration = _duration(value)
        return duration if duration is not None else _until(_rfc3339(value), now)
    if number < _EPOCH_S:
        return number
    if now is None:
        return None
    return (number / 1000 if number >= _EPOCH_MS else number) - now.timestamp()


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _scaled(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor


def _duration(value: str) -> float | None:
    if len(value) > _LONGEST_DURATION:
        return None
    parts = _DURATION.findall(value)
    seconds = sum(float(amount) * _unit(unit.lower()) for amount, unit in parts)
    return seconds if parts and math.isfinite(seconds) else None


def _unit(name: str) -> float:
    return 0.001 if name.startswith(("ms", "milli")) else _UNIT_S[name[0]]


def _http_date(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):  # the latter for a zone of many digits
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # HTTP knows no other zone


def _rfc3339(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _until(moment: datetime | None, now: datetime | None) -> float | None:
    return (moment - now).total_seconds() if moment is not None and now is not None else None
