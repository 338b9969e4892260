"""Whether a store is whole: the database, its tables among each other, and the indexes against them."""

import sqlite3
from collections.abc import Sequence

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory.store import Progress
from caxton_llm.stores.connections import one_state
from caxton_llm.stores.sqlite_memory import manifest as manifests
from caxton_llm.stores.sqlite_memory.indexes import Indexes, Opened
from caxton_llm.stores.sqlite_memory.rows import decode

__all__ = ["problems_of"]

_EVERY = 1_000
_SHOWN = 20
_COUNTS = (
    (
        "records whose type, owner or tenant does not exist",
        """select count(*) from records where type not in (select id from types)
        or owner not in (select id from owners) or tenant not in (select id from tenants)""",
    ),
    (
        "passages of records that do not exist",
        "select count(*) from passages where record not in (select key from records)",
    ),
    (
        "vectors of passages that do not exist",
        "select count(*) from vectors where passage not in (select id from passages)",
    ),
    (
        "versions of records that do not exist",
        "select count(*) from versions where record not in (select key from records)",
    ),
    (
        "uses of records that do not exist",
        "select count(*) from uses where record not in (select key from records)",
    ),
    (
        "relations whose entities do not exist",
        """select count(*) from records r left join relations l on l.record = r.key where r.kind = 1 and (l.record is null
        or l.source not in (select key from records) or l.target not in (select key from records))""",
    ),
)


def problems_of(db: sqlite3.Connection, indexes: Indexes, space: int, progress: Progress | None) -> list[str]:
    """Everything that is wrong, in words."""
    found = [row[0] for row in db.execute("pragma integrity_check") if row[0] != "ok"]
    found += [f"{count} {what}" for what, sql in _COUNTS if (count := db.execute(sql).fetchone()[0])]
    missing = "select count(*) from passages where id not in (select passage from vectors where space = ?)"
    if count := db.execute(missing, (space,)).fetchone()[0]:
        found.append(f"{count} passages without a vector: embed them")
    if count := db.execute("select count(*) from passages where tokens is null").fetchone()[0]:
        found.append(f"{count} passages without tokens: rebuild")
    found += _damaged(indexes.current(db), indexes)
    return (found + _records(db, indexes, progress))[:_SHOWN]


def _damaged(opened: Opened, indexes: Indexes) -> list[str]:
    folder = opened.manifest.lexical
    wrong = [] if folder is None else manifests.differing(indexes.folder / folder.folder, folder.files)
    for dense in opened.manifest.dense:
        wrong += manifests.differing(indexes.folder, dense.files)
    return [f"the index file {name} is damaged: rebuild" for name in wrong]


def _records(db: sqlite3.Connection, indexes: Indexes, progress: Progress | None) -> list[str]:
    """Each record can be read, has its passages, and the index has those that it should. Read in parts: a transaction that
    goes on for long would keep the log from being cleared."""
    found: list[str] = []
    last, done, total = 0, 0, int(db.execute("select count(*) from records").fetchone()[0])
    while True:
        opened = indexes.current(db)
        with one_state(db):
            sql = "select key, id, payload from records where key > ? order by key limit ?"
            rows = db.execute(sql, (last, _EVERY)).fetchall()
            found += _part(db, opened, rows)
        if not rows:
            return found
        last, done = rows[-1][0], done + len(rows)
        if progress is not None:
            progress(done, max(total, done))


def _part(db: sqlite3.Connection, opened: Opened, rows: Sequence[tuple[int, str, bytes]]) -> list[str]:
    found: list[str] = []
    for key, name, payload in rows:
        try:
            record = decode(payload)
        except MemoryStoreError as error:
            found.append(f"{name}: {error.message}")
            continue
        passages = [row[0] for row in db.execute("select id from passages where record = ? order by ordinal", (key,))]
        if len(passages) != len(passages_of(record)):
            found.append(f"{name} has {len(passages)} passages instead of {len(passages_of(record))}")
        if opened.lexical is not None:
            absent = [one for one in passages if one <= opened.indexed and not opened.lexical.has(one)]
            found += [f"passage {one} of {name} is missing in the lexical index: rebuild" for one in absent]
    return found
