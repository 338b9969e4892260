"""Which names a tenant's entities may have: most of what a question could mean by its words is nobody's name, and need not be
looked for in the database."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from caxton_llm.stores.sqlite_memory.growing import with_room

__all__ = ["NameBits"]

_BITS = 16
"""For each name, so that of others about one in sixteen is taken for one."""
_LEAST = 1 << 13


class NameBits:
    """Keys of names, 16 bytes long, of each about ten: no name that was added is ever denied. Grows by appending; a searcher
    may go on reading while it does."""

    def __init__(self) -> None:
        self._hashes: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._bits: NDArray[np.uint8] = np.zeros(_LEAST // 8, np.uint8)
        self._count = 0

    def append(self, names: Sequence[bytes]) -> None:
        """Add the keys of names."""
        new, end = _hashes(names), self._count + len(names)
        self._hashes = with_room(self._hashes, self._count, end)
        self._hashes[self._count : end] = new
        self._count = end
        bits = self._bits
        if _BITS * end > 8 * len(bits):
            bits, new = np.zeros(2 * _BITS * (1 << end.bit_length()) // 8, np.uint8), self._hashes[:end]
        where, bit = _places(new, bits)
        np.bitwise_or.at(bits, where, bit)
        self._bits = bits  # whole: a searcher reads the old ones until then

    def among(self, names: Sequence[bytes]) -> list[bytes]:
        """Those of the keys that may be somebody's."""
        bits = self._bits
        where, bit = _places(_hashes(names), bits)
        return [names[place] for place in (bits[where] & bit).nonzero()[0].tolist()]


def _hashes(names: Sequence[bytes]) -> NDArray[np.uint64]:
    """The keys are hashes already: their beginnings."""
    return np.frombuffer(b"".join([name[:8] for name in names]), np.uint64)


def _places(hashes: NDArray[np.uint64], bits: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    where = (hashes >> np.uint64(3)) & np.uint64(len(bits) - 1)
    return where, np.uint8(1) << (hashes & np.uint64(7)).astype(np.uint8)
