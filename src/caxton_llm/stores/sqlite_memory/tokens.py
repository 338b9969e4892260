"""The tokens of passages in the database: what late interaction compares, computed once when a passage is written."""

import sqlite3

from caxton_llm.memory.embedding.embedder import TokenVectors
from caxton_llm.memory.passages import texts_of_rows
from caxton_llm.memory.store import Progress
from caxton_llm.memory.token_bytes import token_bytes
from caxton_llm.stores.sqlite_memory.rows import decode

__all__ = ["Tokens"]

_MANY = 5_000


class Tokens:
    """Tokens of one vocabulary; those that another one has left are computed anew by `complete`."""

    def __init__(self, db: sqlite3.Connection, vocabulary: TokenVectors) -> None:
        self._db = db
        self._vocabulary = vocabulary

    def of(self, text: str) -> bytes:
        """The distinct tokens of a passage, as they are kept."""
        return token_bytes(self._vocabulary.tokens(text), self._vocabulary.vocabulary_size)

    def complete(self, progress: Progress | None = None) -> None:
        """Give every passage its tokens, after a store of an older version or another vocabulary was opened."""
        db, name = self._db, self._vocabulary.name
        known = db.execute("select value from store where key = 'vocabulary'").fetchone()
        if known is not None and known[0] == name:
            return
        self._fill("1", progress)
        db.execute("insert or replace into store values ('vocabulary', ?)", (name,))

    def mend(self) -> bool:
        """Give passages that have no tokens theirs. Returns whether there were any."""
        return self._fill("p.tokens is null", None) > 0

    def _fill(self, which: str, progress: Progress | None) -> int:
        """Compute the tokens of passages; returns of how many."""
        db = self._db
        total = int(db.execute(f"select count(*) from passages p where {which}").fetchone()[0])  # noqa: S608
        last = done = 0
        sql = f"""select p.id, p.ordinal, r.key, r.payload from passages p join records r on r.key = p.record
            where p.id > ? and {which} order by p.id limit ?"""  # noqa: S608
        while rows := db.execute(sql, (last, _MANY)).fetchall():
            texts = texts_of_rows((row[1:] for row in rows), decode)
            found = [(self.of(text), row[0]) for text, row in zip(texts, rows, strict=True)]
            db.execute("begin immediate")
            try:
                db.executemany("update passages set tokens = ? where id = ?", found)
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                raise
            last, done = rows[-1][0], done + len(rows)
            if progress is not None:
                progress(done, total)
        return done
