"""Records by what people call them."""

from collections.abc import Sequence

from caxton_llm.cli.screen import utf8
from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Record, Relation
from caxton_llm.memory_system import Memory

__all__ = ["named", "title"]

_LISTED = 5


def title(record: Record) -> str:
    """What a record is called in a table."""
    if isinstance(record, Entity):
        return f"{record.name} ({record.type})"
    if isinstance(record, Relation):
        return record.type
    return f"{record.conversation} #{record.index} {record.speaker or record.role}"


def named(memory: Memory, who: str, tenant: str) -> Record:
    """The record with an id, else the entity with a name. Raises `InvalidRequest` when there is none or more than one."""
    who = utf8(who, "the name")
    record = memory.get([who], tenant=tenant).get(who)
    if record is not None:
        return record
    filters = Filters(tenant=tenant)
    found: Sequence[str] = memory.find([who], filters).get(who, [])
    if not found:
        where = f"the tenant {tenant!r}" if tenant else "the tenant without a name (--tenant names another)"
        raise InvalidRequest(f"nothing has the id or the name {who[:80]!r} in {where}")
    records = memory.get(found, tenant=tenant)
    if len(found) > 1:
        listed = ", ".join(f"{one.id} ({_described(one)})" for one in list(records.values())[:_LISTED])
        raise InvalidRequest(f"{len(found)} entities are called {who[:80]!r}; say which by its id: {listed}")
    return records[found[0]]


def _described(record: Record) -> str:
    owner = {"agent": record.agent, "workspace": record.workspace, "global": ""}[record.scope]
    return " ".join(part for part in (title(record), "of", record.scope, owner) if part)
