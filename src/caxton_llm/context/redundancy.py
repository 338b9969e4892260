"""Which pieces say again what others say: so that a budget is not spent twice on one fact.

Three ways: the same but for spelling; one contained in another word for word; and as good as the same, when two texts are
very alike in their vectors and differ in no number, date, negation or name. That guard tells "the deadline is the 3rd" from
"the deadline is the 4th", which every vector takes for the same.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.memory.duplicates import Statement, statement

__all__ = ["Repeated", "expect", "repetitions"]

_ALIKE = 0.9
"""Cosine from which on two texts may be the same. Paraphrases of one fact lie above, other facts of one topic below."""
_SHORTEST = 3
"""Words that a text must have to be contained in another: "yes" is no repetition of every text with a yes."""
_PARAPHRASE = 0.6
"""Share of the shorter one's words that the other must have too: vectors alone do not tell one deed from another."""
_MARKS = 256
_LONGEST = 2_000
"""Characters of a text that are compared. A longer one may contain another, and never goes itself: its end is not seen."""


def expect(text: str) -> None:
    """It will be compared: what is known of it is ready from now on."""
    _known(text[:_LONGEST])


class Repeated(Struct, frozen=True):
    """A text that another one, `by`, makes needless. Both are places in what was compared."""

    text: int
    by: int
    contained: bool


def repetitions(
    texts: Sequence[str],
    embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
    *,
    standing: int = 0,
) -> list[Repeated]:
    """What can go, each with a text that stays. `texts` come in the order of their worth: of two the first stays, unless it
    is contained in the second. The first `standing` of them stay in any case, and are not compared with each other.

    `embed` gives a row of length 1 for each text (zeros: not comparable), and is asked for those that say the same otherwise;
    without it only words are compared.
    """
    known = [_known(text[:_LONGEST]) for text in texts]
    is_whole = [len(text) <= _LONGEST for text in texts]
    gone = _same(known, is_whole, standing)
    for later, earlier in _sharing_words(known, standing):
        if earlier in gone or later in gone:
            continue
        one, other = known[later], known[earlier]
        if is_whole[later] and one.is_in(other):
            gone[later] = Repeated(later, earlier, contained=True)
        elif earlier >= standing and is_whole[earlier] and other.is_in(one):
            gone[earlier] = Repeated(earlier, later, contained=True)
        elif (
            embed is not None
            and is_whole[later]
            and is_whole[earlier]
            and _says_the_same(one.statement, other.statement)
            and _is_alike(*embed([texts[later], texts[earlier]]))
        ):
            gone[later] = Repeated(later, earlier, contained=False)
    return [_to_who_stays(gone[place], gone) for place in sorted(gone)]


class _Known(Struct, frozen=True):
    """What a text says; its words as one text, which contains those of another where they stand in it; and its marks, a bit
    for each word, of `_MARKS` that words share."""

    statement: Statement
    words: str
    marks: bytes

    def is_in(self, other: "_Known") -> bool:
        """Whether it says enough to be contained in another, and is."""
        return len(self.statement.words) >= _SHORTEST and self.words in other.words


@lru_cache(maxsize=5_000)
def _known(text: str) -> _Known:
    """Kept, because a conversation and what is often remembered come again with every request."""
    said = statement(text)
    marks = 0
    for word in said.words:
        marks |= 1 << hash(word) % _MARKS
    return _Known(said, f" {' '.join(said.words)} ", marks.to_bytes(_MARKS // 8, "little"))


def _same(known: Sequence[_Known], is_whole: Sequence[bool], standing: int) -> dict[int, Repeated]:
    """Texts that have all words of an earlier one, and no others."""
    first: dict[str, int] = {}
    found = {}
    for place, one in enumerate(known):
        if is_whole[place] and one.statement.words:
            same = first.setdefault(one.words, place)
            if same != place and place >= standing:
                found[place] = Repeated(place, same, contained=False)
    return found


def _sharing_words(known: Sequence[_Known], standing: int) -> list[tuple[int, int]]:
    """Pairs, the later one first and not one that stands in any case, of which one may be contained in the other or say the
    same: half of the shorter one's words are in the other, as far as marks tell."""
    if len(known) <= standing:
        return []
    marks = np.frombuffer(b"".join([one.marks for one in known]), np.uint64).reshape(len(known), -1).T
    shared = np.zeros((len(known) - standing, len(known)), np.uint16)
    for column in marks:
        shared += np.bitwise_count(column[standing:, None] & column)
    counts = np.bitwise_count(marks).sum(axis=0, dtype=np.uint16)
    least = np.maximum(np.minimum(counts[standing:, None], counts), 1)
    later, earlier = np.nonzero(np.tril(2 * shared >= least, standing - 1))
    return list(zip((later + standing).tolist(), earlier.tolist(), strict=True))


def _says_the_same(one: Statement, other: Statement) -> bool:
    if sorted(one.numbers) != sorted(other.numbers) or sorted(one.negations) != sorted(other.negations):
        return False
    mine, others = set(one.words), set(other.words)
    # A name in the one must be in the other, too; the first word of a sentence only looks like one.
    if not (mine.issuperset(other.names) and others.issuperset(one.names)):
        return False
    return len(mine & others) >= _PARAPHRASE * min(len(mine), len(others))


def _is_alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return float(one @ other) >= _ALIKE


def _to_who_stays(repeated: Repeated, gone: dict[int, Repeated]) -> Repeated:
    """What it repeats may itself have gone since: then what that one repeats."""
    by = repeated.by
    while by in gone:
        by = gone[by].by
    return Repeated(repeated.text, by, repeated.contained)
