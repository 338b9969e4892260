"""Results of functions of texts that are kept for short texts: a few long ones would fill the memory."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar, TypeVarTuple

__all__ = ["kept_of_short"]

_Texts = TypeVarTuple("_Texts")
_Made = TypeVar("_Made")


def kept_of_short(
    most: int, *, longest: int = 4_096
) -> Callable[[Callable[[*_Texts], _Made]], Callable[[*_Texts], _Made]]:
    """A function of texts that gives what it gave before for the last `most` texts of at most `longest` characters in all."""

    def kept(function: Callable[[*_Texts], _Made]) -> Callable[[*_Texts], _Made]:
        of_short = lru_cache(maxsize=most)(function)

        @wraps(function)
        def of(*texts: *_Texts) -> _Made:
            is_short = sum([len(text) for text in texts if isinstance(text, str)]) <= longest
            return of_short(*texts) if is_short else function(*texts)

        return of

    return kept
