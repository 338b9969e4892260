"""Where Anthropic is told that a prompt's beginning is worth keeping: at most four places, the caller's own among them.

https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching: a request with more than four is refused, and one where
something is kept for an hour behind something that is kept for less.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from caxton_llm.types import ChatRequest, ContentPart, Json, Message

__all__ = ["NO_MARKS", "Marks", "lasting_first", "marked_ends", "marked_steps", "marks_of", "within_the_most"]

_MOST = 4
_FOR_STEPS = 1
"""Kept for the newest result of a tool, where a tool loop goes on: there most is sent again."""
_EPHEMERAL: Json = {"type": "ephemeral"}


_HOUR = "1h"
_FOR_AN_HOUR: Json = {"type": "ephemeral", "ttl": _HOUR}


class Marks(NamedTuple):
    """What a request marks that is not seen in the messages made of it: the number of places at its tools and as a whole, and
    the mark of its instructions that lasts longest."""

    elsewhere: int = 0
    instructions: Json = None


NO_MARKS = Marks()


def marks_of(request: ChatRequest) -> Marks:
    tools = sum(tool.cache_control is not None for tool in request.tools or ())
    said = [mark for one in request.messages if one.role in ("system", "developer") for mark in _marks_in(one)]
    return Marks(
        tools + (request.extra_value("cache_control") is not None),
        next(filter(_lasts, said), said[-1] if said else None),
    )


def within_the_most(messages: Sequence[Message], elsewhere: int) -> list[Message]:
    """The messages with no more marks than are allowed beside those that are `elsewhere`: the latest stay. A stored
    conversation has the marks of all its requests."""
    surplus = _marks_of(messages) + elsewhere - _MOST
    kept = list(messages)
    for place, message in enumerate(messages):
        if surplus <= 0:
            break
        marks = _marks(message)
        if marks:
            kept[place] = _unmarked(message)
            surplus -= marks
    return kept


def marked_ends(messages: Sequence[Message], ends: Iterable[int], marks: Marks) -> list[Message]:
    """The messages with `ends` marked, the places of those with which something ends that stays the same, as far as places
    are free. The first message are the instructions, which the caller may have marked."""
    found = list(messages)
    free = _MOST - _FOR_STEPS - marks.elsewhere - _marks_of(messages)
    for place in dict.fromkeys(ends):
        if free <= 0:
            break
        if 0 <= place < len(found) and not _marks(found[place]):
            found[place] = _marked(found[place], (marks.instructions if place == 0 else None) or _EPHEMERAL)
            free -= _marks(found[place])
    return found


def lasting_first(messages: Sequence[Message]) -> list[Message]:
    """The messages, with everything that is marked up to the last one that is kept for an hour kept for as long."""
    last = next((place for place, one in enumerate(reversed(messages)) if any(map(_lasts, _marks_in(one)))), None)
    if last is None:
        return list(messages)
    end = len(messages) - last
    return [*map(_for_an_hour, messages[:end]), *messages[end:]]


def marked_steps(messages: Sequence[Message], steps: Sequence[Message], *, elsewhere: int = 0) -> list[Message]:
    """The steps of a tool loop, the newest result marked where a place is free: the next request sends them again.

    `messages` are those before them, `elsewhere` as in `Marks`. For Anthropic alone.
    """
    found = list(steps)
    if _marks_of((*messages, *steps)) + elsewhere >= _MOST:
        return found
    for place in reversed(range(len(found))):
        if found[place].role == "tool":
            found[place] = replace(found[place], cache_control=_EPHEMERAL)
            break
    return found


def _marked(message: Message, mark: Json) -> Message:
    """A message with a mark behind its last text; one that ends otherwise as it is."""
    content = message.content
    parts = [ContentPart(type="text", text=content)] if isinstance(content, str) else list(content or ())
    if not parts or parts[-1].type != "text" or not (parts[-1].text or "").strip():
        return message
    return replace(message, content=[*parts[:-1], replace(parts[-1], cache_control=mark)])


def _for_an_hour(message: Message) -> Message:
    """A message with all its marks for an hour."""
    if all(map(_lasts, _marks_in(message))):
        return message
    content = message.content
    if isinstance(content, list):
        content = [
            part if part.cache_control is None else replace(part, cache_control=_FOR_AN_HOUR) for part in content
        ]
    return replace(message, content=content, cache_control=message.cache_control and _FOR_AN_HOUR)


def _lasts(mark: Json) -> bool:
    return isinstance(mark, dict) and mark.get("ttl") == _HOUR


def _marks_in(message: Message) -> list[Json]:
    parts = message.content if isinstance(message.content, list) else []
    every = [*(part.cache_control for part in parts), message.cache_control]
    return [mark for mark in every if mark is not None]


def _marks_of(messages: Iterable[Message]) -> int:
    return sum(map(_marks, messages))


def _marks(message: Message) -> int:
    """A result of a tool has one place, whatever is in it; the mark of a message is that of its last part."""
    parts = message.content if isinstance(message.content, list) else []
    own = [part.cache_control is not None for part in parts]
    if message.role == "tool":
        return int(any(own) or message.cache_control is not None)
    return sum(own) + (message.cache_control is not None and not any(own[-1:]))


def _unmarked(message: Message) -> Message:
    content = message.content
    if isinstance(content, list):
        content = [replace(part, cache_control=None) if part.cache_control is not None else part for part in content]
    return replace(message, content=content, cache_control=None)
