"""What a client sends of a conversation, against what is stored of it: which of its exchanges are there already.

The work grows with the number of exchanges, not with its square: a client that sends everything with every request is usual.
"""

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct

from caxton_llm.context.conversation.spoken import text_of
from caxton_llm.types import Message

__all__ = ["matches"]

_MOST_ALIKE = 8
"""Stored exchanges that are compared with one that is just like many others: the last ones."""

_Key = tuple[tuple[str, ...], str]


def matches(stored: Sequence[Sequence[Message]], brought: Sequence[Sequence[Message]]) -> list[int | None]:
    """For each brought exchange the place of the stored one that it is, `None` where none is; places ascend.

    As many as possible are found. Where that leaves a choice, it is the end of what is stored.
    """
    if not stored or not brought:
        return [None] * len(brought)
    known = [_shown(one) for one in stored[-len(brought) :]]
    said = [_said(one) for one in brought]
    if len(known) == len(said) and all(one in keys for one, keys in zip(said, known, strict=True)):
        return list(range(len(stored) - len(brought), len(stored)))
    places: dict[_Key, list[int]] = {}
    for place in range(len(stored) - 1, -1, -1):
        for key in dict.fromkeys(_shown(stored[place])):
            among = places.setdefault(key, [])
            if len(among) < _MOST_ALIKE:
                among.append(place)
    return _longest([places.get(one, ()) for one in said])


def _longest(choices: Sequence[Sequence[int]]) -> list[int | None]:
    """The longest ascending row of places, at most one of each choice, whose places descend.

    From the end to the beginning: `ends` has, for each length, the row with the latest place, so a row is made longer by a
    search among them.
    """
    ends: list[int] = []
    rows: list[_Row] = []
    for number in range(len(choices) - 1, -1, -1):
        for place in reversed(choices[number]):
            length = bisect_left(ends, -place)
            if length < len(ends) and ends[length] <= -place:
                continue
            row = _Row(number, place, rows[length - 1] if length else None)
            if length == len(ends):
                ends.append(-place)
                rows.append(row)
            else:
                ends[length], rows[length] = -place, row
    found: list[int | None] = [None] * len(choices)
    best = rows[-1] if rows else None
    while best is not None:
        found[best.number], best = best.place, best.behind
    return found


class _Row(Struct, frozen=True):
    """The brought exchange `number` at a stored place, and those behind it."""

    number: int
    place: int
    behind: "_Row | None"


def _said(messages: Sequence[Message]) -> _Key:
    """What a client shows of an exchange."""
    asked, answers = _parts(messages)
    return asked, "".join(answers)


def _shown(messages: Sequence[Message]) -> tuple[_Key, _Key]:
    """What a client may show of a stored exchange. It does not send back the calls that an agent made by itself, and has of
    the text around them everything (from a stream) or the end (from a whole answer)."""
    asked, answers = _parts(messages)
    return (asked, "".join(answers)), (asked, answers[-1] if answers else "")


def _parts(messages: Sequence[Message]) -> tuple[tuple[str, ...], list[str]]:
    asked = tuple(_plain(one) for one in messages if one.role == "user")
    return asked, [_plain(one) for one in messages if one.role == "assistant"]


def _plain(message: Message) -> str:
    return "".join(text_of(message).split())
