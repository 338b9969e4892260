"""What is committed and not yet in the lexical index, searched in the same way: one tenant's last passages in memory."""

import math
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from caxton_llm.memory.analysis import terms_of
from caxton_llm.stores.sqlite_memory.lexical import Found, passage_texts

__all__ = ["Tail"]

_K1, _B = 1.2, 0.75
"""As in the index."""
_READ = 5_000


class Tail:
    """Passages of one tenant after those that the index has."""

    def __init__(self, tenant: int) -> None:
        self.tenant = tenant
        self._lock = threading.Lock()
        self._from = self._last = 0
        self._postings: dict[str, list[tuple[int, int]]] = {}
        self._lengths: dict[int, int] = {}

    def search(
        self,
        db: sqlite3.Connection,
        terms: Iterable[str],
        *,
        indexed: int,
        newest: int,
        count: int,
        average: float,
        frequency: Callable[[str], int],
    ) -> Found:
        """All passages after `indexed` up to `newest`, the tenant's last, that have one of the terms, in any order. `count`,
        `average` and `frequency` are the index's."""
        # One step: another search may know of another state of the index.
        with self._lock:
            self._refresh(db, indexed, newest)
            total = count + len(self._lengths)
            if not self._lengths:
                return Found.none()
            average = average or sum(self._lengths.values()) / len(self._lengths) or 1.0
            scores: dict[int, float] = {}
            for term in set(terms):
                postings = self._postings.get(term)
                if postings is None:
                    continue
                found = min(total, frequency(term) + len(postings))
                weight = math.log(1 + (total - found + 0.5) / (found + 0.5)) * (_K1 + 1)
                for passage, times in postings:
                    norm = _K1 * (1 - _B + _B * self._lengths[passage] / average)
                    scores[passage] = scores.get(passage, 0.0) + weight * times / (times + norm)
        return Found(np.fromiter(scores, np.int64, len(scores)), np.fromiter(scores.values(), np.float64, len(scores)))

    def _refresh(self, db: sqlite3.Connection, indexed: int, newest: int) -> None:
        if indexed != self._from:
            self._forget(indexed)
        while self._last < newest:
            where = "p.tenant = ? and p.id > ? and p.id <= ?"
            texts = passage_texts(db, where, (self.tenant, self._last, newest), _READ)
            for passage in texts:
                self._add(passage.id, terms_of(passage.text))
            self._last = newest if len(texts) < _READ else texts[-1].id

    def _add(self, passage: int, terms: list[str]) -> None:
        self._lengths[passage] = len(terms)
        for term, times in Counter(terms).items():
            self._postings.setdefault(term, []).append((passage, times))

    def _forget(self, indexed: int) -> None:
        """The index has moved: it has what came before `indexed`; or it was lost, and all is read again."""
        if indexed < self._from or indexed >= self._last:
            self._postings.clear()
            self._lengths.clear()
            self._last = indexed
        else:
            for term, postings in list(self._postings.items()):
                left = [posting for posting in postings if posting[0] > indexed]
                if left:
                    self._postings[term] = left
                else:
                    del self._postings[term]
            self._lengths = {passage: length for passage, length in self._lengths.items() if passage > indexed}
        self._from = indexed
