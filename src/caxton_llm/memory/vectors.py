"""Vectors of an embedder and of a query, checked before a store uses them. Pure."""

import math

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from caxton_llm.errors import InvalidRequest, MemoryStoreError
from caxton_llm.memory.candidates import StoreQuery, embedder_changed
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.filters import check_filters
from caxton_llm.memory.limits import check_query

__all__ = ["Floats", "checked_query", "checked_rows"]

Floats = NDArray[np.float32]


def checked_rows(rows: Floats, count: int, dimensions: int, name: str) -> Floats:
    """What an embedder has returned, as it must be. Raises `MemoryStoreError` that names the embedder."""
    matrix = np.asarray(rows, dtype=np.float32)
    if matrix.shape != (count, dimensions) or not np.isfinite(matrix).all():
        message = f"the embedder {name} returned {matrix.shape} numbers for {count} texts of {dimensions} dimensions"
        raise MemoryStoreError(f"{message}, or some that are not finite; nothing was written")
    return matrix


def checked_query(query: StoreQuery, embedder: Embedder) -> StoreQuery:
    """A query as a store may use it, its vector of length 1. `embedder` is what serves.

    Raises `InvalidRequest` for a query, a number of results or a filter that cannot be, for a vector of another embedder
    (`embedder_changed`), and for one that is none.
    """
    check_query(query.text, query.limit)
    check_filters(query.filters)
    if query.vector is None:
        return query
    if query.embedder is not None and query.embedder != embedder.name:
        raise embedder_changed(embedder.name)
    return replace(query, vector=_of_length_one(query.vector, embedder.dimensions))


def _of_length_one(vector: Floats, dimensions: int) -> Floats:
    query = np.asarray(vector, dtype=np.float32).reshape(-1)
    if len(query) != dimensions or not np.isfinite(query).all():
        message = f"{len(query)} numbers where the store's embedder has {dimensions}, or some that are not finite"
        raise InvalidRequest(message, param="vector")
    return query / max(math.sqrt(float(query @ query)), 1e-12)
