"""What was said in past turns, in parts that can be compared with a request: made once for a turn that is stored."""

from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct

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
        self._known = KeptByIdentity(self._made, is_short)

    def of(self, messages: tuple[Message, ...]) -> TurnTexts:
        """The texts of one turn."""
        return self._known.of(messages)

    def _made(self, messages: tuple[Message, ...]) -> TurnTexts:
        parts = [*islice(_parts_from_the_end(messages), _MOST_PARTS)][::-1]
        return TurnTexts(
            tuple((speaker_of(message), text) for message, text in parts),
            self.vectors.compared([(message.name or "", text) for message, text in parts]).packed(),
        )


def _parts_from_the_end(messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    """A long message is cut."""
    for message in reversed(messages):
        if message.role in _SPOKEN:
            parts = [part for part in islice(cut(text_of(message).strip()), _MOST_PARTS) if part]
            yield from ((message, part) for part in reversed(parts))
