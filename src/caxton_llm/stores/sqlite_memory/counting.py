"""How much a store holds."""

import sqlite3
from pathlib import Path

from caxton_llm.memory.store import StoreStats
from caxton_llm.stores.sqlite_memory.schema import SCHEMA
from caxton_llm.stores.sqlite_memory.writer import Space

__all__ = ["count"]


def count(db: sqlite3.Connection, folder: Path, waiting: int, space: Space) -> StoreStats:
    """The numbers of a store; `waiting` passages are not indexed."""
    kinds = dict(db.execute("select kind, count(*) from records group by kind").fetchall())
    passages = _one(db, "select count(*) from passages")
    with_vector = _one(db, "select count(*) from vectors where space = ?", space.number)
    return StoreStats(
        entities=kinds.get(0, 0),
        relations=kinds.get(1, 0),
        turns=kinds.get(2, 0),
        versions=_one(db, "select count(*) from versions"),
        tenants=_one(db, "select count(distinct tenant) from records"),
        passages=passages,
        waiting=waiting,
        without_vector=passages - with_vector,
        database_bytes=sum(path.stat().st_size for path in folder.glob("memory.db*")),
        index_bytes=sum(path.stat().st_size for path in (folder / "index").rglob("*") if path.is_file()),
        embedder=space.embedder.name,
        schema=SCHEMA,
    )


def _one(db: sqlite3.Connection, sql: str, *values: object) -> int:
    return int(db.execute(sql, values).fetchone()[0])
