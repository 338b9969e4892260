"""Counts of texts, each made once: the same instructions, turns and tools come with request after request."""

from collections.abc import Callable

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.tokens.content import ContentKind, kind_of

__all__ = ["TokenMeter"]

_LONGEST_WHOLE = 1_000
"""Characters of a text that is measured whole. Of a longer one the lines are: most of them are known, in other contexts."""
_LONGEST_KEPT = 4_096
"""Characters of a text that is remembered with its count; of longer ones, which would fill the memory, a hash is."""
_LONG_BYTES = 1_000_000


class TokenMeter:
    """A measure of texts that remembers the last `most` of them. Safe to share between threads."""

    def __init__(self, count: Callable[[str], int], *, most: int = 20_000) -> None:
        self._count = count
        self._whole = kept_of_text(most, longest=_LONGEST_KEPT)(self._measured)
        self._long = kept_of_text(0, longest=0, long_bytes=_LONG_BYTES, weight=lambda _: 0)(self._in_lines)

    def measure(self, text: str) -> tuple[int, ContentKind]:
        """Tokens of `text`, and what kind of text it is."""
        return self._in_lines(text) if len(text) <= _LONGEST_KEPT else self._long(text)

    def _in_lines(self, text: str) -> tuple[int, ContentKind]:
        if len(text) <= _LONGEST_WHOLE or "\n" not in text:
            return self._whole(text)
        # Each part is counted as it stands: one that is long itself is not taken apart again.
        return sum([self._whole(part)[0] for part in _lines(text)]), kind_of(text)

    def _measured(self, text: str) -> tuple[int, ContentKind]:
        return self._count(text), kind_of(text)


def _lines(text: str) -> list[str]:
    """The lines of a text, each with its end. One that begins with white space or a slash may share a token with the end of
    the one before, and stays with it; no other token of the vocabulary goes over the end of a line."""
    lines = text.split("\n")
    found, begun = [], 0
    for place, line in enumerate(lines):
        if place and line and line[0] != "/" and not line[0].isspace():
            found.append("\n".join((*lines[begun:place], "")))
            begun = place
    found.append("\n".join(lines[begun:]))
    return found
