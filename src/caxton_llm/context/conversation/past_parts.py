"""What was said in past turns, part by part, in columns that grow with a conversation."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from operator import attrgetter

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.caching.column import Column
from caxton_llm.caching.runs import Runs
from caxton_llm.context.conversation.spoken import is_short, speaker_of, text_of
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.context.text_vectors import ComparedTexts, TextVectors
from caxton_llm.discreet import Discreet
from caxton_llm.memory.passages import cut
from caxton_llm.types import Message

__all__ = ["IS_KEPT", "SPOKEN", "Parts", "PastParts", "parts_of"]

SPOKEN = ("user", "assistant")
"""The roles of who says something."""
IS_KEPT = attrgetter("is_kept")
_MOST_PARTS = 4_000
"""Of one turn the last ones; and of a conversation, from which on no earlier turn is looked at."""
_MOST_TURNS = 4_000
_AT_ONCE = 25
"""Turns of which nothing is kept, that are looked at together."""
_HEAVIEST = 40_000_000
"""Bytes of what is kept: that of some thousand turns."""
_LIGHT, _TURN, _RUN = 300, 250, 4_000
"""Bytes of a part, of a turn and of a conversation beside the columns."""


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
        self._kept_ones: Runs[PastTurn, _Spoken] = Runs(
            partial(_Spoken, vectors), _Spoken.add, _Spoken.weight, heaviest=_HEAVIEST
        )

    def are_at_hand(self, turns: Sequence[PastTurn]) -> bool:
        """Whether little has to be made for these turns."""
        if not (self._kept_ones.hold(turns) and all(map(IS_KEPT, turns))):
            return False
        return not turns or is_short(turns[-1].messages) or self._kept_ones.hold(turns[-1:])

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
        spoken = _Spoken(self._vectors)
        spoken.add(turns)
        return spoken.between(0, len(turns), most)

    def _kept(self, turns: Sequence[PastTurn], most: int) -> Parts:
        spoken, first = self._kept_ones.of(turns)
        return spoken.between(first, first + len(turns), most)


class _Spoken:
    """The parts of turns."""

    def __init__(self, vectors: TextVectors) -> None:
        self._vectors = vectors
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
        self._characters = 0

    def weight(self) -> int:
        """About how many bytes it takes."""
        columns = [one for one in vars(self).values() if isinstance(one, Column)]
        held = sum([column.nbytes for column in columns])
        return _RUN + _TURN * len(self._ends) + _LIGHT * len(self._said) + self._characters + held

    def add(self, turns: Sequence[PastTurn]) -> None:
        """Add turns that follow."""
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
        self._characters += sum([turn.characters for turn in turns])
        places = (ends + parts_before, tokens[ends] + tokens_before, terms[ends] + terms_before)
        self._ends += zip(*(place.tolist() for place in places), strict=True)

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
    if not least and end == len(turns) and all(map(IS_KEPT, turns)):
        return 0
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
