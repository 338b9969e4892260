"""`/api/v1/memory`: the memory over HTTP. This module lists its operations."""

from caxton_llm.memory.bodies import EntityBody, ObservationBody, RelationBody, TurnBody
from caxton_llm.memory.model import Kind
from caxton_llm.memory.store import Forgotten, Written
from caxton_llm.memory.transfer import Imported
from caxton_llm.server.failures import FailureLog
from caxton_llm.server.memory.records import RecordEndpoints
from caxton_llm.server.memory.shapes import (
    EntityPage,
    EntityPageQuery,
    ExportQuery,
    ImportQuery,
    OneRecord,
    Purged,
    RecordQuery,
    RelationPage,
    RelationPageQuery,
    SearchAnswer,
    SearchBody,
    StatsAnswer,
    TenantQuery,
    TurnPage,
    TurnPageQuery,
    WrittenList,
)
from caxton_llm.server.memory.streams import StreamEndpoints
from caxton_llm.server.memory.whole import WholeEndpoints
from caxton_llm.server.memory.work import MemoryWork
from caxton_llm.server.operation import Call, NoBody, NoQuery, Operation, operation

__all__ = ["MEMORY_PATH", "memory_operations"]

MEMORY_PATH = "/api/v1/memory"


def memory_operations(work: MemoryWork, failures: FailureLog) -> list[Operation]:
    """All operations of the memory, whether there is one or not."""
    records = RecordEndpoints(work)
    streams = StreamEndpoints(work, failures)
    return [*_of_entities(records), *_of_relations(records), *_of_turns(records), *_of_all(work, streams)]


def _of_entities(records: RecordEndpoints) -> list[Operation]:
    path = f"{MEMORY_PATH}/entities"
    one = f"{path}/{{id}}"
    return [
        operation(
            "POST",
            path,
            "Write entities, all or none; what has no id is merged with the entity of its name",
            records.write_entities,
            query=NoQuery,
            body=EntityBody,
            takes="one or many",
            answer=WrittenList,
        ),
        operation(
            "GET", path, "List entities", records.list_entities, query=EntityPageQuery, body=NoBody, answer=EntityPage
        ),
        *_of_one(records, "entity", one),
        operation(
            "PUT",
            one,
            "Replace an entity by a new version of it",
            records.replace_entity,
            query=NoQuery,
            body=EntityBody,
            takes="one",
            answer=Written,
        ),
        operation(
            "POST",
            f"{one}/observations",
            "Add observations to an entity",
            records.add_observations,
            query=TenantQuery,
            body=ObservationBody,
            takes="one or many",
            answer=Written,
        ),
    ]


def _of_relations(records: RecordEndpoints) -> list[Operation]:
    path = f"{MEMORY_PATH}/relations"
    return [
        operation(
            "POST",
            path,
            "Write relations between entities, all or none",
            records.write_relations,
            query=NoQuery,
            body=RelationBody,
            takes="one or many",
            answer=WrittenList,
        ),
        operation(
            "GET",
            path,
            "List relations",
            records.list_relations,
            query=RelationPageQuery,
            body=NoBody,
            answer=RelationPage,
        ),
        *_of_one(records, "relation", f"{path}/{{id}}"),
    ]


def _of_turns(records: RecordEndpoints) -> list[Operation]:
    path = f"{MEMORY_PATH}/turns"
    return [
        operation(
            "POST",
            path,
            "Write turns of conversations, all or none",
            records.write_turns,
            query=NoQuery,
            body=TurnBody,
            takes="one or many",
            answer=WrittenList,
        ),
        operation("GET", path, "List turns", records.list_turns, query=TurnPageQuery, body=NoBody, answer=TurnPage),
        *_of_one(records, "turn", f"{path}/{{id}}"),
    ]


def _of_one(records: RecordEndpoints, kind: Kind, path: str) -> list[Operation]:
    async def read(call: Call[RecordQuery, NoBody]) -> OneRecord:
        return await records.read(call, kind)

    async def forget(call: Call[TenantQuery, NoBody]) -> Forgotten:
        return await records.forget(call, kind)

    gone = "Delete for good; the answer says whether index files may keep traces until a purge"
    return [
        operation("GET", path, f"One {kind}", read, query=RecordQuery, body=NoBody, answer=OneRecord),
        operation("DELETE", path, gone, forget, query=TenantQuery, body=NoBody, answer=Forgotten),
    ]


def _of_all(work: MemoryWork, streams: StreamEndpoints) -> list[Operation]:
    whole = WholeEndpoints(work)
    return [
        operation(
            "POST",
            f"{MEMORY_PATH}/search",
            "Search by meaning and by words",
            whole.search,
            query=NoQuery,
            body=SearchBody,
            takes="one",
            answer=SearchAnswer,
        ),
        operation(
            "GET",
            f"{MEMORY_PATH}/stats",
            "How much there is",
            whole.stats,
            query=NoQuery,
            body=NoBody,
            answer=StatsAnswer,
        ),
        operation(
            "POST",
            f"{MEMORY_PATH}/purge",
            "Rewrite index files that may hold traces of what was deleted",
            whole.purge,
            query=NoQuery,
            body=NoBody,
            answer=Purged,
        ),
        operation(
            "GET",
            f"{MEMORY_PATH}/export",
            "Everything as JSON Lines",
            streams.export,
            query=ExportQuery,
            body=NoBody,
            answer=None,
        ),
        operation(
            "POST",
            f"{MEMORY_PATH}/import",
            "Import JSON Lines, of an export or of an MCP memory file",
            streams.load,
            query=ImportQuery,
            body=NoBody,
            takes="lines",
            answer=Imported,
        ),
    ]
