"""Connections to the server: a pool of them, each set up alike, lent to whoever reads or writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.types import TypeInfo
from psycopg_pool import ConnectionPool, PoolTimeout

from caxton_llm.errors import MemoryStoreError
from caxton_llm.stores.postgres_memory.failures import explained, translated
from caxton_llm.stores.postgres_memory.halves import register

__all__ = ["Connection", "Sessions", "Setup", "connect"]

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_S = 10
_SETTINGS = {
    # Filters never leave too few: the graph is searched on until there are enough, or so many were looked at.
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.ef_search": "200",
    "hnsw.max_scan_tuples": "40000",
    "hnsw.scan_mem_multiplier": "2",
    # A plan for one tenant is not good for another; compiling one costs more than it saves.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
}


def connect(url: str) -> Connection:
    """A connection outside the pool, which commits each statement."""
    return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_S, application_name="caxton-memory")


class Setup(NamedTuple):
    """How connections are set up. `path` are the schemas in which tables and pgvector's types are found."""

    path: tuple[str, ...]
    halfvec: TypeInfo

    def apply(self, db: Connection) -> None:
        """Give a connection its settings."""
        path = sql.SQL(", ").join(map(sql.Identifier, self.path)).as_string(db)
        settings = {"search_path": path, **_SETTINGS}
        calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
        db.execute(f"select {calls}", [text for pair in settings.items() for text in pair])
        register(db, self.halfvec)


class Sessions:
    """At most `size` connections. Those that a restart of the server has broken are replaced before they are lent."""

    def __init__(self, url: str, place: str, setup: Setup, *, size: int, timeout_s: float) -> None:
        self.place = place
        self._url = url
        self._size = size
        self._timeout_s = timeout_s
        self._is_open = True
        self._pool = ConnectionPool(
            url,
            kwargs={"autocommit": True, "connect_timeout": _CONNECT_S, "application_name": "caxton-memory"},
            min_size=1,
            max_size=size,
            timeout=timeout_s,
            num_workers=1,
            configure=setup.apply,
            check=ConnectionPool.check_connection,
            open=True,
        )

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection that commits each statement. Raises `MemoryStoreError`."""
        if not self._is_open:
            raise MemoryStoreError(f"the memory in {self.place} is closed")
        with translated(self.place):
            try:
                db = self._pool.getconn()
            except PoolTimeout:
                raise MemoryStoreError(self._why_none()) from None
            try:
                yield db
            finally:
                self._pool.putconn(db)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database, whatever is written meanwhile."""
        with self.connection() as db:
            db.isolation_level, db.read_only = IsolationLevel.REPEATABLE_READ, True
            try:
                with db.transaction():
                    yield db
            finally:
                if not db.closed:
                    db.isolation_level = db.read_only = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is kept as a whole, or not at all."""
        with self.connection() as db, db.transaction():
            yield db

    def close(self) -> None:
        """Close all connections, those that are lent when they come back."""
        self._is_open = False
        self._pool.close()

    def _why_none(self) -> str:
        try:
            connect(self._url).close()
        except psycopg.Error as error:
            return explained(error, self.place)
        return (
            f"all {self._size} connections to {self.place} were in use for {self._timeout_s:g} s; allow more of them, "
            "or use the memory from fewer threads"
        )
