"""Which candidates are turns beside each other in one conversation, and what they share. Pure."""

from typing import Self, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import Floats

__all__ = ["Neighbourhood"]

_NOBODY = -1
_CONVERSATION = 1 << 32
"""So far apart that no neighbour of a turn falls into the next conversation."""
_Numbers = TypeVar("_Numbers", bound=np.generic)


class Neighbourhood(Struct, frozen=True):
    """For each distance, the candidates before and after each candidate: indexes, -1 where there is none."""

    count: int
    rings: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]

    @classmethod
    def nobody(cls, count: int) -> Self:
        """No candidate is a turn."""
        return cls(count, ())

    @classmethod
    def of(cls, conversation: NDArray[np.int64], position: NDArray[np.int64], reach: int) -> Self:
        """Turns of equal `conversation` whose `position` differs by 1 ... `reach`; both below 2**31, and no turn below 0."""
        turns = np.flatnonzero((conversation >= 0) & (position >= 0))
        if len(turns) < 2:
            return cls.nobody(len(conversation))
        places = conversation[turns] * _CONVERSATION + position[turns]
        if (places[1:] > places[:-1]).all():
            return cls(
                len(position), tuple(_beside(places, turns, ring, len(position)) for ring in range(1, reach + 1))
            )
        order = np.argsort(places, kind="stable")
        rings = tuple(
            (_at(places, order, turns, -distance, len(position)), _at(places, order, turns, distance, len(position)))
            for distance in range(1, reach + 1)
        )
        return cls(len(conversation), rings)

    def shared(self, scores: NDArray[np.float64], shares: tuple[float, ...]) -> NDArray[np.float64]:
        """What each candidate gets of its neighbours' scores: `shares[0]` of those at distance 1, and so on."""
        # One entry more, which index -1 finds: nobody shares nothing.
        padded = np.append(scores, 0.0)
        total = np.zeros(self.count)
        for share, (before, after) in zip(shares, self.rings, strict=False):
            total += share * (padded[before] + padded[after])
        return total

    def best(self, matches: Floats, shares: tuple[float, ...]) -> Floats:
        """For each query token the best match of a candidate or, times its share, of a neighbour."""
        padded = np.concatenate([matches, np.zeros((1, matches.shape[1]), matches.dtype)])
        found = matches
        for share, (before, after) in zip(shares, self.rings, strict=False):
            found = np.maximum(found, np.float32(share) * np.maximum(padded[before], padded[after]))
        return found


def _beside(
    places: NDArray[np.int64], turns: NDArray[np.int64], distance: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those before and after turns that come in their order: no further away than their distance says."""
    before, after = np.full((2, count), _NOBODY, np.int64)
    for shift in range(1, distance + 1):
        near = (places[shift:] - places[:-shift] == distance).nonzero()[0]
        one, other = turns[near], turns[near + shift]
        after[one], before[other] = other, one
    return before, after


def _at(
    places: NDArray[np.int64], order: NDArray[np.int64], turns: NDArray[np.int64], offset: int, count: int
) -> NDArray[np.int64]:
    wanted = places + offset
    found = order[np.minimum(np.searchsorted(places, wanted, sorter=order), len(order) - 1)]
    result = np.full(count, _NOBODY, np.int64)
    result[turns] = np.where(places[found] == wanted, turns[found], _NOBODY)
    return result
