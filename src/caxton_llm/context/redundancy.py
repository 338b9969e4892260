"""Which pieces say again what others say: so that a budget is not spent twice on one fact.

Three ways: the same but for spelling; one contained in another word for word; and as good as the same, when two texts are
very alike in their vectors and differ in no number, date, negation or name. That guard tells "the deadline is the 3rd" from
"the deadline is the 4th", which every vector takes for the same.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.memory.duplicates import Statement, statement

__all__ = ["Repeated", "repetitions"]

_ALIKE = 0.9
"""Cosine from which on two texts may be the same. Paraphrases of one fact lie above, other facts of one topic below."""
_SHORTEST = 3
"""Words that a text must have to be contained in another: "yes" is no repetition of every text with a yes."""
_PARAPHRASE = 0.6
"""Share of the shorter one's words that the other must have too: vectors alone do not tell one deed from another."""


class Repeated(Struct, frozen=True):
    """A text that another one, `by`, makes needless. Both are places in what was compared."""

    text: int
    by: int
    contained: bool


def repetitions(texts: Sequence[str], vectors: NDArray[np.float32] | None = None) -> list[Repeated]:
    """What can go, each with a text that stays. `texts` come in the order of their worth: of two the first stays, unless it
    is contained in the second.

    `vectors` are rows of length 1, one a text (zeros: not comparable); without them only words are compared. Takes a
    millisecond for a hundred texts and a hundred for a thousand.
    """
    said = [statement(text) for text in texts]
    alike = _alike(len(texts), vectors)
    words = [f" {' '.join(one.words)} " for one in said]
    gone: dict[int, Repeated] = {}
    by_words: dict[tuple[str, ...], int] = {}
    for later in range(len(texts)):
        same = by_words.setdefault(said[later].words, later)
        if same != later and said[later].words:
            gone[later] = Repeated(later, same, contained=False)
            continue
        for earlier in range(later):
            if earlier in gone or later in gone or not said[earlier].words:
                continue
            if len(said[later].words) >= _SHORTEST and words[later] in words[earlier]:
                gone[later] = Repeated(later, earlier, contained=True)
            elif len(said[earlier].words) >= _SHORTEST and words[earlier] in words[later]:
                gone[earlier] = Repeated(earlier, later, contained=True)
            elif alike[later, earlier] and _says_the_same(said[later], said[earlier]):
                gone[later] = Repeated(later, earlier, contained=False)
    return [_to_who_stays(gone[place], gone) for place in sorted(gone)]


def _alike(count: int, vectors: NDArray[np.float32] | None) -> NDArray[np.bool_]:
    if vectors is None or not count:
        return np.zeros((count, count), np.bool_)
    return (vectors @ vectors.T) >= _ALIKE


def _says_the_same(one: Statement, other: Statement) -> bool:
    if sorted(one.numbers) != sorted(other.numbers) or sorted(one.negations) != sorted(other.negations):
        return False
    mine, others = set(one.words), set(other.words)
    # A name in the one must be in the other, too; the first word of a sentence only looks like one.
    if not (mine.issuperset(other.names) and others.issuperset(one.names)):
        return False
    return len(mine & others) >= _PARAPHRASE * min(len(mine), len(others))


def _to_who_stays(repeated: Repeated, gone: dict[int, Repeated]) -> Repeated:
    """What it repeats may itself have gone since: then what that one repeats."""
    by = repeated.by
    while by in gone:
        by = gone[by].by
    return Repeated(repeated.text, by, repeated.contained)
