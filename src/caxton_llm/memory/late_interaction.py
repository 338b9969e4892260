"""Query and texts compared token by token: for each query token its best match in the text, weighted by its rarity. Pure.

This finds what a text's one vector blurs (a single word in a long turn) and what its words miss ("doctor" for "physician").
Token vectors are static, so which tokens are related is known before there is a question.
"""

from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import Floats, TokenIds, TokenVectors
from caxton_llm.memory.query_words import content_words

__all__ = ["MAX_QUERY_TOKENS", "distinct_tokens", "inverse_frequency", "late_interaction"]

MAX_QUERY_TOKENS = 64
"""Of a longer query the rarest tokens count; the others would cost time and say little."""
_ASKED_KNOWN = 8
"""Queries of which is kept what is related to them: some 40 kB for eight tokens, 400 kB for fifty."""


def distinct_tokens(query: str, vectors: TokenVectors) -> TokenIds:
    """The tokens of what a query is about, each once and ascending: what is compared."""
    return np.array(sorted({*vectors.tokens(content_words(query)).tolist()}), np.int32)


def inverse_frequency(documents_with_token: NDArray[np.integer], documents: int) -> Floats:
    """BM25's inverse document frequency of each token, from the number of texts that hold it."""
    holding = documents_with_token.astype(np.float64)
    return np.log1p((max(documents, 0) - np.minimum(holding, documents) + 0.5) / (holding + 0.5)).astype(np.float32)


def late_interaction(
    query: TokenIds, rarity: Floats, tokens: TokenIds, lengths: NDArray[np.int64], vectors: TokenVectors
) -> Floats:
    """A row for each text, a column for each token of `query`: rarity times the squared cosine of the best match.

    `query` has each token once, and `rarity[i]` belongs to `query[i]`. `tokens` has the texts one after the other,
    `lengths[i]` ids of `vectors` of text i, in any order, with or without repetitions. Squared, because two related words are
    worth less than half of the same word.
    """
    query, rarity = _rarest(query, rarity)
    result = np.zeros((len(lengths), len(query)), np.float32)
    if not len(query) or not len(tokens):
        return result
    asked = _asked(vectors, query.astype(np.int32).tobytes())
    matching = asked.is_related.take(tokens).nonzero()[0]
    if len(matching):
        worth = asked.worth * rarity
        text_of = lengths.cumsum().searchsorted(matching, side="right")
        is_first = np.ones(len(matching), np.bool_)
        is_first[1:] = text_of[1:] != text_of[:-1]
        starts = is_first.nonzero()[0]
        matched = worth.take(asked.known.searchsorted(tokens.take(matching)), axis=0)
        result[text_of[starts]] = np.maximum.reduceat(matched, starts, axis=0)
    return result


def _rarest(query: TokenIds, rarity: Floats) -> tuple[TokenIds, Floats]:
    if len(query) > MAX_QUERY_TOKENS:
        kept = np.sort(np.argsort(-rarity, kind="stable")[:MAX_QUERY_TOKENS])
        query, rarity = query[kept], rarity[kept]
    return query, rarity


class _Asked(Struct, frozen=True, eq=False):
    """The tokens that are related to those of a query: `known` are these, ascending, perhaps several times, and `worth` has
    for the first place of each what it is worth for each token of the query. `is_related` has a place for every token."""

    known: TokenIds
    worth: Floats
    is_related: NDArray[np.bool_]


@lru_cache(maxsize=_ASKED_KNOWN)
def _asked(vectors: TokenVectors, query: bytes) -> _Asked:
    """Kept, because a request is compared with more than one thing."""
    tokens = np.frombuffer(query, np.int32)
    column, related, cosines = vectors.related(tokens)
    known = np.sort(related)
    worth = np.zeros((len(related), len(tokens)), np.float32)
    worth[known.searchsorted(related), column] = cosines * cosines
    is_related = np.zeros(vectors.vocabulary_size, np.bool_)
    is_related[related] = True
    return _Asked(known, worth, is_related)
