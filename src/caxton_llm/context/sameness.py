"""Whether two texts say the same, by their words. What is not known to be the same counts as another thing: of two texts one
too many costs some tokens, one too few costs a fact.

A text is stated in another where a sentence of that one says it as it is: not asked, not denied, not doubted, and not going
on in a way that makes something else of it ("the budget is 500 euros" in "the budget is 500 euros more than planned"). Two
texts say the same where the one has all words of the other that carry something, in the same order, and what it has beside
them changes nothing.
"""

from msgspec import Struct

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.memory.duplicates import statement
from caxton_llm.memory.prose import sentences

__all__ = ["Reading", "is_stated_in", "reading", "says_the_same"]

_SHORTEST = 3
"""Words that a text must have to be stated in another: "yes" is no repetition of every text with a yes."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DOUBTS = _words(
    """if whether think thinks thought believe believes believed doubt doubts maybe perhaps probably possibly might could
    unsure wrong false untrue incorrect deny denies denied claim claims claimed suppose supposed supposedly almost nearly
    longer anymore until till former formerly old previous previously once instead otherwise rather pretend imagine assume
    ob glaube denke vielleicht wohl falsch angeblich fast bis statt"""
)
"""What makes of a statement beside it something that is not stated."""
_GOES_ON = _words(
    """and but because since so which who where when while though although with for in on at by from of
    und aber weil denn da mit f\u00fcr in im auf an bei von"""
)
"""With these a sentence may go on behind what it states."""
_BARE = _words(
    """a an the that this these those there here am is are be been being do does did has have it its also just very too
    really please so then of for in on at should shall
    der die das ein eine einen einem einer eines ist sind hat haben auch sehr"""
)
"""Words that make a sentence, and that one of two texts may have more or others of."""
_MOODS = _words("was were had will would may might could can must war waren hatte wird werden kann muss")
"""Time and manner of a verb; what differs in them is not the same."""
_SIGNS = frozenset("+-<>=$\u20ac\u00a3\u00a5%#") | {"?", "!="}
_ENDINGS = ("ings", "ing", "ies", "ed", "es", "en", "er", "s", "e", "y")
_SHORTEST_STEM = 3
_BYTES = 40
"""What is kept of a text, for each of its characters."""


class _Sentence(Struct, frozen=True):
    """`words` with a space around each; the others sorted, to be compared."""

    words: str
    size: int
    numbers: tuple[str, ...]
    negations: tuple[str, ...]
    asks: bool


class Reading(Struct, frozen=True):
    """A text as it is compared: all `words` as one text, with a space around each, its sentences, and what they say."""

    words: str
    size: int
    sentences: tuple[_Sentence, ...]
    numbers: tuple[str, ...]
    negations: tuple[str, ...]
    signs: tuple[str, ...]
    moods: frozenset[str]
    names: frozenset[str]
    stems: tuple[str, ...]
    """Of the words that carry something, in their order."""
    known: frozenset[str]
    """These, and all words."""


@kept_of_text(3_000, longest=300, long_bytes=16_000_000, weight=lambda text: _BYTES * len(text))
def reading(text: str) -> Reading:
    """Read a text. Kept, because a conversation and what is often remembered come again with every request."""
    said = statement(text)
    stems = tuple(
        [_stem(word) for word in said.words if word not in _BARE and word not in _MOODS and word[0].isalnum()]
    )
    return Reading(
        words=_spaced(said.words),
        size=len(said.words),
        sentences=tuple(_sentence(one) for line in text.splitlines() for one in sentences(line)),
        numbers=tuple(sorted(said.numbers)),
        negations=tuple(sorted(said.negations)),
        signs=_signs(said.words),
        moods=_MOODS.intersection(said.words),
        names=frozenset(said.names),
        stems=stems,
        known=frozenset((*said.words, *stems)),
    )


def is_stated_in(one: Reading, other: Reading) -> bool:
    """Whether a text says enough to be stated in another, and is, sentence for sentence."""
    if one.size < _SHORTEST or one.words not in other.words:
        return False
    return all(any(_states(said, sentence) for said in other.sentences) for sentence in one.sentences)


def says_the_same(one: Reading, other: Reading) -> bool:
    """Whether two texts differ in nothing that is known to make a difference, and in no word that carries something but for
    what one of them has more. Vectors must say the rest."""
    if one.numbers != other.numbers or one.negations != other.negations or one.signs != other.signs:
        return False
    # The first word of a sentence only looks like a name.
    if one.moods != other.moods or not (other.names <= one.known and one.names <= other.known):
        return False
    fewer, more = (one, other) if len(one.stems) <= len(other.stems) else (other, one)
    if not more.known.issuperset(fewer.stems):
        return False
    beside = set(more.stems).difference(fewer.stems)
    if any(len(word) == 1 or word in _DOUBTS for word in beside):
        return False
    return [stem for stem in more.stems if stem not in beside] == list(fewer.stems)


def _states(said: _Sentence, wanted: _Sentence) -> bool:
    if said.words == wanted.words:
        return True
    if wanted.size < _SHORTEST or said.asks != wanted.asks:
        return False
    if said.numbers != wanted.numbers or said.negations != wanted.negations:
        return False
    before, found, after = said.words.partition(wanted.words)
    beside = [*before.split(), *after.split()]
    if not found or not _DOUBTS.isdisjoint(beside):
        return False
    is_signed = before.rstrip()[-1:] in _SIGNS if before.strip() else False
    return not is_signed and (not after.strip() or after.split()[0] in _GOES_ON)


def _sentence(text: str) -> _Sentence:
    said = statement(text)
    return _Sentence(
        _spaced(said.words),
        len(said.words),
        tuple(sorted(said.numbers)),
        tuple(sorted(said.negations)),
        "?" in said.words,
    )


def _signs(words: tuple[str, ...]) -> tuple[str, ...]:
    """A dash counts before a number only: elsewhere it joins two words, or two parts of a sentence."""
    following = (*words[1:], "")
    return tuple(
        sorted(
            word
            for word, after in zip(words, following, strict=True)
            if word in _SIGNS and (word != "-" or after[:1].isdigit())
        )
    )


def _spaced(words: tuple[str, ...]) -> str:
    return f" {' '.join(words)} "


def _stem(word: str) -> str:
    """The word without its ending, as far as a likeness of forms goes: `reports`, `reporting` and `report` are one."""
    ending = next((one for one in _ENDINGS if word.endswith(one) and len(word) - len(one) >= _SHORTEST_STEM), "")
    return word[: len(word) - len(ending)]
