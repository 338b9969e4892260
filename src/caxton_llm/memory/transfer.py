"""A whole memory as JSON Lines, and back: one record a line, each followed by what it was before.

Import can be broken off and begun again: what is there in the same or a later version stays as it is. Besides this format
it reads that of the reference MCP memory server.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory import mcp_format
from caxton_llm.memory.model import Record, Relation
from caxton_llm.memory.store import MemoryStore, Progress, Written
from caxton_llm.memory.versions import Change

__all__ = ["MAX_LINE", "Format", "Imported", "export_lines", "import_lines", "lines_of"]

MAX_LINE = 64 * 1024 * 1024
"""Bytes of a line."""
_BATCH = 500
_BATCH_BYTES = 8 * 1024 * 1024
"""Long lines are written before they fill the memory."""
_FORMAT = 1

Format = Literal["caxton", "mcp", "auto"]
"""`auto`: what the first line looks like."""


class Imported(Struct, frozen=True):
    """What an import has done. `problems` has lines that could not be used, the first hundred of `problems_total`."""

    lines: int
    created: int
    changed: int
    unchanged: int
    problems: tuple[str, ...] = ()
    problems_total: int = 0


class _Line(Struct, frozen=True):
    """A line of an export: a record and its earlier versions, the last one first."""

    record: Record
    changes: tuple[Change, ...] = ()
    format: int = _FORMAT


_decoder = msgspec.json.Decoder(_Line)


def export_lines(
    store: MemoryStore, *, tenant: str | None = None, history: bool = True, progress: Progress | None = None
) -> Generator[bytes, None, None]:
    """Everything in the store, or of one tenant; entities before relations, so that the lines can be read in order."""
    stats = store.stats()
    total = stats.entities + stats.relations + stats.turns if tenant is None else None
    every = chain(
        store.records(tenant=tenant, kinds=("entity", "turn")), store.records(tenant=tenant, kinds=("relation",))
    )
    done = 0
    for done, record in enumerate(every, 1):
        changes = tuple(store.changes(record.id, tenant=record.tenant)) if history and record.version > 1 else ()
        yield msgspec.json.encode(_Line(record, changes)) + b"\n"
        if progress is not None and done % _BATCH == 0:
            progress(done, total)
    if progress is not None:
        progress(done, total)


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file that comes in pieces. Of a line that is too long only so much is kept that it is refused."""
    kept = bytearray()
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            kept += part[: MAX_LINE + 1 - len(kept)]
            yield bytes(kept)
            kept.clear()
        kept += rest[: MAX_LINE + 1 - len(kept)]
    if kept:
        yield bytes(kept)


def import_lines(
    store: MemoryStore,
    lines: Iterable[bytes],
    *,
    format: Format = "caxton",  # noqa: A002 - the word that users say
    tenant: str | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> Imported:
    """Write what the lines say. `tenant`: everything becomes this tenant's.

    With `strict` the first line that cannot be used ends it with `InvalidRequest`, what came before stays; else such lines
    are counted and passed over.
    """
    if format == "auto":
        format, lines = _recognised(lines)  # noqa: A001 - as above
    reader = mcp_format.Reader(store, tenant or "") if format == "mcp" else None
    counter = _Counter(strict=strict)
    batch: list[tuple[int, _Line]] = []
    number = size = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            batch += ((number, one) for one in _read(number, line, reader, tenant))
        except InvalidRequest as error:
            counter.problem(number, error)
        size += len(line)
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            _write(store, batch, counter)
            batch.clear()
            size = 0
            if progress is not None:
                progress(number, None)
    _write(store, batch, counter)
    if reader is not None:
        _write(store, [(at, _Line(relation)) for at, relation in reader.relations(counter.problem)], counter)
    if progress is not None:
        progress(number, number)
    counts = (counter.created, counter.changed, counter.unchanged)
    return Imported(number, *counts, tuple(counter.problems), counter.problems_total)


def _recognised(lines: Iterable[bytes]) -> tuple[Format, Iterable[bytes]]:
    """The format of the first line that says something, and all the lines."""
    following = iter(lines)
    seen: list[bytes] = []
    for line in following:
        seen.append(line)
        if line.strip():
            break
    is_mcp = bool(seen) and mcp_format.is_line(seen[-1])
    return "mcp" if is_mcp else "caxton", chain(seen, following)


class _Counter:
    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.created = self.changed = self.unchanged = 0
        self.problems: list[str] = []
        self.problems_total = 0
        self.renamed: dict[tuple[str, str], str] = {}
        """Tenants and ids of the file whose records were merged with others that were there, and the ids of those."""

    def adapted(self, record: Record) -> Record:
        """A relation with the ids that its entities have here."""
        if not isinstance(record, Relation):
            return record
        source, target = (self.renamed.get((record.tenant, end), end) for end in (record.source, record.target))
        return replace(record, source=source, target=target)

    def problem(self, number: int, error: InvalidRequest) -> None:
        message = f"line {number}: {error}"
        if self.strict:
            raise InvalidRequest(message) from error
        self.problems_total += 1
        if len(self.problems) < 100:
            self.problems.append(message)


def _read(number: int, line: bytes, reader: mcp_format.Reader | None, tenant: str | None) -> list[_Line]:
    if len(line) > MAX_LINE:
        raise InvalidRequest(f"{len(line)} bytes are more than the {MAX_LINE} that a line may have")
    if reader is not None:
        return [_Line(entity) for entity in reader.read(line, number)]
    try:
        decoded = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"is not a line of an export: {error}") from None
    if decoded.format != _FORMAT:
        raise InvalidRequest(f"has the format {decoded.format}; this version reads {_FORMAT}")
    if tenant is not None:
        decoded = replace(decoded, record=replace(decoded.record, tenant=tenant))
    return [decoded]


def _write(store: MemoryStore, batch: Sequence[tuple[int, _Line]], counter: _Counter) -> None:
    """A batch at once, or line by line to find out which one cannot be written."""
    if not batch:
        return
    try:
        _count(store, [line for _, line in batch], counter)
    except InvalidRequest as error:
        if len(batch) == 1:
            counter.problem(batch[0][0], error)
            return
        for one in batch:
            _write(store, [one], counter)


def _count(store: MemoryStore, lines: Sequence[_Line], counter: _Counter) -> None:
    # Records that have no version yet come from elsewhere, and are merged with what is there.
    restored = [line for line in lines if line.record.version]
    fresh = [counter.adapted(line.record) for line in lines if not line.record.version]
    written: list[Written] = []
    if restored:
        records = [counter.adapted(line.record) for line in restored]
        written += store.restore(records, [line.changes for line in restored])
        counter.renamed.update(
            ((old.tenant, old.id), new.id) for old, new in zip(records, written, strict=True) if old.id != new.id
        )
    if fresh:
        written += store.put(fresh)
    for one in written:
        counter.created += one.action == "created"
        counter.unchanged += one.action == "unchanged"
        counter.changed += one.action in ("merged", "updated")
