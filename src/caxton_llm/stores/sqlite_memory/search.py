"""Candidates for a query: what words, vectors and names propose, what stands beside it, and what is known of each.

Passages are known by their places in the tenant's columns, which have all that is committed; the indexes only propose.
"""

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory import candidates as origins
from caxton_llm.memory.analysis import terms_of
from caxton_llm.memory.candidates import Candidates, StoreQuery
from caxton_llm.memory.embedding.embedder import TokenIds
from caxton_llm.stores.sqlite_memory.columns import Mask, Snapshot
from caxton_llm.stores.sqlite_memory.dense import Dense
from caxton_llm.stores.sqlite_memory.indexes import Indexes, Opened
from caxton_llm.stores.sqlite_memory.lexical import Lexical, facets_of
from caxton_llm.stores.sqlite_memory.related import Edges, edges_of, named_records, passages_of_records
from caxton_llm.stores.sqlite_memory.rows import marks
from caxton_llm.stores.sqlite_memory.selection import allowed, selection
from caxton_llm.stores.sqlite_memory.tail import Tail
from caxton_llm.stores.sqlite_memory.vectors import cosines

__all__ = ["Search", "no_candidates"]

_WIDER = 4
_NONE = -1.5
"""Less than any cosine: there is no vector."""
_SPARE = 16
_EXACT = 20
"""Vectors, the nearest, that are compared as they are in the database."""
_SEEDS = 32
"""Candidates, the nearest, whose relations are followed."""
_Places = NDArray[np.int64]
_Scores = NDArray[np.float64]


class Search:
    """One search in a connection's transaction, which must not be older than `opened`. Its vector has length 1, or 0."""

    def __init__(
        self,
        db: sqlite3.Connection,
        indexes: Indexes,
        opened: Opened,
        tail: Tail,
        seen: Snapshot,
        *,
        query: StoreQuery,
        has_relations: bool,
    ) -> None:
        self.db = db
        self.indexes = indexes
        self.opened = opened
        self.tail = tail
        self.seen = seen
        self.query = query
        self.has_relations = has_relations
        self.chosen = selection(db, query.filters, tail.tenant)
        self.dense = Dense(seen, query.vector)
        self.allowed = allowed(seen, query.filters, self.chosen)
        self.mask = self.allowed.mask

    def candidates(self) -> Candidates:
        """About `limit` records by words and as many by vectors, those with one of the names, and what comes with them."""
        if not len(self.allowed.places):
            return no_candidates(self.query)
        found = _Origins(self.seen.count)
        words, scores = self._by_words()
        found.add((origins.LEXICAL, words), (origins.DENSE, self._by_vectors()), (origins.NAMED, self._by_names()))
        proposed = found.places()
        cosine = self._cosines(proposed)
        edges = self._edges(proposed, cosine)
        beside, related = self._beside(proposed), self._passages(edges.records)
        if len(beside) or len(related):
            found.add_new((origins.NEIGHBOUR, beside), (origins.RELATED, related))
        places = found.places()
        gathered = _Gathered(places, self._widened(cosine, proposed, places), np.zeros(len(places)), found.bits[places])
        gathered.lexical[np.searchsorted(places, words)] = scores
        return self._columns(gathered, edges)

    # -- what proposes --------------------------------------------------------------------------------------------------

    def _by_words(self) -> tuple[_Places, _Scores]:
        """The best passages by BM25, of `limit` records, and their scores."""
        terms = terms_of(self.query.text)
        if not terms:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        lexical, indexed = self.opened.lexical, self.opened.indexed
        places, scores = np.empty(0, np.int64), np.empty(0, np.float64)
        if lexical is not None:
            try:
                places, scores = self._indexed(terms, lexical)
            except (ValueError, OSError) as error:
                self.indexes.lost(f"the lexical index failed: {error}")
                lexical, indexed = None, 0
        folder = self.opened.manifest.lexical
        waiting = self.tail.search(
            self.db,
            terms,
            indexed=indexed,
            newest=int(self.seen.ids[-1]),
            count=0 if lexical is None else lexical.count,
            average=0.0 if folder is None else folder.average_length,
            frequency=(lambda _: 0) if lexical is None else lexical.frequency,
        )
        if len(waiting.passages):
            new = self._places_of(waiting.passages)
            is_new = (new >= 0) & ~np.isin(new, places)
            places, scores = np.append(new[is_new], places), np.append(waiting.scores[is_new], scores)
        best = np.argsort(-scores, kind="stable")
        best = best[self._of_first_records(places[best])]
        return places[best], scores[best]

    def _indexed(self, terms: list[str], lexical: Lexical) -> tuple[_Places, _Scores]:
        owners = None if self.chosen.sees_all else self.chosen.owners
        filters = facets_of(self.query.filters, self.tail.tenant, owners, self.chosen.types)
        places, scores = np.empty(0, np.int64), np.empty(0, np.float64)

        def search(wanted: int) -> _Places:
            nonlocal places, scores
            passages, scores = lexical.search(terms, filters, wanted)
            places = self._places_of(passages)
            return places

        self._enough(search)
        return places[places >= 0], scores[places >= 0]

    def _by_vectors(self) -> _Places:
        """The nearest passages, of `limit` records and a few more: bytes may swap near neighbours."""
        graph = self.opened.graphs.get((self.tail.tenant, self.seen.space))
        return self._enough(lambda wanted: self.dense.nearest(self.allowed, wanted + _SPARE, graph))

    def _by_names(self) -> _Places:
        names = self.seen.names.among(self.query.names)
        return self._passages(named_records(self.db, self.tail.tenant, names, self.query.limit))

    def _passages(self, records: list[int]) -> _Places:
        """Places of what may be found of these records."""
        if not records:
            return np.empty(0, np.int64)
        places = self._places_of(passages_of_records(self.db, records))
        return places[places >= 0]

    def _places_of(self, passages: NDArray[np.int64]) -> _Places:
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

    def _of_first_records(self, places: _Places) -> Mask:
        """Which of the places, best first, are of the first `limit` records."""
        records = self.seen.records[places]
        if len(set(records.tolist())) == len(records):
            return np.arange(len(records)) < self.query.limit
        _, first, record = np.unique(records, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        kept: Mask = rank[record] < self.query.limit
        return kept

    # -- what comes with it ---------------------------------------------------------------------------------------------

    def _beside(self, places: _Places) -> _Places:
        """Passages of turns that stand beside turns among `places`."""
        if not self.query.reach:
            return places[:0]
        found = self.seen.beside(places, self.query.reach)
        return found[self.mask[found]]

    def _edges(self, places: _Places, cosine: _Scores) -> Edges:
        """Relations of the nearest candidates."""
        if not self.query.relations or not self.has_relations:
            return Edges.none()
        nearest_first = self.seen.records[places[np.argsort(-cosine, kind="stable")[: 2 * _SEEDS]]]
        seeds = list(dict.fromkeys(nearest_first.tolist()))[:_SEEDS]
        owners = None if self.chosen.owners is None else frozenset(self.chosen.owners)
        return edges_of(self.db, seeds, self.tail.tenant, owners)

    # -- together -------------------------------------------------------------------------------------------------------

    def _cosines(self, places: _Places) -> _Scores:
        """The best from the vectors in the database, the others from bytes; below `_NONE` where there is none."""
        near = self.dense.cosines(places)
        vector = self.query.vector
        if vector is None or self.dense.is_empty:
            return near
        best = (-near).argsort()[:_EXACT]
        ids = self.seen.ids[places[best]].tolist()
        sql = f"select passage, vector from vectors where space = ? and passage in ({marks(ids)})"  # noqa: S608
        blobs = dict(self.db.execute(sql, (self.seen.space, *ids)).fetchall())
        there = [number for number, passage in enumerate(ids) if passage in blobs]
        if there:
            near[best[there]] = cosines([blobs[ids[number]] for number in there], vector)
        return near

    def _widened(self, cosine: _Scores, known: _Places, places: _Places) -> _Scores:
        """Cosines for all of `places`: those of the ones among them that are `known`, for others from bytes."""
        if len(known) == len(places):
            return cosine
        wider = self.dense.cosines(places)
        wider[np.searchsorted(places, known)] = cosine
        return wider

    def _columns(self, found: "_Gathered", edges: Edges) -> Candidates:
        """One candidate for each record: its best scores, and the passage that is nearest, or fits best."""
        seen = self.seen
        best, lexical, origins_of = found.by_record(seen.records)
        near = found.cosine[best]
        places = found.places[best]
        keys = seen.records[places]
        tokens, lengths = seen.tokens.of(places)
        related, strengths = edges.among(keys)
        wanted = np.empty(0, np.int32) if self.query.tokens is None else self.query.tokens
        confidence = seen.confidence[places].astype(np.float64)
        return Candidates(
            keys=keys,
            ordinals=seen.ordinals[places],
            origins=origins_of,
            lexical=lexical.astype(np.float32),
            dense=np.where(near > _NONE, near, np.nan).astype(np.float32),
            tokens=tokens,
            lengths=lengths,
            conversation=seen.conversations[places].astype(np.int64),
            position=seen.positions[places].astype(np.int64),
            named=(origins_of & origins.NAMED > 0) | self._by_named_speakers(places),
            asks=seen.asks[places],
            times_s=seen.times[places],
            confidence=np.where(confidence >= 0, confidence, np.nan),
            uses=seen.uses[places].astype(np.int64),
            related=related,
            strengths=strengths,
            holding=seen.tokens.holding[wanted].astype(np.int64),
            documents=seen.count - seen.gone,
            searched=self.allowed.records,
        )

    def _by_named_speakers(self, places: _Places) -> Mask:
        """Which turns are of somebody whom the query calls by his name."""
        known = self.seen.speaker_codes
        codes = [known[name] for name in self.query.names if name in known]
        return np.isin(self.seen.speakers[places], codes) if codes else np.zeros(len(places), np.bool_)


class _Origins:
    """What has proposed each passage of the tenant: bits by its place."""

    def __init__(self, count: int) -> None:
        self.bits = np.zeros(count, np.uint8)

    def places(self) -> _Places:
        """What was proposed, ascending."""
        return self.bits.view(np.bool_).nonzero()[0]

    def add(self, *proposed: tuple[int, _Places]) -> None:
        for origin, places in proposed:
            self.bits[places] |= origin

    def add_new(self, *proposed: tuple[int, _Places]) -> None:
        """Add what nothing had proposed before."""
        self.add(*[(origin, places[self.bits[places] == 0]) for origin, places in proposed])


class _Gathered(NamedTuple):
    """The passages of all candidates, each once and ascending, with what is found out about them."""

    places: _Places
    cosine: _Scores
    lexical: _Scores
    origins: NDArray[np.uint8]

    def by_record(self, records: _Places) -> tuple[NDArray[np.int64], _Scores, NDArray[np.uint8]]:
        """By ascending records: the best passage of each, the best score by words, and all origins."""
        of = records[self.places]
        if len(set(of.tolist())) == len(of):
            order = np.argsort(of)
            return order, self.lexical[order], self.origins[order]
        # First comes the best of a record: the nearest, then the better one by words, then the first passage.
        order = np.lexsort((self.places, -self.lexical, -self.cosine, of))
        starts = np.flatnonzero(np.diff(of[order], prepend=-1))
        lexical: _Scores = np.maximum.reduceat(self.lexical[order], starts)
        bits: NDArray[np.uint8] = np.bitwise_or.reduceat(self.origins[order], starts)
        return order[starts], lexical, bits


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
        uses=none,
        related=np.empty((0, 2), np.int64),
        strengths=numbers,
        holding=np.zeros(len(wanted), np.int64),
        documents=0,
        searched=0,
    )
