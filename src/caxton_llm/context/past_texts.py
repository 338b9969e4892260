"""What was said in past turns, ready to be compared with a request, digested and shown: made once for each stored turn."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice

from msgspec import Struct

from caxton_llm.context.digest import Said, Sentences, sentences_of
from caxton_llm.context.kept import Kept
from caxton_llm.context.spoken import speaker_of, text_of
from caxton_llm.context.text_vectors import PackedTexts, TextVectors
from caxton_llm.context.turns import PastTurn
from caxton_llm.discreet import Discreet
from caxton_llm.memory.passages import cut
from caxton_llm.types import Message

__all__ = ["Parts", "PastTexts"]

_SPOKEN = ("user", "assistant")
_MOST_PARTS = 4_000
"""Of one turn: the last ones."""
_HEAVIEST = 24_000_000
"""Bytes of each thing that is kept: that of some thousand turns."""

Parts = tuple[tuple[str, str], ...]
"""Who said what, by name or role: a long message in several parts."""


class _Texts(Discreet, Struct, frozen=True):
    parts: Parts
    packed: PackedTexts


class PastTexts:
    """The texts of turns. Safe to share between threads."""

    def __init__(self, vectors: TextVectors) -> None:
        self.vectors = vectors
        self._compared = Kept(self._turn_texts, _texts_weight, heaviest=_HEAVIEST)
        self._sentences = Kept(self._turn_sentences, _sentences_weight, heaviest=_HEAVIEST)
        self._whole = Kept(_whole, _whole_weight, heaviest=_HEAVIEST)

    def compared(self, turns: Iterable[PastTurn]) -> tuple[list[Parts], list[PackedTexts]]:
        """The parts of each turn, and what is known of all of them, in order."""
        parts: list[Parts] = []
        packed: list[PackedTexts] = []
        for is_stored, some in groupby(turns, key=_is_stored):
            if is_stored:
                known = self._compared.of_each(some)
                parts += [one.parts for one in known]
                packed += [one.packed for one in known]
            else:  # all at once: they are not kept
                own = [_parts_of(turn.messages) for turn in some]
                parts += map(_shown, own)
                packed.append(self._packed(chain.from_iterable(own)))
        return parts, packed

    def sentences(self, turns: Iterable[PastTurn]) -> list[Sentences]:
        """The sentences of turns, in order."""
        found: list[Sentences] = []
        for is_stored, some in groupby(turns, key=_is_stored):
            if is_stored:
                found += self._sentences.of_each(some)
            else:
                found.append(sentences_of(chain.from_iterable(_said(turn.messages) for turn in some), self.vectors))
        return found

    def whole(self, turn: PastTurn) -> str:
        """All that one turn says, results of tools among it."""
        return self._whole.of(turn)

    def expect(self, messages: Sequence[Message]) -> None:
        """These will be past: what is known of their texts is ready from now on."""
        self._packed(_parts_of(messages))
        sentences_of(_said(messages), self.vectors)

    def _turn_texts(self, turn: PastTurn) -> _Texts:
        parts = _parts_of(turn.messages)
        return _Texts(_shown(parts), self._packed(parts))

    def _turn_sentences(self, turn: PastTurn) -> Sentences:
        return sentences_of(_said(turn.messages), self.vectors)

    def _packed(self, parts: Iterable[tuple[Message, str]]) -> PackedTexts:
        return self.vectors.compared([(message.name or "", text) for message, text in parts]).packed()


def _is_stored(turn: PastTurn) -> bool:
    return turn.is_stored


def _texts_weight(turn: PastTurn, made: _Texts) -> int | None:
    names, *columns = made.packed
    return 1_000 + 300 * len(names) + sum(map(len, columns)) if turn.may_be_kept else None


def _sentences_weight(turn: PastTurn, made: Sentences) -> int | None:
    return 500 + made.weight if turn.may_be_kept else None


def _whole_weight(turn: PastTurn, made: str) -> int | None:
    return 300 + len(made) if turn.may_be_kept else None


def _whole(turn: PastTurn) -> str:
    return "\n".join(map(text_of, turn.messages))


def _said(messages: Sequence[Message]) -> Iterator[Said]:
    return (Said(speaker_of(one), text_of(one)) for one in messages if one.role in _SPOKEN)


def _shown(parts: Sequence[tuple[Message, str]]) -> Parts:
    return tuple((speaker_of(message), text) for message, text in parts)


def _parts_of(messages: Sequence[Message]) -> list[tuple[Message, str]]:
    return [*islice(_parts_from_the_end(messages), _MOST_PARTS)][::-1]


def _parts_from_the_end(messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    """A long message is cut."""
    for message in reversed(messages):
        if message.role in _SPOKEN:
            parts = [part for part in islice(cut(text_of(message).strip()), _MOST_PARTS) if part]
            yield from ((message, part) for part in reversed(parts))
