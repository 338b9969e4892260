"""Writing: records, their passages and their vectors, in one transaction.

Embedding may be slow, so it comes before the transaction. There what is known of the records is read again and locked; if
somebody has changed it in between, everything is decided again. If somebody makes the same record at the same time, the
server refuses one of the two, which begins again and finds what the other has made. An embedder that fails for a while keeps
nothing from being written: what has no vector is found by its words until `embed_missing` has made it.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from psycopg import errors

from caxton_llm.errors import InvalidRequest, LlmError, MemoryStoreError
from caxton_llm.memory.drafts import Draft, check_records, plan
from caxton_llm.memory.filters import weight_of
from caxton_llm.memory.model import Record, Relation
from caxton_llm.memory.store import Forgotten, Written
from caxton_llm.memory.versions import Change
from caxton_llm.stores.postgres_memory.codes import Codes, code_keys, tenant_key
from caxton_llm.stores.postgres_memory.halves import Halves
from caxton_llm.stores.postgres_memory.rows import (
    PASSAGE_COLUMNS,
    RECORD_COLUMNS,
    Known,
    encode,
    filtered_values,
    passage_values,
    record_values,
    words_of,
)
from caxton_llm.stores.postgres_memory.schema import FILTERED, FILTERED_TYPES
from caxton_llm.stores.postgres_memory.sessions import Connection, Sessions
from caxton_llm.stores.postgres_memory.spaces import Space, Spaces, embedded
from caxton_llm.stores.postgres_memory.tokens import Tokens

__all__ = ["Writer"]

_ATTEMPTS = 12
_PAUSE_S = 0.005
_CONFLICTS = (
    errors.UniqueViolation,
    errors.ForeignKeyViolation,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.UndefinedTable,
)
"""Somebody else was faster; the last: another process has ended the change of the embedder."""
_ASK_AGAIN_S = 60.0
"""How long an embedder that has failed is not asked by writes, for each would wait until it fails again."""

_VECTOR_TYPES = ("int8", "int8", "int4", *FILTERED_TYPES, "halfvec")
_Vectors = dict[tuple[int, str], Halves]


class _SpaceGone(Exception):
    """The same, before the table has gone."""


class Writer:
    """Writes records; any thread may."""

    def __init__(
        self, sessions: Sessions, spaces: Spaces, tokens: Tokens, codes: Codes, clock: Callable[[], float]
    ) -> None:
        self._sessions = sessions
        self._spaces = spaces
        self._tokens = tokens
        self._codes = codes
        self._clock = clock
        self._failed_at: float | None = None
        self.owes = False
        """Whether a passage was written without a vector."""

    def caught_up(self) -> None:
        """Every passage has its vector, and the embedder does its work."""
        self.owes = False
        self._failed_at = None

    def put(self, records: Sequence[Record], now: float, changes: Sequence[Sequence[Change]] | None) -> list[Written]:
        """Write all or none. `changes` are those of an export, whose versions and times are kept; `None`: of now."""
        check_records(records)
        vectors: _Vectors = {}
        attempt = 1
        while True:
            try:
                outcome = self._try(records, now, changes, vectors)
            except MemoryStoreError as error:
                if not isinstance(error.__cause__, _CONFLICTS) or attempt == _ATTEMPTS:
                    raise
            except _SpaceGone:
                if attempt == _ATTEMPTS:
                    raise MemoryStoreError("the memory's embedder was changed again and again; try again") from None
            else:
                return [Written(one.record.id, one.record.version, one.action, one.duplicates) for one in outcome]
            # Not all at once again.
            time.sleep(random.uniform(0, _PAUSE_S * 2 ** min(attempt, 6)))  # noqa: S311
            attempt += 1

    def _try(
        self,
        records: Sequence[Record],
        now: float,
        changes: Sequence[Sequence[Change]] | None,
        vectors: _Vectors,
    ) -> list[Draft]:
        with self._sessions.connection() as db:
            spaces = self._spaces.written(db)
            known = Known.read(db, records, lock=False)
        outcome = plan(records, now, changes, known)
        self._embed(outcome, vectors, spaces)
        with self._sessions.connection() as db:
            codes = self._codes.made(db, _keys_of(outcome))
        with self._sessions.writing() as db:
            fresh = Known.read(db, records, lock=True)
            if fresh.state != known.state:
                outcome = plan(records, now, changes, fresh)
                self._embed(outcome, vectors, spaces)
                codes = self._codes.made(db, _keys_of(outcome))
            drafts = [
                draft for draft in {id(draft): draft for draft in outcome}.values() if draft.action != "unchanged"
            ]
            if drafts:
                _Batch(db, drafts, codes, fresh).write(spaces, vectors, self._tokens)
                if not all(self._spaces.is_there(db, space) for space in spaces):
                    raise _SpaceGone
        needed = {text for draft in drafts for text in draft.texts}
        if not spaces or any((space.number, text) not in vectors for space in spaces for text in needed):
            self.owes = self.owes or bool(needed)
        return outcome

    def _embed(self, drafts: Iterable[Draft], vectors: _Vectors, spaces: Sequence[Space]) -> None:
        """Add the vectors that are not there yet; none while the embedder fails in a way that passes."""
        for space in spaces:
            texts = {text: None for draft in drafts for text in draft.texts if (space.number, text) not in vectors}
            if not texts or not self._may_ask():
                continue
            try:
                made = embedded(space.embedder, list(texts))
            except LlmError as error:
                if not error.should_retry:
                    raise
                self._failed_at = self._clock()
                continue
            vectors.update(zip(((space.number, text) for text in texts), made, strict=True))

    def _may_ask(self) -> bool:
        return self._failed_at is None or not 0 <= self._clock() - self._failed_at < _ASK_AGAIN_S

    def delete(self, query: str, values: Sequence[object]) -> Forgotten:
        """Delete the records whose keys `query` selects, and the relations of entities."""
        with self._sessions.writing() as db:
            wanted = [row[0] for row in db.execute(query, values)]
            if not wanted:
                return Forgotten()
            # Once they are locked nobody relates anything to them any more; what was related before is seen after.
            lock = "select key from records where key = any(%s) order by key for update"
            keys = [row[0] for row in db.execute(lock, (wanted,))]
            touching = "select record from relations where source = any(%s) or target = any(%s)"
            keys += [row[0] for row in db.execute(touching, (keys, keys))]
            count = """select (select count(*) from versions where record = any(%s)),
                (select count(*) from passages where record = any(%s))"""
            versions, passages = db.execute(count, (keys, keys)).fetchone() or (0, 0)
            gone = db.execute("delete from records where key = any(%s) returning id, kind", (keys,)).fetchall()
        return Forgotten(
            records=len(gone),
            relations=sum(kind == 1 for _, kind in gone),
            versions=versions,
            passages=passages,
            indexes="purge needed" if gone else "clean",
            ids=tuple(name for name, _ in gone),
        )


class _Batch:
    """What one transaction writes."""

    def __init__(self, db: Connection, drafts: Sequence[Draft], codes: Mapping[bytes, int], known: Known) -> None:
        self._db = db
        self._drafts = drafts
        self._codes = codes
        self._known = known
        new = self._numbers("records", "key", sum(draft.old is None for draft in drafts))
        self._keys = {
            (draft.record.tenant, draft.record.id): next(new) if draft.old is None else draft.old.key
            for draft in drafts
        }

    def write(self, spaces: Sequence[Space], vectors: _Vectors, tokens: Tokens) -> None:
        self._replace()
        created = [draft.record for draft in self._drafts if draft.old is None]
        self._copy(
            "records",
            ("key", *RECORD_COLUMNS),
            ((self._key(record), *record_values(record, self._codes)) for record in created),
        )
        relations = [draft.record for draft in self._drafts if isinstance(draft.record, Relation)]
        self._copy("relations", ("record", "source", "target", "strength"), map(self._ends, relations))
        self._write_changes()
        self._write_passages(spaces, vectors, tokens)

    def _replace(self) -> None:
        """Give records that are there their new values, without passages and relations."""
        changed = [draft.record for draft in self._drafts if draft.old is not None]
        if not changed:
            return
        columns = ", ".join(f"{name} = %s" for name in RECORD_COLUMNS)
        values = [(*record_values(record, self._codes), self._key(record)) for record in changed]
        self._db.cursor().executemany(f"update records set {columns} where key = %s", values)  # noqa: S608
        keys = [self._key(record) for record in changed]
        for table in ("passages", "relations"):
            self._db.execute(f"delete from {table} where record = any(%s)", (keys,))  # noqa: S608

    def _ends(self, relation: Relation) -> tuple[object, ...]:
        ends = (self._end(relation.tenant, end) for end in (relation.source, relation.target))
        return self._key(relation), *ends, weight_of(relation)

    def _end(self, tenant: str, entity: str) -> int:
        key = self._keys.get((tenant, entity))
        if key is not None:
            return key
        row = self._known.by_id(entity, tenant)
        if row is None:
            raise InvalidRequest(f"there is no entity with the id {entity[:80]!r}; write it first", param="relation")
        return row.key

    def _key(self, record: Record) -> int:
        return self._keys[record.tenant, record.id]

    def _write_changes(self) -> None:
        changes = [
            (self._key(draft.record), change.version, encode(change))
            for draft in self._drafts
            for change in draft.changes
        ]
        if changes:
            query = """insert into versions values (%s, %s, %s)
                on conflict (record, version) do update set change = excluded.change"""
            self._db.cursor().executemany(query, changes)

    def _write_passages(self, spaces: Sequence[Space], vectors: _Vectors, tokens: Tokens) -> None:
        ids = self._numbers("passages", "id", sum(len(draft.texts) for draft in self._drafts))
        rows = []
        placed = []
        for draft in self._drafts:
            record, filtered = draft.record, filtered_values(draft.record, self._codes)
            tenant = self._codes[tenant_key(record.tenant)]
            for ordinal, (text, passage) in enumerate(zip(draft.texts, islice(ids, len(draft.texts)), strict=True)):
                place = (passage, self._key(record), ordinal, *filtered)
                rows.append((*place, *passage_values(record), *words_of(tenant, text), tokens.of(text)))
                placed.append((place, text))
        columns = ("record", "ordinal", *FILTERED)
        self._copy("passages", ("id", *columns, *PASSAGE_COLUMNS, "length", "words", "tokens"), rows)
        for space in spaces:
            values = (
                (*place, vectors[space.number, text]) for place, text in placed if (space.number, text) in vectors
            )
            self._copy(space.table, ("passage", *columns, "vector"), values, types=_VECTOR_TYPES)

    def _numbers(self, table: str, column: str, count: int) -> Iterator[int]:
        """New numbers of a table's rows, ascending."""
        query = "select nextval(pg_get_serial_sequence(%s, %s)) from generate_series(1, %s)"
        return iter(sorted(row[0] for row in self._db.execute(query, (table, column, count)))) if count else iter(())

    def _copy(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, types: Sequence[str] = ()
    ) -> None:
        """With `types` in binary."""
        first = next(rows := iter(rows), None)
        if first is None:
            return
        form = "(format binary)" if types else ""
        with self._db.cursor().copy(f"copy {table} ({', '.join(columns)}) from stdin {form}") as copy:
            if types:
                copy.set_types(types)
            copy.write_row(first)
            for row in rows:
                copy.write_row(row)


def _keys_of(drafts: Iterable[Draft]) -> set[bytes]:
    return {key for draft in drafts for key in code_keys(draft.record)}
