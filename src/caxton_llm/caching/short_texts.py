"""Results of functions of a text that are kept for short texts: a few long ones would fill the memory."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

__all__ = ["kept_of_short"]

_Made = TypeVar("_Made")


def kept_of_short(most: int, *, longest: int = 4_096) -> Callable[[Callable[[str], _Made]], Callable[[str], _Made]]:
    """A function of a text that gives what it gave before for the last `most` texts of at most `longest` characters."""

    def kept(function: Callable[[str], _Made]) -> Callable[[str], _Made]:
        of_short = lru_cache(maxsize=most)(function)

        @wraps(function)
        def of(text: str) -> _Made:
            return of_short(text) if len(text) <= longest else function(text)

        return of

    return kept
