"""Neighbouring messages of one role as one message, for servers whose chat template demands that roles alternate.

Only what is its content and no more is joined: a turn with calls, with a result, with reasoning or with another speaker's
name would say something else when joined, so it stays as it is.
"""

from collections.abc import Iterable
from itertools import pairwise

from msgspec import Raw

from caxton_llm.types import Json, Message
from caxton_llm.wire.client_json import read_raw
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["merged_turns"]

_ROLES = frozenset({"system", "developer", "user", "assistant"})
_JOINABLE_FIELDS = frozenset({"role", "content", "name"})
_BETWEEN_TEXTS = "\n\n"


def merged_turns(wire: Raw | list[Json], messages: list[Message], notes: ParameterNotes) -> Raw | list[Json]:
    """The messages in wire form with neighbours of one role joined in order; `wire` itself where there is nothing to join.

    `messages` are the same in the common model. Texts are joined by a blank line; as soon as one of two contents is a list of
    parts, both are.
    """
    if isinstance(wire, Raw):
        if not any(first.role == second.role for first, second in pairwise(messages)):
            return wire
        before: list[Json] = read_raw(wire, "messages")
    else:
        before = [
            read_raw(message, f"messages[{index}]") if isinstance(message, Raw) else message
            for index, message in enumerate(wire)
        ]
    after = list(_joined(before))
    if len(after) == len(before):
        return wire
    notes.map("messages", "neighbouring messages of one role are sent as one")
    return after


def _joined(messages: Iterable[dict[str, Json]]) -> Iterable[dict[str, Json]]:
    last: dict[str, Json] | None = None
    for message in messages:
        if last is not None and _belong_together(last, message):
            last = {**last, "content": _both(last["content"], message["content"])}
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _belong_together(first: dict[str, Json], second: dict[str, Json]) -> bool:
    return (
        first["role"] == second["role"]
        and first["role"] in _ROLES
        and first.get("name") == second.get("name")
        and _is_plain(first)
        and _is_plain(second)
    )


def _is_plain(message: dict[str, Json]) -> bool:
    """Whether the message is its content alone; fields that are null say nothing."""
    return message.get("content") is not None and all(
        value is None or name in _JOINABLE_FIELDS for name, value in message.items()
    )


def _both(first: str | list[Json], second: str | list[Json]) -> str | list[Json]:
    if isinstance(first, str) and isinstance(second, str):
        return _BETWEEN_TEXTS.join(text for text in (first, second) if text)
    return [*_parts(first), *_parts(second)]


def _parts(content: str | list[Json]) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content
