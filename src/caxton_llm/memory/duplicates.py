"""When two texts say the same, so that a memory keeps one of them.

Two texts are duplicates when nothing but spelling differs: case, punctuation, white space, contractions, articles and other
filling words. Long texts may differ in a few words more. The guard comes first: texts that differ in a
number, a date, a negation or a name are never duplicates, however long they are. No similarity of vectors is asked: "likes
tea" and "likes coffee" are close there.
"""

import re
import unicodedata
from difflib import SequenceMatcher
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

__all__ = ["Difference", "Statement", "difference", "duplicate_key", "is_duplicate", "statement", "words_key"]

Difference = Literal["number", "negation", "name", "words"]

_LONG = 40
"""Words from which on a small share of differing words is no difference."""
_SHARE = 0.95
_COMPARED = 2_000
"""Words of the longest texts that are compared word by word; the comparison's time grows with their product."""

_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*%?|[^\W\d_]+(?:'[^\W\d_]+)?\d*|[^\w\s]", re.UNICODE)
_KEPT_SIGNS = frozenset("+-<>=$€£¥%#@&*^~|")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILLING = _words("a an the of that this these those very really just also please so quite then there")
_NEGATIONS = _words(
    """not no never none nobody nothing neither nor without cannot except only unless hardly barely rarely seldom few
    nicht kein keine nie ohne non pas jamais sin nunca"""
)
_NUMBERS = _words(
    """zero one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million
    half twice first second third once monday tuesday wednesday thursday friday saturday sunday january february march april
    june july august september october november december today tomorrow yesterday am pm"""
)
_SHORT = {"won't": "will not", "can't": "can not", "cannot": "can not", "shan't": "shall not", "let's": "let us"}
_ENDINGS = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"), ("'m", " am"))


class Statement(Struct, frozen=True):
    """A text reduced to what it says. Capitalised words count as names, also the first: a sentence starts with them."""

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    negations: tuple[str, ...]
    names: tuple[str, ...]


def statement(text: str) -> Statement:
    """Reduce a text; equal statements are duplicates."""
    words: list[str] = []
    numbers: list[str] = []
    negations: list[str] = []
    names: list[str] = []
    for original in _spelled_out(text):
        word = original.casefold()
        if word in _FILLING:
            continue
        words.append(word)
        if word in _NUMBERS or word[0].isdigit():
            numbers.append(word)
        elif word in _NEGATIONS:
            negations.append(word)
        elif original[0].isupper() or word[-1].isdigit():
            names.append(word)
    return Statement(tuple(words), tuple(numbers), tuple(negations), tuple(names))


def duplicate_key(text: str) -> bytes:
    """16 bytes that are equal for texts which differ in spelling only."""
    return words_key(" ".join(statement(text).words))


def words_key(words: str) -> bytes:
    """The key of a text whose statement has these words."""
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def difference(one: Statement, other: Statement) -> Difference | None:
    """What keeps two statements apart; `None`: they are duplicates."""
    if one.words == other.words:
        return None
    if one.numbers != other.numbers:
        return "number"
    if one.negations != other.negations:
        return "negation"
    if one.names != other.names:
        return "name"
    return None if _nearly_same(one.words, other.words) else "words"


def is_duplicate(one: str, other: str) -> bool:
    """Whether one of the two texts can go without loss."""
    return difference(statement(one), statement(other)) is None


def _spelled_out(text: str) -> list[str]:
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    words = [word for word in _WORD.findall(plain) if word[0].isalnum() or word in _KEPT_SIGNS or ord(word[0]) > 0x2000]
    return [part for word in words for part in _without_apostrophe(word)] if "'" in plain else words


def _without_apostrophe(word: str) -> list[str]:
    lower = word.casefold()
    if lower in _SHORT:
        return _SHORT[lower].split()
    for ending, meaning in _ENDINGS:
        if lower.endswith(ending) and len(word) > len(ending):
            return [word[: -len(ending)], *meaning.split()]
    return [word.removesuffix("'s").removesuffix("'S")]


def _nearly_same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Long texts whose words are the same, in the same order, but for a few."""
    if not _LONG <= min(len(one), len(other)) <= max(len(one), len(other)) <= _COMPARED:
        return False
    compared = SequenceMatcher(None, one, other, autojunk=False)
    return compared.real_quick_ratio() >= _SHARE and compared.quick_ratio() >= _SHARE and compared.ratio() >= _SHARE
