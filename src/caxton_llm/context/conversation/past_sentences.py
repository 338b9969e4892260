"""The sentences of past turns, in columns that grow with a conversation, and which of them say most."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby

import numpy as np

from caxton_llm.caching.column import Column
from caxton_llm.caching.runs import Runs
from caxton_llm.context.conversation.digest import Ranked, Said, Sentences, sentences_of
from caxton_llm.context.conversation.past_parts import IS_KEPT, SPOKEN
from caxton_llm.context.conversation.spoken import speaker_of, text_of
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.context.text_vectors import TextVectors
from caxton_llm.types import Message

__all__ = ["PastSentences", "said_in"]

_HEAVIEST = 24_000_000
"""Bytes of what is kept: that of some thousand turns."""
_FEW = 500
"""Turns of which all sentences may be known, whichever are asked for."""
_LIGHT, _TURN, _RUN = 200, 50, 4_000
"""Bytes of a sentence, of a turn and of a conversation beside the columns."""


class PastSentences:
    """The sentences of turns; those of the last conversations are kept. Safe to share between threads."""

    def __init__(self, vectors: TextVectors) -> None:
        self._vectors = vectors
        self._kept: Runs[PastTurn, _Said] = Runs(partial(_Said, vectors), _Said.add, _Said.weight, heaviest=_HEAVIEST)

    def expect(self, turns: Sequence[PastTurn]) -> None:
        """Make the sentences of these turns ready."""
        if all(map(IS_KEPT, turns)):
            self._kept.of(turns)

    def ranked(self, turns: Sequence[PastTurn], first: int, end: int) -> Ranked:
        """Those of the turns from place `first` up to `end`, without it, by what they say of all; little to do where these
        were asked for before."""
        # Not many more than are asked for: those behind are added before they are.
        last = turns if len(turns) <= _FEW and all(map(IS_KEPT, turns)) else turns[first:]
        if first < end and all(map(IS_KEPT, last)):
            said, begins = self._kept.of(last)
            begins += len(last) - len(turns)
            return said.ranked(begins + first, begins + end)
        return Ranked.of([*self._groups(turns[first:end])])

    def _groups(self, turns: Sequence[PastTurn]) -> Iterator[Sentences]:
        """Those that are not kept all at once."""
        for is_kept, some in groupby(turns, key=IS_KEPT):
            alike = [*some]
            if is_kept:
                said, begins = self._kept.of(alike)
                yield said.between(begins, begins + len(alike))
            else:
                yield sentences_of(said_in(chain.from_iterable(turn.messages for turn in alike)), self._vectors)


class _Said:
    """The sentences of turns that follow each other."""

    def __init__(self, vectors: TextVectors) -> None:
        self._embedder = vectors
        self._lines: list[str] = []
        self._words: list[int] = []
        self._vectors = Column(np.empty((0, vectors.dimensions), np.float32))
        self._more = Column(np.empty(0, np.float32))
        self._ends = [0]
        """How many sentences there are up to the end of each turn."""
        self._characters = 0
        self._last = (0, 0, Ranked.of([]))

    def weight(self) -> int:
        """About how many bytes it takes."""
        texts = self._characters + _LIGHT * len(self._lines)
        return _RUN + _TURN * len(self._ends) + texts + self._vectors.nbytes + self._more.nbytes

    def add(self, turns: Sequence[PastTurn]) -> None:
        """Add turns that follow."""
        for turn in turns:
            found = sentences_of(said_in(turn.messages), self._embedder)
            self._lines += found.lines
            self._words += found.words
            self._vectors.add(found.vectors)
            self._more.add(found.more)
            self._ends.append(len(self._lines))
            self._characters += turn.characters + 4 * sum(map(len, found.lines))

    def between(self, first: int, end: int) -> Sentences:
        """Those of the turns from place `first` up to `end`, without it."""
        places = slice(self._ends[first], self._ends[end])
        return Sentences(self._lines[places], self._words[places], self._vectors[places], self._more[places])

    def ranked(self, first: int, end: int) -> Ranked:
        """The same, ranked: what was asked for last stays as it is, for what was said does not change."""
        last = self._last
        if last[:2] != (first, end):
            last = self._last = first, end, Ranked.of([self.between(first, end)])
        return last[2]


def said_in(messages: Iterable[Message]) -> Iterator[Said]:
    """Who says what in messages."""
    return (Said(speaker_of(one), text_of(one)) for one in messages if one.role in SPOKEN)
