"""What past turns say, ready to be compared with a request, digested and shown: made once for each stored turn."""

from collections.abc import Sequence

from caxton_llm.caching.kept import Kept
from caxton_llm.context.conversation.digest import Ranked, sentences_of
from caxton_llm.context.conversation.past_parts import Parts, PastParts, parts_of
from caxton_llm.context.conversation.past_sentences import PastSentences, said_in
from caxton_llm.context.conversation.spoken import text_of
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.context.redundancy import mark_of
from caxton_llm.context.text_vectors import TextVectors
from caxton_llm.types import Message

__all__ = ["PastTexts"]

_HEAVIEST = 24_000_000
"""Bytes of whole texts that are kept: those of some thousand turns."""


class PastTexts:
    """The texts of turns. Safe to share between threads."""

    def __init__(self, vectors: TextVectors) -> None:
        self.vectors = vectors
        self._parts = PastParts(vectors)
        self._sentences = PastSentences(vectors)
        self._whole = Kept(_whole, _whole_weight, heaviest=_HEAVIEST)

    def parts(self, turns: Sequence[PastTurn]) -> list[Parts]:
        """The parts of the last turns, in order: as many as are compared with a request."""
        return self._parts.of(turns)

    def are_at_hand(self, turns: Sequence[PastTurn]) -> bool:
        """Whether their parts are known, of all but the last turn at least."""
        return self._parts.are_at_hand(turns)

    def ranked(self, turns: Sequence[PastTurn], first: int, end: int) -> Ranked:
        """The sentences of the turns from place `first` up to `end`, without it, by what they say of all."""
        return self._sentences.ranked(turns, first, end)

    def whole(self, turn: PastTurn) -> str:
        """All that one turn says, results of tools among it."""
        return self._whole.of(turn)

    def expect(self, messages: Sequence[Message]) -> None:
        """These will be past: what is known of their texts is ready from now on."""
        parts = parts_of(messages)
        self.vectors.compared([(message.name or "", text) for message, text in parts])
        sentences_of(said_in(messages), self.vectors)
        for text in (_all_of(messages), *(text for _, text in parts)):
            mark_of(text)

    def expect_turns(self, turns: Sequence[PastTurn]) -> None:
        """These come again with further ones behind them."""
        self._parts.of(turns)
        self._sentences.expect(turns)


def _whole_weight(turn: PastTurn, made: str) -> int | None:
    return 300 + len(made) + turn.characters if turn.is_kept else None


def _whole(turn: PastTurn) -> str:
    return _all_of(turn.messages)


def _all_of(messages: Sequence[Message]) -> str:
    return "\n".join(map(text_of, messages))
