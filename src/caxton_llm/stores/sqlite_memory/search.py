"""Candidates for a query: what the lexical and the vector side propose, with exact cosines, one line for each record."""

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.filters import Filters
from caxton_llm.memory.store import Candidate
from caxton_llm.stores.sqlite_memory.analysis import terms_of
from caxton_llm.stores.sqlite_memory.columns import Mask, Snapshot
from caxton_llm.stores.sqlite_memory.dense import approximate, nearest
from caxton_llm.stores.sqlite_memory.indexes import Indexes, Opened
from caxton_llm.stores.sqlite_memory.lexical import Found, facets_of
from caxton_llm.stores.sqlite_memory.rows import chunked, marks
from caxton_llm.stores.sqlite_memory.selection import mask_of, selection
from caxton_llm.stores.sqlite_memory.tail import Tail
from caxton_llm.stores.sqlite_memory.vectors import Floats, cosines, from_bytes

__all__ = ["Query", "Search"]

_WIDER = 4
_NONE = -1.5
"""Less than any cosine: there is no vector."""
_SPARE = 16
"""Vectors more than asked for whose order is looked at exactly: bytes may swap near neighbours."""

_Places = NDArray[np.int64]


class Query(NamedTuple):
    """What is sought. `vector` has length 1 and is of `space`."""

    text: str
    vector: Floats | None
    space: int
    filters: Filters
    limit: int


class Search:
    """One search in a connection's transaction, which must not be older than `opened`.

    Passages are known by their places in `seen`, which has all that is committed.
    """

    def __init__(
        self, db: sqlite3.Connection, indexes: Indexes, opened: Opened, tail: Tail, seen: Snapshot, *, query: Query
    ) -> None:
        self.db = db
        self.indexes = indexes
        self.opened = opened
        self.tail = tail
        self.seen = seen
        self.query = query
        self.chosen = selection(db, query.filters, tail.tenant)
        self.mask: Mask = mask_of(seen, query.filters, self.chosen)

    def candidates(self) -> list[Candidate]:
        """At most `limit` records by words and as many by vectors, the nearest first."""
        if not self.mask.any():
            return []
        scores = self._by_words()
        near = self._by_vectors()
        both = np.union1d(near, np.fromiter(scores, np.int64, len(scores)))
        cosine = self._cosines(both)
        proposed = sorted((place for place in near.tolist() if place in cosine), key=cosine.__getitem__, reverse=True)
        return self._joined(scores, cosine, self._first(proposed))

    # -- the two sides --------------------------------------------------------------------------------------------------

    def _by_words(self) -> dict[int, float]:
        """BM25 by place, of the best records."""
        terms = terms_of(self.query.text)
        if not terms:
            return {}
        last = int(self.seen.ids[-1])
        self.tail.refresh(self.db, self.opened.indexed, last)
        lexical, found = self.opened.lexical, Found()
        if lexical is not None:
            try:
                found = self._indexed(terms)
            except (ValueError, OSError) as error:
                self.indexes.lost(f"the lexical index failed: {error}")
                lexical = None
                self.tail.refresh(self.db, 0, last)
        folder = self.opened.manifest.lexical
        waiting = self.tail.search(
            terms,
            count=0 if lexical is None else lexical.count,
            average=0.0 if folder is None else folder.average_length,
            frequency=(lambda _: 0) if lexical is None else lexical.frequency,
        )
        scores = dict(waiting) | dict(found)
        passages = np.fromiter(scores, np.int64, len(scores))
        places = self._allowed(passages).tolist()
        by_place = {place: score for place, score in zip(places, scores.values(), strict=True) if place >= 0}
        ordered = sorted(by_place, key=by_place.__getitem__, reverse=True)
        return {place: by_place[place] for place in self._first(ordered)}

    def _indexed(self, terms: list[str]) -> Found:
        lexical = self.opened.lexical
        filters = facets_of(self.query.filters, self.tail.tenant, self.chosen.owners, self.chosen.types)
        found = Found()

        def search(wanted: int) -> _Places:
            nonlocal found
            found = Found() if lexical is None else lexical.search(terms, filters, wanted)
            return self._allowed(np.array([passage for passage, _ in found], np.int64))

        self._enough(search)
        return found

    def _by_vectors(self) -> _Places:
        vector = self.query.vector
        if vector is None:
            return np.empty(0, np.int64)
        graph = self.opened.graphs.get((self.tail.tenant, self.query.space))
        return self._enough(lambda wanted: nearest(self.seen, self.mask, vector, wanted + _SPARE, graph))

    def _allowed(self, passages: NDArray[np.int64]) -> _Places:
        """The places of passages; -1 for those that may not be found."""
        places = self.seen.places(passages)
        return np.where((places >= 0) & self.mask[places], places, -1)

    def _enough(self, search: Callable[[int], _Places]) -> _Places:
        """Search for more passages until they are of enough records or there are no more. -1 is no passage."""
        wanted = self.query.limit
        while True:
            places = search(wanted)
            good = places[places >= 0]
            if len(places) < wanted or wanted >= self.seen.count:
                return good
            if len(set(self.seen.records[good].tolist())) >= self.query.limit:
                return good
            wanted *= _WIDER

    def _first(self, places: list[int]) -> list[int]:
        """Places, best first, of the first `limit` records."""
        if len(places) <= self.query.limit:
            return places
        records: set[int] = set()
        kept: list[int] = []
        for place, record in zip(places, self.seen.records[places].tolist(), strict=True):
            if record in records:
                kept.append(place)
            elif len(records) < self.query.limit:
                records.add(record)
                kept.append(place)
        return kept

    # -- together -------------------------------------------------------------------------------------------------------

    def _cosines(self, places: _Places) -> dict[int, float]:
        """Cosines by place, the highest first: the best ones from the vectors in the database, the others from bytes."""
        vector = self.query.vector
        if vector is None or not len(places):
            return {}
        near = approximate(self.seen, places, vector)
        order = np.argsort(-near)
        places, near = places[order], near[order]
        best = places[: self.query.limit // 2 + _SPARE]
        ids = self.seen.ids[best].tolist()
        blobs: dict[int, bytes] = {}
        for chunk in chunked(ids):
            sql = f"select passage, vector from vectors where space = ? and passage in ({marks(chunk)})"  # noqa: S608
            blobs.update(self.db.execute(sql, (self.query.space, *chunk)).fetchall())
        there = [number for number, passage in enumerate(ids) if passage in blobs]
        if there:
            rows = from_bytes([blobs[ids[number]] for number in there], len(vector))
            near[there] = cosines(rows, vector)
        return {place: cosine for place, cosine in zip(places.tolist(), near.tolist(), strict=True) if cosine > _NONE}

    def _joined(self, scores: dict[int, float], cosine: dict[int, float], near: list[int]) -> list[Candidate]:
        """One candidate for each record: its best scores, and the passage that is nearest, or fits best."""
        best: dict[int, tuple[float, float, int]] = {}
        lexical: dict[int, float] = {}
        places = list(dict.fromkeys([*near, *scores]))
        if not places:
            return []
        for place, record in zip(places, self.seen.records[places].tolist(), strict=True):
            score = scores.get(place, 0.0)
            if score > lexical.get(record, 0.0):
                lexical[record] = score
            one = (cosine.get(place, _NONE), score, place)
            if record not in best or one > best[record]:
                best[record] = one
        ids = self.seen.record_ids(self.db, best)
        ordered = sorted(best, key=lambda record: (*best[record][:2], ids[record]), reverse=True)
        ordinals = self.seen.ordinals[[best[record][2] for record in ordered]].tolist()
        return [
            Candidate(ids[record], ordinal, lexical.get(record), cosine.get(best[record][2]))
            for record, ordinal in zip(ordered, ordinals, strict=True)
        ]
