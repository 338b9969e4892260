"""Results of functions of a text that are kept: of short texts the last ones, of long ones as many as bytes permit."""

from collections.abc import Callable
from functools import lru_cache, wraps
from hashlib import blake2b
from typing import TypeVar

from caxton_llm.caching.kept import Kept

__all__ = ["kept_of_text"]

_Made = TypeVar("_Made")
_LIGHT = 200
"""Bytes of what is kept of a long text beside its result."""


def kept_of_text(
    most: int, *, longest: int = 4_096, long_bytes: int = 0, weight: Callable[[str], int] = len
) -> Callable[[Callable[[str], _Made]], Callable[[str], _Made]]:
    """A function of a text that gives what it gave before for the last `most` texts of at most `longest` characters, and for
    the last longer ones whose results take at most `long_bytes` together; `weight` says about how many bytes one takes."""

    def kept(function: Callable[[str], _Made]) -> Callable[[str], _Made]:
        of_short = lru_cache(maxsize=most)(function)
        of_long = function
        if long_bytes:
            kept_long = Kept(
                function, lambda text, _: _LIGHT + weight(text), heaviest=long_bytes, key=_digest, holds=False
            )
            of_long = kept_long.of

        @wraps(function)
        def of(text: str) -> _Made:
            return of_short(text) if len(text) <= longest else of_long(text)

        return of

    return kept


def _digest(text: str) -> bytes:
    """What stands for a text that is not held itself: nobody can find a second text for it."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
