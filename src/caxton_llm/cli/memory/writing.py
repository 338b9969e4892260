"""`caxton memory add`, `forget` and `retain`."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import typer
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.cli.memory.asked import metadata_of
from caxton_llm.cli.memory.named import named, title
from caxton_llm.cli.memory.opened import opened_memory, shown_progress
from caxton_llm.cli.memory.place import Place
from caxton_llm.cli.screen import Screen, utf8
from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.bodies import read_record
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Record, Relation, Scope
from caxton_llm.memory.store import Forgotten, Retention, Written
from caxton_llm.memory.transfer import lines_of
from caxton_llm.memory_system import Memory

__all__ = ["AddOptions", "forget", "retain", "run_add"]

_BATCH = 500
_PIECE = 1024 * 1024


class AddOptions(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    name: str | None
    observations: Sequence[str]
    type: str | None
    source: str | None
    confidence: float | None
    tags: Sequence[str]
    metadata: Sequence[str]
    start: str | None
    end: str | None
    relation: str | None
    strength: float | None
    tenant: str
    scope: Scope
    agent: str
    workspace: str
    as_json: bool


def run_add(place: Place, options: AddOptions, screen: Screen) -> None:
    """Write an entity, a relation, or the records that standard input has. Raises `InvalidRequest`."""
    ends = (options.start, options.end, options.relation)
    if any(ends) and (not all(ends) or options.name is not None):
        raise typer.BadParameter("a relation needs all of --from, --to and --relation, and nothing else")
    if not any(ends) and options.name is None:
        raise typer.BadParameter(
            "give a NAME and what is known of it, or --from, --to and --relation, or - for standard input"
        )
    metadata_of(options.metadata, options.tags)  # a mistake is told before a folder is made
    with opened_memory(place, screen, create=True) as memory:
        if options.name == "-":
            written = _add_lines(memory)
        else:
            written = memory.add([_relation(memory, options) if options.relation else _entity(memory, options)])
        if options.as_json:
            screen.json(written)
        else:
            _tell(memory, written, options.tenant, screen)


def _entity(memory: Memory, options: AddOptions) -> Entity:
    observations = (
        Observation(utf8(text, "an observation"), source=options.source, confidence=options.confidence)
        for text in options.observations
    )
    return Entity(
        name=utf8(options.name or "", "the name"),
        type=options.type or _type_there(memory, options) or "note",
        observations=tuple(observations),
        metadata=metadata_of(options.metadata, options.tags),
        tenant=options.tenant,
        scope=options.scope,
        agent=options.agent,
        workspace=options.workspace,
    )


def _type_there(memory: Memory, options: AddOptions) -> str | None:
    """The type of the only entity of this name, so that it gets what is new. Raises `InvalidRequest` for several."""
    owner = {options.scope: getattr(options, options.scope)} if options.scope != "global" else {}
    filters = Filters(tenant=options.tenant, scopes=(options.scope,), **owner)
    ids = memory.find([options.name or ""], filters).get(options.name or "", [])
    there = [one for one in memory.get(ids, tenant=options.tenant).values() if isinstance(one, Entity)]
    if len(there) > 1:
        types = ", ".join(sorted(one.type for one in there))
        raise InvalidRequest(f"there are several entities of this name: say which with --type, {types} or a new one")
    return there[0].type if there else None


def _relation(memory: Memory, options: AddOptions) -> Relation:
    return Relation(
        source=named(memory, options.start or "", options.tenant).id,
        target=named(memory, options.end or "", options.tenant).id,
        type=utf8(options.relation or "", "the relation"),
        strength=options.strength,
        confidence=options.confidence,
        metadata=metadata_of(options.metadata, options.tags),
        tenant=options.tenant,
        scope=options.scope,
        agent=options.agent,
        workspace=options.workspace,
    )


def _add_lines(memory: Memory) -> list[Written]:
    """The records of standard input, one a line. Those of the batches before a mistake are written."""
    written: list[Written] = []
    records = _read(lines_of(iter(lambda: os.read(sys.stdin.fileno(), _PIECE), b"")))
    while batch := list(islice(records, _BATCH)):
        try:
            written += memory.add([record for _, record in batch])
        except InvalidRequest as error:
            message = f"one of the lines {batch[0][0]} to {batch[-1][0]} cannot be written: {error}; none of them is"
            raise InvalidRequest(message) from None
    return written


def _read(lines: Iterator[bytes]) -> Iterator[tuple[int, Record]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, read_record(line)
            except InvalidRequest as error:
                raise InvalidRequest(f"line {number}: {error}") from None


def _tell(memory: Memory, written: Sequence[Written], tenant: str, screen: Screen) -> None:
    if len(written) != 1:
        counts = Counter(one.action for one in written)
        shown = ", ".join(f"{count} {action}" for action, count in counts.items())
        screen.line(f"{len(written)} records{f': {shown}' if shown else ''}")
        return
    one = written[0]
    record = memory.get([one.id], tenant=tenant).get(one.id)
    what = title(record) if record is not None else "a record"
    known = f", {one.duplicates} of the observations known already" if one.duplicates else ""
    screen.line(f"{one.action} {what}, version {one.version}{known}")
    screen.line(f"  id {one.id}", "dim")


def forget(
    place: Place, who: Sequence[str], screen: Screen, *, tenant: str, yes: bool, purge: bool, as_json: bool
) -> None:
    """Delete records for good, after asking. Says whether index files may still hold traces."""
    with opened_memory(place, screen) as memory:
        records = {record.id: record for record in (named(memory, one, tenant) for one in who)}
        titles = ", ".join(title(record) for record in records.values())
        screen.confirm(f"Delete {titles} for good, with every version and relation?", yes=yes)
        _deleted(memory, memory.forget(records, tenant=tenant), screen, purge=purge, as_json=as_json)


def retain(place: Place, retention: Retention, screen: Screen, *, yes: bool, purge: bool, as_json: bool) -> None:
    """Delete for good what is too old or too much, after asking."""
    with opened_memory(place, screen) as memory:
        screen.confirm("Delete for good what is too old or too much?", yes=yes)
        _deleted(memory, memory.retain(retention), screen, purge=purge, as_json=as_json)


def _deleted(memory: Memory, forgotten: Forgotten, screen: Screen, *, purge: bool, as_json: bool) -> None:
    if purge and forgotten.indexes != "clean":
        with shown_progress(screen, "rewriting the indexes") as told:
            memory.purge(told)
        forgotten = replace(forgotten, indexes="clean")
    if as_json:
        screen.json(forgotten)
        return
    parts = f"{forgotten.relations} of them relations, {forgotten.versions} earlier versions"
    screen.line(f"deleted {forgotten.records} records ({parts}) and {forgotten.passages} passages")
    if forgotten.indexes == "clean":
        screen.line("no traces are left in the indexes")
    else:
        screen.line("index files may still hold traces: `caxton memory purge` rewrites them (or --purge next time)")
