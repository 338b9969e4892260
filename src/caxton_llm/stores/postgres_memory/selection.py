"""A search's filter as a condition of SQL, over passages or over vectors."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from caxton_llm.memory.filters import Filters, normal_area
from caxton_llm.stores.postgres_memory.codes import (
    Codes,
    area_key,
    conversation_key,
    owner_key,
    tenant_key,
    type_key,
)
from caxton_llm.stores.postgres_memory.rows import KINDS, SCOPES
from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = ["Selection", "selection"]

_NOTHING = -1
"""No name has this code."""


class Selection(NamedTuple):
    """What may be found. `values` are the parameters of the condition; their names start with `f_`. `scopes` are those of
    the conditions that say what may be seen at all."""

    tenant: int
    conditions: tuple[str, ...]
    scopes: tuple[str, ...]
    values: dict[str, object]

    def seen(self, table: str) -> str:
        """The condition for what may be seen, of whatever kind and time."""
        return " and ".join(condition.replace("t.", f"{table}.") for condition in self.scopes)

    def of(self, table: str) -> str:
        """The condition over a table by its name in the query."""
        return " and ".join(condition.replace("t.", f"{table}.") for condition in self.conditions)


def selection(db: Connection, codes: Codes, filters: Filters) -> Selection | None:
    """`None`: nothing was ever written for this tenant."""
    known = codes.found(db, _keys_of(filters))
    tenant = known.get(tenant_key(filters.tenant))
    if tenant is None:
        return None
    values: dict[str, object] = {"f_tenant": tenant}
    scopes = ("t.tenant = %(f_tenant)s", *_named(_scopes(filters, known), values))
    return Selection(tenant, (*scopes, *_named(_conditions(filters, known), values)), scopes, values)


def _named(given: Iterator[tuple[str, object]], values: dict[str, object]) -> list[str]:
    """Conditions with names for their values, which are added to `values`."""
    conditions = []
    for condition, value in given:
        if value is not None:
            name = f"f_{len(values)}"
            values[name] = value
            conditions.append(condition.replace("?", f"%({name})s"))
    return conditions


def _keys_of(filters: Filters) -> list[bytes]:
    tenant = filters.tenant
    keys = [tenant_key(tenant)]
    keys += [owner_key(tenant, scope, name) for scope, name in _agents(filters) if name is not None]
    keys += [type_key(tenant, name) for name in filters.types or ()]
    keys += [area_key(tenant, normal_area(area)) for area in filters.focus_areas or ()]
    if filters.conversation is not None:
        keys.append(conversation_key(tenant, filters.conversation))
    return keys


def _scopes(filters: Filters, known: dict[bytes, int]) -> Iterator[tuple[str, object]]:
    """Conditions with `?` for their values; `None`: is not asked for."""
    for scope, name in _agents(filters):
        owner = None if name is None else known.get(owner_key(filters.tenant, scope, name), _NOTHING)
        yield f"(t.scope <> {SCOPES[scope]} or t.owner = ?)", owner
    yield "t.scope = any(?)", _each(filters.scopes, SCOPES.__getitem__)


def _conditions(filters: Filters, known: dict[bytes, int]) -> Iterator[tuple[str, object]]:
    """The others."""
    tenant = filters.tenant
    yield "t.kind = any(?)", _each(filters.kinds, KINDS.__getitem__)
    types = _each(filters.types, lambda name: known.get(type_key(tenant, name), _NOTHING))
    yield f"(t.kind = {KINDS['entity']} and t.type = any(?))", types
    yield (
        "t.areas && ?::integer[]",
        _each(filters.focus_areas, lambda area: known.get(area_key(tenant, normal_area(area)), _NOTHING)),
    )
    conversation = None if filters.conversation is None else conversation_key(tenant, filters.conversation)
    yield "t.conversation = ?", None if conversation is None else known.get(conversation, _NOTHING)
    yield "t.at >= ?", filters.since
    yield "t.at <= ?", filters.until
    yield "(t.valid_from is null or t.valid_from <= ?)", filters.valid_at
    yield "(t.valid_until is null or t.valid_until > ?)", filters.valid_at


def _agents(filters: Filters) -> tuple[tuple[str, str | None], ...]:
    return ("agent", filters.agent), ("workspace", filters.workspace)


def _each(names: Sequence[str] | None, code: Callable[[str], int]) -> list[int] | None:
    return None if names is None else [code(name) for name in names]
