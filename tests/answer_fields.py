"""The fields that an answer has, to compare a fake's answer with a recorded one."""

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["fields_of"]


def fields_of(body: bytes) -> set[str]:
    """Paths such as `.choices[].message.content` of a JSON body, or of all events of a stream together."""
    text = body.decode()
    if text.startswith("{"):
        return set(_paths(json.loads(text)))
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return {path for event in events for path in _paths(json.loads(event))}


def _paths(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{prefix}.{key}"
            yield from _paths(inner, f"{prefix}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, f"{prefix}[]")
