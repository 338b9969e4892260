"""What every store in SQLite has in common: how a database is opened, and what goes wrong with one, in words."""

import errno
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caxton_llm.errors import LlmError

__all__ = ["WAIT_S", "connect", "run", "translated", "version"]

WAIT_S, _AGAIN_S = 30.0, 0.01
"""How long another one that writes is waited for, and how often it is looked where SQLite does not wait."""


def connect(path: Path, wait_s: float = WAIT_S) -> sqlite3.Connection:
    """A connection to an existing or a new database, which waits so long for others. One thread at a time may use it. Raises
    what SQLite raises."""
    db = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        _log_ahead(db, wait_s)
        # An acknowledged write survives a loss of power too; what is deleted is overwritten.
        db.execute("pragma synchronous = full")
        db.execute("pragma secure_delete = on")
        db.execute("pragma cache_size = -16384")
        db.execute("pragma mmap_size = 1073741824")
        db.execute("pragma journal_size_limit = 67108864")
    except BaseException:
        db.close()
        raise
    return db


def _log_ahead(db: sqlite3.Connection, wait_s: float) -> None:
    """Write-ahead logging. SQLite itself does not wait where several switch a new database at once (sqlite.org/wal.html)."""
    until = time.monotonic() + wait_s
    while True:
        try:
            db.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def version(db: sqlite3.Connection) -> int:
    """The version of the tables; 0: there are none yet."""
    return int(db.execute("pragma user_version").fetchone()[0])


def run(db: sqlite3.Connection, script: str) -> None:
    """Statement by statement: `executescript` would commit the transaction."""
    for statement in script.split(";"):
        if statement.strip():
            db.execute(statement)


@contextmanager
def translated(path: Path, what: str, kind: type[LlmError]) -> Iterator[None]:
    """Errors of SQLite and of the file system become errors of this kind that say how to mend it; `what` is `the memory`."""
    try:
        yield
    except sqlite3.Error as error:
        raise kind(_explained(error, path, what)) from error
    except OSError as error:
        raise kind(_explained_os(error, path, what)) from error


def _explained(error: sqlite3.Error, path: Path, what: str) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return f"no space is left for {what} in {path}; nothing of this write was kept. Free some and try again"
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{what} in {path} cannot be written: the folder must exist and be writable for this user"
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"{path} is damaged or no database ({error}); restore it from a backup, or import an export into a new folder"
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process holds {path} for longer than 30 s; end it or try again"
    if primary == sqlite3.SQLITE_IOERR:
        return f"{path} could not be read or written ({error}); the disk may be full or failing, nothing of a write was kept"
    return f"{what} in {path} failed: {error}"


def _explained_os(error: OSError, path: Path, what: str) -> str:
    where = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space is left for {what} in {where}; free some and try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{what} in {where} cannot be written: the folder must be writable for this user"
    return f"{what} in {where} cannot be used: {error.strerror}"
