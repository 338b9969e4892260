"""Which texts a record is found by: its passages, each with a vector and an entry in the lexical index.

A record with many observations has several, so that one fact is not lost among hundreds; each starts with the entity's name.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from caxton_llm.memory.model import Entity, Record, Relation

__all__ = ["PASSAGE_LENGTH", "cut", "passages_of", "texts_of_rows"]

_Payload = TypeVar("_Payload")

PASSAGE_LENGTH = 800
"""Characters that a passage aims at; one observation is not cut before it has twice as many."""


def passages_of(record: Record) -> list[str]:
    """The record's passages in order; a relation has none. Equal records have equal passages."""
    if isinstance(record, Relation):
        return []
    if not isinstance(record, Entity):
        head = f"{record.speaker}: " if record.speaker else ""
        return [head + part for part in cut(record.text)]
    head = f"{record.name} ({record.type})"
    return [f"{head}: {text}" if text else head for text in _packed(record)]


def texts_of_rows(rows: Iterable[tuple[int, int, _Payload]], decode: Callable[[_Payload], Record]) -> list[str]:
    """The texts of stored passages: of each its place in its record, the record's key and the record's payload.

    A record is decoded once however many of its passages there are. Raises what `decode` raises.
    """
    by_key: dict[int, list[str]] = {}
    found = []
    for ordinal, key, payload in rows:
        if key not in by_key:
            by_key[key] = passages_of(decode(payload))
        found.append(by_key[key][ordinal])
    return found


def _packed(entity: Entity) -> Iterator[str]:
    """Observations joined until a passage is full."""
    gathered = ""
    for observation in entity.observations:
        for part in cut(observation.text):
            if gathered and len(gathered) + len(part) > PASSAGE_LENGTH:
                yield gathered
                gathered = ""
            gathered = f"{gathered}\n{part}" if gathered else part
    if gathered or not entity.observations:
        yield gathered


def cut(text: str) -> Iterator[str]:
    """A long text in parts that end at a space where there is one in the last quarter."""
    start = 0
    while len(text) - start > 2 * PASSAGE_LENGTH:
        end = start + PASSAGE_LENGTH
        space = text.rfind(" ", start + 3 * PASSAGE_LENGTH // 4, end)
        end = end if space < 0 else space + 1
        yield text[start:end]
        start = end
    yield text[start:]
