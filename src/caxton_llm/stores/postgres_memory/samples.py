"""How often words and tokens stand in a tenant's passages: counted in up to 20,000 of them, estimated for the others."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import TokenIds
from caxton_llm.stores.postgres_memory.rows import lexeme
from caxton_llm.stores.postgres_memory.sessions import Connection
from caxton_llm.stores.postgres_memory.tokens import Tokens

__all__ = ["Sample", "Samples"]

_MOST = 20_000
"""Passages that are counted: the frequencies of a word in one passage of a thousand are right to a fifth then."""
_HELD = 64
"""Tenants that are remembered, those that were searched last; each takes up to a few MB."""


class Sample:
    """Of one tenant at one time; all counts are for all its passages. While there are few they are exact."""

    def __init__(self, db: Connection, tenant: int, tokens: Tokens) -> None:
        self._tenant = tenant
        query = "select count(*), coalesce(max(id), 0) from passages where tenant = %s"
        self.documents: int
        self.documents, self._last = db.execute(query, (tenant,)).fetchone() or (0, 0)
        every = max(1, -(-self.documents // _MOST))
        where = f"tenant = {tenant:d} and id % {every:d} = 0"
        query = f"""select count(*), coalesce(avg(length), 1)::float8, count(*) filter (where ordinal = 0)
            from passages where {where}"""  # noqa: S608
        counted, average, records = db.execute(query).fetchone() or (0, 1.0, 0)
        self.average_length = max(float(average), 1.0)
        self._scale: float = self.documents / max(1, counted)
        self.records = round(records * self._scale)
        # What stands in one passage only is as good as unknown: that halves what has to be remembered.
        query = "select word, ndoc from ts_stat(%s) where ndoc > 1"
        self._words: dict[str, int] = dict(
            db.execute(query, (f"select words from passages where {where}",)).fetchall()  # noqa: S608
        )
        cursor = db.cursor(binary=True)
        rows = cursor.execute(f"select tokens from passages where {where}").fetchall()  # noqa: S608
        ids, _ = tokens.read([row[0] for row in rows])
        self._tokens: NDArray[np.int64] = np.bincount(ids, minlength=tokens.vocabulary.vocabulary_size)

    def has_grown(self, db: Connection) -> bool:
        """Whether a tenth has come since."""
        few = 1 + self.documents // 10
        query = "select count(*) from (select from passages where tenant = %s and id > %s limit %s) new"
        row = db.execute(query, (self._tenant, self._last, few)).fetchone()
        return row is not None and row[0] >= few

    def frequency(self, term: str) -> float:
        """In about how many passages a term stands; at least 1."""
        return max(1.0, self._words.get(lexeme(self._tenant, term), 1) * self._scale)

    def holding(self, tokens: TokenIds) -> NDArray[np.int64]:
        """About how many passages have each token."""
        counts: NDArray[np.int64] = np.rint(self._tokens[tokens] * self._scale).astype(np.int64)
        return counts


class Samples:
    """The samples of the tenants that were searched last."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Sample] = OrderedDict()

    def of(self, db: Connection, tenant: int) -> Sample:
        """The tenant's sample, taken anew if it has grown by a tenth."""
        with self._lock:
            sample = self._held.get(tenant)
        if sample is None or sample.has_grown(db):
            sample = Sample(db, tenant, self._tokens)
        with self._lock:
            self._held[tenant] = sample
            self._held.move_to_end(tenant)
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return sample

    def forget(self) -> None:
        """After much was deleted."""
        with self._lock:
            self._held.clear()
