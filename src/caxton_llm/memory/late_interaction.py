"""Query and texts compared token by token: for each query token its best match in the text, weighted by its rarity. Pure.

This finds what a text's one vector blurs (a single word in a long turn) and what its words miss ("doctor" for "physician").
Token vectors are static, so which tokens are related is known before there is a question.
"""

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import Floats, TokenIds, TokenVectors

__all__ = ["MAX_QUERY_TOKENS", "inverse_frequency", "late_interaction"]

MAX_QUERY_TOKENS = 64
"""Of a longer query the rarest tokens count; the others would cost time and say little."""


def inverse_frequency(documents_with_token: NDArray[np.integer], documents: int) -> Floats:
    """BM25's inverse document frequency of each token, from the number of texts that hold it."""
    holding = documents_with_token.astype(np.float64)
    return np.log1p((max(documents, 0) - np.minimum(holding, documents) + 0.5) / (holding + 0.5)).astype(np.float32)


def late_interaction(
    query: TokenIds, rarity: Floats, tokens: TokenIds, lengths: NDArray[np.int64], vectors: TokenVectors
) -> Floats:
    """A row for each text, a column for each distinct token of `query`: rarity times the squared cosine of the best match.

    `rarity[i]` belongs to `query[i]`. `tokens` has the texts one after the other, `lengths[i]` ids of `vectors` of text i, in
    any order, with or without repetitions. Squared, because two related words are worth less than half of the same word.
    """
    query, rarity = _rarest(query, rarity)
    result = np.zeros((len(lengths), len(query)), np.float32)
    if not len(query) or not len(tokens):
        return result
    column, related, cosines = vectors.related(query)
    is_related = np.zeros(vectors.vocabulary_size, np.bool_)
    is_related[related] = True
    matching = is_related.take(tokens).nonzero()[0]
    if len(matching):
        # A row for each pair; of pairs with the same token the first one's row is used.
        known = np.sort(related)
        worth = np.zeros((len(related), len(query)), np.float32)
        worth[known.searchsorted(related), column] = cosines * cosines * rarity[column]
        text_of = lengths.cumsum().searchsorted(matching, side="right")
        is_first = np.ones(len(matching), np.bool_)
        is_first[1:] = text_of[1:] != text_of[:-1]
        starts = is_first.nonzero()[0]
        matched = worth.take(known.searchsorted(tokens.take(matching)), axis=0)
        result[text_of[starts]] = np.maximum.reduceat(matched, starts, axis=0)
    return result


def _rarest(query: TokenIds, rarity: Floats) -> tuple[TokenIds, Floats]:
    distinct, first = np.unique(query, return_index=True)
    rarity = rarity[first]
    if len(distinct) > MAX_QUERY_TOKENS:
        kept = np.sort(np.argsort(-rarity, kind="stable")[:MAX_QUERY_TOKENS])
        distinct, rarity = distinct[kept], rarity[kept]
    return distinct, rarity
