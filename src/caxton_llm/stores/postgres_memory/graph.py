"""Indexes made while the store is in use: pgvector's graph where there are many vectors, and all of them anew."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors

from caxton_llm.stores.postgres_memory.locks import alone
from caxton_llm.stores.postgres_memory.schema import INDEXES
from caxton_llm.stores.postgres_memory.sessions import Connection
from caxton_llm.stores.postgres_memory.spaces import Space

__all__ = ["damaged_indexes", "index_vectors", "is_waiting", "remake_indexes"]

GRAPH_FROM = 20_000
"""Vectors from which on a graph is made: below, comparing all takes no longer, and writing is faster without."""
_MEMORY = "512MB"
"""For making a graph: one that does not fit takes many times as long."""


def is_waiting(db: Connection, space: Space) -> bool:
    """Whether there are so many vectors that they should have a graph, and it is not there."""
    if _validity(db).get(_graph(space)):
        return False
    query = f"select count(*) from (select from {space.table} limit {GRAPH_FROM + 1}) few"  # noqa: S608
    row = db.execute(query).fetchone()
    return row is not None and row[0] > GRAPH_FROM


def index_vectors(db: Connection, space: Space) -> bool:
    """Make the graph if it is waited for; writing goes on meanwhile. Returns whether this process had the lock."""
    with alone(db, "index", wait=False) as held:
        if held and is_waiting(db, space):
            with _much_memory(db):
                _make_graph(db, space)
            db.execute(f"analyze passages, {space.table}")
        return held


def remake_indexes(db: Connection, space: Space) -> None:
    """Make every index anew; the old ones serve until the new ones are there."""
    with alone(db, "index", wait=True), _much_memory(db):
        for name, whole in _validity(db).items():
            if name == _graph(space):
                continue
            if whole:
                db.execute(f"reindex index concurrently {name}")
            else:
                # Left by an attempt that was cut off.
                db.execute(f"drop index concurrently {name}")
        for name, definition in INDEXES.items():
            db.execute(f"create index concurrently if not exists {name} {definition}")
        if _graph(space) in _validity(db) or is_waiting(db, space):
            _make_graph(db, space)


def damaged_indexes(db: Connection) -> list[str]:
    """What is wrong with the indexes, in words."""
    valid = _validity(db)
    missing = [f"the index {name} is missing: rebuild" for name in INDEXES if name not in valid]
    return missing + [f"the index {name} is not whole: rebuild" for name, whole in valid.items() if not whole]


def _graph(space: Space) -> str:
    return f"{space.table}_graph"


def _validity(db: Connection) -> dict[str, bool]:
    """All indexes of the schema, and whether each can be used."""
    query = """select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
        where c.relnamespace = current_schema()::regnamespace order by c.relname"""
    return dict(db.execute(query).fetchall())


@contextmanager
def _much_memory(db: Connection) -> Iterator[None]:
    db.execute("select set_config('maintenance_work_mem', %s, false)", (_MEMORY,))
    try:
        yield
    finally:
        if not db.closed:
            db.execute("reset maintenance_work_mem")
            db.execute("reset max_parallel_maintenance_workers")


def _make_graph(db: Connection, space: Space) -> None:
    name = _graph(space)
    if _validity(db).get(name):
        db.execute(f"reindex index concurrently {name}")
        return
    _drop(db, name)
    create = f"create index concurrently {name} on {space.table} using hnsw (vector halfvec_cosine_ops)"
    try:
        db.execute(create)
    except errors.DiskFull:
        # Workers need shared memory, of which a container has little.
        db.execute("set max_parallel_maintenance_workers = 0")
        _drop(db, name)
        db.execute(create)


def _drop(db: Connection, name: str) -> None:
    """What an attempt that was cut off has left cannot be used. Another memory of the database may have this name too."""
    if name in _validity(db):
        db.execute(f"drop index concurrently {name}")
