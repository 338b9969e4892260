"""Which candidates are turns beside each other in one conversation, and what they share. Pure."""

from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import Floats

__all__ = ["Neighbourhood"]

_CONVERSATION = 1 << 32
"""So far apart that no neighbour of a turn falls into the next conversation."""


class Neighbourhood(Struct, frozen=True):
    """For each distance, who gets a share of whom: pairs of places, each candidate once among those that get one."""

    count: int
    rings: tuple[tuple[tuple["_Places", "_Places"], ...], ...]

    @classmethod
    def nobody(cls, count: int) -> Self:
        """No candidate is a turn."""
        return cls(count, ())

    @classmethod
    def of(cls, conversation: NDArray[np.int64], position: NDArray[np.int64], reach: int) -> Self:
        """Turns of equal `conversation` whose `position` differs by 1 ... `reach`; both below 2**31, and no turn below 0."""
        turns = ((conversation >= 0) & (position >= 0)).nonzero()[0]
        if len(turns) < 2:
            return cls.nobody(len(conversation))
        places = conversation[turns] * _CONVERSATION + position[turns]
        steps = places[1:] - places[:-1]
        if np.count_nonzero(steps == 1) == len(steps) and turns[-1] - turns[0] == len(turns) - 1:
            first, end = int(turns[0]), int(turns[-1]) + 1
            rings = [
                _both(slice(first, max(first, end - ring)), slice(first + ring, end)) for ring in range(1, reach + 1)
            ]
        elif (steps > 0).all():
            rings = [_both(*_beside(places, turns, ring)) for ring in range(1, reach + 1)]
        else:
            order = np.argsort(places, kind="stable")
            rings = [
                (_at(places, order, turns, -ring), _at(places, order, turns, ring)) for ring in range(1, reach + 1)
            ]
        return cls(len(conversation), tuple(rings))

    def shared(self, scores: NDArray[np.float64], shares: tuple[float, ...]) -> NDArray[np.float64]:
        """What each candidate gets of its neighbours' scores: `shares[0]` of those at distance 1, and so on."""
        total = np.zeros(self.count)
        for share, ring in zip(shares, self.rings, strict=False):
            for getting, giving in ring:
                total[getting] += share * scores[giving]
        return total

    def best(self, matches: Floats, shares: tuple[float, ...]) -> Floats:
        """For each query token the best match of a candidate or, times its share, of a neighbour."""
        found = matches.copy()
        for share, ring in zip(shares, self.rings, strict=False):
            for getting, giving in ring:
                found[getting] = np.maximum(found[getting], np.float32(share) * matches[giving])
        return found


_Places = NDArray[np.int64] | slice


def _both(one: _Places, other: _Places) -> tuple[tuple[_Places, _Places], ...]:
    return (one, other), (other, one)


def _beside(
    places: NDArray[np.int64], turns: NDArray[np.int64], distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those that have another one behind them, and these: no further away in their order than their distance says."""
    pairs = []
    for shift in range(1, distance + 1):
        near = (places[shift:] - places[:-shift] == distance).nonzero()[0]
        pairs.append((turns[near], turns[near + shift]))
    ones, others = zip(*pairs, strict=True)
    return np.concatenate(ones), np.concatenate(others)


def _at(
    places: NDArray[np.int64], order: NDArray[np.int64], turns: NDArray[np.int64], offset: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those that have another one at this offset, and these."""
    wanted = places + offset
    found = order[np.minimum(np.searchsorted(places, wanted, sorter=order), len(order) - 1)]
    is_there = places[found] == wanted
    return turns[is_there], turns[found[is_there]]
