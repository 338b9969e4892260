"""Texts to token ids: a `tokenizers` tokenizer, and a shorter way for the plain texts of BERT's.

BERT's tokenizers split at spaces and punctuation before they look at anything else, so the tokens of a plain text are the
tokens of its words, and these are found in the vocabulary: twenty times as fast as by the library, which also notes where
each token stands.
"""

import re
from typing import cast

import msgspec
import numpy as np
from tokenizers import Tokenizer

from caxton_llm.memory.embedding.embedder import TokenIds
from caxton_llm.memory.embedding.word_pieces import WordPieces

__all__ = ["MAX_CHARACTERS", "TextTokenizer"]

MAX_CHARACTERS = 32_768
"""What lies beyond is not read: the sum of so many words says nothing any more, and time stays bounded."""

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
        self._added = [token["content"] for token in described.get("added_tokens") or ()]
        self._pieces = WordPieces.described(described["model"]) if _splits_words_first(described) else None

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def ids(self, text: str) -> TokenIds:
        """Ids of `text` in order, of its first 32,768 characters at most."""
        text = text[:MAX_CHARACTERS]
        if self._pieces is not None and self._is_plain(text):
            return np.array(self._pieces.ids(_WORDS(text.lower())), np.int32)
        return np.array(self._whole(text), np.int32)

    def _is_plain(self, text: str) -> bool:
        if not text.isascii() or any(token in text for token in self._added):
            return False
        return text.isprintable() or _REMOVED(text) is None

    def _whole(self, text: str) -> list[int]:
        # Lone surrogates, which JSON can carry, have no UTF-8.
        sound = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        ids = self._tokenizer.encode(sound, add_special_tokens=False).ids
        return [number for number in ids if number != self._unknown]


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
