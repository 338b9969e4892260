"""Parts of past turns with their relevance to a request: hundreds in arrays, of which few are ever looked at one by one."""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.discreet import Discreet

__all__ = ["Excerpt", "Excerpts"]


class Excerpt(Discreet, Struct, frozen=True, kw_only=True):
    """A part of a past turn: `turn` is the turn's place in the history, `place` the part's among those that were compared,
    `speaker` a name or a role."""

    turn: int
    place: int
    speaker: str
    text: str
    score: float


class Excerpts(Discreet, Struct, frozen=True, eq=False):
    """All parts that were compared, in order: who said each and what, the places of their turns in the history, ascending,
    and their scores from 0 to 1."""

    parts: Sequence[tuple[str, str]]
    turns: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def none(cls) -> Self:
        """Nothing was compared."""
        return cls((), np.empty(0, np.int64), np.empty(0))

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Excerpt]:
        return iter(self._at(np.arange(len(self.parts))))

    def between(self, first: int, end: int, *, least: float, most: int) -> tuple[list[Excerpt], int]:
        """Those of the turns from place `first` up to `end`, without it, with a score of at least `least`, the best first and
        at most `most` of them; and how many others these turns have."""
        begin = int(np.searchsorted(self.turns, first))
        scores = self.scores[begin : int(np.searchsorted(self.turns, end))]
        above = (scores >= least).nonzero()[0]
        best = above[(-scores[above]).argsort(kind="stable")[:most]] + begin
        return self._at(best), len(scores) - len(best)

    def _at(self, places: NDArray[np.int64]) -> list[Excerpt]:
        columns = places.tolist(), self.turns[places].tolist(), self.scores[places].tolist()
        return [
            Excerpt(turn=turn, place=place, speaker=self.parts[place][0], text=self.parts[place][1], score=score)
            for place, turn, score in zip(*columns, strict=True)
        ]
