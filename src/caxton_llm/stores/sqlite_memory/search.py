"""Candidates for a query: what words, vectors and names propose, what stands beside it, and what is known of each.

Passages are known by their places in the tenant's columns, which have all that is committed; the indexes only propose.
"""

import sqlite3
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory import candidates as origins
from caxton_llm.memory.candidates import Candidates, StoreQuery
from caxton_llm.memory.embedding.embedder import TokenIds
from caxton_llm.stores.sqlite_memory.analysis import terms_of
from caxton_llm.stores.sqlite_memory.columns import Mask, Snapshot
from caxton_llm.stores.sqlite_memory.dense import approximate, nearest
from caxton_llm.stores.sqlite_memory.indexes import Indexes, Opened
from caxton_llm.stores.sqlite_memory.lexical import Found, facets_of
from caxton_llm.stores.sqlite_memory.related import Edges, edges_of, named_records, passages_of_records
from caxton_llm.stores.sqlite_memory.rows import chunked, marks
from caxton_llm.stores.sqlite_memory.selection import mask_of, selection
from caxton_llm.stores.sqlite_memory.tail import Tail
from caxton_llm.stores.sqlite_memory.vectors import cosines, from_bytes

__all__ = ["Search", "no_candidates"]

_WIDER = 4
_NONE = -1.5
"""Less than any cosine: there is no vector."""
_SPARE = 16
"""Vectors more than asked for whose order is looked at exactly: bytes may swap near neighbours."""
_SEEDS = 32
"""Candidates, the nearest, whose relations are followed."""

_Places = NDArray[np.int64]
_Cosines = NDArray[np.float64]


class Search:
    """One search in a connection's transaction, which must not be older than `opened`. The query's vector has length 1."""

    def __init__(
        self, db: sqlite3.Connection, indexes: Indexes, opened: Opened, tail: Tail, seen: Snapshot, *, query: StoreQuery
    ) -> None:
        self.db = db
        self.indexes = indexes
        self.opened = opened
        self.tail = tail
        self.seen = seen
        self.query = query
        self.chosen = selection(db, query.filters, tail.tenant)
        self.mask: Mask = mask_of(seen, query.filters, self.chosen)
        self.lexical: dict[int, float] = {}
        self.origins: dict[int, int] = {}

    def candidates(self) -> Candidates:
        """At most `limit` records by words and as many by vectors, and what comes with them."""
        if not self.mask.any():
            return no_candidates(self.query)
        self.lexical = self._by_words()
        near = self._by_vectors()
        named = self._by_names()
        proposed = [near, np.fromiter(self.lexical, np.int64, len(self.lexical)), named]
        places = np.unique(np.concatenate(proposed))
        cosine = self._cosines(places)
        by_vector = self._first(near[np.argsort(-cosine[np.searchsorted(places, near)], kind="stable")])
        places, cosine = self._without(near, by_vector, places, cosine)
        for origin, found in zip(
            (origins.DENSE, origins.LEXICAL, origins.NAMED), (by_vector, *proposed[1:]), strict=True
        ):
            self._mark(found, origin)
        edges = self._edges(places, cosine)
        beside = self._beside(places)
        self._mark(beside, origins.NEIGHBOUR)
        related = self._allowed(passages_of_records(self.db, edges.records)) if len(edges.records) else places[:0]
        related = related[related >= 0]
        self._mark(related, origins.RELATED)
        more = np.setdiff1d(np.concatenate([beside, related]), places)
        cosine = np.concatenate([cosine, approximate(self.seen, more, self.query.vector)])
        return self._columns(np.concatenate([places, more]), cosine, edges)

    # -- what proposes --------------------------------------------------------------------------------------------------

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
        return {place: by_place[place] for place in self._first(np.array(ordered, np.int64)).tolist()}

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
        graph = self.opened.graphs.get((self.tail.tenant, self.seen.space))
        return self._enough(lambda wanted: nearest(self.seen, self.mask, vector, wanted + _SPARE, graph))

    def _by_names(self) -> _Places:
        if not self.query.names:
            return np.empty(0, np.int64)
        records = named_records(self.db, self.tail.tenant, self.query.names, self.query.limit)
        places = self._allowed(passages_of_records(self.db, records)) if records else np.empty(0, np.int64)
        return places[places >= 0]

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
            if len(np.unique(self.seen.records[good])) >= self.query.limit:
                return good
            wanted *= _WIDER

    def _first(self, places: _Places) -> _Places:
        """Places, best first, of the first `limit` records."""
        if len(places) <= self.query.limit:
            return places
        _, first, record = np.unique(self.seen.records[places], return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        return places[rank[record] < self.query.limit]

    def _without(self, near: _Places, kept: _Places, places: _Places, cosine: _Cosines) -> tuple[_Places, _Cosines]:
        """Leave out what only the vectors proposed, and too far down."""
        if len(kept) == len(near):
            return places, cosine
        stays = np.isin(places, kept) | ~np.isin(places, near)
        stays |= np.isin(places, np.fromiter(self.lexical, np.int64, len(self.lexical)))
        return places[stays], cosine[stays]

    # -- what comes with it ---------------------------------------------------------------------------------------------

    def _beside(self, places: _Places) -> _Places:
        """Passages of turns that stand beside turns among `places`."""
        if not self.query.reach:
            return places[:0]
        found = self.seen.beside(places, self.query.reach)
        return found[self.mask[found]]

    def _edges(self, places: _Places, cosine: _Cosines) -> Edges:
        """Relations of the nearest candidates."""
        if not self.query.relations:
            return Edges.none()
        records = self.seen.records[places[np.argsort(-cosine, kind="stable")]]
        seeds = list(dict.fromkeys(records.tolist()))[:_SEEDS]
        return edges_of(self.db, seeds)

    def _mark(self, places: _Places, origin: int) -> None:
        for record in np.unique(self.seen.records[places]).tolist():
            self.origins[record] = self.origins.get(record, 0) | origin

    # -- together -------------------------------------------------------------------------------------------------------

    def _cosines(self, places: _Places) -> _Cosines:
        """The best from the vectors in the database, the others from bytes; below `_NONE` where there is none."""
        vector = self.query.vector
        near = approximate(self.seen, places, vector)
        if vector is None or not len(places):
            return near
        best = np.argsort(-near)[: self.query.limit // 2 + _SPARE]
        ids = self.seen.ids[places[best]].tolist()
        blobs: dict[int, bytes] = {}
        for chunk in chunked(ids):
            sql = f"select passage, vector from vectors where space = ? and passage in ({marks(chunk)})"  # noqa: S608
            blobs.update(self.db.execute(sql, (self.seen.space, *chunk)).fetchall())
        there = [number for number, passage in enumerate(ids) if passage in blobs]
        if there:
            near[best[there]] = cosines(from_bytes([blobs[ids[number]] for number in there], len(vector)), vector)
        return near

    def _columns(self, places: _Places, cosine: _Cosines, edges: Edges) -> Candidates:
        """One candidate for each record: its best scores, and the passage that is nearest, or fits best."""
        seen = self.seen
        words = np.fromiter((self.lexical.get(place, 0.0) for place in places.tolist()), np.float64, len(places))
        # Last comes the best: of equal cosines the better one by words, then the first passage.
        order = np.lexsort((-places, words, cosine))[::-1]
        keys, first, record = np.unique(seen.records[places[order]], return_index=True, return_inverse=True)
        lexical = np.zeros(len(keys))
        np.maximum.at(lexical, record, words[order])
        best = places[order[first]]
        near = cosine[order[first]]
        tokens, lengths = seen.tokens.of(best)
        related, strengths = edges.among(keys)
        wanted = np.empty(0, np.int32) if self.query.tokens is None else self.query.tokens
        return Candidates(
            keys=keys,
            ordinals=seen.ordinals[best],
            origins=np.fromiter((self.origins.get(key, 0) for key in keys.tolist()), np.uint8, len(keys)),
            lexical=lexical.astype(np.float32),
            dense=np.where(near > _NONE, near, np.nan).astype(np.float32),
            tokens=tokens,
            lengths=lengths,
            conversation=seen.conversations[best].astype(np.int64),
            position=seen.positions[best].astype(np.int64),
            named=self._named(best),
            asks=seen.asks[best],
            times_s=seen.times[best],
            confidence=np.where(seen.confidence[best] >= 0, seen.confidence[best], np.nan).astype(np.float64),
            related=related,
            strengths=strengths,
            holding=seen.tokens.holding[wanted].astype(np.int64),
            documents=seen.count - seen.gone,
            searched=int((self.mask & (seen.ordinals == 0)).sum()),
        )

    def _named(self, places: _Places) -> Mask:
        """Which records the query calls by their name; turns, by their speaker's."""
        codes = [code for name in self.query.names if (code := self.seen.speaker_codes.get(name)) is not None]
        records = [record for record, origin in self.origins.items() if origin & origins.NAMED]
        named: Mask = np.isin(self.seen.speakers[places], codes) | np.isin(self.seen.records[places], records)
        return named


def no_candidates(query: StoreQuery) -> Candidates:
    """What a search in an empty place finds."""
    wanted: TokenIds = np.empty(0, np.int32) if query.tokens is None else query.tokens
    none, numbers = np.empty(0, np.int64), np.empty(0, np.float32)
    return Candidates(
        keys=none,
        ordinals=none.astype(np.int32),
        origins=none.astype(np.uint8),
        lexical=numbers,
        dense=numbers,
        tokens=none.astype(np.int32),
        lengths=none,
        conversation=none,
        position=none,
        named=none.astype(np.bool_),
        asks=none.astype(np.bool_),
        times_s=numbers.astype(np.float64),
        confidence=numbers.astype(np.float64),
        related=np.empty((0, 2), np.int64),
        strengths=numbers,
        holding=np.zeros(len(wanted), np.int64),
        documents=0,
        searched=0,
    )
