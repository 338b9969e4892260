"""Counts of texts, each made once: the same instructions, turns and tools come with request after request."""

from collections.abc import Callable
from functools import lru_cache

from caxton_llm.tokens.content import ContentKind, kind_of

__all__ = ["TokenMeter"]

_LONGEST_KEPT = 16_384
"""Characters of a text whose count is remembered; a longer one is seldom seen twice."""


class TokenMeter:
    """A measure of texts that remembers the last `most` of them. Safe to share between threads."""

    def __init__(self, count: Callable[[str], int], *, most: int = 20_000) -> None:
        self._count = count
        self._known = lru_cache(maxsize=most)(self._measured)

    def measure(self, text: str) -> tuple[int, ContentKind]:
        """Tokens of `text`, and what kind of text it is."""
        return self._known(text) if len(text) <= _LONGEST_KEPT else self._measured(text)

    def _measured(self, text: str) -> tuple[int, ContentKind]:
        return self._count(text), kind_of(text)
