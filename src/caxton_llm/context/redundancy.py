"""Which pieces say again what others say: so that a budget is not spent twice on one fact.

Three ways: the same but for spelling; one stated in another word for word; and as good as the same, when two texts are very
alike in their vectors and say the same by their words (`sameness`), which vectors cannot tell.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.context.sameness import Reading, is_stated_in, reading, says_the_same
from caxton_llm.memory.query_words import FUNCTION_WORDS

__all__ = ["Repeated", "mark_of", "repetitions"]

_ALIKE = 0.9
"""Cosine from which on two texts may be the same. Paraphrases of one fact lie above, other facts of one topic below."""
_MARKS, _SMALL = 256, 64
_WORD = re.compile(r"\w+")
_LONGEST = 2_000
"""Characters of a text that are compared. A longer one may contain another, and never goes itself: its end is not seen."""


@kept_of_text(10_000, longest=_LONGEST)
def mark_of(text: str) -> bytes:
    """A bit for each word of a text that says something, of 256 that words share, and for each that only makes it a sentence,
    of 64 more: by these it is seen which texts may repeat each other. Kept, because a conversation and what is often
    remembered come again with every request."""
    folded, mark = text.casefold(), 0
    for word in _WORD.findall(folded) or folded.split():
        mark |= 1 << (_MARKS + hash(word) % _SMALL if word in FUNCTION_WORDS else hash(word) % _MARKS)
    return mark.to_bytes((_MARKS + _SMALL) // 8, "little")


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
    gone: dict[int, Repeated] = {}
    readings: dict[int, Reading] = {}

    def read(place: int) -> Reading:
        """Once for all pairs, whatever is kept beyond them."""
        if place not in readings:
            readings[place] = reading(texts[place][:_LONGEST])
        return readings[place]

    for later, earlier in _sharing_words(texts, standing):
        if earlier in gone or later in gone:
            continue
        one, other = read(later), read(earlier)
        is_whole, other_is_whole = len(texts[later]) <= _LONGEST, len(texts[earlier]) <= _LONGEST
        if is_whole and other_is_whole and one.words == other.words:
            gone[later] = Repeated(later, earlier, contained=False)
        elif is_whole and is_stated_in(one, other):
            gone[later] = Repeated(later, earlier, contained=True)
        elif other_is_whole and earlier >= standing and is_stated_in(other, one):
            gone[earlier] = Repeated(earlier, later, contained=True)
        elif (
            embed is not None
            and is_whole
            and other_is_whole
            and says_the_same(one, other)
            and _is_alike(*embed([texts[later], texts[earlier]]))
        ):
            gone[later] = Repeated(later, earlier, contained=False)
    return [_to_who_stays(gone[place], gone) for place in sorted(gone)]


def _sharing_words(texts: Sequence[str], standing: int) -> list[tuple[int, int]]:
    """Pairs, the later one first and not one that stands in any case, of which one may be contained in the other or say the
    same: half of the shorter one's words that say something are in the other, as far as marks tell, or half of all where none
    does."""
    count = len(texts)
    if count <= standing:
        return []
    bits = b"".join([mark_of(text[:_LONGEST]) for text in texts])
    marks = np.frombuffer(bits, np.uint64).reshape(count, -1).T
    may_repeat = _share_half(marks[:-1], standing)
    is_empty: NDArray[np.bool_] = np.logical_not(marks[:-1].any(axis=0))
    if is_empty.any():
        may_repeat = np.where(is_empty[standing:, None] | is_empty, _share_half(marks[-1:], standing), may_repeat)
    later, earlier = may_repeat.nonzero()
    later += standing
    are_pairs = earlier < later
    return list(zip(later[are_pairs].tolist(), earlier[are_pairs].tolist(), strict=True))


def _share_half(marks: NDArray[np.uint64], standing: int) -> NDArray[np.bool_]:
    """For each text from `standing` on, a row, which others, a column each, have half of the marks of the one with fewer."""
    shared = np.zeros((marks.shape[1] - standing, marks.shape[1]), np.uint16)
    for column in np.ascontiguousarray(marks):
        shared += np.bitwise_count(column[standing:, None] & column)
    counts = np.bitwise_count(marks).sum(axis=0, dtype=np.uint16)
    halves: NDArray[np.bool_] = 2 * shared >= np.maximum(np.minimum(counts[standing:, None], counts), 1)
    return halves


def _is_alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return float(one @ other) >= _ALIKE


def _to_who_stays(repeated: Repeated, gone: dict[int, Repeated]) -> Repeated:
    """What it repeats may itself have gone since: then what that one repeats."""
    by = repeated.by
    while by in gone:
        by = gone[by].by
    return Repeated(repeated.text, by, repeated.contained)
