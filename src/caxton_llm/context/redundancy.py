"""Which pieces say again what others say: so that a budget is not spent twice on one fact.

Three ways: the same but for spelling; one contained in another word for word; and as good as the same, when two texts are
very alike in their vectors and differ in no number, date, negation or name. That guard tells "the deadline is the 3rd" from
"the deadline is the 4th", which every vector takes for the same.
"""

from collections.abc import Sequence
from functools import lru_cache

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
_MARKS = 256
_LONGEST = 2_000
"""Characters of a text that are compared. A longer one may contain another, and never goes itself: its end is not seen."""


class Repeated(Struct, frozen=True):
    """A text that another one, `by`, makes needless. Both are places in what was compared."""

    text: int
    by: int
    contained: bool


def repetitions(
    texts: Sequence[str], vectors: NDArray[np.float32] | None = None, *, standing: int = 0
) -> list[Repeated]:
    """What can go, each with a text that stays. `texts` come in the order of their worth: of two the first stays, unless it
    is contained in the second. The first `standing` of them stay in any case, and are not compared with each other.

    `vectors` are rows of length 1, one a text (zeros: not comparable); without them only words are compared.
    """
    known = [_known(text[:_LONGEST]) for text in texts]
    is_whole = [len(text) <= _LONGEST for text in texts]
    can_go = [whole and len(one.statement.words) >= _SHORTEST for whole, one in zip(is_whole, known, strict=True)]
    can_go[:standing] = [False] * min(standing, len(texts))
    said, words = [one.statement for one in known], [one.words for one in known]
    alike = {pair for pair in _alike(vectors, standing) if is_whole[pair[0]] and is_whole[pair[1]]}
    pairs = _containing(known, standing) | alike
    gone = {place: one for place, one in _same(said, is_whole).items() if place >= standing}
    for later, earlier in sorted(pairs):
        if earlier in gone or later in gone or not (said[later].words and said[earlier].words):
            continue
        if can_go[later] and words[later] in words[earlier]:
            gone[later] = Repeated(later, earlier, contained=True)
        elif (
            earlier >= standing
            and is_whole[earlier]
            and len(said[earlier].words) >= _SHORTEST
            and words[earlier] in words[later]
        ):
            gone[earlier] = Repeated(earlier, later, contained=True)
        elif (later, earlier) in alike and _says_the_same(said[later], said[earlier]):
            gone[later] = Repeated(later, earlier, contained=False)
    return [_to_who_stays(gone[place], gone) for place in sorted(gone)]


class _Known(Struct, frozen=True):
    """What a text says; its words as one text, which contains those of another where they stand in it; and its marks, one for
    each word, of `_MARKS` that words share, as 32-bit numbers: what contains another text has all marks of it."""

    statement: Statement
    words: str
    marks: bytes


@lru_cache(maxsize=5_000)
def _known(text: str) -> _Known:
    """Kept, because a conversation and what is often remembered come again with every request."""
    said = statement(text)
    marks = np.zeros(_MARKS, np.float32)
    marks[[hash(word) % _MARKS for word in said.words]] = 1.0
    return _Known(said, f" {' '.join(said.words)} ", marks.tobytes())


def _same(said: Sequence[Statement], is_whole: Sequence[bool]) -> dict[int, Repeated]:
    """Texts that have all words of an earlier one, and no others."""
    first: dict[tuple[str, ...], int] = {}
    return {
        place: Repeated(place, same, contained=False)
        for place, one in enumerate(said)
        if is_whole[place] and one.words and (same := first.setdefault(one.words, place)) != place
    }


def _containing(known: Sequence[_Known], standing: int) -> set[tuple[int, int]]:
    """Pairs of which one, which does not stand in any case, may be contained in the other, by the marks of its words."""
    if len(known) <= standing:
        return set()
    marks = np.frombuffer(b"".join([one.marks for one in known]), np.float32).reshape(len(known), _MARKS)
    has_all = (marks[standing:] @ marks.T) >= marks[standing:].sum(axis=1)[:, None]
    long_enough = np.array([len(one.statement.words) >= _SHORTEST for one in known[standing:]])
    contained, containing = np.nonzero(has_all & long_enough[:, None])
    contained += standing
    differ = contained != containing
    return _pairs(contained[differ], containing[differ])


def _alike(vectors: NDArray[np.float32] | None, standing: int) -> set[tuple[int, int]]:
    """Pairs with vectors that are very near to each other."""
    if vectors is None or len(vectors) <= standing:
        return set()
    later, earlier = np.nonzero(np.tril(vectors[standing:] @ vectors.T, standing - 1) >= _ALIKE)
    return _pairs(later + standing, earlier)


def _pairs(one: NDArray[np.int64], other: NDArray[np.int64]) -> set[tuple[int, int]]:
    """The later place first."""
    return set(zip(np.maximum(one, other).tolist(), np.minimum(one, other).tolist(), strict=True))


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
