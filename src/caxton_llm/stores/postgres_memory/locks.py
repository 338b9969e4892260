"""Locks that the server holds for processes, one of each kind for every memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = ["alone", "alone_until_committed"]

_What = Literal["schema", "index", "change", "embed"]
"""Who makes the tables, who makes indexes, who decides which embedder the store is to have, who embeds what is missing."""

_CXM = 0x43584D00
_KEYS: dict[_What, int] = {"schema": _CXM, "index": _CXM + 1, "change": _CXM + 2, "embed": _CXM + 3}
"""The first number of a lock; the second is that of the schema's name."""


@contextmanager
def alone(db: Connection, what: _What, *, wait: bool) -> Iterator[bool]:
    """One process at a time; says whether it is this one. Outside of transactions."""
    held = _locked(db, what)
    while wait and not held:
        # Asked for again and again: one statement that waits would hold back `create index concurrently` of the other.
        db.execute("select pg_sleep(0.2)")
        held = _locked(db, what)
    try:
        yield held
    finally:
        if held and not db.closed:
            db.execute("select pg_advisory_unlock(%s, hashtext(current_schema()))", (_KEYS[what],))


def alone_until_committed(db: Connection, what: _What, schema: str | None = None) -> None:
    """One process at a time, until the transaction ends. `schema`: where the present one is not set yet."""
    query = "select pg_advisory_xact_lock(%s, hashtext(coalesce(%s, current_schema())))"
    db.execute(query, (_KEYS[what], schema))


def _locked(db: Connection, what: _What) -> bool:
    row = db.execute("select pg_try_advisory_lock(%s, hashtext(current_schema()))", (_KEYS[what],)).fetchone()
    return bool(row and row[0])
