"""The tokens of passages: what late interaction compares, computed once when a passage is written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import TokenIds, TokenVectors
from caxton_llm.memory.passages import texts_of_rows
from caxton_llm.memory.store import Progress
from caxton_llm.memory.token_bytes import token_bytes, token_kind
from caxton_llm.stores.postgres_memory.rows import decode
from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = ["Tokens"]

_MANY = 5_000


class Tokens:
    """The distinct tokens of one vocabulary as bytes; those that another one has left are computed anew by `complete`."""

    def __init__(self, vocabulary: TokenVectors) -> None:
        self.vocabulary = vocabulary
        self._kind = token_kind(vocabulary.vocabulary_size)

    def of(self, text: str) -> bytes:
        """The distinct tokens of a passage, as they are kept."""
        return token_bytes(self.vocabulary.tokens(text), self.vocabulary.vocabulary_size)

    def read(self, rows: Sequence[bytes]) -> tuple[TokenIds, NDArray[np.int64]]:
        """The tokens of passages one after the other, and how many each has."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows)) // np.dtype(self._kind).itemsize
        return np.frombuffer(b"".join(rows), self._kind).astype(np.int32), lengths

    def complete(self, db: Connection, progress: Progress | None = None) -> None:
        """Give every passage its tokens, after a store of another vocabulary was opened."""
        known = db.execute("select value from store where key = 'vocabulary'").fetchone()
        if known is not None and known[0] == self.vocabulary.name:
            return
        row = db.execute("select count(*) from passages").fetchone()
        last, done, total = 0, 0, row[0] if row else 0
        query = """select p.id, p.ordinal, r.key, r.payload from passages p join records r on r.key = p.record
            where p.id > %s order by p.id limit %s"""
        while rows := db.execute(query, (last, _MANY)).fetchall():
            texts = texts_of_rows((row[1:] for row in rows), decode)
            found = [(self.of(text), row[0]) for text, row in zip(texts, rows, strict=True)]
            with db.transaction():
                db.cursor().executemany("update passages set tokens = %s where id = %s", found)
            last, done = rows[-1][0], done + len(rows)
            if progress is not None:
                progress(done, total)
        query = "insert into store values ('vocabulary', %s) on conflict (key) do update set value = excluded.value"
        db.execute(query, (self.vocabulary.name,))
