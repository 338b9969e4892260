"""Vectors of several embedders side by side, so that a store can change its embedder while it is searched.

A space is an embedder's vectors. The store says which space it shall have in the end (`wanted`): that of the embedder that
was configured last, by whichever process. When every passage has its vector there, the other spaces are deleted, the row
last: a process that still searches in one of them notices by the missing row.

Searchers read a passage once, with the vector that it has then. So once anybody searches a space (`served`), a vector that
comes late makes its passage a new one, which all of them see.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.embedder_store import KeptEmbedder
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.passages import texts_of_rows
from caxton_llm.stores.sqlite_memory.rows import Rows, decode
from caxton_llm.stores.sqlite_memory.schema import connect, prepare, translated
from caxton_llm.stores.sqlite_memory.vectors import as_bytes, checked_rows
from caxton_llm.stores.sqlite_memory.writer import Space

__all__ = ["Lacking", "Spaces", "kept_embedders", "vectors_for"]

_WANTED, _SERVED = "wanted space", "served space"
_SWEEP = 5_000
"""Vectors that are deleted in one transaction: whoever writes waits for it."""


class Lacking(NamedTuple):
    """A passage without a vector."""

    passage: int
    text: str


def kept_embedders(path: Path) -> tuple[list[KeptEmbedder], int]:
    """The embedders that a store has vectors of, the one with most first, and how many passages there are. Brings an older
    store up to date; of a store that is not there nothing is known. Raises `MemoryStoreError`."""
    if not path.is_file():
        return [], 0
    db = connect(path)
    try:
        prepare(db, path)
        with translated(path):
            several = db.execute("select count(*) from spaces").fetchone()[0] > 1
            some = "exists (select 1" if not several else "(select count(*)"  # counting reads every vector
            sql = f"""select name, dimensions, settings, calibration,
                {some} from vectors v where v.space = s.id) from spaces s order by 5 desc, id"""  # noqa: S608
            kept = [KeptEmbedder(*row) for row in db.execute(sql)]
            return kept, int(db.execute("select count(*) from passages").fetchone()[0])
    finally:
        db.close()


def vectors_for(lacking: Sequence[Lacking], embedder: Embedder) -> list[bytes]:
    """Raises what the embedder raises, and `MemoryStoreError` for vectors that cannot be."""
    rows = embedder.embed([one.text for one in lacking])
    return as_bytes(checked_rows(rows, len(lacking), embedder.dimensions, embedder.name))


class Spaces:
    """Which vectors this process searches (`serving`) and which it is to have in the end.

    While the store changes its embedder, the previous one serves if it was given; else the new one serves at once, and what
    has no vector of it yet is found by its words alone. The methods need the connection that writes, unless they take one.
    """

    def __init__(self, db: sqlite3.Connection, embedder: Embedder, previous: Embedder | None, *, claims: bool) -> None:
        self._db = db
        self._wanted = self._space(embedder, embedder.dimensions, claims=claims)
        self.serving = self._wanted
        self._filled_to = 0
        self._left: int | None = None
        """Passages without a vector, counted once: counting reads every vector."""
        if previous is not None and previous.name != embedder.name and self.missing():
            old = self._known(previous)
            self.serving = self.serving if old is None else old
        is_named = self._number(db, _SERVED) == self._wanted.number
        if not self.is_changing and not is_named and self.may_fill():
            with self._transaction():
                self._name(_SERVED, self._wanted)

    def change(self, embedder: Embedder, dimensions: int) -> None:
        """From now on the store is to have the vectors of `embedder`; what serves goes on serving."""
        self._wanted = self._space(embedder, dimensions, claims=True)
        self._filled_to, self._left = 0, None

    def serve(self, embedder: Embedder) -> bool:
        """Search the vectors of `embedder`, which another process has made, and want nothing else. False: they are not
        there."""
        space = self._known(embedder)
        if space is None:
            return False
        self._wanted = self.serving = space
        self._filled_to, self._left = 0, None
        return True

    @property
    def wanted(self) -> Space:
        return self._wanted

    @property
    def is_changing(self) -> bool:
        return self.serving is not self._wanted

    def written(self) -> tuple[Space, ...]:
        """The spaces that a new passage needs a vector in. While the embedder changes the new one is left out: its vectors
        are made in the background, so that no write has to wait for it or fails with it."""
        return (self.serving,) if self.is_there(self._db, self.serving) else ()

    def is_there(self, db: sqlite3.Connection, space: Space) -> bool:
        """Whether the space has not been deleted, in the connection's transaction."""
        return db.execute("select 1 from spaces where id = ?", (space.number,)).fetchone() is not None

    def successor(self, db: sqlite3.Connection) -> str | None:
        """The name of the embedder that another process has changed the store to; `None`: what serves here is still there."""
        if self.is_there(db, self.serving):
            return None
        row = db.execute("select name from spaces where id = ?", (self._number(db, _WANTED),)).fetchone()
        return "" if row is None else str(row[0])

    def remember(self, name: str, key: str, value: str) -> None:
        """Keep settings or calibration with the embedder of that name."""
        column = {"settings": "settings", "calibration": "calibration"}[key]
        self._db.execute(f"update spaces set {column} = ?1 where name = ?2 and {column} is not ?1", (value, name))  # noqa: S608

    # -- filling --------------------------------------------------------------------------------------------------------

    def missing(self) -> int:
        """Passages without a vector of the wanted embedder."""
        sql = "select (select count(*) from passages) - (select count(*) from vectors where space = ?)"
        self._left = int(self._db.execute(sql, (self._wanted.number,)).fetchone()[0])
        return self._left

    def left(self, limit: int) -> int:
        """`missing`, counted anew only when it is about to be no more than `limit`."""
        return self.missing() if self._left is None or self._left <= limit else self._left

    def may_fill(self) -> bool:
        """Whether no other process has changed the store to another embedder since."""
        return self._number(self._db, _WANTED) == self._wanted.number

    def lacking(self, db: sqlite3.Connection, limit: int) -> list[Lacking]:
        """Up to `limit` passages without a vector of the wanted embedder."""
        sql = """select p.id, p.ordinal, r.key, r.payload from passages p join records r on r.key = p.record where p.id > ?
            and not exists (select 1 from vectors v where v.space = ? and v.passage = p.id) order by p.id limit ?"""
        rows = db.execute(sql, (self._filled_to, self._wanted.number, limit)).fetchall()
        if not rows and self._filled_to:
            self._filled_to = 0
            return self.lacking(db, limit)
        texts = texts_of_rows((row[1:] for row in rows), decode)
        return [Lacking(row[0], text) for row, text in zip(rows, texts, strict=True)]

    def fill(self, lacking: Sequence[Lacking], vectors: Sequence[bytes]) -> None:
        """Write vectors of the wanted embedder, unless its space or a passage has gone meanwhile."""
        alive = "insert or ignore into vectors select ?1, id, ?3 from passages where id = ?2"
        with self._transaction():
            if not self.is_there(self._db, self._wanted):
                return
            is_served = self._number(self._db, _SERVED) == self._wanted.number
            for one, vector in zip(lacking, vectors, strict=True):
                passage = self._made_new(one.passage) if is_served else one.passage
                self._db.execute(alive, (self._wanted.number, passage, vector))
        self._filled_to = lacking[-1].passage
        if self._left is not None:
            self._left -= len(lacking)

    def _made_new(self, passage: int) -> int | None:
        """The passage under a new number, with the vectors that it has in other spaces. `None`: it has gone."""
        copied = """insert into passages (tenant, record, ordinal, tokens)
            select tenant, record, ordinal, tokens from passages where id = ?"""
        made = self._db.execute(f"{copied} returning id, tenant", (passage,)).fetchone()
        if made is None:
            return None
        for (space,) in self._db.execute("select id from spaces").fetchall():
            moved = "update or ignore vectors set passage = ? where space = ? and passage = ?"
            self._db.execute(moved, (made[0], space, passage))
        self._db.execute("delete from passages where id = ?", (passage,))
        self._db.execute("insert into removals (tenant, passage) values (?, ?)", (made[1], passage))
        return int(made[0])

    def switch(self) -> bool:
        """Let the wanted embedder serve if it has everything."""
        with self._transaction():
            complete = self.may_fill() and not self.missing()
            if complete:
                self._name(_SERVED, self._wanted)
        if complete:
            self.serving = self._wanted
        return complete

    def sweep(self) -> bool:
        """Delete some vectors of embedders that serve no more, and at last what is known of them. True: more are left."""
        others = "select id from spaces where id != ? order by id limit 1"
        if self._db.execute(others, (self._wanted.number,)).fetchone() is None:
            return False
        with self._transaction():
            # Looked up again: another process may have just begun with an embedder of its own.
            other = self._db.execute(others, (self._wanted.number,)).fetchone()
            if other is None or not self.may_fill():
                return False
            some = """delete from vectors where space = ?1
                and passage in (select passage from vectors where space = ?1 order by passage limit ?2)"""
            if self._db.execute(some, (other[0], _SWEEP)).rowcount < _SWEEP:
                self._db.execute("delete from spaces where id = ?", other)
        return True

    # -- rows -----------------------------------------------------------------------------------------------------------

    def _number(self, db: sqlite3.Connection, key: str) -> int | None:
        row = db.execute("select value from store where key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def _name(self, key: str, space: Space) -> None:
        self._db.execute("insert or replace into store values (?, ?)", (key, str(space.number)))

    def _known(self, embedder: Embedder) -> Space | None:
        """The embedder's space, if the store has it. Raises `MemoryStoreError` for vectors of another length."""
        known = self._db.execute("select id, dimensions from spaces where name = ?", (embedder.name,)).fetchone()
        if known is not None and known[1] != embedder.dimensions:
            message = (
                f"the embedder {embedder.name} has {embedder.dimensions} dimensions, the store's vectors of that name"
            )
            raise MemoryStoreError(f"{message} have {known[1]}; another model needs another name")
        return None if known is None else Space(known[0], embedder)

    def _space(self, embedder: Embedder, dimensions: int, *, claims: bool) -> Space:
        """The embedder's space, made if need be; `claims`: the store is to have it in the end."""
        space = self._known(embedder)
        if space is not None and (not claims or self._number(self._db, _WANTED) == space.number):
            return space  # nothing to write, so nobody is waited for
        with self._transaction():
            space = self._known(embedder)
            if space is None:
                space = Space(Rows(self._db).code("spaces", name=embedder.name, dimensions=dimensions), embedder)
            if claims or self._number(self._db, _WANTED) is None:
                self._name(_WANTED, space)
        return space

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
