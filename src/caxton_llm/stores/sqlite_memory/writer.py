"""Writing: records, their passages and their vectors, in one transaction.

Embedding may be slow, so it comes before the transaction. If somebody has written in between, everything is decided again
inside, and only what is new then is embedded while others wait. An embedder that fails for a while keeps nothing from being
written: what has no vector is found by its words until `embed_missing` has made it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from caxton_llm.errors import LlmError
from caxton_llm.memory.drafts import Draft, check_records, plan
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.model import Record
from caxton_llm.memory.store import Forgotten, Written
from caxton_llm.memory.versions import Change
from caxton_llm.stores.sqlite_memory.rows import PassageRow, Rows
from caxton_llm.stores.sqlite_memory.tokens import Tokens
from caxton_llm.stores.sqlite_memory.vectors import as_bytes, checked_rows

__all__ = ["Space", "Writer"]

TOKENS = 0
"""In place of a space's number: not vectors but the distinct tokens."""

_PAUSE_S = 60.0
"""How long an embedder that has failed is not asked by writes, for each would wait until it fails again."""

_Vectors = dict[tuple[int, str], bytes]


@dataclass(frozen=True, slots=True)
class Space:
    """The number under which an embedder's vectors are kept."""

    number: int
    embedder: Embedder


class Writer:
    """Writes records over one connection; its owner lets one thread in at a time. `written` tells in which spaces a passage
    needs a vector."""

    def __init__(
        self,
        db: sqlite3.Connection,
        written: Callable[[], Sequence[Space]],
        tokens: Tokens,
        clock: Callable[[], float],
    ) -> None:
        self.db = db
        self.tokens = tokens
        self.rows = Rows(db)
        self._written = written
        self._clock = clock
        self._codes_seen: int | None = None
        """The state of the database in which the remembered codes are right."""
        self._failed_at: float | None = None
        self.owes = False
        """Whether a passage was written without a vector."""

    def put(self, records: Sequence[Record], now: float, changes: Sequence[Sequence[Change]] | None) -> list[Written]:
        """Write all or none. `changes` are those of an export, whose versions and times are kept; `None`: of now."""
        check_records(records)
        seen = self._data_version()
        outcome = plan(records, now, changes, self.rows)
        spaces = self._written()
        vectors: _Vectors = {}
        self._embed(outcome, vectors, spaces)
        self.db.execute("begin immediate")
        try:
            version = self._data_version()
            if version != self._codes_seen:
                self.rows.forget_codes()  # another process may have deleted names that nobody used
                self._codes_seen = version
            if version != seen:
                outcome = plan(records, now, changes, self.rows)
                spaces = self._written()
                self._embed(outcome, vectors, spaces)
            for draft in {id(draft): draft for draft in outcome}.values():
                self._write(draft, vectors, spaces)
            self.db.execute("commit")
        except BaseException:
            self._undo()
            raise
        return [Written(one.record.id, one.record.version, one.action, one.duplicates) for one in outcome]

    def note_used(self, ids: Iterable[str], tenant: str, at: float) -> int:
        """Count a use of each record. Returns how many there are."""
        self.db.execute("begin immediate")
        try:
            number = self.rows.tenant(tenant)
            counted = 0 if number is None else self.rows.note_used(ids, number, at)
            self.db.execute("commit")
        except BaseException:
            self._undo()
            raise
        return counted

    def delete(self, keys: Iterable[int]) -> tuple[Forgotten, list[int]]:
        """Delete records and the relations of entities. Returns also the numbers of the passages that are gone."""
        self.db.execute("begin immediate")
        try:
            every: dict[int, None] = {}
            for key in keys:
                every[key] = None
                sql = "select record from relations where source = ? or target = ?"
                every.update((row[0], None) for row in self.db.execute(sql, (key, key)))
            gone = self._delete(every)
            self.db.execute("commit")
        except BaseException:
            self._undo()
            raise
        return gone

    def _delete(self, keys: Iterable[int]) -> tuple[Forgotten, list[int]]:
        versions = relations = passages = 0
        ids: list[str] = []
        gone: list[int] = []
        for key in keys:
            row = self.db.execute("select id, tenant, kind from records where key = ?", (key,)).fetchone()
            if row is None:
                continue
            gone += [one[0] for one in self.db.execute("select id from passages where record = ?", (key,))]
            counts = self.rows.delete(key, row[1])
            versions, passages = versions + counts[0], passages + counts[1]
            relations += row[2] == 1
            ids.append(row[0])
        forgotten = Forgotten(
            records=len(ids), relations=relations, versions=versions, passages=passages, ids=tuple(ids)
        )
        return forgotten, gone

    def drop_unused_names(self) -> None:
        """Delete the names of types, owners and tenants that no record has."""
        self.db.execute("begin immediate")
        try:
            for table, column in (("types", "type"), ("owners", "owner"), ("tenants", "tenant")):
                self.db.execute(f"delete from {table} where id not in (select {column} from records)")  # noqa: S608
            self.db.execute("commit")
        except BaseException:
            self._undo()
            raise
        self.rows.forget_codes()

    def _undo(self) -> None:
        self.rows.forget_codes()
        if self.db.in_transaction:
            self.db.execute("rollback")

    def _data_version(self) -> int:
        """Changes when another connection has committed."""
        return int(self.db.execute("pragma data_version").fetchone()[0])

    # -- writing --------------------------------------------------------------------------------------------------------

    def caught_up(self) -> None:
        """Every passage has its vector, and the embedder does its work."""
        self.owes = False
        self._failed_at = None

    def _may_ask(self) -> bool:
        return self._failed_at is None or not 0 <= self._clock() - self._failed_at < _PAUSE_S

    def _embed(self, drafts: Iterable[Draft], vectors: _Vectors, spaces: Sequence[Space]) -> None:
        """Add tokens and vectors that are not there yet; no vectors while the embedder fails in a way that passes."""
        for text in {text for draft in drafts for text in draft.texts if (TOKENS, text) not in vectors}:
            vectors[TOKENS, text] = self.tokens.of(text)
        for space in spaces:
            texts = list(
                dict.fromkeys(text for draft in drafts for text in draft.texts if (space.number, text) not in vectors)
            )
            if not texts or not self._may_ask():
                continue
            embedder = space.embedder
            try:
                rows = checked_rows(embedder.embed(texts), len(texts), embedder.dimensions, embedder.name)
            except LlmError as error:
                if not error.should_retry:
                    raise
                self._failed_at = self._clock()
                continue
            keys = ((space.number, text) for text in texts)
            vectors.update(zip(keys, as_bytes(rows), strict=True))

    def _write(self, draft: Draft, vectors: _Vectors, spaces: Sequence[Space]) -> None:
        if draft.action == "unchanged":
            return
        key, tenant = self.rows.write(draft.record, None if draft.old is None else draft.old.key)
        for change in draft.changes:
            self.rows.write_change(key, change)
        if draft.old is not None:
            self.rows.delete_passages(key, tenant)
        rows = [PassageRow(vectors[TOKENS, text], self._vectors_of(text, vectors, spaces)) for text in draft.texts]
        self.owes = self.owes or not all(row.vectors for row in rows)
        self.rows.write_passages(key, tenant, rows)

    def _vectors_of(self, text: str, vectors: _Vectors, spaces: Sequence[Space]) -> list[tuple[int, bytes]]:
        keys = [(space.number, text) for space in spaces]
        return [(key[0], vectors[key]) for key in keys if key in vectors]
