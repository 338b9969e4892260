"""Results of functions of a text that are kept: of short texts the last ones, of long ones as many as bytes permit."""

from collections.abc import Callable
from functools import lru_cache, wraps
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["kept_of_short"]

_Made = TypeVar("_Made")
_LIGHT = 200
"""Bytes of what is kept of a long text beside its result."""


def kept_of_short(
    most: int, *, longest: int = 4_096, long_bytes: int = 0, weight: Callable[[str], int] = len
) -> Callable[[Callable[[str], _Made]], Callable[[str], _Made]]:
    """A function of a text that gives what it gave before for the last `most` texts of at most `longest` characters, and for
    the last longer ones whose results take at most `long_bytes` together; `weight` says about how many bytes one takes."""

    def kept(function: Callable[[str], _Made]) -> Callable[[str], _Made]:
        of_short = lru_cache(maxsize=most)(function)
        of_long = _Long(function, weight, long_bytes).of if long_bytes else function

        @wraps(function)
        def of(text: str) -> _Made:
            return of_short(text) if len(text) <= longest else of_long(text)

        return of

    return kept


class _Long(Generic[_Made]):
    """Results by a hash of the text, which is not held itself: one that nobody can find a second text for."""

    def __init__(self, function: Callable[[str], _Made], weight: Callable[[str], int], heaviest: int) -> None:
        self._function = function
        self._weight = weight
        self._left = heaviest
        self._known: dict[bytes, tuple[_Made, int]] = {}
        self._lock = Lock()

    def of(self, text: str) -> _Made:
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._known.get(key)
        if known is not None:
            return known[0]
        made, weight = self._function(text), _LIGHT + self._weight(text)
        with self._lock:
            if key not in self._known:
                self._known[key] = made, weight
                self._left -= weight
            while self._left < 0 and self._known:
                self._left += self._known.pop(next(iter(self._known)))[1]
        return made
