"""What past turns say, ready to be compared with a request, digested and shown: made once for each stored turn."""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter

from caxton_llm.context.conversation.digest import Ranked, Said, Sentences, ranked, sentences_of
from caxton_llm.context.conversation.past_parts import SPOKEN, Parts, PastParts, parts_of
from caxton_llm.context.conversation.spoken import speaker_of, text_of
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.context.kept import Kept
from caxton_llm.context.redundancy import marks_of
from caxton_llm.context.text_vectors import TextVectors
from caxton_llm.types import Message

__all__ = ["PastTexts"]

_HEAVIEST = 24_000_000
"""Bytes of each thing that is kept: that of some thousand turns."""


class PastTexts:
    """The texts of turns. Safe to share between threads."""

    def __init__(self, vectors: TextVectors) -> None:
        self.vectors = vectors
        self._parts = PastParts(vectors)
        self._sentences = Kept(self._turn_sentences, _sentences_weight, heaviest=_HEAVIEST)
        self._ranked = Kept(self._turns_ranked, _ranked_weight, heaviest=_HEAVIEST, key=_identity)
        self._whole = Kept(_whole, _whole_weight, heaviest=_HEAVIEST)

    def parts(self, turns: Sequence[PastTurn]) -> list[Parts]:
        """The parts of the last turns, in order: as many as are compared with a request."""
        if turns and turns[-1].is_kept:
            self._sentences.of(turns[-1])  # not all at once where a digest of many begins elsewhere
        return self._parts.of(turns)

    def are_at_hand(self, turns: Sequence[PastTurn]) -> bool:
        """Whether their parts are known, of all but the last turn at least."""
        return self._parts.are_at_hand(turns)

    def ranked(self, turns: tuple[PastTurn, ...]) -> Ranked:
        """The sentences of turns, by what they say of all; little to do where the same turns come again."""
        return self._ranked.of(turns)

    def whole(self, turn: PastTurn) -> str:
        """All that one turn says, results of tools among it."""
        return self._whole.of(turn)

    def expect(self, messages: Sequence[Message]) -> None:
        """These will be past: what is known of their texts is ready from now on."""
        parts = parts_of(messages)
        self.vectors.compared([(message.name or "", text) for message, text in parts])
        sentences_of(_said(messages), self.vectors)
        marks_of([_all_of(messages), *(text for _, text in parts)])

    def _turns_ranked(self, turns: tuple[PastTurn, ...]) -> Ranked:
        found: list[Sentences] = []
        for is_kept, some in groupby(turns, key=attrgetter("is_kept")):
            if is_kept:
                found += self._sentences.of_each(some)
            else:  # all at once
                found.append(sentences_of(chain.from_iterable(_said(turn.messages) for turn in some), self.vectors))
        return ranked(found)

    def _turn_sentences(self, turn: PastTurn) -> Sentences:
        return sentences_of(_said(turn.messages), self.vectors)


def _identity(turns: tuple[PastTurn, ...]) -> tuple[int, ...]:
    return tuple(map(id, turns))


def _sentences_weight(turn: PastTurn, made: Sentences) -> int | None:
    return 500 + made.weight if turn.is_kept else None


def _ranked_weight(turns: tuple[PastTurn, ...], made: Ranked) -> int | None:
    texts = sum([len(text) for turn in turns for message in turn.messages if isinstance(text := message.content, str)])
    return 300 * (len(turns) + len(made.lines)) + 4 * texts if all(turn.is_kept for turn in turns) else None


def _whole_weight(turn: PastTurn, made: str) -> int | None:
    return 300 + len(made) if turn.is_kept else None


def _whole(turn: PastTurn) -> str:
    return _all_of(turn.messages)


def _all_of(messages: Sequence[Message]) -> str:
    return "\n".join(map(text_of, messages))


def _said(messages: Sequence[Message]) -> Iterator[Said]:
    return (Said(speaker_of(one), text_of(one)) for one in messages if one.role in SPOKEN)
