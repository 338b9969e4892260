"""The distinct tokens of one tenant's passages in memory, for late interaction: two bytes a token, one after the other."""

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import TokenIds, TokenVectors
from caxton_llm.memory.token_bytes import token_kind
from caxton_llm.stores.sqlite_memory.growing import with_room

__all__ = ["TokenRows"]

_Lengths = NDArray[np.int64]


class TokenRows:
    """Rows are appended and never moved; `holding` counts in how many of those that are not gone a token stands."""

    def __init__(self, vocabulary: TokenVectors) -> None:
        self._kind = token_kind(vocabulary.vocabulary_size)
        self._flat: NDArray[np.uint16 | np.uint32] = np.empty(0, self._kind)
        self._starts: _Lengths = np.zeros(1, np.int64)
        self._count = 0
        self.holding: NDArray[np.int32] = np.zeros(vocabulary.vocabulary_size, np.int32)

    def append(self, blobs: list[bytes]) -> None:
        new = np.frombuffer(b"".join(blobs), self._kind)
        lengths = np.fromiter(map(len, blobs), np.int64, len(blobs)) // np.dtype(self._kind).itemsize
        start = int(self._starts[self._count])
        self._flat = with_room(self._flat, start, start + len(new))
        self._starts = with_room(self._starts, self._count + 1, self._count + 1 + len(blobs))
        self._flat[start : start + len(new)] = new
        self._starts[self._count + 1 : self._count + 1 + len(blobs)] = start + np.cumsum(lengths)
        self._count += len(blobs)
        self.holding += np.bincount(new, minlength=len(self.holding)).astype(np.int32)

    def remove(self, places: _Lengths) -> None:
        """Of rows that are gone nothing is counted any more."""
        tokens, _ = self.of(places)
        self.holding -= np.bincount(tokens, minlength=len(self.holding)).astype(np.int32)

    def of(self, places: _Lengths) -> tuple[TokenIds, _Lengths]:
        """The tokens of rows, one row after the other, and how many each has."""
        starts = self._starts[places]
        lengths = self._starts[places + 1] - starts
        before = np.cumsum(lengths) - lengths
        found = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
        return self._flat.take(found).astype(np.int32), lengths
