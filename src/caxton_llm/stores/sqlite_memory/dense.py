"""The nearest vectors of a tenant: exactly while there are few, by a graph (usearch, int8) where there are many.

What a filter leaves is searched exactly when it is little, so a filter never leaves too few results. The graph only proposes:
whoever asks sorts by the exact cosines.
"""

import math
from pathlib import Path
from typing import Any

import numkong
import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from caxton_llm.stores.sqlite_memory.columns import Allowed, Snapshot
from caxton_llm.stores.sqlite_memory.vectors import Floats

__all__ = ["EXACT", "Dense", "Graph"]

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


class Dense:
    """One query compared with a tenant's vectors as bytes. Where all of them were compared, that is remembered."""

    def __init__(self, seen: Snapshot, query: Floats | None) -> None:
        """`None` and a vector of zeros have nothing that is near."""
        self._seen = seen
        self._every: Floats | None = None
        largest = 0.0 if query is None else float(np.abs(query).max(initial=0.0))
        self.is_empty = query is None or not largest
        if query is not None and largest:
            self._row = np.rint(query * (127.0 / largest)).astype(np.int8).reshape(1, -1)
            exact = self._row[0].astype(np.float32)
            self._length = math.sqrt(float(exact @ exact))

    def nearest(self, allowed: Allowed, limit: int, graph: Graph | None) -> NDArray[np.int64]:
        """Places of the nearest passages among those that are allowed, in any order."""
        seen = self._seen
        if self.is_empty:
            return np.empty(0, np.int64)
        every = allowed.places
        if graph is None or not len(graph) or len(every) <= EXACT:
            return self._exact(every, limit)
        # As many more as the filter and what is gone will take away, and then some.
        wanted = int(1.2 * limit * seen.count / len(every)) + 32
        if wanted > len(graph) // 8:
            return self._exact(every, limit)
        places = seen.places(graph.search(self._row[0], wanted))
        places = places[places >= 0]
        places = places[allowed.mask[places]]
        if len(places) < min(limit, len(every)):
            return self._exact(every, limit)
        tail = every[np.searchsorted(seen.ids[every], graph.passage, side="right") :]
        return self._exact(np.union1d(places, tail), limit)

    def cosines(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosines to passages in ascending order, right to about 0.005; -2 where there is no vector, on either side."""
        if self.is_empty or not len(places):
            return np.full(len(places), -2.0)
        near = self._products(places).astype(np.float64) / self._length
        near[self._seen.reciprocals[places] == 0] = -2.0
        return near

    def _exact(self, places: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
        if not len(places):
            return places
        near = self._products(places)
        if len(near) > limit:
            places = places[np.argpartition(near, len(near) - limit)[len(near) - limit :]]
        # A vector of zeros is no vector: nothing is near it.
        return places[self._seen.reciprocals[places] > 0]

    def _products(self, places: NDArray[np.int64]) -> Floats:
        """Cosines times the length of the query as bytes."""
        seen = self._seen
        if self._every is not None:
            return self._every[places]
        if len(places) == seen.count:
            self._every = self._compared(seen.small) * seen.reciprocals
            return self._every
        return self._compared(seen.small.take(places, axis=0)) * seen.reciprocals[places]

    def _compared(self, rows: NDArray[np.int8]) -> Floats:
        products: Floats = np.asarray(numkong.cdist(self._row, rows, metric="dot", threads=1), np.float32)[0]
        return products
