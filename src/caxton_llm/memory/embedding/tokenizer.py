"""Texts to token ids: a `tokenizers` tokenizer, with what it says of each word remembered.

BERT's tokenizers split at spaces and punctuation before they look at anything else, so the tokens of a plain text are the
tokens of its words. Remembering them is six times as fast as asking for each text anew.
"""

import functools
import re
from itertools import chain
from typing import cast

import msgspec
import numpy as np
from tokenizers import Tokenizer

from caxton_llm.memory.embedding.embedder import TokenIds

__all__ = ["MAX_CHARACTERS", "TextTokenizer"]

MAX_CHARACTERS = 32_768
"""What lies beyond is not read: the sum of so many words says nothing any more, and time stays bounded."""

_REMEMBERED_WORDS = 65_536
_LONGEST_REMEMBERED = 64
_WORDS = re.compile(r"[a-z0-9]+|[^\sa-z0-9]").findall
_REMOVED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
"""Control characters: the tokenizer takes them out, which may join two words."""


class TextTokenizer:
    """Ids of the known tokens; what the vocabulary does not know is left out. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        described = msgspec.json.decode(tokenizer.to_str())
        self._tokenizer = tokenizer
        self._unknown = _unknown_id(tokenizer, described["model"])
        self._by_word = _splits_words_first(described)
        self._added = [token["content"] for token in described.get("added_tokens") or ()]
        self._remembered = functools.lru_cache(_REMEMBERED_WORDS)(
            self._looked_up if described["model"].get("type") == "WordPiece" else self._whole
        )

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def ids(self, text: str) -> TokenIds:
        """Ids of `text` in order, of its first 32,768 characters at most."""
        text = text[:MAX_CHARACTERS]
        if self._by_word and self._is_plain(text):
            words = _WORDS(text.lower())
            are_short = len(max(words, key=len, default="")) <= _LONGEST_REMEMBERED
            of_each = map(self._remembered if are_short else self._of_word, words)
            return np.array([*chain.from_iterable(of_each)], np.int32)
        return np.array(self._whole(text), np.int32)

    def _of_word(self, word: str) -> tuple[int, ...]:
        return self._remembered(word) if len(word) <= _LONGEST_REMEMBERED else self._whole(word)

    def _looked_up(self, word: str) -> tuple[int, ...]:
        """A word that is a token as a whole is never taken apart, and found a hundred times as fast."""
        number = self._tokenizer.token_to_id(word)
        return self._whole(word) if number is None else (number,)

    def _is_plain(self, text: str) -> bool:
        if not text.isascii() or any(token in text for token in self._added):
            return False
        return text.isprintable() or _REMOVED(text) is None

    def _whole(self, text: str) -> tuple[int, ...]:
        # Lone surrogates, which JSON can carry, have no UTF-8.
        sound = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        ids = self._tokenizer.encode(sound, add_special_tokens=False).ids
        return tuple(number for number in ids if number != self._unknown)


def _unknown_id(tokenizer: Tokenizer, model: dict[str, object]) -> int | None:
    if isinstance(unknown := model.get("unk_token"), str):
        return cast("int | None", tokenizer.token_to_id(unknown))
    return cast("int | None", model.get("unk_id"))


def _splits_words_first(described: dict[str, dict[str, object] | None]) -> bool:
    normalizer, splitter = described.get("normalizer") or {}, described.get("pre_tokenizer") or {}
    return (
        normalizer.get("type") == "BertNormalizer"
        and bool(normalizer.get("lowercase"))
        and bool(normalizer.get("clean_text"))
        and splitter.get("type") == "BertPreTokenizer"
    )
