"""Dotted paths into JSON (`result.choices.0.text`): reading them, and building a document from them.

A segment of digits is an index where the document has a list, and makes a list where a document is built.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.types import Json

__all__ = ["ABSENT", "build", "collisions", "has_gap", "missing", "read"]

ABSENT: Json = object()
"""What `read` gives when there is nothing at the path; different from null."""

_SHOWN_KEYS = 12
_SHOWN_KEY_LENGTH = 40


def read(document: Json, path: str) -> Json:
    """The value at `path`; the empty path is the document itself."""
    value = document
    for segment in path.split(".") if path else ():
        value = _step(value, segment)
        if value is ABSENT:
            break
    return value


def missing(document: Json, path: str) -> str:
    """Where `path` leads nowhere, and which keys there are at that point. Values are never shown."""
    value = document
    walked: list[str] = []
    for segment in path.split("."):
        further = _step(value, segment)
        if further is ABSENT:
            break
        value = further
        walked.append(segment)
    place = ".".join(walked) or "the top"
    return f"there is nothing at {path!r}: at {place} there is {_shape(value)}"


def build(assignments: Iterable[tuple[str, Json]], base: Mapping[str, Json]) -> dict[str, Json]:
    """A copy of `base` with every value set at its path; `base` stays as it was. Raises `ConfigurationError` where two paths
    are in each other's way."""
    document = dict(base)
    for path, value in assignments:
        segments = path.split(".")
        place: Json = document
        for segment, following in pairwise(segments):
            place = _enter(place, segment, [] if following.isdecimal() else {}, path)
        _put(place, segments[-1], value, path)
    return document


def has_gap(path: str) -> bool:
    """Whether a part of the path is empty: `a..b`, `a.`, or nothing at all."""
    return not all(path.split("."))


def collisions(named: Mapping[str, str], base: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Which of the named paths cannot be set beside those before them, or in `base`, each with the reason."""
    document = dict(base)
    before: dict[str, str] = {}
    for name, path in named.items():
        other = next((earlier for earlier, taken in before.items() if _overlap(taken, path)), None)
        before[name] = path
        if other is not None:
            same = before[other] == path
            what = "is the field of" if same else "is in the way of"
            yield (
                name,
                f"{path!r} {what} {other!r}{'' if same else f' ({before[other]!r})'}, so one of them would be lost",
            )
            continue
        try:
            document = build([(path, "")], document)
        except ConfigurationError as error:
            yield name, f"{path!r} {error.problems[0].message}"


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _step(value: Json, segment: str) -> Json:
    if isinstance(value, dict):
        return value.get(segment, ABSENT)
    if isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
        return value[int(segment)]
    return ABSENT


def _enter(place: Json, segment: str, empty: Json, path: str) -> Json:
    """A copy, in its place, of what `place` holds under `segment`; `empty` where there is nothing yet."""
    value = _step(place, segment)
    inner = empty if value is ABSENT else value.copy() if isinstance(value, dict | list) else value
    _put(place, segment, inner, path)
    return inner


def _put(place: Json, segment: str, value: Json, path: str) -> None:
    if isinstance(place, dict):
        place[segment] = value
    elif isinstance(place, list) and segment.isdecimal() and int(segment) < len(place):
        place[int(segment)] = value
    elif isinstance(place, list) and segment == str(len(place)):
        place.append(value)
    else:
        raise ConfigurationError(
            [ConfigurationProblem("cannot be set: another field is in the way, or an index is left out", path=path)]
        )


def _shape(value: Json) -> str:
    if isinstance(value, dict):
        keys = [str(key)[:_SHOWN_KEY_LENGTH] for key in value]
        more = ", ..." if len(keys) > _SHOWN_KEYS else ""
        return f"an object with the keys {', '.join(keys[:_SHOWN_KEYS])}{more}" if keys else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    names = {str: "a text", bool: "a truth value", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), "something else")
