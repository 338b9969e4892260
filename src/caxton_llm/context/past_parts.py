"""What was said in past turns, part by part, in columns that grow with a conversation: a new turn is added to what is known.

A request brings hundreds of turns that the one before had, too. To look each of them up would take longer than what is done
with them.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import is_
from threading import Lock

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.context.column import Column
from caxton_llm.context.spoken import speaker_of, text_of
from caxton_llm.context.text_vectors import ComparedTexts, TextVectors
from caxton_llm.context.turns import PastTurn
from caxton_llm.discreet import Discreet
from caxton_llm.memory.passages import cut
from caxton_llm.types import Message

__all__ = ["SPOKEN", "Parts", "PastParts", "parts_of"]

SPOKEN = ("user", "assistant")
"""The roles of who says something."""
_MOST_PARTS = 4_000
"""Of one turn the last ones; and of a conversation, from which on no earlier turn is looked at."""
_MOST_TURNS = 4_000
_AT_ONCE = 25
"""Turns of which nothing is kept, that are looked at together."""
_UNUSED = 64
"""Turns at the beginning that nobody asks for any more, from which on, once they are half of all, what is known is begun
anew."""
_HEAVIEST = 40_000_000
"""Bytes of what is kept: that of some thousand turns."""
_LIGHT = 400
"""Bytes of a part beside its columns."""


class Parts(Discreet, Struct, frozen=True, eq=False):
    """Of some turns that follow each other who said what, by name or role (a long message in several parts), what is known
    of the texts, how many parts each turn has, and when it was, in seconds since 1970 (NaN: nobody knows)."""

    said: Sequence[tuple[str, str]]
    texts: ComparedTexts
    counts: NDArray[np.int64]
    times_s: NDArray[np.float64]


class PastParts:
    """The parts of turns; those of the last conversations are kept. Safe to share between threads."""

    def __init__(self, vectors: TextVectors) -> None:
        self._vectors = vectors
        self._lock = Lock()
        self._grown: OrderedDict[int, tuple[_Grown, int]] = OrderedDict()
        """By the identity of the last turn, which it holds; with its bytes."""

    def of(self, turns: Sequence[PastTurn]) -> list[Parts]:
        """The parts of the last turns, in order: as many as are compared with a request."""
        found: list[Parts] = []
        end, count = len(turns), 0
        least = max(0, end - _MOST_TURNS)
        while end > least and count < _MOST_PARTS:
            first = _first_alike(turns, least, end)
            of = self._kept if turns[first].is_kept else self._made
            found.append(of(turns[first:end], _MOST_PARTS - count))
            end, count = first, count + len(found[-1].said)
        return found[::-1]

    def _made(self, turns: Sequence[PastTurn], most: int) -> Parts:
        grown = _Grown(self._vectors)
        grown.reach(turns)
        return grown.between(0, len(turns), most)

    def _kept(self, turns: Sequence[PastTurn], most: int) -> Parts:
        with self._lock:
            end = next((id(turn) for turn in reversed(turns) if id(turn) in self._grown), 0)
            grown = self._grown[end][0] if end else _Grown(self._vectors)
        first = grown.reach(turns)
        if first is None:
            grown, first, end = _Grown(self._vectors), 0, 0
            grown.reach(turns)
        with self._lock:
            self._grown.pop(end, None)
            self._grown[id(grown.last)] = grown, grown.weight
            while sum([weight for _, weight in self._grown.values()]) > _HEAVIEST:
                self._grown.popitem(last=False)
        return grown.between(first, first + len(turns), most)


class _Grown:
    """The parts of turns that follow each other, and of all that follow them."""

    def __init__(self, vectors: TextVectors) -> None:
        self._vectors = vectors
        self._lock = Lock()
        self._turns: list[PastTurn] = []
        self._said: list[tuple[str, str]] = []
        self._names: list[str] = []
        self._ends = [(0, 0, 0)]
        """Behind each turn: parts, tokens and terms so far."""
        self._counts = Column(np.empty(0, np.int64))
        self._times_s = Column(np.empty(0, np.float64))
        self._tokens = Column(np.empty(0, np.int32))
        self._token_counts = Column(np.empty(0, np.int64))
        self._rows = Column(np.empty((0, vectors.dimensions), np.float32))
        self._terms = Column(np.empty(0, np.int64))
        self._term_counts = Column(np.empty(0, np.int64))
        self._asks = Column(np.empty(0, np.bool_))

    @property
    def last(self) -> PastTurn:
        return self._turns[-1]

    @property
    def weight(self) -> int:
        """About how many bytes it takes beside the texts, which are the conversation's."""
        return self._rows.nbytes + self._tokens.nbytes + self._terms.nbytes + _LIGHT * len(self._said)

    def reach(self, turns: Sequence[PastTurn]) -> int | None:
        """Grow to the last of the turns; where the first of them is. `None`: this is another conversation, or begins
        elsewhere."""
        with self._lock:
            first = known = 0
            if self._turns:
                last = self._turns[-1]
                known = next((place for place in range(len(turns), 0, -1) if turns[place - 1] is last), 0)
                first = len(self._turns) - known
                if not known or first < 0 or (first > _UNUSED and 2 * first > len(self._turns)):
                    return None
                if not all(map(is_, islice(self._turns, first, None), turns)):
                    return None
            if known < len(turns):
                self._add(turns[known:])
            return first

    def _add(self, turns: Sequence[PastTurn]) -> None:
        spoken = [parts_of(turn.messages) for turn in turns]
        every = [part for parts in spoken for part in parts]
        texts = self._vectors.compared([(message.name or "", text) for message, text in every])
        tokens, terms = (np.append(0, column.cumsum()) for column in (texts.token_counts, texts.term_counts))
        counts = np.array([len(parts) for parts in spoken], np.int64)
        ends = counts.cumsum()
        parts_before, tokens_before, terms_before = self._ends[-1]
        self._said += [(speaker_of(message), text) for message, text in every]
        self._names += texts.names
        self._counts.add(counts)
        self._times_s.add(np.array([np.nan if turn.at is None else turn.at for turn in turns]))
        self._tokens.add(texts.tokens)
        self._token_counts.add(texts.token_counts)
        self._rows.add(texts.vectors)
        self._terms.add(texts.terms)
        self._term_counts.add(texts.term_counts)
        self._asks.add(texts.asks)
        places = (ends + parts_before, tokens[ends] + tokens_before, terms[ends] + terms_before)
        self._ends += zip(*(place.tolist() for place in places), strict=True)
        self._turns += turns

    def between(self, first: int, end: int, most: int) -> Parts:
        """The parts of the turns from place `first` up to `end`, without it: of the last ones that have `most` together."""
        first = max(first, bisect_right(self._ends, self._ends[end][0] - most, hi=end + 1, key=_parts_so_far) - 1)
        parts, tokens, terms = map(slice, self._ends[first], self._ends[end])
        texts = ComparedTexts(
            names=self._names[parts],
            tokens=self._tokens[tokens],
            token_counts=self._token_counts[parts],
            vectors=self._rows[parts],
            terms=self._terms[terms],
            term_counts=self._term_counts[parts],
            asks=self._asks[parts],
        )
        return Parts(self._said[parts], texts, self._counts[first:end], self._times_s[first:end])


def _parts_so_far(ends: tuple[int, int, int]) -> int:
    return ends[0]


def _first_alike(turns: Sequence[PastTurn], least: int, end: int) -> int:
    """The place from which on the turns before `end` are all kept, or some of which none is."""
    is_kept = turns[end - 1].is_kept
    least = least if is_kept else max(least, end - _AT_ONCE)
    first = end - 1
    while first > least and turns[first - 1].is_kept == is_kept:
        first -= 1
    return first


def parts_of(messages: Sequence[Message]) -> list[tuple[Message, str]]:
    """What was said in some messages, the last parts where there are very many."""
    return [*islice(_parts_from_the_end(messages), _MOST_PARTS)][::-1]


def _parts_from_the_end(messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    """A long message is cut."""
    for message in reversed(messages):
        if message.role in SPOKEN:
            parts = [part for part in islice(cut(text_of(message).strip()), _MOST_PARTS) if part]
            yield from ((message, part) for part in reversed(parts))
