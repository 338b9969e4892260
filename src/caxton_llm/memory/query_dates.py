"""The days, months and years that a question names, and which records are from then. Pure."""

import re
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.caching.texts import kept_of_text

__all__ = ["Period", "from_then", "periods_in"]

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NAMES = {name[:length]: number for number, name in enumerate(_MONTHS, 1) for length in (3, len(name))} | {"sept": 9}
_MONTH = "|".join(sorted((name.capitalize() for name in _NAMES), key=len, reverse=True))
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:19|20)\d\d"
# Months are capitalised, which tells May from may; the day stands before or after ("8 May 2023", "May 8th, 2023").
_WRITTEN = re.compile(
    rf"\b(?:(?P<before>{_DAY})\s(?:of\s)?)?(?P<month>{_MONTH})\b\.?(?:\s(?P<after>{_DAY})\b)?(?:,?\s(?:of\s)?(?P<year>{_YEAR})\b)?"
)
_ISO = re.compile(rf"(?<![\w-])(?P<year>{_YEAR})-(?P<month>0[1-9]|1[0-2])(?:-(?P<day>0[1-9]|[12]\d|3[01]))?(?![\w-])")
_BARE_YEAR = re.compile(rf"(?<![\w.,-])(?P<year>{_YEAR})(?![\w-]|[.,]\d)")
_AMBIGUOUS = ("May", "March", "Mar")
"""Words of their own at the start of a sentence ("May I ...", "March on")."""

_DAYS_AFTER = 3
"""What happened is often told a day or two later."""


class Period(Struct, frozen=True):
    """A day, a month or a year; without `year`, of any year."""

    year: int | None
    month: int | None = None
    day: int | None = None


@kept_of_text(256)
def periods_in(query: str) -> tuple[Period, ...]:
    """What `query` names in English or ISO 8601, in order of appearance within each notation. Kept, because a request is
    compared with more than one thing."""
    found = []
    rest = query
    for match in _ISO.finditer(query):
        day = match["day"]
        found.append(Period(int(match["year"]), int(match["month"]), int(day) if day else None))
    rest = _ISO.sub(" ", rest)
    for match in _WRITTEN.finditer(rest):
        day, year = match["before"] or match["after"], match["year"]
        if match.start() == 0 and match["month"] in _AMBIGUOUS and not day and not year:
            continue
        number = int(re.sub(r"\D", "", day)) if day else None
        found.append(Period(int(year) if year else None, _NAMES[match["month"].lower()], number))
    found += [Period(int(match["year"])) for match in _BARE_YEAR.finditer(_WRITTEN.sub(" ", rest))]
    return tuple(found)


def from_then(periods: Sequence[Period], times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of `times_s` (seconds since 1970, UTC; NaN unknown) lie in one of `periods` or up to three days after it."""
    known = np.isfinite(times_s)
    days = np.floor(np.where(known, times_s, 0.0) / 86_400).astype("datetime64[D]")
    found = np.zeros(len(times_s), bool)
    for back in range(_DAYS_AFTER + 1):
        day = days - np.timedelta64(back, "D")
        month = day.astype("datetime64[M]")
        year_number = day.astype("datetime64[Y]").astype(np.int64) + 1970
        month_number = month.astype(np.int64) % 12 + 1
        day_number = (day - month.astype("datetime64[D]")).astype(np.int64) + 1
        for period in periods:
            fits = known.copy()
            for wanted, actual in ((period.year, year_number), (period.month, month_number), (period.day, day_number)):
                if wanted is not None:
                    fits &= actual == wanted
            found |= fits
    return found
