"""Connections to a database for those who read: lent for one call each, a few kept for the next."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caxton_llm.errors import MemoryStoreError
from caxton_llm.stores.sqlite_memory.schema import connect

__all__ = ["Connections", "clear_log", "one_state"]

_KEPT = 8
"""Connections that are kept open while nobody needs them."""
_BUSY_MS = 30_000


class Connections:
    """As many as there are callers at once. Any thread may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._is_open = True

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection]:
        """A connection for nobody else. Raises `MemoryStoreError` after `close`."""
        with self._lock:
            if not self._is_open:
                raise MemoryStoreError(f"the memory in {self._path.parent} is closed")
            db = self._idle.pop() if self._idle else None
        db = db or connect(self._path)
        try:
            yield db
        finally:
            self._take_back(db)

    def _take_back(self, db: sqlite3.Connection) -> None:
        with self._lock:
            kept = self._is_open and len(self._idle) < _KEPT and not db.in_transaction
            if kept:
                self._idle.append(db)
        if not kept:
            db.close()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()


@contextmanager
def one_state(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that only reads: one state of the database, whatever is written meanwhile."""
    db.execute("begin")
    try:
        yield
    finally:
        db.execute("commit")


def clear_log(db: sqlite3.Connection) -> bool:
    """Move the log into the database and cut it to nothing. False: somebody reads or writes, who is not waited for."""
    db.execute("pragma busy_timeout = 0")
    try:
        busy = db.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
        return not busy
    except sqlite3.OperationalError as error:
        if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise
    finally:
        db.execute(f"pragma busy_timeout = {_BUSY_MS}")
