"""How long a provider asks to wait, in all the ways in which providers say it.

In this order: `retry-after-ms`, `retry-after` (seconds or an HTTP date), the words of the message ("try again in 20s"), and
for a 429 the reset times of the windows that are used up. A date counts from the response's own `Date` header, because
nothing here reads a clock; without that header it says nothing. Values that are not above zero say nothing either: the
caller's own back-off applies then, as it does for what cannot be understood. No wait is longer than a day.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from caxton_llm.wire.durations import duration_s, finite, http_date, reset_in_s, until_s

__all__ = ["retry_after_s"]

_IN_WORDS = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*)+|\d+(?:\.\d+)?)", re.IGNORECASE
)
_LONGEST_S = 86400.0


def retry_after_s(headers: Mapping[str, str], text: str, *, status: int | None) -> float | None:
    """Seconds to wait, or `None` when the provider did not say. Header names are lower case."""
    date = http_date(headers.get("date"))

    def now() -> datetime | None:
        return date

    for wait in (
        _scaled(finite(headers.get("retry-after-ms")), 0.001),
        finite(headers.get("retry-after")),
        until_s(http_date(headers.get("retry-after")), now),
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
    duration = duration_s(found.group(1))
    return duration if duration is not None else finite(found.group(1))


def _window_reset(headers: Mapping[str, str], now: Callable[[], datetime | None]) -> float | None:
    """The last reset among the windows that are used up, or of which it is not said how much is left."""
    waits = []
    for name, value in headers.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        left = finite(headers.get(name.replace("reset", "remaining")))
        if left is None or left <= 0:
            waits.append(reset_in_s(value, now))
    return max((wait for wait in waits if wait is not None), default=None)


def _scaled(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor
