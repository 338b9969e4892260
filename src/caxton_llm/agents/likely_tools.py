"""Which tools a request will probably use, by the words that both have. Pure, and the same for the same request.

Every tool is a bag of words: its name, its description, and the names and descriptions of its parameters. Words weigh by
their rarity over all tools, those of the name twice; the score is the cosine of the request and the tool, 0..1. A tool that
the request names is certain.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.types import Json

__all__ = ["DescribedTool", "LikelyTool", "ToolIndex"]

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_UNSPACED = "\u0e00"
"""From here on scripts may be without spaces: their runs become overlapping pairs of characters."""
_MAX_TEXT = 20_000
"""Characters of a request that are compared; its end counts, where people say what they want."""
_MAX_NAMING = 200_000
"""Characters among which names are looked for; again its end."""
_NAME_WEIGHT = 2
_SURELY_LESS = 0.999
"""The most of a tool that is not named, however well it fits."""
_STOP = """
    a an and are as at be by can for from has have i if in into is it its me my need no not of on or our please should so
    that the their them then these this to us use used using want was we what when where which will with would you your
"""
_STOP_WORDS = frozenset(_STOP.split())


class DescribedTool(Protocol):
    """What is compared of a tool. `requirements` is what context it asks for, where it does."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def input_schema(self) -> Mapping[str, Json]: ...
    @property
    def requirements(self) -> ContextRequirements | None: ...


class LikelyTool(Struct, frozen=True):
    """A tool that a request may use: `score` 0..1, 1 for one that it names."""

    name: str
    score: float
    is_named: bool = False


class ToolIndex:
    """Tools ready to be compared with requests. Made once for a set of tools; never changes, for any number of requests."""

    def __init__(self, tools: Sequence[DescribedTool]) -> None:
        self.tools = tuple(tools)
        bags = [_bag(tool) for tool in tools]
        self._rarity = _rarity(bags)
        self._with_word: dict[str, list[tuple[int, float]]] = {}
        """Word -> numbers of the tools that have it, and its weight there as a share of the tool's length."""
        for number, bag in enumerate(bags):
            weights = {word: count * self._rarity[word] for word, count in bag.items()}
            length = math.sqrt(math.fsum(weight**2 for weight in weights.values()))
            for word, weight in weights.items():
                self._with_word.setdefault(word, []).append((number, weight / length))
        self._pieces = [" ".join(_pieces(tool.name)) for tool in tools]

    def likely(self, text: str, named: Iterable[str] = ()) -> tuple[LikelyTool, ...]:
        """The tools that have anything in common with the text, the likeliest first. `named` are certain anyway."""
        text = text[-_MAX_NAMING:]
        scores = self._scores(text[-_MAX_TEXT:])
        certain, spoken = set(named), f" {' '.join(_pieces(text))} "
        found = []
        for number, (tool, pieces) in enumerate(zip(self.tools, self._pieces, strict=True)):
            if tool.name in certain or (pieces and _is_named(tool.name, pieces, text, spoken)):
                found.append(LikelyTool(tool.name, 1.0, is_named=True))
            elif number in scores:
                found.append(LikelyTool(tool.name, scores[number]))
        return tuple(sorted(found, key=lambda one: (not one.is_named, -one.score, one.name)))

    def _scores(self, text: str) -> dict[int, float]:
        asked = {word: self._rarity[word] for word in set(_words(text)) if word in self._rarity}
        length = math.sqrt(math.fsum(weight**2 for weight in asked.values()))
        shared: dict[int, list[float]] = {}
        for word, weight in asked.items():
            for number, share in self._with_word[word]:
                shared.setdefault(number, []).append(weight * share / length)
        # An exact sum, because the words of a set come in any order.
        return {number: min(math.fsum(parts), _SURELY_LESS) for number, parts in shared.items()}


def _is_named(name: str, pieces: str, text: str, spoken: str) -> bool:
    """A name of several words, however they are joined; one of a single word only where it is marked as a name, because
    `search` is a word of many requests."""
    if " " in pieces:
        return f" {pieces} " in spoken
    return any(f"{mark}{name}{mark}" in text for mark in "`\"'")


def _bag(tool: DescribedTool) -> Counter[str]:
    bag = Counter(dict.fromkeys(_words(tool.name), _NAME_WEIGHT))
    for word in set(_words(" ".join((tool.description, *_parameters(tool.input_schema))))):
        bag[word] = max(bag[word], 1)
    return bag


def _parameters(schema: Mapping[str, Json]) -> Iterator[str]:
    properties = schema.get("properties")
    for name, kind in properties.items() if isinstance(properties, dict) else ():
        yield str(name)
        description = kind.get("description") if isinstance(kind, dict) else None
        if isinstance(description, str):
            yield description


def _rarity(bags: Sequence[Counter[str]]) -> dict[str, float]:
    counts = Counter(word for bag in bags for word in bag)
    return {word: math.log(1.0 + len(bags) / count) for word, count in counts.items()}


def _words(text: str) -> Iterator[str]:
    """Words that mean something, without the plural's ending."""
    for piece in _pieces(text):
        if piece[0] >= _UNSPACED and len(piece) > 1:
            yield from (piece[start : start + 2] for start in range(len(piece) - 1))
        elif piece not in _STOP_WORDS:
            yield piece[:-1] if len(piece) > 3 and piece.endswith("s") and not piece.endswith("ss") else piece


def _pieces(text: str) -> list[str]:
    return [piece.casefold() for piece in _WORD.findall(_CAMEL.sub(" ", text))]
