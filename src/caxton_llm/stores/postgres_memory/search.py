"""Candidates for a query: what words, vectors and names propose, what stands beside it, and what is known of each."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory import candidates as origins
from caxton_llm.memory.candidates import Candidates, StoreQuery
from caxton_llm.stores.postgres_memory.dense import Near, counted, nearest
from caxton_llm.stores.postgres_memory.halves import halves_of
from caxton_llm.stores.postgres_memory.lexical import Scored, by_words
from caxton_llm.stores.postgres_memory.related import Edges, Reached, beside, edges_of, named, passages_of_records
from caxton_llm.stores.postgres_memory.samples import Sample
from caxton_llm.stores.postgres_memory.selection import Selection
from caxton_llm.stores.postgres_memory.sessions import Connection
from caxton_llm.stores.postgres_memory.spaces import Space
from caxton_llm.stores.postgres_memory.tokens import Tokens

__all__ = ["Search", "candidates_of"]

_SEEDS = 32
"""Candidates, the nearest, whose relations are followed."""


class _Passage(NamedTuple):
    """What is known of a passage, in the order of the query. `cosine` is `None` without a vector."""

    id: int
    record: int
    ordinal: int
    owner: int
    conversation: int | None
    position: int | None
    speaker: bytes | None
    asks: bool
    at: float
    confidence: float | None
    uses: int
    tokens: bytes
    cosine: float | None


_Found = TypeVar("_Found", Near, Scored)


class Search:
    """One search in a transaction. The query's vector has length 1, or 0."""

    def __init__(
        self, db: Connection, query: StoreQuery, chosen: Selection, *, space: Space, sample: Sample, tokens: Tokens
    ) -> None:
        self._db = db
        self._query = query
        self._chosen = chosen
        self._space = space
        self._sample = sample
        self._tokens = tokens
        vector = query.vector
        self._vector = None if vector is None or not vector.any() else halves_of(vector.reshape(1, -1))[0]
        self._scores: dict[int, float] = {}
        self._origins: dict[int, int] = defaultdict(int)

    def candidates(self) -> Candidates:
        """At most `limit` records by words and as many by vectors, and what comes with them."""
        count = counted(self._db, self._chosen, self._sample)
        if not count.passages:
            return candidates_of([], self._query, self._tokens)
        scored = self._first(by_words(self._db, self._query.text, self._chosen, self._sample, self._query.limit))
        self._scores = {one.passage: one.score for one in scored}
        near = []
        if self._vector is not None:
            near = self._first(
                nearest(
                    self._db,
                    self._chosen,
                    count,
                    space=self._space,
                    vector=self._vector,
                    limit=self._query.limit,
                )
            )
        called = named(self._db, self._chosen, self._query.names, self._query.limit)
        for origin, records in (
            (origins.LEXICAL, (one.record for one in scored)),
            (origins.DENSE, (one.record for one in near)),
            (origins.NAMED, (record for _, record in called)),
        ):
            self._mark(records, origin)
        ids = {*self._scores, *(one.passage for one in near), *(passage for passage, _ in called)}
        passages = self._read(ids)
        edges = self._edges(passages)
        came_along = (origins.NEIGHBOUR, self._beside(passages)), (origins.RELATED, self._related(edges))
        more = {passage: record for _, found in came_along for passage, record in found if passage not in ids}
        for origin, found in came_along:
            self._mark((record for passage, record in found if passage in more), origin)
        passages += self._read(more)
        return candidates_of(
            passages,
            self._query,
            self._tokens,
            scores=self._scores,
            marks=self._origins,
            edges=edges,
            sample=self._sample,
            searched=count.records,
        )

    def _first(self, found: Sequence[_Found]) -> list[_Found]:
        """Passages, best first, of the first `limit` records."""
        records = list(dict.fromkeys(one.record for one in found))[: self._query.limit]
        kept = set(records)
        return [one for one in found if one.record in kept]

    def _mark(self, records: Iterable[int], origin: int) -> None:
        for record in records:
            self._origins[record] |= origin

    def _read(self, ids: Iterable[int]) -> list[_Passage]:
        cosine, vectors = "null::float8", ""
        if self._vector is not None:
            vectors = f"left join {self._space.table} v on v.passage = p.id"
            cosine = "nullif(1 - (v.vector <=> %(vector)s), 'NaN')"
        query = f"""select p.id, p.record, p.ordinal, p.owner, p.conversation, p.position, p.speaker, p.asks, p.at,
              p.confidence, coalesce(u.count, 0), p.tokens, {cosine}
            from passages p left join uses u on u.record = p.record {vectors} where p.id = any(%(ids)s)"""  # noqa: S608
        cursor = self._db.cursor(binary=True)
        return [_Passage(*row) for row in cursor.execute(query, {"ids": list(ids), "vector": self._vector})]

    def _beside(self, passages: Sequence[_Passage]) -> Reached:
        """Passages of turns that stand beside turns among these, and they themselves."""
        turns = [one.id for one in passages if one.conversation is not None]
        if not self._query.reach or not turns:
            return []
        return beside(self._db, self._chosen, turns, self._query.reach)

    def _edges(self, passages: Sequence[_Passage]) -> Edges:
        """Relations of the nearest candidates."""
        if not self._query.relations:
            return {}
        ordered = sorted(passages, key=lambda one: -2.0 if one.cosine is None else one.cosine, reverse=True)
        return edges_of(self._db, self._chosen, list(dict.fromkeys(one.record for one in ordered))[:_SEEDS])

    def _related(self, edges: Edges) -> Reached:
        return passages_of_records(self._db, self._chosen, {end for pair in edges for end in pair})


def candidates_of(
    passages: Sequence[_Passage],
    query: StoreQuery,
    tokens: Tokens,
    *,
    scores: dict[int, float] | None = None,
    marks: dict[int, int] | None = None,
    edges: Edges | None = None,
    sample: Sample | None = None,
    searched: int = 0,
) -> Candidates:
    """One candidate for each record: its best scores, and the passage that is nearest, or fits best."""
    scores, marks = scores or {}, marks or {}
    best: dict[int, _Passage] = {}
    lexical: dict[int, float] = defaultdict(float)
    for one in sorted(passages, key=lambda one: _rank(one, scores), reverse=True):
        best.setdefault(one.record, one)
        lexical[one.record] = max(lexical[one.record], scores.get(one.id, 0.0))
    keys = sorted(best)
    rows = [best[key] for key in keys]
    flat, lengths = tokens.read([row.tokens for row in rows])
    related, strengths = _among(edges or {}, keys)
    wanted = np.empty(0, np.int32) if query.tokens is None else query.tokens
    names = set(query.names)
    return Candidates(
        keys=np.array(keys, np.int64),
        ordinals=np.array([row.ordinal for row in rows], np.int32),
        origins=np.array([marks.get(key, 0) for key in keys], np.uint8),
        lexical=np.array([lexical[key] for key in keys], np.float32),
        dense=np.array([row.cosine for row in rows], np.float32),
        tokens=flat,
        lengths=lengths,
        conversation=_conversations(rows),
        position=np.array([-1 if row.position is None else row.position for row in rows], np.int64),
        named=np.array(
            [row.speaker in names or bool(marks.get(row.record, 0) & origins.NAMED) for row in rows], np.bool_
        ),
        asks=np.array([row.asks for row in rows], np.bool_),
        times_s=np.array([row.at for row in rows], np.float64),
        confidence=np.array([row.confidence for row in rows], np.float64),
        uses=np.array([row.uses for row in rows], np.int64),
        related=related,
        strengths=strengths,
        holding=np.zeros(len(wanted), np.int64) if sample is None else sample.holding(wanted),
        documents=0 if sample is None else sample.documents,
        searched=searched,
    )


def _rank(one: _Passage, scores: dict[int, float]) -> tuple[float, float, int]:
    """Of equal cosines the better one by words, then the first passage."""
    return (-2.0 if one.cosine is None else one.cosine), scores.get(one.id, 0.0), -one.id


def _conversations(rows: Sequence[_Passage]) -> NDArray[np.int64]:
    """A number for each conversation: turns of one name are one conversation if they have one owner."""
    known: dict[tuple[int, int], int] = {}
    return np.array(
        [
            -1 if row.conversation is None else known.setdefault((row.owner, row.conversation), len(known))
            for row in rows
        ],
        np.int64,
    )


def _among(edges: Edges, keys: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Both ways, as places in `keys`; without those that have an end elsewhere."""
    places = {key: place for place, key in enumerate(keys)}
    inside = [
        (places[source], places[target], strength)
        for (source, target), strength in edges.items()
        if source in places and target in places
    ]
    both = [(one, other) for one, other, _ in inside] + [(other, one) for one, other, _ in inside]
    strengths = np.array([strength for *_, strength in inside] * 2, np.float32)
    return np.array(both, np.int64).reshape(-1, 2), strengths
