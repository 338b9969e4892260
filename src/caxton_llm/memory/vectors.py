"""Vectors of an embedder and of a query, checked before a store uses them. Pure."""

import numpy as np
from numpy.typing import NDArray

from caxton_llm.errors import InvalidRequest, MemoryStoreError

__all__ = ["Floats", "checked_query", "checked_rows"]

Floats = NDArray[np.float32]


def checked_rows(rows: Floats, count: int, dimensions: int, name: str) -> Floats:
    """What an embedder has returned, as it must be. Raises `MemoryStoreError` that names the embedder."""
    matrix = np.asarray(rows, dtype=np.float32)
    if matrix.shape != (count, dimensions) or not np.isfinite(matrix).all():
        message = f"the embedder {name} returned {matrix.shape} numbers for {count} texts of {dimensions} dimensions"
        raise MemoryStoreError(f"{message}, or some that are not finite; nothing was written")
    return matrix


def checked_query(vector: Floats, dimensions: int) -> Floats:
    """A query's vector of length 1. Raises `InvalidRequest` when it is of another embedder."""
    query = np.asarray(vector, dtype=np.float32).reshape(-1)
    if len(query) != dimensions or not np.isfinite(query).all():
        message = f"{len(query)} numbers where the store's embedder has {dimensions}, or some that are not finite"
        raise InvalidRequest(message, param="vector")
    return query / max(float(np.linalg.norm(query)), 1e-12)
