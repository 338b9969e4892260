"""Parts of past turns with their relevance to a request: hundreds in arrays, of which few are ever looked at one by one."""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.context.redundancy import MARKS_WIDTH, marks_in
from caxton_llm.discreet import Discreet

__all__ = ["Excerpt", "Excerpts"]


class Excerpt(Discreet, Struct, frozen=True):
    """A part of a past turn: `turn` is the turn's place in the history, `place` the part's among those that were compared,
    `speaker` a name or a role, `mark` those of its words (`redundancy.marks_of`)."""

    turn: int
    place: int
    speaker: str
    text: str
    score: float
    mark: bytes


class Excerpts(Discreet, Struct, frozen=True, eq=False):
    """All parts that were compared, in order: who said each and what, the places of their turns in the history, ascending,
    their scores from 0 to 1, and their marks (`redundancy.marks_of`)."""

    parts: Sequence[tuple[str, str]]
    turns: NDArray[np.int64]
    scores: NDArray[np.float64]
    marks: NDArray[np.uint64]

    @classmethod
    def none(cls) -> Self:
        """Nothing was compared."""
        return cls((), np.empty(0, np.int64), np.empty(0), np.empty((0, MARKS_WIDTH), np.uint64))

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Excerpt]:
        return iter(self._at(np.arange(len(self.parts))))

    def between(self, first: int, end: int, *, least: float, most: int) -> tuple[list[Excerpt], int]:
        """Those of the turns from place `first` up to `end`, without it, with a score of at least `least`, the best first and
        at most `most` of them; and how many others these turns have."""
        begin = int(np.searchsorted(self.turns, first))
        scores = self.scores[begin : int(np.searchsorted(self.turns, end))]
        order = np.argsort(-scores, kind="stable")[:most]
        best = order[scores[order] >= least] + begin
        return self._at(best), len(scores) - len(best)

    def _at(self, places: NDArray[np.int64]) -> list[Excerpt]:
        columns = (
            places.tolist(),
            self.turns[places].tolist(),
            self.scores[places].tolist(),
            marks_in(self.marks[places]),
        )
        said = [self.parts[place] for place in columns[0]]
        return [
            Excerpt(turn, place, speaker, text, score, mark)
            for (place, turn, score, mark), (speaker, text) in zip(zip(*columns, strict=True), said, strict=True)
        ]
