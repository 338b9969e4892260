"""Connections to a database of SQLite: lent for one call each, a few kept for the next.

A connection that is closed while another thread uses it ends the process, so what is lent is closed when it comes back.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caxton_llm.errors import LlmError
from caxton_llm.stores import sqlite

__all__ = ["Connections", "clear_log", "one_state"]

_KEPT = 8
"""Connections that are kept open while nobody needs them."""


class Connections:
    """As many as there are callers at once, which wait no longer than `wait_s` for others. Any thread may use it. `closed` is
    the error for who comes too late."""

    def __init__(self, path: Path, closed: Callable[[], LlmError], *, wait_s: float = sqlite.WAIT_S) -> None:
        self._path = path
        self._wait_s = wait_s
        self._closed = closed
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._is_open = True

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection]:
        """A connection for nobody else. Raises what SQLite raises, and `closed` after `close`."""
        with self._lock:
            if not self._is_open:
                raise self._closed()
            db = self._idle.pop() if self._idle else None
        db = db or sqlite.connect(self._path, self._wait_s)
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


def clear_log(db: sqlite3.Connection, *, wait_ms: int = 0) -> bool:
    """Move the log into the database and cut it to nothing. False: somebody reads or writes for longer than is waited."""
    db.execute(f"pragma busy_timeout = {wait_ms}")
    try:
        busy = db.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
        return not busy
    except sqlite3.OperationalError as error:
        if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise
    finally:
        db.execute(f"pragma busy_timeout = {1000 * sqlite.WAIT_S:.0f}")
