"""The file of the reference MCP memory server: a line for each entity or relation, relations by names.

{"type": "entity", "name": "...", "entityType": "...", "observations": ["..."]}
{"type": "relation", "from": "...", "to": "...", "relationType": "..."}
"""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct, field

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Relation
from caxton_llm.memory.store import MemoryStore

__all__ = ["Reader", "is_line"]

_NAMES = 500
"""Relations whose entities are looked up together."""


class _Entity(Struct, tag_field="type", tag="entity", rename="camel"):
    name: str
    entity_type: str
    observations: list[str] = []


class _Relation(Struct, tag_field="type", tag="relation", rename="camel"):
    source: str = field(name="from")
    target: str = field(name="to")
    relation_type: str = field(name="relationType")


_decoder = msgspec.json.Decoder(_Entity | _Relation)


class _Typed(Struct):
    type: Literal["entity", "relation"]


_typed_decoder = msgspec.json.Decoder(_Typed)


def is_line(line: bytes) -> bool:
    """Whether a line is of this format, as far as its type tells: what is wrong with it is told when it is read."""
    try:
        _typed_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


class Reader:
    """Reads the lines of one file. Relations are kept until all entities are there: they may come in any order."""

    def __init__(self, store: MemoryStore, tenant: str) -> None:
        self._store = store
        self._tenant = tenant
        self._relations: list[tuple[int, _Relation]] = []

    def read(self, line: bytes, number: int) -> list[Entity]:
        """The entity of the line with this number. Raises `InvalidRequest` for a line of another format."""
        try:
            decoded = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"is not a line of an MCP memory file: {error}") from None
        if isinstance(decoded, _Relation):
            self._relations.append((number, decoded))
            return []
        observations = tuple(Observation(text) for text in decoded.observations if text.strip())
        kind = decoded.entity_type.strip() or "note"
        return [Entity(name=decoded.name, type=kind, observations=observations, tenant=self._tenant)]

    def relations(self, problem: Callable[[int, InvalidRequest], None]) -> Iterator[tuple[int, Relation]]:
        """The file's relations with the numbers of their lines, once its entities are in the store; of one whose entity is
        missing `problem` hears."""
        for start in range(0, len(self._relations), _NAMES):
            some = self._relations[start : start + _NAMES]
            names = [name for _, one in some for name in (one.source, one.target)]
            ids = self._store.find(names, filters=Filters(tenant=self._tenant))
            for number, one in some:
                missing = [name for name in (one.source, one.target) if name not in ids]
                if missing:
                    problem(
                        number, InvalidRequest(f"a relation names an entity that is not there: {missing[0][:80]!r}")
                    )
                    continue
                source, target = ids[one.source][0], ids[one.target][0]
                yield number, Relation(source=source, target=target, type=one.relation_type, tenant=self._tenant)
