"""What was said in past turns, ready to be compared with a request, digested and shown: made once for each stored turn."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from msgspec import Struct

from caxton_llm.context.digest import Said, Sentences, sentences_of
from caxton_llm.context.identical import KeptByIdentity
from caxton_llm.context.spoken import is_short, speaker_of, text_of
from caxton_llm.context.text_vectors import PackedTexts, TextVectors
from caxton_llm.discreet import Discreet
from caxton_llm.memory.passages import cut
from caxton_llm.types import Message

__all__ = ["PastTexts", "TurnTexts"]

_SPOKEN = ("user", "assistant")
_MOST_PARTS = 4_000
"""Of one turn: the last ones."""


class TurnTexts(Discreet, Struct, frozen=True):
    """The parts of what user and assistant said in one turn: who said each, by name or role, and what; and the same packed as
    they are compared."""

    parts: tuple[tuple[str, str], ...]
    packed: PackedTexts


class PastTexts:
    """The texts of turns. Safe to share between threads."""

    def __init__(self, vectors: TextVectors) -> None:
        self.vectors = vectors
        self._compared = KeptByIdentity(self._turn_texts, is_short)
        self._sentences = KeptByIdentity(self._turn_sentences, is_short)
        self._whole = KeptByIdentity(_whole, is_short)

    def compared(self, turns: Iterable[tuple[Message, ...]]) -> list[TurnTexts]:
        """The texts of each turn, in parts."""
        return self._compared.of_each(turns)

    def sentences(self, turns: Iterable[tuple[Message, ...]]) -> list[Sentences]:
        """The sentences of each turn."""
        return self._sentences.of_each(turns)

    def whole(self, messages: tuple[Message, ...]) -> str:
        """All that one turn says, results of tools among it."""
        return self._whole.of(messages)

    def expect(self, messages: Sequence[Message]) -> None:
        """These will be past: what is known of their texts is ready from now on."""
        self._turn_texts(messages)
        self._turn_sentences(messages)

    def _turn_texts(self, messages: Sequence[Message]) -> TurnTexts:
        parts = [*islice(_parts_from_the_end(messages), _MOST_PARTS)][::-1]
        return TurnTexts(
            tuple((speaker_of(message), text) for message, text in parts),
            self.vectors.compared([(message.name or "", text) for message, text in parts]).packed(),
        )

    def _turn_sentences(self, messages: Sequence[Message]) -> Sentences:
        said = [Said(speaker_of(one), text_of(one)) for one in messages if one.role in _SPOKEN]
        return sentences_of(said, self.vectors)


def _whole(messages: tuple[Message, ...]) -> str:
    return "\n".join(map(text_of, messages))


def _parts_from_the_end(messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    """A long message is cut."""
    for message in reversed(messages):
        if message.role in _SPOKEN:
            parts = [part for part in islice(cut(text_of(message).strip()), _MOST_PARTS) if part]
            yield from ((message, part) for part in reversed(parts))
