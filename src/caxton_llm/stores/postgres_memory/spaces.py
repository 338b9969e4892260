"""Vectors of several embedders side by side, a table each, so that a store can change its embedder while it is searched."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory.vectors import checked_rows
from caxton_llm.stores.postgres_memory.halves import Halves, halves_of
from caxton_llm.stores.postgres_memory.rows import decode
from caxton_llm.stores.postgres_memory.schema import FILTERED, vectors_table
from caxton_llm.stores.postgres_memory.sessions import Connection, Sessions

__all__ = ["Space", "Spaces", "embedded"]


class Space(NamedTuple):
    """The number under which an embedder's vectors are kept."""

    number: int
    embedder: Embedder

    @property
    def table(self) -> str:
        return f"vectors_{self.number}"


class Spaces:
    """Which vectors are searched (`serving`) and which are written.

    While the store changes its embedder, the previous one serves if it was given; else the new one serves at once, and what
    has no vector of it yet is found by its words alone.
    """

    def __init__(self, db: Connection, embedder: Embedder, previous: Embedder | None) -> None:
        self._wanted = _space(db, embedder)
        self.serving = self._wanted
        if previous is not None and previous.name != embedder.name and self.missing(db):
            self.serving = _space(db, previous)

    @property
    def is_changing(self) -> bool:
        return self.serving is not self._wanted

    @property
    def written(self) -> tuple[Space, ...]:
        """The spaces that a new passage needs a vector in."""
        return (self._wanted, self.serving) if self.is_changing else (self._wanted,)

    def refresh(self, db: Connection) -> bool:
        """After another process has let the wanted embedder serve: so does this one. Returns whether that was news."""
        there = db.execute("select count(*) from spaces where id = %s", (self.serving.number,)).fetchone()
        if not self.is_changing or (there and there[0]):
            return False
        self.serving = self._wanted
        return True

    def missing(self, db: Connection) -> int:
        """Passages without a vector of the wanted embedder."""
        query = f"select (select count(*) from passages) - (select count(*) from {self._wanted.table})"  # noqa: S608
        row = db.execute(query).fetchone()
        return int(row[0]) if row else 0

    def fill(self, sessions: Sessions, limit: int) -> int:
        """Make up to `limit` vectors; returns how many are missing then."""
        table = self._wanted.table
        query = f"""select p.id, p.ordinal, r.key, r.payload from passages p join records r on r.key = p.record
            where not exists (select from {table} v where v.passage = p.id) order by p.id limit %s"""  # noqa: S608
        with sessions.connection() as db:
            rows = db.execute(query, (limit,)).fetchall()
        texts: dict[int, list[str]] = defaultdict(list)
        for _, _, key, payload in rows:
            texts[key] = texts[key] or passages_of(decode(payload))
        vectors = embedded(self._wanted.embedder, [texts[key][ordinal] for _, ordinal, key, _ in rows])
        columns = ", ".join(("record", "ordinal", *FILTERED))
        # A passage may have gone while its text was embedded, or got its vector from another process.
        insert = f"""insert into {table} (passage, {columns}, vector) select id, {columns}, %s from passages
            where id = %s for key share on conflict do nothing"""  # noqa: S608
        with sessions.writing() as db:
            db.cursor().executemany(insert, [(vector, row[0]) for row, vector in zip(rows, vectors, strict=True)])
            return self.missing(db)

    def switch(self, sessions: Sessions) -> None:
        """Let the wanted embedder serve, and delete the vectors of all others."""
        self.serving = self._wanted
        with sessions.writing() as db:
            gone = db.execute("delete from spaces where id != %s returning id", (self._wanted.number,)).fetchall()
            for (number,) in gone:
                db.execute(f"drop table if exists vectors_{number}")


def embedded(embedder: Embedder, texts: Sequence[str]) -> list[Halves]:
    """Vectors of texts. Raises `MemoryStoreError` when the embedder returns something else."""
    if not texts:
        return []
    return halves_of(checked_rows(embedder.embed(texts), len(texts), embedder.dimensions, embedder.name))


def _space(db: Connection, embedder: Embedder) -> Space:
    with db.transaction():
        sql = "insert into spaces (name, dimensions) values (%s, %s) on conflict (name) do nothing"
        db.execute(sql, (embedder.name, embedder.dimensions))
        row = db.execute("select id, dimensions from spaces where name = %s for update", (embedder.name,)).fetchone()
        number, dimensions = row or (0, 0)
        if dimensions != embedder.dimensions:
            message = (
                f"the embedder {embedder.name} has {embedder.dimensions} dimensions, the store's vectors of that name"
            )
            raise MemoryStoreError(f"{message} have {dimensions}; another model needs another name")
        vectors_table(db, number, embedder.dimensions)
        return Space(number, embedder)
