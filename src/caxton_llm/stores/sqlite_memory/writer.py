"""Writing: records, their passages and their vectors, in one transaction.

Embedding may be slow, so it comes before the transaction. If somebody has written in between, everything is decided again
inside, and only what is new then is embedded while others wait.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from caxton_llm.memory.drafts import Draft, plan
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.limits import check_record
from caxton_llm.memory.model import Record
from caxton_llm.memory.store import Forgotten, Written
from caxton_llm.memory.versions import Change
from caxton_llm.stores.sqlite_memory.rows import PassageRow, Rows
from caxton_llm.stores.sqlite_memory.tokens import Tokens
from caxton_llm.stores.sqlite_memory.vectors import as_bytes, checked_rows

__all__ = ["Space", "Writer"]

TOKENS = 0
"""In place of a space's number: not vectors but the distinct tokens."""
_Vectors = dict[tuple[int, str], bytes]


@dataclass(frozen=True, slots=True)
class Space:
    """The number under which an embedder's vectors are kept."""

    number: int
    embedder: Embedder


class Writer:
    """Writes records over one connection; its owner lets one thread in at a time."""

    def __init__(self, db: sqlite3.Connection, spaces: Sequence[Space], tokens: Tokens) -> None:
        self.db = db
        self.tokens = tokens
        self.rows = Rows(db)
        self.spaces = spaces

    def put(self, records: Sequence[Record], now: float, changes: Sequence[Sequence[Change]] | None) -> list[Written]:
        """Write all or none. `changes` are those of an export, whose versions and times are kept; `None`: of now."""
        for number, record in enumerate(records):
            check_record(record, f"records[{number}]")
        seen = self._data_version()
        outcome = plan(records, now, changes, self.rows)
        vectors: _Vectors = {}
        self._embed(outcome, vectors)
        self.db.execute("begin immediate")
        try:
            if self._data_version() != seen:
                outcome = plan(records, now, changes, self.rows)
                self._embed(outcome, vectors)
            for draft in {id(draft): draft for draft in outcome}.values():
                self._write(draft, vectors)
            self.db.execute("commit")
        except BaseException:
            self._undo()
            raise
        return [Written(one.record.id, one.record.version, one.action, one.duplicates) for one in outcome]

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

    def _undo(self) -> None:
        self.rows.forget_codes()
        if self.db.in_transaction:
            self.db.execute("rollback")

    def _data_version(self) -> int:
        """Changes when another connection has committed."""
        return int(self.db.execute("pragma data_version").fetchone()[0])

    # -- writing --------------------------------------------------------------------------------------------------------

    def _embed(self, drafts: Iterable[Draft], vectors: _Vectors) -> None:
        """Add the vectors and tokens that are not there yet."""
        for text in {text for draft in drafts for text in draft.texts if (TOKENS, text) not in vectors}:
            vectors[TOKENS, text] = self.tokens.of(text)
        for space in self.spaces:
            texts = list(
                dict.fromkeys(text for draft in drafts for text in draft.texts if (space.number, text) not in vectors)
            )
            if not texts:
                continue
            embedder = space.embedder
            rows = checked_rows(embedder.embed(texts), len(texts), embedder.dimensions, embedder.name)
            keys = ((space.number, text) for text in texts)
            vectors.update(zip(keys, as_bytes(rows), strict=True))

    def _write(self, draft: Draft, vectors: _Vectors) -> None:
        if draft.action == "unchanged":
            return
        key, tenant = self.rows.write(draft.record, None if draft.old is None else draft.old.key)
        for change in draft.changes:
            self.rows.write_change(key, change)
        if draft.old is not None:
            self.rows.delete_passages(key, tenant)
        spaces = [space.number for space in self.spaces]
        passages = [
            PassageRow(vectors[TOKENS, text], [(space, vectors[space, text]) for space in spaces])
            for text in draft.texts
        ]
        self.rows.write_passages(key, tenant, passages)
