"""Vectors of several embedders side by side, so that a store can change its embedder while it is searched."""

import sqlite3
from collections import defaultdict

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.passages import passages_of
from caxton_llm.stores.sqlite_memory.rows import Rows, decode
from caxton_llm.stores.sqlite_memory.vectors import as_bytes, checked_rows
from caxton_llm.stores.sqlite_memory.writer import Space

__all__ = ["Spaces"]


class Spaces:
    """Which vectors are searched (`serving`) and which are written.

    While the store changes its embedder, the previous one serves if it was given; else the new one serves at once, and what
    has no vector of it yet is found by its words alone.
    """

    def __init__(self, db: sqlite3.Connection, embedder: Embedder, previous: Embedder | None) -> None:
        self._db = db
        self._wanted = self._space(embedder)
        self.serving = self._wanted
        if previous is not None and previous.name != embedder.name and self.missing():
            self.serving = self._space(previous)

    @property
    def is_changing(self) -> bool:
        return self.serving is not self._wanted

    @property
    def written(self) -> tuple[Space, ...]:
        """The spaces that a new passage needs a vector in."""
        return (self._wanted, self.serving) if self.is_changing else (self._wanted,)

    def missing(self) -> int:
        """Passages without a vector of the wanted embedder."""
        sql = "select (select count(*) from passages) - (select count(*) from vectors where space = ?)"
        return int(self._db.execute(sql, (self._wanted.number,)).fetchone()[0])

    def fill(self, limit: int) -> int:
        """Make up to `limit` vectors; returns how many are missing then."""
        sql = """select p.id, p.ordinal, r.key, r.payload from passages p join records r on r.key = p.record
            where not exists (select 1 from vectors v where v.space = ? and v.passage = p.id) order by p.id limit ?"""
        rows = self._db.execute(sql, (self._wanted.number, limit)).fetchall()
        texts: dict[int, list[str]] = defaultdict(list)
        found = []
        for _, ordinal, key, payload in rows:
            texts[key] = texts[key] or passages_of(decode(payload))
            found.append(texts[key][ordinal])
        if found:
            embedder = self._wanted.embedder
            vectors = as_bytes(checked_rows(embedder.embed(found), len(found), embedder.dimensions, embedder.name))
            pairs = [(self._wanted.number, row[0], vector) for row, vector in zip(rows, vectors, strict=True)]
            # A passage may have gone while its text was embedded.
            alive = "insert or ignore into vectors select ?1, ?2, ?3 from passages where id = ?2"
            self._db.execute("begin immediate")
            self._db.executemany(alive, pairs)
            self._db.execute("commit")
        return self.missing()

    def switch(self) -> None:
        """Let the wanted embedder serve, and delete the vectors of all others."""
        self.serving = self._wanted
        self._db.execute("begin immediate")
        self._db.execute("delete from vectors where space != ?", (self._wanted.number,))
        self._db.execute("delete from spaces where id != ?", (self._wanted.number,))
        self._db.execute("commit")

    def _space(self, embedder: Embedder) -> Space:
        rows = Rows(self._db)
        sql = "select dimensions from spaces where name = ?"
        known = self._db.execute(sql, (embedder.name,)).fetchone()
        if known is not None and known[0] != embedder.dimensions:
            message = (
                f"the embedder {embedder.name} has {embedder.dimensions} dimensions, the store's vectors of that name"
            )
            raise MemoryStoreError(f"{message} have {known[0]}; another model needs another name")
        return Space(rows.code("spaces", name=embedder.name, dimensions=embedder.dimensions), embedder)
