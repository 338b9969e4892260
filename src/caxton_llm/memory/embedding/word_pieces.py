"""Words to tokens as WordPiece does (https://arxiv.org/abs/1609.08144): the longest token that a word begins with, then the
longest that goes on with it. Pure."""

from functools import lru_cache
from itertools import chain
from typing import Any, Self, cast

__all__ = ["WordPieces"]

_REMEMBERED = 65_536
"""Words that are not tokens as a whole, of which it is remembered how they are taken apart."""


class WordPieces:
    """A vocabulary of whole words, and of pieces that go on with a word, behind `prefix`. A word of more than `longest`
    characters has no tokens, and so has one that cannot be put together."""

    def __init__(self, vocabulary: dict[str, int], *, prefix: str, longest: int) -> None:
        self._vocabulary = vocabulary
        self._prefix = prefix
        self._longest = longest
        self._longest_token = max(map(len, vocabulary), default=0)
        self._remembered = lru_cache(_REMEMBERED)(self._taken_apart)

    @classmethod
    def described(cls, model: dict[str, Any]) -> Self | None:
        """The model in a `tokenizer.json`; `None` for one of another kind."""
        if model.get("type") != "WordPiece":
            return None
        return cls(
            cast("dict[str, int]", model["vocab"]),
            prefix=model.get("continuing_subword_prefix", "##"),
            longest=model.get("max_input_chars_per_word", 100),
        )

    def ids(self, words: list[str]) -> list[int]:
        """The tokens of words, in order."""
        found = [*map(self._vocabulary.get, words)]
        if None in found:
            found = [*chain.from_iterable(map(self._of_word, words))]
        return cast("list[int]", found)

    def _of_word(self, word: str) -> tuple[int, ...]:
        known = self._vocabulary.get(word)
        if known is not None:
            return (known,)
        return self._remembered(word) if len(word) <= self._longest else ()

    def _taken_apart(self, word: str) -> tuple[int, ...]:
        found = []
        start, prefix = 0, ""
        while start < len(word):
            ends = range(min(len(word), start + self._longest_token), start, -1)
            longest = next((end for end in ends if prefix + word[start:end] in self._vocabulary), None)
            if longest is None:
                return ()
            found.append(self._vocabulary[prefix + word[start:longest]])
            start, prefix = longest, self._prefix
        return tuple(found)
