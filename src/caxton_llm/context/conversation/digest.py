"""A long conversation in few sentences of its own: deterministic, without a model.

The sentences that say most stand, in their order and word for word: those near to what the whole is about, and those with
numbers and names, which a reader cannot guess. Nothing is written that nobody said.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.discreet import Discreet
from caxton_llm.memory.duplicates import Statement, statement
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.query_words import is_question

__all__ = ["Ranked", "Said", "Sentences", "digest", "sentences_of", "worth"]

_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")
_SHORTEST = 3
"""Words of a sentence that can say something."""
_SHORTEST_LINE = 5
"""Tokens of a line with such a sentence."""
_MISFITS = 20
"""Sentences that do not fit any more, after which no other is tried."""
_LONGEST = 400
"""Characters of a sentence; a longer one is a list or code, and is left out."""
_FOR_FACTS = 0.15
"""What a number or a name adds to a sentence's score, up to three of them."""
_FOR_ASKING = 0.2
"""What is taken away from a sentence that only asks."""
_LONGEST_TEXT = 20_000
"""Characters of a turn that are looked at."""
_SHORT = 4_000
"""Characters of a turn whose sentences are remembered in any case."""
_LONG_BYTES = 16_000_000
"""Of the sentences of longer ones that are."""


class Said(Discreet, Struct, frozen=True):
    """Who said what."""

    role: str
    text: str


class Sentences(Discreet, Struct, frozen=True, eq=False):
    """The sentences of some turns: each as its line, a number for its words, its vector (a row), and what it is worth beside
    that."""

    lines: Sequence[str]
    words: Sequence[int]
    vectors: NDArray[np.float32]
    more: NDArray[np.float32]


def sentences_of(turns: Iterable[Said], embedder: Embedder) -> Sentences:
    """The sentences of turns that say anything."""
    found = [(turn.role, *one) for turn in turns for one in _sentences(turn.text[:_LONGEST_TEXT])]
    texts = [text for _, text, _, _ in found]
    return Sentences(
        tuple(f"{role}: {text}" for role, text, _, _ in found),
        tuple(words for _, _, words, _ in found),
        embedder.embed(texts),
        _more(texts, [facts for *_, facts in found]),
    )


class Ranked(Discreet, Struct, frozen=True, eq=False):
    """Sentences, and their places, those first that say most."""

    sentences: Sentences
    places: NDArray[np.int64]

    @classmethod
    def of(cls, several: Sequence[Sentences]) -> Self:
        """The sentences of all turns, which follow each other. Equal ones give equal orders."""
        every = several[0] if len(several) == 1 else _joined(several)
        scores = _scores(every.vectors, every.more) if len(every.lines) else every.more
        return cls(every, np.argsort(-scores, kind="stable"))


def _joined(several: Sequence[Sentences]) -> Sentences:
    vectors = [one.vectors for one in several if len(one.lines)]
    return Sentences(
        [*chain.from_iterable([one.lines for one in several])],
        [*chain.from_iterable([one.words for one in several])],
        np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32),
        np.concatenate([np.empty(0, np.float32), *(one.more for one in several)]),
    )


def digest(ranked: Ranked, room: int, count: Callable[[str], int]) -> str:
    """Lines of the form "role: sentence", at most `room` tokens of them, in the order in which they were said; empty where
    nothing fits. `count` gives the tokens of a line with its end."""
    if room < _SHORTEST_LINE:
        return ""
    chosen: list[tuple[int, str]] = []
    said: set[int] = set()
    left, misfits = room, 0
    sentences = ranked.sentences
    for place in ranked.places.tolist():
        line, words = sentences.lines[place], sentences.words[place]
        if words in said:
            continue
        cost = count(line)
        if cost <= left:
            chosen.append((place, line))
            said.add(words)
            left -= cost
        else:
            misfits += 1
        if left < _SHORTEST_LINE or misfits == _MISFITS:
            break
    return "\n".join(line for _, line in sorted(chosen))


def worth(texts: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
    """How much each text says of what all of them are about, at least one; to be compared among them only."""
    return _scores(embedder.embed(texts), _more(texts, [_facts(statement(text)) for text in texts]))


def _scores(vectors: NDArray[np.float32], more: NDArray[np.float32]) -> NDArray[np.float32]:
    middle = vectors.mean(axis=0)
    length = float(np.linalg.norm(middle)) or 1.0
    scores: NDArray[np.float32] = vectors @ (middle / length) + more
    return scores


def _more(texts: Sequence[str], facts: Sequence[int]) -> NDArray[np.float32]:
    """What texts are worth beside what they have to do with the whole."""
    more = [
        _FOR_FACTS * min(3, number) - _FOR_ASKING * is_question(text) for text, number in zip(texts, facts, strict=True)
    ]
    return np.array(more, np.float32)


_Parsed = tuple[tuple[str, int, int], ...]


@kept_of_text(5_000, longest=_SHORT, long_bytes=_LONG_BYTES, weight=lambda text: 4 * len(text))
def _sentences(text: str) -> _Parsed:
    """The sentences of a turn, with a number for their words, and how many figures and names there are. Kept, because a long
    conversation comes again with every request."""
    found = []
    for part in _SENTENCE.split(text):
        sentence = " ".join(part.split())
        said = statement(sentence)
        if len(said.words) >= _SHORTEST and len(sentence) <= _LONGEST:
            found.append((sentence, hash(said.words), _facts(said)))
    return tuple(found)


def _facts(said: Statement) -> int:
    """Numbers and names; the first word of a sentence only looks like a name."""
    return len(said.numbers) + sum(name != said.words[0] for name in said.names)
