"""Whether two texts say the same, by their words. What is not known to be the same counts as another thing: of two texts one
too many costs some tokens, one too few costs a fact.

A text is stated in another where a sentence of that one says it and nothing else but what closed lists allow around it: not
asked, not denied, not doubted, not wished for, not said of somebody else, not taken back. Two texts say the same where they
have the same words in the same order but for articles, plurals, and a few words that carry nothing.
"""

from msgspec import Struct

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.memory.duplicates import statement
from caxton_llm.memory.prose import sentences

__all__ = ["Reading", "is_stated_in", "reading", "says_the_same"]

_SHORTEST = 3
"""Words that a text must have to be stated in another: "yes" is no repetition of every text with a yes."""
_BYTES = 40
"""What is kept of a text, for each of its characters."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BARE = _words(
    """a an the that this these those it its also just very really please
    der die das den dem des ein eine einen einem einer eines auch sehr"""
)
"""Words that one of two texts may have more or others of."""
_OPENINGS = _words(
    """and also so well ok okay oh hi hello hey thanks thank you btw by the way fyi please remember note that keep in mind as
    i we said was before know yes right exactly again just for record user assistant
    und auch so ja hallo danke \u00fcbrigens bitte merke dir dass noch wie gesagt"""
)
"""With these words alone a sentence may begin before what it states."""
_GOES_ON = _words("and but because so und aber weil denn")
"""With these it may go on behind it."""
_TAKES_BACK = _words(
    """lie lies lied wrong false untrue incorrect kidding joking joke wait correction sorry outdated obsolete longer anymore
    claims claimed doubt forget ignore disregard
    vergiss gelogen falsch stimmt quatsch scherz moment korrektur veraltet mehr"""
)
"""Words that may take back what stands beside them."""
_SIGNS = frozenset("+-<>=$\u20ac\u00a3\u00a5%#") | {"?", "!="}


class _Sentence(Struct, frozen=True):
    """`words` with a space around each."""

    words: str
    size: int
    negates: int
    asks: bool
    takes_back: bool


class Reading(Struct, frozen=True):
    """A text as it is compared: all `words` as one text, with a space around each, its signs, and the `stems` of the words
    that carry something, in their order."""

    text: str
    words: str
    size: int
    signs: tuple[str, ...]
    stems: tuple[str, ...]


@kept_of_text(3_000, longest=300, long_bytes=16_000_000, weight=lambda text: _BYTES * len(text))
def reading(text: str) -> Reading:
    """Read a text. Kept, because a conversation and what is often remembered come again with every request."""
    words = statement(text).words
    return Reading(
        text=text,
        words=_spaced(words),
        size=len(words),
        signs=_signs(words),
        stems=tuple([_stem(word) for word in words if word not in _BARE and word[0].isalnum()]),
    )


def is_stated_in(one: Reading, other: Reading) -> bool:
    """Whether a text says enough to be stated in another, and is, sentence for sentence."""
    if one.size < _SHORTEST or one.words not in other.words:
        return False
    wanted, said = _sentences(one.text), _sentences(other.text)
    stating = [it for it in said if any(_states(it, each) for each in wanted)]
    if not all(any(_states(it, each) for it in stating) for each in wanted):
        return False
    return not any(it.takes_back for it in said if it not in stating)


def says_the_same(one: Reading, other: Reading) -> bool:
    """Whether two texts differ in nothing but words that carry nothing. Vectors must say the rest."""
    return one.stems == other.stems and one.signs == other.signs and bool(one.stems)


def _states(said: _Sentence, wanted: _Sentence) -> bool:
    if said.words == wanted.words:
        return True
    if wanted.size < _SHORTEST or said.asks != wanted.asks or said.negates != wanted.negates:
        return False
    before, found, after = said.words.partition(wanted.words)
    if not found or not _OPENINGS.issuperset(before.split()):
        return False
    following = after.split()
    return not following or (following[0] in _GOES_ON and _TAKES_BACK.isdisjoint(following))


@kept_of_text(3_000, longest=300, long_bytes=16_000_000, weight=lambda text: _BYTES * len(text))
def _sentences(text: str) -> tuple[_Sentence, ...]:
    return tuple([_sentence(one) for line in text.splitlines() for one in sentences(line)])


def _sentence(text: str) -> _Sentence:
    said = statement(text)
    return _Sentence(
        _spaced(said.words),
        len(said.words),
        len(said.negations),
        "?" in said.words,
        not _TAKES_BACK.isdisjoint(said.words),
    )


def _signs(words: tuple[str, ...]) -> tuple[str, ...]:
    """A dash counts before a number only: elsewhere it joins two words, or two parts of a sentence."""
    following = (*words[1:], "")
    return tuple(
        [
            word
            for word, after in zip(words, following, strict=True)
            if word in _SIGNS and (word != "-" or after[:1].isdigit())
        ]
    )


def _spaced(words: tuple[str, ...]) -> str:
    return f" {' '.join(words)} "


def _stem(word: str) -> str:
    """The word without the ending of a plural, or of a verb's third person."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
