"""Entities, relations and turns over HTTP: written, listed, read, replaced, deleted."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.bodies import EntityBody, ObservationBody, RelationBody, TurnBody, observation_of, record_of
from caxton_llm.memory.filters import Filters, admits, kind_of
from caxton_llm.memory.model import Entity, Kind, Record, Relation, Turn
from caxton_llm.memory.store import Forgotten, Written
from caxton_llm.server.memory.shapes import (
    MAX_RECORDS,
    EntityPage,
    EntityPageQuery,
    OneRecord,
    PageQuery,
    RecordQuery,
    RelationPage,
    RelationPageQuery,
    TenantQuery,
    TurnPage,
    TurnPageQuery,
    WrittenList,
)
from caxton_llm.server.memory.work import MemoryWork
from caxton_llm.server.operation import Call, NoBody, NoQuery, NotThere

if TYPE_CHECKING:
    from caxton_llm.memory_system import Memory

__all__ = ["RecordEndpoints"]

_R = TypeVar("_R", Entity, Relation, Turn)


class RecordEndpoints:
    """What is done with records of all kinds. Blocking calls go to `work`."""

    def __init__(self, work: MemoryWork) -> None:
        self._work = work

    # -- writing --------------------------------------------------------------------------------------------------------

    async def write_entities(self, call: Call[NoQuery, EntityBody]) -> WrittenList:
        return await self._write([record_of(body) for body in call.bodies])

    async def write_relations(self, call: Call[NoQuery, RelationBody]) -> WrittenList:
        return await self._write([record_of(body) for body in call.bodies])

    async def write_turns(self, call: Call[NoQuery, TurnBody]) -> WrittenList:
        return await self._write([record_of(body) for body in call.bodies])

    async def _write(self, records: Sequence[Record]) -> WrittenList:
        if len(records) > MAX_RECORDS:
            message = f"{len(records)} records are more than the {MAX_RECORDS} of one request; import them"
            raise InvalidRequest(message, param="body")
        return WrittenList(await self._work.run(lambda memory: memory.add(records)))

    async def replace_entity(self, call: Call[NoQuery, EntityBody]) -> Written:
        """A new version takes the place of the present one, which stays in the history."""
        record, name = record_of(call.body), call.id
        if record.id not in ("", name):
            raise InvalidRequest("the id is not the one of the address", param="id")

        def replaced(memory: "Memory") -> Written:
            _existing(memory, name, record.tenant, "entity")
            return memory.add([replace(record, id=name)])[0]

        return await self._work.run(replaced)

    async def add_observations(self, call: Call[TenantQuery, ObservationBody]) -> Written:
        """To what is known already; what says the same is a duplicate."""
        added = tuple(observation_of(body) for body in call.bodies)

        def joined(memory: "Memory") -> Written:
            known = _existing(memory, call.id, call.query.tenant, "entity")
            assert isinstance(known, Entity)  # noqa: S101 - `_existing` has looked
            return memory.add([replace(known, id="", observations=added)])[0]

        return await self._work.run(joined)

    # -- reading --------------------------------------------------------------------------------------------------------

    async def list_entities(self, call: Call[EntityPageQuery, NoBody]) -> EntityPage:
        query = call.query
        filters = _filters(query, "entity", types=None if query.type is None else (query.type,))

        def sought(memory: "Memory") -> Iterable[Record]:
            if query.name is None:
                return memory.records(filters)
            ids = memory.find([query.name], filters).get(query.name, [])
            known = memory.get(ids, tenant=query.tenant)
            return (known[one] for one in ids if one in known and admits(filters, known[one]))

        return EntityPage(*await self._work.run(lambda memory: _page(sought(memory), query, Entity)))

    async def list_relations(self, call: Call[RelationPageQuery, NoBody]) -> RelationPage:
        query = call.query
        filters = _filters(query, "relation")

        def sought(memory: "Memory") -> Iterable[Record]:
            entity, wanted = query.entity, query.type
            every: Iterable[Record] = memory.records(filters)
            if entity is not None:
                every = (one for one in memory.relations_of([entity], tenant=query.tenant) if admits(filters, one))
            return (one for one in every if isinstance(one, Relation) and wanted in (None, one.type))

        return RelationPage(*await self._work.run(lambda memory: _page(sought(memory), query, Relation)))

    async def list_turns(self, call: Call[TurnPageQuery, NoBody]) -> TurnPage:
        filters = _filters(call.query, "turn", conversation=call.query.conversation)
        return TurnPage(*await self._work.run(lambda memory: _page(memory.records(filters), call.query, Turn)))

    async def read(self, call: Call[RecordQuery, NoBody], kind: Kind) -> OneRecord:
        query = call.query

        def found(memory: "Memory") -> OneRecord:
            record = _existing(memory, call.id, query.tenant, kind)
            return (
                OneRecord(record, memory.history(call.id, tenant=query.tenant)) if query.history else OneRecord(record)
            )

        return await self._work.run(found)

    # -- deleting -------------------------------------------------------------------------------------------------------

    async def forget(self, call: Call[TenantQuery, NoBody], kind: Kind) -> Forgotten:
        tenant = call.query.tenant

        def forgotten(memory: "Memory") -> Forgotten:
            _existing(memory, call.id, tenant, kind)
            return memory.forget([call.id], tenant=tenant)

        return await self._work.run(forgotten)


def _existing(memory: "Memory", name: str, tenant: str, kind: Kind) -> Record:
    record = memory.get([name], tenant=tenant).get(name)
    if record is None or kind_of(record) != kind:
        message = f"the memory has no {kind} with this id; a record of a tenant is asked for with ?tenant="
        raise NotThere(message, param="id", code="record_not_found")
    return record


def _filters(
    query: PageQuery, kind: Kind, *, types: tuple[str, ...] | None = None, conversation: str | None = None
) -> Filters:
    return Filters(
        tenant=query.tenant,
        agent=query.agent,
        workspace=query.workspace,
        scopes=None if query.scope is None else (query.scope,),
        kinds=(kind,),
        types=types,
        conversation=conversation,
    )


def _page(records: Iterable[Record], query: PageQuery, kind: type[_R]) -> tuple[list[_R], str | None]:
    """The records from the one that the cursor names on, and the id of the first of the next page."""
    following = iter(records)
    found: list[_R] = []
    if query.cursor is not None:
        found = [
            one for one in islice((one for one in following if one.id == query.cursor), 1) if isinstance(one, kind)
        ]
        if not found:
            message = "the record that the next page begins with is no longer there; begin with the first page"
            raise InvalidRequest(message, param="cursor")
    found += [one for one in islice(following, query.limit + 1 - len(found)) if isinstance(one, kind)]
    return found[: query.limit], found[query.limit].id if len(found) > query.limit else None
