"""How much texts have to do with a request, on the scale on which the memory ranks what it finds.

The texts of a conversation are compared as the memory compares its records: by words, by meaning, token by token, and by what
stands beside them (`memory.scoring`). So what was said and what is remembered can be ranked together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.context.text_vectors import COMPARED, ComparedTexts, TextVectors, terms_in
from caxton_llm.memory.duplicates import name_words, words_key
from caxton_llm.memory.embedding.embedder import TokenIds
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.late_interaction import MAX_QUERY_TOKENS, distinct_tokens, inverse_frequency, late_interaction
from caxton_llm.memory.query_dates import from_then, periods_in
from caxton_llm.memory.query_words import name_keys_in
from caxton_llm.memory.scoring import Features, score

__all__ = ["relevance", "relevance_of_score"]

_SATURATION, _LENGTH = 1.2, 0.75
"""BM25's k1 and b."""
_PAUSE_S = 3600.0
"""Between two turns from which on the later one begins something else."""
_SAME = 0.999
"""The worth of a match from which on it is the same token, and none related to it."""
_LAST_BITS = 4_095
_SCALE = 4.0
"""Deviations above the mean at which a relevance is 0.88."""


def relevance(
    query: str,
    several: Sequence[ComparedTexts],
    vectors: TextVectors,
    *,
    times_s: NDArray[np.float64],
    apart: int = 0,
) -> NDArray[np.float64]:
    """Of each text from 0 to 1. They follow each other in one conversation, and share with their neighbours, as far as no
    long pause is between; who and when the query names counts.

    `times_s` says when each was said, in seconds since 1970, NaN where nobody knows. The last `apart` texts are not of the
    conversation: something remembered of whom they name.
    """
    count = sum(map(len, several))
    if not count:
        return np.zeros(0)
    query = query[:COMPARED]
    asked = distinct_tokens(query, vectors.embedder)
    # The vectors, which are most of it, are not copied.
    tokens, token_counts, terms, term_counts, asks = (
        np.concatenate(columns)
        for columns in zip(
            *[(one.tokens, one.token_counts, one.terms, one.term_counts, one.asks) for one in several], strict=True
        )
    )
    conversation = np.zeros(count, np.int64)
    np.cumsum(times_s[1:] - times_s[:-1] > _PAUSE_S, out=conversation[1:])
    conversation[count - apart :] = -1
    periods = periods_in(query)
    vector = vectors.embedder.embed([query])[0]
    features = Features(
        lexical=_bm25(terms_in(query), terms, term_counts),
        dense=np.concatenate([one.likeness(vector) for one in several]),
        matches=_matches(asked, tokens, token_counts, vectors.embedder),
        conversation=conversation,
        position=np.arange(count, dtype=np.int64),
        named=np.concatenate([_named(query, one.names) for one in several]),
        dated=from_then(periods, times_s) if periods else None,
        asks=asks,
    )
    return relevance_of_score(score(features).total)


def _matches(
    asked: TokenIds, tokens: TokenIds, lengths: NDArray[np.int64], embedder: StaticEmbedder
) -> NDArray[np.float32]:
    """Late interaction with these texts as all that there are."""
    if len(asked) > MAX_QUERY_TOKENS:
        return late_interaction(asked, _rarity(_counts(asked, tokens, lengths)), tokens, lengths, embedder)
    matches = late_interaction(asked, np.ones(len(asked), np.float32), tokens, lengths, embedder)
    # What matches fully is the token itself: how rare it is need not be counted.
    return matches * inverse_frequency(np.count_nonzero(matches >= _SAME, axis=0), len(lengths))


def _named(query: str, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the names the query has."""
    keys = name_keys_in(query)
    named = {name for name in {*names} - {""} if _name_key(name) in keys}
    return np.array([name in named for name in names]) if named else np.zeros(len(names), np.bool_)


@kept_of_text(4_000, longest=200)
def _name_key(name: str) -> bytes:
    return words_key(" ".join(name_words(name)))


def relevance_of_score(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in deviations from the mean of their search, from 0 to 1: the mean is 0.5."""
    return np.asarray(0.5 + 0.5 * np.tanh(total / _SCALE))


def _rarity(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    return inverse_frequency((counts > 0).sum(axis=0), len(counts))


def _counts(asked: NDArray[np.integer], every: NDArray[np.integer], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """How often each text (a row) has each token of the query."""
    shape = len(lengths), len(asked)
    if not len(asked) or not len(every):
        return np.zeros(shape, np.float32)
    # Most are none of them, which is seen by their last bits.
    may_be = np.zeros(_LAST_BITS + 1, np.bool_)
    may_be[asked & _LAST_BITS] = True
    places = may_be.take(every & _LAST_BITS).nonzero()[0]
    some = every.take(places)
    column = np.minimum(asked.searchsorted(some), len(asked) - 1)
    is_asked = asked.take(column) == some
    text_of = lengths.cumsum().searchsorted(places[is_asked], side="right")
    found = np.bincount(text_of * len(asked) + column[is_asked], minlength=len(lengths) * len(asked))
    return found.reshape(shape).astype(np.float32)


def _bm25(asked: NDArray[np.int64], terms: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    counts = _counts(np.array(sorted({*asked.tolist()}), np.int64), terms, lengths)
    usual = max(1.0, int(lengths.sum()) / len(lengths))
    room = _SATURATION * (1 - _LENGTH + _LENGTH * lengths[:, None] / usual)
    return np.asarray((counts * (_SATURATION + 1) / (counts + room)) @ _rarity(counts), np.float32)
