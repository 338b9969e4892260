"""Which passages belong to the turns beside a turn: one tenant's turns in the order of their conversations."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Beside"]

_Numbers = NDArray[np.generic]
_CONVERSATION = 1 << 32
"""So far apart that no neighbour of a turn falls into the next conversation: positions are below 2**31."""


class Beside:
    """Grows by appending; a searcher may go on reading while it does."""

    def __init__(self) -> None:
        self._sorted: tuple[NDArray[np.int64], NDArray[np.int64]] = (np.empty(0, np.int64), np.empty(0, np.int64))
        """Where turns stand in all conversations, ascending, and the places of their passages."""

    def append(self, first: int, conversations: _Numbers, positions: _Numbers) -> None:
        """Add the passages at `first` and after it; those of no turn have a conversation of -1."""
        turns = np.flatnonzero(conversations.astype(np.int64) >= 0)
        if not len(turns):
            return
        new = _at(conversations[turns], positions[turns])
        order = np.argsort(new, kind="stable")
        known, places = self._sorted
        where = np.searchsorted(known, new[order], side="right")
        self._sorted = (np.insert(known, where, new[order]), np.insert(places, where, first + turns[order]))

    def around(self, conversations: _Numbers, positions: _Numbers, reach: int) -> NDArray[np.int64]:
        """Places of the passages of turns at most `reach` before or after these, without repetitions, these among them."""
        known, places = self._sorted
        turns = conversations.astype(np.int64) >= 0
        if not len(known) or not turns.any():
            return np.empty(0, np.int64)
        middle = _at(conversations[turns], positions[turns])
        first = np.searchsorted(known, middle - reach)
        count = np.searchsorted(known, middle + reach, side="right") - first
        before = np.cumsum(count) - count
        return np.unique(places[np.arange(int(count.sum())) + np.repeat(first - before, count)])


def _at(conversations: _Numbers, positions: _Numbers) -> NDArray[np.int64]:
    return conversations.astype(np.int64) * _CONVERSATION + positions.astype(np.int64)
