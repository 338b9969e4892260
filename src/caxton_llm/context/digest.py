"""A long conversation in few sentences of its own: deterministic, without a model.

The sentences that say most stand, in their order and word for word: those near to what the whole is about, and those with
numbers and names, which a reader cannot guess. Nothing is written that nobody said.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.context.identical import Identical
from caxton_llm.memory.duplicates import Statement, statement
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.query_words import is_question

__all__ = ["Said", "digest", "worth"]

_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")
_SHORTEST = 3
"""Words of a sentence that can say something."""
_SHORTEST_LINE = 5
"""Tokens of a line with such a sentence."""
_LONGEST = 400
"""Characters of a sentence; a longer one is a list or code, and is left out."""
_FOR_FACTS = 0.15
"""What a number or a name adds to a sentence's score, up to three of them."""
_FOR_ASKING = 0.2
"""What is taken away from a sentence that only asks."""


_LONGEST_TEXT = 20_000
"""Characters of a turn that are looked at."""
_LONGEST_KEPT = 4_000
"""Characters of a turn whose sentences are remembered; those of longer ones would fill the memory."""
_LARGEST_KEPT = 400_000
"""Characters of a conversation whose digest is remembered."""


class Said(Struct, frozen=True):
    """Who said what."""

    role: str
    text: str


class _Sentence(Struct, frozen=True):
    role: str
    text: str
    words: tuple[str, ...]
    facts: int


def digest(turns: Sequence[Said], room: int, count: Callable[[str], int], embedder: Embedder) -> str:
    """Lines of the form "role: sentence", at most `room` tokens of them; empty where nothing fits.

    `count` gives the tokens of a text. Equal turns give equal digests. The last ones are kept: what a conversation's window
    has left behind changes with few of its turns.
    """
    kept = sum(len(turn.text) for turn in turns) <= _LARGEST_KEPT
    made = _digest if kept else _digest.__wrapped__
    return made(tuple(turns), room, count, Identical(embedder))


@lru_cache(maxsize=64)
def _digest(turns: tuple[Said, ...], room: int, count: Callable[[str], int], embedder: Identical[Embedder]) -> str:
    sentences = [_Sentence(turn.role, *one) for turn in turns for one in _sentences_of(turn.text)]
    if not sentences or room < _SHORTEST_LINE:
        return ""
    scores = _scores([one.text for one in sentences], [one.facts for one in sentences], embedder.value)
    chosen: list[int] = []
    said: set[tuple[str, ...]] = set()
    left = room
    for place in np.argsort(-scores, kind="stable").tolist():
        words = sentences[place].words
        cost = count(_line(sentences[place]) + "\n") if words not in said else left + 1
        if cost <= left:
            chosen.append(place)
            said.add(words)
            left -= cost
            if left < _SHORTEST_LINE:
                break
    return "\n".join(_line(sentences[place]) for place in sorted(chosen))


def worth(texts: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
    """How much each text says of what all of them are about, at least one; to be compared among them only."""
    return _scores(texts, [_facts(statement(text)) for text in texts], embedder)


def _scores(texts: Sequence[str], facts: Sequence[int], embedder: Embedder) -> NDArray[np.float32]:
    vectors = embedder.embed(texts)
    middle = vectors.mean(axis=0)
    length = float(np.linalg.norm(middle)) or 1.0
    more = [
        _FOR_FACTS * min(3, number) - _FOR_ASKING * is_question(text) for text, number in zip(texts, facts, strict=True)
    ]
    scores: NDArray[np.float32] = vectors @ (middle / length) + np.array(more, np.float32)
    return scores


def _sentences_of(text: str) -> tuple[tuple[str, tuple[str, ...], int], ...]:
    return _sentences(text) if len(text) <= _LONGEST_KEPT else _sentences.__wrapped__(text[:_LONGEST_TEXT])


@lru_cache(maxsize=5_000)
def _sentences(text: str) -> tuple[tuple[str, tuple[str, ...], int], ...]:
    """The sentences of a turn, with their words, and how many figures and names there are. Kept, because a long
    conversation comes again with every request."""
    found = []
    for part in _SENTENCE.split(text):
        sentence = " ".join(part.split())
        said = statement(sentence)
        if len(said.words) >= _SHORTEST and len(sentence) <= _LONGEST:
            found.append((sentence, said.words, _facts(said)))
    return tuple(found)


def _facts(said: Statement) -> int:
    """Numbers and names; the first word of a sentence only looks like a name."""
    return len(said.numbers) + sum(name != said.words[0] for name in said.names)


def _line(sentence: _Sentence) -> str:
    return f"{sentence.role}: {sentence.text}"
