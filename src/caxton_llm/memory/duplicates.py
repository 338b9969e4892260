"""When two texts say the same, so that a memory keeps one of them.

Texts are duplicates when they have the same words in the same order: case, punctuation, white space, contractions and
articles may differ, and in long texts a few words more that carry nothing. That list is closed: any other difference keeps
texts apart. A question is never the same as a statement. No similarity of vectors is asked: "likes tea" and "likes coffee"
are close there.
"""

import re
import unicodedata
from functools import cache
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

__all__ = [
    "Difference",
    "Statement",
    "difference",
    "duplicate_key",
    "is_duplicate",
    "name_words",
    "statement",
    "words_key",
]

Difference = Literal["number", "negation", "name", "words"]

_LONG = 40
"""Words from which on fillers are no difference: in a short text ("He is just", "just in time") they may be what it says."""

_MOST_MARKS = 100
"""On one letter, for its spellings to be compared."""
_KEPT_SIGNS = frozenset("+-<>=$€£¥%#@&*^~|‰\u2032§")
"""What is punctuation by Unicode, or a symbol, and changes what is said."""
_PUNCTUATION = frozenset([".", "_", "/", ":", "\\", "?", "!="])
"""What counts in a sentence, where it asks or joins two words, and not in a name."""
_ARTICLES = re.compile(r"(?<!\S)(?:(?:an?|the) (?=\w)|The (?=[a-z]))")
"""With another word after them. A capital A may be a name or a grade."""
_FILLERS = re.compile(
    r"(?<!\S)(?<!(?i:not) )(?<!(?i:n't) )(?<!(?i:cannot) )(?<!(?i:never) )(?:really|very|just|also|please|actually) (?=\w)"
)
"""The words that carry nothing; after a negation they do ("not just for adults")."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEGATIONS = _words(
    """not no never none nobody nothing neither nor without cannot except only unless hardly barely rarely seldom few
    nicht nichts niemand nie niemals kein keine keinen keinem keiner keines ohne non pas jamais sin nunca"""
)
_NUMBERS = _words(
    """zero one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million
    half twice first second third once monday tuesday wednesday thursday friday saturday sunday january february march april
    june july august september october november december today tomorrow yesterday am pm"""
)
"""These name the difference (`difference`); what is one does not depend on them."""
_SHORT = {"won't": "will not", "can't": "can not", "cannot": "can not", "shan't": "shall not", "let's": "let us"}
_SHORT |= {f"{word}'s": f"{word} is" for word in ("he", "she", "it", "that", "there", "here", "who", "what", "where")}
_ENDINGS = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"), ("'m", " am"))


class Statement(Struct, frozen=True):
    """A text reduced to what it says. Capitalised words count as names, also the first: a sentence starts with them."""

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    negations: tuple[str, ...]
    names: tuple[str, ...]
    bare: tuple[str, ...] = ()
    """The words of a long text without fillers; empty for a short one."""


def statement(text: str) -> Statement:
    """Reduce a text; equal statements are duplicates."""
    plain = _plain(text)
    said = _ARTICLES.sub("", plain)
    originals = _spelled_out(said) or list(plain.replace(" ", ""))
    words = tuple(word.casefold() for word in originals)
    numbers: list[str] = []
    negations: list[str] = []
    names: list[str] = []
    for original, word in zip(originals, words, strict=True):
        if word in _NUMBERS or word[0].isdigit():
            numbers.append(word)
        elif word in _NEGATIONS:
            negations.append(word)
        elif original[0].isupper() or word[-1].isdigit():
            names.append(word)
    return Statement(words, tuple(numbers), tuple(negations), tuple(names), _bare(said, words))


def name_words(text: str) -> tuple[str, ...]:
    """The words of a name: case, punctuation and white space are left out. A name of signs alone is all its characters."""
    plain = _plain(text).casefold()
    if not any(map(str.isalnum, plain)):
        return tuple(plain.replace(" ", ""))
    return tuple(word for word in _tokens(plain) if word not in _PUNCTUATION)


def duplicate_key(text: str) -> bytes:
    """16 bytes that are equal for texts which differ in spelling only."""
    return words_key(" ".join(statement(text).words))


def words_key(words: str) -> bytes:
    """The key of a text whose statement has these words."""
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def difference(one: Statement, other: Statement) -> Difference | None:
    """What keeps two statements apart; `None`: they are duplicates."""
    if one.words == other.words or (one.bare and one.bare == other.bare):
        return None
    if one.numbers != other.numbers:
        return "number"
    if one.negations != other.negations:
        return "negation"
    return "name" if one.names != other.names else "words"


def is_duplicate(one: str, other: str) -> bool:
    """Whether one of the two texts can go without loss."""
    return difference(statement(one), statement(other)) is None


def _plain(text: str) -> str:
    """The text in one spelling of each character, with single spaces."""
    if not text.isascii():
        # Sorting a run of marks takes the square of its length. No script has such runs.
        whole = _many_marks().search(text) is not None
        text = (text if whole else unicodedata.normalize("NFKC", text)).replace("\u2019", "'").replace("\u061f", "?")
    return " ".join(text.split())


def _bare(said: str, words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) < _LONG:
        return ()
    without, fillers = _FILLERS.subn("", said)
    bare = tuple(word.casefold() for word in _spelled_out(without)) if fillers else words
    return bare if len(bare) >= _LONG else ()


def _spelled_out(plain: str) -> list[str]:
    words = _tokens(plain)
    return [part for word in words for part in _without_apostrophe(word)] if "'" in plain else words


def _tokens(plain: str) -> list[str]:
    """Numbers, words, and the signs that count."""
    pattern = _ascii_pattern() if plain.isascii() else _pattern()
    return ["?" if word[0] == "?" else word for word in pattern.findall(plain) if len(word) > 1 or _counts(word)]


def _counts(sign: str) -> bool:
    if sign.isalnum() or sign in _KEPT_SIGNS or sign in _PUNCTUATION:
        return True
    category = unicodedata.category(sign)
    return category == "Pd" or (not sign.isascii() and category[0] != "P")


@cache
def _ascii_pattern() -> re.Pattern[str]:
    return _pattern_of(r"[^\W\d_]+")


@cache
def _pattern() -> re.Pattern[str]:
    return _pattern_of(rf"[^\W\d_]+(?:[{_marks()}\u200c\u200d]+[^\W\d_]*)*")


@cache
def _many_marks() -> re.Pattern[str]:
    return re.compile(f"[{_marks()}]{{{_MOST_MARKS}}}")


@cache
def _marks() -> str:
    """Vowel signs and other marks, which are half of the letters of some scripts: `re` has no class of them."""
    return "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")


def _pattern_of(word: str) -> re.Pattern[str]:
    """Of `._/:\\` only those that join two words are found: an address, a path."""
    number = r"(?:(?<!\w)\.)?\d+(?:[.,:/-]\d+)*%?"
    return re.compile(rf"{number}|{word}(?:'{word})?\d*|\?+|!=|(?<=\w)[._/:\\](?=\w)|[^\w\s._/:\\]")


def _without_apostrophe(word: str) -> list[str]:
    lower = word.casefold()
    if lower in _SHORT:
        return _SHORT[lower].split()
    for ending, meaning in _ENDINGS:
        if lower.endswith(ending) and len(word) > len(ending):
            return [word[: -len(ending)], *meaning.split()]
    return [word]
