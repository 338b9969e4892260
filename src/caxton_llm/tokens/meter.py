"""Counts of texts, each made once: the same instructions, turns and tools come with request after request."""

from collections.abc import Callable, Iterator
from functools import lru_cache

from caxton_llm.tokens.content import ContentKind, kind_of

__all__ = ["TokenMeter"]

_LONGEST_WHOLE = 1_000
"""Characters of a text that is measured whole. Of a longer one the lines are: most of them are known, in other contexts."""
_LONGEST_KEPT = 4_096
"""Characters of a text whose count is remembered: a longer one is seldom seen twice, and many would fill the memory."""


class TokenMeter:
    """A measure of texts that remembers the last `most` of them. Safe to share between threads."""

    def __init__(self, count: Callable[[str], int], *, most: int = 20_000) -> None:
        self._count = count
        self._known = lru_cache(maxsize=most)(self._measured)

    def measure(self, text: str) -> tuple[int, ContentKind]:
        """Tokens of `text`, and what kind of text it is."""
        if len(text) <= _LONGEST_WHOLE or "\n" not in text:
            return self._whole(text)
        # Each part is counted as it stands: one that is long itself is not taken apart again.
        return sum(self._whole(part)[0] for part in _parts(text)), kind_of(text)

    def _whole(self, text: str) -> tuple[int, ContentKind]:
        return self._known(text) if len(text) <= _LONGEST_KEPT else self._measured(text)

    def _measured(self, text: str) -> tuple[int, ContentKind]:
        return self._count(text), kind_of(text)


def _parts(text: str) -> Iterator[str]:
    """Lines with their ends. What begins with white space or a slash may share a token with the line before, and stays with
    it; no other token of the vocabulary goes over the end of a line."""
    part = ""
    for line in text.split("\n"):
        if part and line and line[0] != "/" and not line[0].isspace():
            yield part
            part = ""
        part += f"{line}\n"
    yield part[:-1]
