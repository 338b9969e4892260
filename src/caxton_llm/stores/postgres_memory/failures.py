"""What goes wrong with a server, in words that say how to mend it. No text here has a password or a record in it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from caxton_llm.errors import ConfigurationError, MemoryStoreError

__all__ = ["explained", "place_of", "translated"]

_BY_CLASS: tuple[tuple[type[psycopg.Error], str], ...] = (
    (
        errors.DiskFull,
        "no space is left for {place}; nothing of this write was kept. Free some on the server and try again",
    ),
    (errors.ReadOnlySqlTransaction, "{place} is read-only (a standby?); give the memory the URL of the primary server"),
    (
        errors.InsufficientPrivilege,
        "{place}: the user must not do this ({error}); the memory's schema has to be the user's own",
    ),
    (errors.TooManyConnections, "{place} has no connection left; raise the server's max_connections or use fewer here"),
    (errors.OutOfMemory, "{place}: the server has not enough memory ({error})"),
    (errors.QueryCanceled, "{place} took longer than the server's statement_timeout; raise it for this user"),
    (errors.LockNotAvailable, "{place}: something else holds a lock for longer than lock_timeout; try again"),
    (errors.UndefinedTable, "{place}: tables of the memory are missing ({error}); restore it from a backup"),
    (errors.DataCorrupted, "{place} is damaged ({error}); restore it from a backup"),
    (errors.IndexCorrupted, "{place} has a damaged index ({error}); rebuild it"),
)
_BROKEN = "the connection to {place} broke off ({error}); try again: what was kept of a write is not written twice"
_BY_TEXT = (
    ("password", "{place} refuses the user or the password; correct them in the URL"),
    (
        "no pg_hba.conf entry",
        "{place} does not let this user in from here ({error}); add it to the server's pg_hba.conf",
    ),
    ("does not exist", "{place} cannot be opened ({error}); create it, or correct the URL"),
    ("too many clients", "{place} has no connection left; raise the server's max_connections or use fewer here"),
    (
        "remaining connection slots",
        "{place} has no connection left; raise the server's max_connections or use fewer here",
    ),
)
"""What is said before there is a connection, or after there was one, has no code."""


def place_of(url: str) -> str:
    """Where a URL leads to, without user and password. Raises `ConfigurationError` for what is no URL of PostgreSQL."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # What the library says would quote the URL.
        raise ConfigurationError(
            "the URL of the memory cannot be read; it looks like postgresql://user:password@host:5432/database"
        ) from None
    host, port = parts.get("host") or "the local server", parts.get("port")
    return f"the database {parts.get('dbname') or 'of this user'} on {host}{f':{port}' if port else ''}"


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Errors of the server and of the way to it become `MemoryStoreError`s."""
    try:
        yield
    except psycopg.Error as error:
        raise MemoryStoreError(explained(error, place)) from error


def explained(error: psycopg.Error, place: str) -> str:
    """What is wrong and how to mend it."""
    text = " ".join((error.diag.message_primary or str(error)).split())
    for kind, message in _BY_CLASS:
        if isinstance(error, kind):
            return message.format(place=place, error=text)
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        for part, message in _BY_TEXT:
            if part in text:
                return message.format(place=place, error=text)
        return f"{place} cannot be reached ({text}); the server must run and be open to this machine, then try again"
    if isinstance(error, psycopg.OperationalError):
        return _BROKEN.format(place=place, error=text)
    return f"the memory in {place} failed: {text}"
