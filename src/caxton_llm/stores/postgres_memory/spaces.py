"""Vectors of several embedders side by side, a table each, so that a store can change its embedder while it is searched.

A space is an embedder's vectors. The store says which space it shall have in the end (`wanted`): that of the embedder that
was configured last, by whichever process. When every passage has its vector there, the rows of the other spaces are deleted:
whoever still searches or writes one of them notices by the missing row. Their tables go later, when nobody uses them.
"""

import threading
from collections.abc import Sequence
from typing import NamedTuple

from psycopg import errors

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.embedder_store import KeptEmbedder
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.passages import texts_of_rows
from caxton_llm.memory.vectors import checked_rows
from caxton_llm.stores.postgres_memory.halves import Halves, halves_of
from caxton_llm.stores.postgres_memory.locks import alone_until_committed
from caxton_llm.stores.postgres_memory.rows import decode
from caxton_llm.stores.postgres_memory.schema import FILTERED, vectors_table
from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = ["Lacking", "Space", "Spaces", "embedded", "kept_in", "remember", "sweep", "vector_tables"]

_WANTED = "wanted space"
_PATIENCE = "500ms"
"""Shorter than what the server waits before it looks for deadlocks: who sweeps gives way to whoever reads."""


class Space(NamedTuple):
    """The number under which an embedder's vectors are kept."""

    number: int
    embedder: Embedder

    @property
    def table(self) -> str:
        return f"vectors_{self.number}"


class Lacking(NamedTuple):
    """A passage without a vector."""

    passage: int
    text: str


class Spaces:
    """Which vectors this process searches (`serving`) and which it is to have in the end.

    While the store changes its embedder, the previous one serves if it was given; else the new one serves at once, and what
    has no vector of it yet is found by its words alone. Any thread may use it.
    """

    def __init__(self, db: Connection, embedder: Embedder, previous: Embedder | None, *, claims: bool) -> None:
        self._lock = threading.RLock()
        self._wanted = _space(db, embedder, embedder.dimensions, claims=claims)
        self.serving = self._wanted
        self._filled_to = 0
        self._left: int | None = None
        """Passages without a vector, counted once: counting reads every vector."""
        if previous is not None and previous.name != embedder.name and self.missing(db):
            self.serving = _known(db, previous, previous.dimensions) or self.serving

    @property
    def wanted(self) -> Space:
        return self._wanted

    @property
    def is_changing(self) -> bool:
        return self.serving is not self._wanted

    def change(self, db: Connection, embedder: Embedder, dimensions: int) -> None:
        """From now on the store is to have the vectors of `embedder`; what serves goes on serving."""
        space = _space(db, embedder, dimensions, claims=True)
        with self._lock:
            self._wanted = space
            self._filled_to, self._left = 0, None

    def serve(self, db: Connection, embedder: Embedder, dimensions: int) -> bool:
        """Search the vectors of `embedder`, which another process has made, and want nothing else. False: they are not
        there."""
        space = _known(db, embedder, dimensions)
        if space is None:
            return False
        with self._lock:
            self._wanted = self.serving = space
            self._filled_to, self._left = 0, None
        return True

    def switched(self) -> None:
        """The wanted embedder has everything, and serves."""
        with self._lock:
            self.serving = self._wanted

    def is_there(self, db: Connection, space: Space) -> bool:
        """Whether the store still has this space, as the connection's transaction sees it."""
        return db.execute("select 1 from spaces where id = %s", (space.number,)).fetchone() is not None

    def refresh(self, db: Connection) -> bool:
        """After another process has let the wanted embedder serve: so does this one. Returns whether that was news."""
        with self._lock:
            if not self.is_changing or self.is_there(db, self.serving) or not self.may_fill(db):
                return False
            self.serving = self._wanted
            return True

    def written(self, db: Connection) -> tuple[Space, ...]:
        """The spaces that a new passage needs a vector in. While the embedder changes the new one is left out: its vectors
        are made in the background, so that no write has to wait for it or fails with it."""
        return (self.serving,) if self.is_there(db, self.serving) or self.refresh(db) else ()

    def present(self, db: Connection) -> Space:
        """What serves. Raises `MemoryStoreError` when its vectors are gone."""
        if (name := self.successor(db)) is not None:
            message = f"another process has changed the memory's embedder to {name}, and this one has not followed yet"
            raise MemoryStoreError(f"{message}; try again, or start it again with the same configuration")
        return self.serving

    def successor(self, db: Connection) -> str | None:
        """The name of the embedder that another process has changed the store to; `None`: what serves here is still there."""
        if self.is_there(db, self.serving) or self.refresh(db):
            return None
        query = "select s.name from store w join spaces s on s.id = w.value::integer where w.key = %s"
        row = db.execute(query, (_WANTED,)).fetchone()
        return "" if row is None else str(row[0])

    # -- filling --------------------------------------------------------------------------------------------------------

    def may_fill(self, db: Connection) -> bool:
        """Whether no other process has changed the store to another embedder since."""
        return _wanted(db) == self._wanted.number

    def missing(self, db: Connection) -> int:
        """Passages without a vector of the wanted embedder."""
        query = f"select (select count(*) from passages) - (select count(*) from {self._wanted.table})"  # noqa: S608
        row = db.execute(query).fetchone()
        self._left = int(row[0]) if row else 0
        return self._left

    def left(self, db: Connection, limit: int) -> int:
        """`missing`, counted anew only when it is about to be no more than `limit`."""
        return self.missing(db) if self._left is None or self._left <= limit else self._left

    def lacking(self, db: Connection, limit: int) -> list[Lacking]:
        """Up to `limit` passages without a vector of the wanted embedder."""
        query = f"""select p.id, p.ordinal, r.key, r.payload from passages p join records r on r.key = p.record
            where p.id > %s and not exists (select from {self._wanted.table} v where v.passage = p.id)
            order by p.id limit %s"""  # noqa: S608
        rows = db.execute(query, (self._filled_to, limit)).fetchall()
        if not rows and self._filled_to:
            self._filled_to = 0
            return self.lacking(db, limit)
        texts = texts_of_rows((row[1:] for row in rows), decode)
        return [Lacking(row[0], text) for row, text in zip(rows, texts, strict=True)]

    def fill(self, db: Connection, lacking: Sequence[Lacking], vectors: Sequence[Halves]) -> None:
        """Write vectors of the wanted embedder; a passage may have gone while its text was embedded."""
        columns = ", ".join(("record", "ordinal", *FILTERED))
        insert = f"""insert into {self._wanted.table} (passage, {columns}, vector) select id, {columns}, %s from passages
            where id = %s for key share on conflict do nothing"""  # noqa: S608
        values = [(vector, one.passage) for one, vector in zip(lacking, vectors, strict=True)]
        with db.transaction():
            db.cursor().executemany(insert, values)
        self._filled_to = lacking[-1].passage
        if self._left is not None:
            self._left -= len(lacking)

    def are_alone(self, db: Connection) -> bool:
        """Whether the store has no vectors but those of the wanted embedder."""
        return db.execute("select 1 from spaces where id <> %s limit 1", (self._wanted.number,)).fetchone() is None

    def leave_others(self, db: Connection) -> None:
        """Let all other spaces be gone for who looks."""
        db.execute("delete from spaces where id <> %s", (self._wanted.number,))


# -- rows and tables --------------------------------------------------------------------------------------------------------


def kept_in(db: Connection) -> tuple[list[KeptEmbedder], int]:
    """See `MemoryPlace.kept_embedders`."""
    rows = db.execute("select id, name, dimensions, settings, calibration from spaces order by id").fetchall()
    some = (
        "select count(*) from vectors_{}"
        if len(rows) > 1
        else "select count(*) from (select from vectors_{} limit 1) v"
    )
    kept = [
        KeptEmbedder(name, dimensions, settings, calibration, _count(db, some.format(number)))
        for number, name, dimensions, settings, calibration in rows
    ]
    return sorted(kept, key=lambda one: -one.vectors), _count(db, "select count(*) from passages")


def remember(db: Connection, name: str, settings: str | None, calibration: str | None) -> None:
    """Keep settings and calibration with the embedder of that name; `None` leaves what is there."""
    query = """update spaces set settings = coalesce(%(settings)s, settings),
        calibration = coalesce(%(calibration)s, calibration) where name = %(name)s and (settings, calibration)
        is distinct from (coalesce(%(settings)s, settings), coalesce(%(calibration)s, calibration))"""
    db.execute(query, {"name": name, "settings": settings, "calibration": calibration})


def vector_tables(db: Connection) -> list[str]:
    """The tables of all spaces."""
    return [f"vectors_{number}" for (number,) in db.execute("select id from spaces order by id")]


def sweep(db: Connection) -> None:
    """Drop the tables of spaces that are gone; one that is in use stays until next time."""
    query = """select tablename from pg_tables where schemaname = current_schema() and tablename ~ '^vectors_[0-9]+$'
        and not exists (select from spaces where tablename = 'vectors_' || id)"""
    for (table,) in db.execute(query).fetchall():
        try:
            with db.transaction():
                db.execute("select set_config('lock_timeout', %s, true)", (_PATIENCE,))
                # The table first, and without waiting: else all searches would wait with this for whoever uses it.
                db.execute(f"lock table {table} in access exclusive mode nowait")
                db.execute(f"drop table {table}")
        except (errors.LockNotAvailable, errors.DeadlockDetected, errors.UndefinedTable):
            continue


def embedded(embedder: Embedder, texts: Sequence[str]) -> list[Halves]:
    """Vectors of texts. Raises what the embedder raises, and `MemoryStoreError` when it returns something else."""
    if not texts:
        return []
    return halves_of(checked_rows(embedder.embed(texts), len(texts), embedder.dimensions, embedder.name))


def _wanted(db: Connection) -> int | None:
    row = db.execute("select value from store where key = %s", (_WANTED,)).fetchone()
    return None if row is None else int(row[0])


def _known(db: Connection, embedder: Embedder, dimensions: int) -> Space | None:
    """The embedder's space, if the store has it. Raises `MemoryStoreError` for vectors of another length."""
    row = db.execute("select id, dimensions from spaces where name = %s", (embedder.name,)).fetchone()
    if row is not None and row[1] != dimensions:
        message = f"the embedder {embedder.name} has {dimensions} dimensions, the store's vectors of that name"
        raise MemoryStoreError(f"{message} have {row[1]}; another model needs another name")
    return None if row is None else Space(row[0], embedder)


def _space(db: Connection, embedder: Embedder, dimensions: int, *, claims: bool) -> Space:
    """The embedder's space, made if need be; `claims`: the store is to have it in the end."""
    space = _known(db, embedder, dimensions)
    if space is not None and (not claims or _wanted(db) == space.number):
        return space  # nothing to write, so nobody is waited for
    with db.transaction():
        alone_until_committed(db, "change")
        space = _known(db, embedder, dimensions)
        if space is None:
            insert = "insert into spaces (name, dimensions) values (%s, %s) returning id"
            space = Space(_count(db, insert, embedder.name, dimensions), embedder)
            vectors_table(db, space.number, dimensions)
        if claims or _wanted(db) is None:
            name = "insert into store values (%s, %s) on conflict (key) do update set value = excluded.value"
            db.execute(name, (_WANTED, str(space.number)))
    return space


def _count(db: Connection, query: str, *values: object) -> int:
    row = db.execute(query, values).fetchone()
    return 0 if row is None else int(row[0])
