"""The nearest vectors of a tenant: exactly while there are few, by a graph (usearch, int8) where there are many.

What a filter leaves is searched exactly when it is little, so a filter never leaves too few results. The graph only proposes:
whoever asks sorts by the exact cosines.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numkong
import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from caxton_llm.stores.sqlite_memory.columns import Mask, Snapshot
from caxton_llm.stores.sqlite_memory.vectors import Floats, quantised

__all__ = ["EXACT", "Graph", "SmallQuery", "approximate", "nearest"]

EXACT = 131_072
"""Vectors up to which all are compared: 0.2 ms for 10,000. A graph as good costs more than that up to here, and its making
a hundred times as much."""
_EXPANSION = 256
_CONNECTIVITY = 24
_EXPANSION_ADD = 96


class Graph:
    """The graph of one tenant in one space. `passage`: it has what was there up to then."""

    def __init__(self, dimensions: int, path: Path | None = None, passage: int = 0) -> None:
        self.passage = passage
        self._index: Any = Index(
            ndim=dimensions,
            metric="cos",
            dtype="i8",
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD,
            expansion_search=_EXPANSION,
        )
        if path is not None:
            self._index.load(str(path))

    def __len__(self) -> int:
        return len(self._index)

    def add(self, ids: NDArray[np.int64], small: NDArray[np.int8], threads: int) -> None:
        self._index.add(ids.astype(np.uint64), small, threads=threads)

    def save(self, path: Path) -> None:
        self._index.save(str(path))

    def search(self, query: NDArray[np.int8], limit: int) -> NDArray[np.int64]:
        """Ids of passages, the nearest first."""
        keys: NDArray[np.uint64] = self._index.search(query, min(limit, len(self._index)), threads=1).keys
        return keys.astype(np.int64)


class SmallQuery(NamedTuple):
    """A query's vector as bytes, a row, and the reciprocal of its length; 0 for a vector of zeros."""

    row: NDArray[np.int8]
    reciprocal: float

    @classmethod
    def of(cls, query: Floats | None) -> "SmallQuery | None":
        if query is None:
            return None
        row, reciprocals = quantised(query.reshape(1, -1))
        return cls(row, float(reciprocals[0]))


def nearest(seen: Snapshot, mask: Mask, query: SmallQuery, limit: int, graph: Graph | None) -> NDArray[np.int64]:
    """Places of the passages that are nearest by their vectors as bytes, among those of the mask, in any order."""
    if not query.reciprocal:
        return np.empty(0, np.int64)
    allowed = np.flatnonzero(mask)
    if graph is None or not len(graph) or len(allowed) <= EXACT:
        return _exact(seen, allowed, query, limit)
    # As many more as the filter and what is gone will take away, and then some.
    wanted = int(1.2 * limit * seen.count / len(allowed)) + 32
    if wanted > len(graph) // 8:
        return _exact(seen, allowed, query, limit)
    places = seen.places(graph.search(query.row[0], wanted))
    places = places[places >= 0]
    places = places[mask[places]]
    if len(places) < min(limit, len(allowed)):
        return _exact(seen, allowed, query, limit)
    tail = allowed[np.searchsorted(seen.ids[allowed], graph.passage, side="right") :]
    return _exact(seen, np.union1d(places, tail), query, limit)


def _exact(seen: Snapshot, places: NDArray[np.int64], query: SmallQuery, limit: int) -> NDArray[np.int64]:
    if not len(places):
        return places
    near = _products(seen, places, query)
    if len(near) > limit:
        places = places[np.argpartition(-near, limit)[:limit]]
    # A vector of zeros is no vector: nothing is near it.
    return places[seen.reciprocals[places] > 0]


def _products(seen: Snapshot, places: NDArray[np.int64], query: SmallQuery) -> Floats:
    """Cosines times the length of the query as bytes."""
    rows = seen.small if len(places) == seen.count else seen.small[places]
    products = np.asarray(numkong.cdist(query.row, rows, metric="dot", threads=1), np.float32)[0]
    near: Floats = products * seen.reciprocals[places]
    return near


def approximate(seen: Snapshot, places: NDArray[np.int64], query: SmallQuery | None) -> NDArray[np.float64]:
    """Cosines from vectors as bytes, right to about 0.005; -2 where there is no vector, on either side."""
    if query is None or not query.reciprocal or not len(places):
        return np.full(len(places), -2.0)
    near = _products(seen, places, query).astype(np.float64) * query.reciprocal
    near[seen.reciprocals[places] == 0] = -2.0
    return near
