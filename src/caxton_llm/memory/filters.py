"""Which records a search may find."""

import math
import re
from typing import get_args

from msgspec import Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.model import Entity, Kind, Record, Relation, Scope, Turn

__all__ = [
    "Filters",
    "admits",
    "areas_of",
    "check_filters",
    "check_sought",
    "confidence_of",
    "kind_of",
    "normal_area",
    "time_of",
    "weight_of",
]

_MOST_VALUES = 1_000
"""Of one filter."""
_KNOWN: dict[str, tuple[str, ...]] = {
    "scopes": get_args(Scope),
    "kinds": get_args(Kind),
    "types": (),
    "focus_areas": (),
}
"""Filters of several values, and which values there are; empty: any."""
_SEPARATORS = re.compile(r"[\s_\-]+")


class Filters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is given must hold. The tenant always counts; `None` elsewhere means any.

    With `agent` only what this agent may see is found: `global` records, those of `workspace`, and its own. Without it
    everything in the tenant is found, which is for administration. Times are seconds since 1970.
    """

    tenant: str = ""
    agent: str | None = None
    workspace: str | None = None
    scopes: tuple[Scope, ...] | None = None
    kinds: tuple[Kind, ...] | None = None
    """Relations have no passages: a search finds none, and refuses to be asked for them."""
    types: tuple[str, ...] | None = None
    """Types of entities, exactly as written."""
    focus_areas: tuple[str, ...] | None = None
    """Types or tags, however they are written: `user_preferences` is `User preferences`."""
    conversation: str | None = None
    since: float | None = None
    until: float | None = None
    """The time of a record is that of its newest observation, else of its last change; of a turn, when it was said."""
    valid_at: float | None = None
    """Leaves out entities that were not yet or no longer valid then."""


def check_filters(filters: Filters) -> None:
    """Raises `InvalidRequest` for a value of another type, too many values, a scope or a kind that does not exist."""
    for name in ("tenant", "agent", "workspace", "conversation"):
        value = getattr(filters, name)
        if not isinstance(value, str) and (value is not None or name == "tenant"):
            raise InvalidRequest(f"must be a text, not {type(value).__name__}", param=name)
    for name in ("since", "until", "valid_at"):
        value = getattr(filters, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value)):
            raise InvalidRequest(f"must be seconds since 1970, a number, not {type(value).__name__}", param=name)
    for name, known in _KNOWN.items():
        _check_values(name, getattr(filters, name), known)


def _check_values(name: str, values: object, known: tuple[str, ...]) -> None:
    """`known`: all that there are; empty: any."""
    if values is None:
        return
    if isinstance(values, str):
        raise InvalidRequest(f"must be a tuple, not one text: write {name}=({values[:40]!r},)", param=name)
    if not isinstance(values, tuple | list | set | frozenset):
        raise InvalidRequest(f"must be a tuple of texts, not {type(values).__name__}", param=name)
    if len(values) > _MOST_VALUES:
        raise InvalidRequest(f"{len(values)} values are more than {_MOST_VALUES}", param=name)
    for value in values:
        if not isinstance(value, str):
            raise InvalidRequest(f"must have texts, not {type(value).__name__}", param=name)
        if known and value not in known:
            raise InvalidRequest(f"unknown {name[:-1]} {value[:40]!r}; the {name} are {', '.join(known)}", param=name)


def check_sought(filters: Filters) -> None:
    """`check_filters` for a search. Raises `InvalidRequest` also for relations, which have no passages to be found by."""
    check_filters(filters)
    if filters.kinds is not None and "relation" in filters.kinds:
        message = (
            "relations have no passages and are not found by a search; search for entities and read their relations"
        )
        raise InvalidRequest(message, param="kinds")


def admits(filters: Filters, record: Record) -> bool:
    """Whether a record that a store has written may be found: what a store answers from its columns, for one record."""
    placed = record.tenant == filters.tenant and _may_see(filters, record)
    return placed and _is_sought(filters, record) and _is_in_time(filters, record)


def _may_see(filters: Filters, record: Record) -> bool:
    if filters.scopes is not None and record.scope not in filters.scopes:
        return False
    if record.scope == "agent":
        return filters.agent is None or record.agent == filters.agent
    if record.scope == "workspace":
        return filters.workspace is None or record.workspace == filters.workspace
    return True


def _is_sought(filters: Filters, record: Record) -> bool:
    if filters.kinds is not None and kind_of(record) not in filters.kinds:
        return False
    if filters.types is not None and not (isinstance(record, Entity) and record.type in filters.types):
        return False
    if filters.conversation is not None and not (
        isinstance(record, Turn) and record.conversation == filters.conversation
    ):
        return False
    wanted = filters.focus_areas
    return wanted is None or not areas_of(record).isdisjoint(normal_area(area) for area in wanted)


def _is_in_time(filters: Filters, record: Record) -> bool:
    if filters.since is None and filters.until is None and filters.valid_at is None:
        return True
    time = time_of(record, record.updated or 0.0)
    if not (-math.inf if filters.since is None else filters.since) <= time:
        return False
    if not time <= (math.inf if filters.until is None else filters.until):
        return False
    if filters.valid_at is None or not isinstance(record, Entity):
        return True
    begun = record.valid_from is None or record.valid_from <= filters.valid_at
    return begun and (record.valid_until is None or filters.valid_at < record.valid_until)


def kind_of(record: Record) -> Kind:
    """The word for what a record is."""
    return "entity" if isinstance(record, Entity) else "relation" if isinstance(record, Relation) else "turn"


def normal_area(area: str) -> str:
    """A focus area, a type or a tag in the spelling in which they are compared."""
    return _SEPARATORS.sub(" ", area.strip().casefold())


def areas_of(record: Record) -> set[str]:
    """What `focus_areas` are compared with: the type, and `tags` of the metadata."""
    tags = record.metadata.get("tags")
    areas = {normal_area(tag) for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()
    if not isinstance(record, Turn):
        areas.add(normal_area(record.type))
    return areas - {""}


def time_of(record: Record, written: float) -> float:
    """The time that `since` and `until` are compared with; `written` is when it was last changed."""
    if isinstance(record, Turn):
        return written if record.at is None else record.at
    if isinstance(record, Relation):
        return written
    return max((seen.at for seen in record.observations if seen.at is not None), default=written)


def confidence_of(record: Record) -> float | None:
    """How certain an entity is: as its least doubtful observation; of others nothing is said."""
    if not isinstance(record, Entity):
        return None
    return max((seen.confidence for seen in record.observations if seen.confidence is not None), default=None)


def weight_of(relation: Relation) -> float:
    """How much a relation counts, 0..1: its strength times its confidence, where not said 1."""
    known = (value for value in (relation.strength, relation.confidence) if value is not None)
    return math.prod(known)
