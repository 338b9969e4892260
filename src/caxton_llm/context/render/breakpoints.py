"""Where Anthropic is told that a prompt's beginning is worth keeping: at most four places, the caller's own among them.

https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching: a request with more than four is refused.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from caxton_llm.types import ChatRequest, ContentPart, Json, Message

__all__ = ["marked_ends", "marked_steps", "marks_beside_messages", "within_the_most"]

_MOST = 4
_FOR_STEPS = 1
"""Kept for the newest result of a tool, where a tool loop goes on: there most is sent again."""
_EPHEMERAL: Json = {"type": "ephemeral"}


def marks_beside_messages(request: ChatRequest) -> int:
    """The places that a request marks outside its messages: at its tools, and as a whole."""
    tools = sum(tool.cache_control is not None for tool in request.tools or ())
    return tools + (request.extra_value("cache_control") is not None)


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


def marked_ends(messages: Sequence[Message], history_end: int, elsewhere: int) -> list[Message]:
    """The messages with the ends of what stays the same marked, as far as places are free: that of the past turns, which is
    before `history_end`, then that of the instructions, which is the first message."""
    found = list(messages)
    free = _MOST - _FOR_STEPS - elsewhere - _marks_of(messages)
    for place in dict.fromkeys((history_end - 1, 0)):
        if free <= 0:
            break
        if 0 <= place < len(found) and not _marks(found[place]):
            found[place] = _marked(found[place])
            free -= _marks(found[place])
    return found


def marked_steps(messages: Sequence[Message], steps: Sequence[Message], *, elsewhere: int = 0) -> list[Message]:
    """The steps of a tool loop, the newest result marked where a place is free: the next request sends them again.

    `messages` are those before them, `elsewhere` is what `marks_beside_messages` counts. For Anthropic alone.
    """
    found = list(steps)
    if _marks_of((*messages, *steps)) + elsewhere >= _MOST:
        return found
    for place in reversed(range(len(found))):
        if found[place].role == "tool":
            found[place] = replace(found[place], cache_control=_EPHEMERAL)
            break
    return found


def _marked(message: Message) -> Message:
    """A message with a mark behind its last text; one that ends otherwise as it is."""
    content = message.content
    parts = [ContentPart(type="text", text=content)] if isinstance(content, str) else list(content or ())
    if not parts or parts[-1].type != "text" or not (parts[-1].text or "").strip():
        return message
    return replace(message, content=[*parts[:-1], replace(parts[-1], cache_control=_EPHEMERAL)])


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
