"""How much texts have to do with a request, on the scale on which the memory ranks what it finds.

The texts of a conversation are compared as the memory compares its records: by words, by meaning, token by token, and by what
stands beside them (`memory.scoring`). So what was said and what is remembered can be ranked together.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from zlib import crc32

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.memory.analysis import terms_of
from caxton_llm.memory.duplicates import name_words, words_key
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.late_interaction import inverse_frequency, late_interaction
from caxton_llm.memory.query_dates import from_then, periods_in
from caxton_llm.memory.query_words import content_words, is_question, name_keys_in
from caxton_llm.memory.scoring import Features, score

__all__ = ["SpokenText", "TextVectors", "relevance", "relevance_of_score"]

_SATURATION, _LENGTH = 1.2, 0.75
"""BM25's k1 and b."""
_COMPARED = 2_000
"""Characters of a text, and of a query, that are compared: its beginning says what it is about."""
_PAUSE_S = 3600.0
"""Between two turns from which on the later one begins something else."""
_SCALE = 4.0
"""Deviations above the mean at which a relevance is 0.88."""


class _Known(Struct, frozen=True):
    tokens: NDArray[np.int32]
    vector: NDArray[np.float32]
    terms: NDArray[np.int64]
    asks: bool


class TextVectors:
    """Tokens and vectors of texts, the last `most` of them kept: a conversation's turns come with request after request.

    Safe to share between threads.
    """

    def __init__(self, embedder: StaticEmbedder, *, most: int = 10_000) -> None:
        self.embedder = embedder
        self._most = most
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self.embedder.name

    @property
    def dimensions(self) -> int:
        return self.embedder.dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A row for each text: this is an `Embedder`, too."""
        return _rows(self.of(texts), self.dimensions)

    def of(self, texts: Sequence[str]) -> list[_Known]:
        """What is known of the beginning of each text."""
        texts = [text[:_COMPARED] for text in texts]
        with self._lock:
            known = {text: one for text in texts if (one := self._known.get(text)) is not None}
            for text in known:
                self._known.move_to_end(text)
        fresh = {text: self._made(text) for text in texts if text not in known}
        with self._lock:
            self._known.update(fresh)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        known |= fresh
        return [known[text] for text in texts]

    def _made(self, text: str) -> _Known:
        ids = self.embedder.tokens(text)
        return _Known(ids, self.embedder.embed_tokens(ids), _terms(text), is_question(text))


def _terms(text: str) -> NDArray[np.int64]:
    """A number for each word that means something, without its ending."""
    return np.array([crc32(term.encode("utf-8", "surrogatepass")) for term in terms_of(text)], np.int64)


def _rows(known: Sequence[_Known], dimensions: int) -> NDArray[np.float32]:
    if not known:
        return np.zeros((0, dimensions), np.float32)
    return np.concatenate([one.vector for one in known]).reshape(len(known), dimensions)


class SpokenText(Struct, frozen=True):
    """What was said in a conversation; `speaker` is a name, empty for none, `at` in seconds since 1970."""

    text: str
    speaker: str = ""
    at: float | None = None
    is_apart: bool = False
    """Whether it is no part of the conversation: something remembered of `speaker`."""


def relevance(query: str, said: Sequence[SpokenText], vectors: TextVectors) -> NDArray[np.float64]:
    """Of each text from 0 to 1. They follow each other in one conversation, and share with their neighbours, as far as no
    long pause is between; who and when the query names counts."""
    if not said:
        return np.zeros(0)
    query = query[:_COMPARED]
    known = vectors.of([f"{one.speaker}: {one.text}" if one.speaker else one.text for one in said])
    asked = np.unique(vectors.embedder.tokens(content_words(query)))
    lengths = np.array([len(one.tokens) for one in known], np.int64)
    every = np.concatenate([one.tokens for one in known])
    rarity = _rarity(_counts(asked, every, lengths))
    times_s = np.array([np.nan if one.at is None else one.at for one in said])
    apart = np.array([one.is_apart for one in said])
    periods = periods_in(query)
    features = Features(
        lexical=_bm25(_terms(query), [one.terms for one in known]),
        dense=_rows(known, vectors.dimensions) @ vectors.of([query])[0].vector,
        matches=late_interaction(asked, rarity, every, lengths, vectors.embedder),
        conversation=np.where(apart, -1, np.cumsum(np.diff(times_s, prepend=times_s[:1]) > _PAUSE_S)),
        position=np.arange(len(said), dtype=np.int64),
        named=_named(query, said),
        dated=from_then(periods, times_s) if periods else None,
        asks=np.array([one.asks for one in known]),
    )
    return relevance_of_score(score(features).total)


def _named(query: str, said: Sequence[SpokenText]) -> NDArray[np.bool_] | None:
    speakers = {one.speaker for one in said if one.speaker}
    if not speakers:
        return None
    keys = name_keys_in(query)
    named = {speaker for speaker in speakers if words_key(" ".join(name_words(speaker))) in keys}
    return np.array([one.speaker in named for one in said])


def relevance_of_score(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in deviations from the mean of their search, from 0 to 1: the mean is 0.5."""
    return np.asarray(0.5 + 0.5 * np.tanh(total / _SCALE))


def _rarity(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    return inverse_frequency((counts > 0).sum(axis=0), len(counts))


def _counts(asked: NDArray[np.integer], every: NDArray[np.integer], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """How often each text (a row) has each token of the query."""
    found = np.zeros((len(lengths), len(asked)), np.float32)
    if len(asked) and len(every):
        column = np.minimum(np.searchsorted(asked, every), len(asked) - 1)
        is_asked = asked[column] == every
        text_of = np.repeat(np.arange(len(lengths)), lengths)
        np.add.at(found, (text_of[is_asked], column[is_asked]), 1.0)
    return found


def _bm25(asked: NDArray[np.int64], terms: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    lengths = np.array([len(one) for one in terms], np.int64)
    counts = _counts(np.unique(asked), np.concatenate(terms), lengths)
    usual = max(1.0, float(lengths.mean()))
    room = _SATURATION * (1 - _LENGTH + _LENGTH * lengths[:, None] / usual)
    return np.asarray((counts * (_SATURATION + 1) / (counts + room)) @ _rarity(counts), np.float32)
