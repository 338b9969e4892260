"""A search from the question to the answer: the store proposes, the candidates are compared, the best are read.

Every hit says how it was found and what its score is made of.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from caxton_llm.errors import InvalidRequest, LlmError
from caxton_llm.memory.candidates import EMBEDDER_CHANGED, ORIGINS, Candidates, StoreQuery
from caxton_llm.memory.embedding.calibration import Calibration
from caxton_llm.memory.embedding.embedder import Embedder
from caxton_llm.memory.filters import Filters, admits, check_sought
from caxton_llm.memory.hits import ComparedHit, Found, Hit, Searched
from caxton_llm.memory.late_interaction import distinct_tokens, inverse_frequency, late_interaction
from caxton_llm.memory.limits import check_query
from caxton_llm.memory.model import Turn
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory.query_dates import from_then, periods_in
from caxton_llm.memory.query_words import name_keys_in
from caxton_llm.memory.scoring import Features, Scores, Weights, score
from caxton_llm.memory.store import MemoryStore

__all__ = ["MemorySearch"]

_CHANGES = 3
"""Times that a query is embedded anew because the store's embedder has changed meanwhile."""
_WIDER, _WIDEST = 4, 1_024
"""By how much more candidates are compared where most say the same, and how many at most."""

_Compared = tuple[Hit, ComparedHit | None]


class _Wanted(Struct, frozen=True, kw_only=True):
    """What a search is to find."""

    query: str
    filters: Filters
    max_results: int
    min_similarity: float | None
    now: float
    distinct: bool


class MemorySearch:
    """Searches one store. Blocking; any thread may use it.

    `calibration_of` gives the calibration of the embedder whose vectors are searched, `None` while it is not known.
    `candidates` records are compared from each side, words and vectors; more find more and take longer.
    """

    def __init__(
        self,
        store: MemoryStore,
        calibration_of: Callable[[Embedder], Calibration | None],
        *,
        weights: Weights | None = None,
        candidates: int = 64,
    ) -> None:
        self.store = store
        self.weights = weights or Weights()
        self.limit = candidates
        self._calibration_of = calibration_of

    def search(
        self,
        query: str,
        filters: Filters,
        *,
        max_results: int,
        min_similarity: float | None,
        now: float,
        distinct: bool = False,
    ) -> Searched:
        """The best records for `query`. `now` is what ages are counted from. Raises `InvalidRequest`.

        With `distinct` each says something else, and something else than the query; one that says the query again may stand
        beside these.
        """
        check_query(query, max_results)
        check_sought(filters)
        if min_similarity is not None and not 0.0 <= min_similarity <= 1.0:
            raise InvalidRequest(f"{min_similarity!r} is not between 0 and 1", param="min_similarity")
        wanted = _Wanted(
            query=query,
            filters=filters,
            max_results=max_results,
            min_similarity=min_similarity,
            now=now,
            distinct=distinct,
        )
        limit = max(self.limit, max_results)
        searched, lacks = self._searched(wanted, limit)
        while lacks and limit < min(_WIDEST, searched.found.searched):
            limit *= _WIDER
            searched, lacks = self._searched(wanted, limit)
        return searched

    def _searched(self, wanted: _Wanted, limit: int) -> tuple[Searched, bool]:
        """The best among so many candidates, and whether there are too few because others say the same."""
        min_similarity = wanted.min_similarity
        asked, proposed, problem = self._proposed(wanted.query, wanted.filters, limit)
        scores = score(self._features(asked, proposed, wanted.now), self.weights)
        calibration = self._calibration_of(self.store.embedder)
        if calibration is None and problem is None:
            problem = f"how similar texts are for {self.store.embedder.name} is not known: its server does not answer"
        similarity = np.full(len(proposed), np.nan) if calibration is None else calibration.similarity(proposed.dense)
        order = scores.order()
        if min_similarity is not None and problem is None:
            order = order[similarity[order] >= min_similarity]

        def hits_of(places: NDArray[np.int64]) -> list[_Compared]:
            return self._hits(places.tolist(), proposed, similarity, scores, wanted.filters)

        hits, lacks = (
            _distinct(wanted, order, hits_of) if wanted.distinct else (hits_of(order[: wanted.max_results]), False)
        )
        found = Found(
            hits=tuple(hit for hit, _ in hits),
            searched=proposed.searched,
            candidates=len(proposed),
            above_threshold=len(order),
            problem=problem,
        )
        is_one = asked.embedder == self.store.vocabulary.name
        compared = tuple(compared for _, compared in hits)
        return Searched(found=found, compared=compared, embedder=asked.embedder if is_one else None), lacks

    def _proposed(self, query: str, filters: Filters, limit: int) -> tuple[StoreQuery, Candidates, str | None]:
        """What the store proposes; by words alone if the embedder fails, and then why."""
        asked = StoreQuery(
            text=query,
            tokens=distinct_tokens(query, self.store.vocabulary),
            names=name_keys_in(query),
            filters=filters,
            limit=limit,
            reach=max(len(self.weights.neighbours), len(self.weights.late_neighbours)),
            relations=self.weights.relations > 0,
        )
        for _ in range(_CHANGES):
            embedder = self.store.embedder
            try:
                vector = embedder.embed([query])[0]
            except LlmError as error:
                return asked, self.store.candidates(asked), f"the embedder {embedder.name} failed: {error}"
            if not vector.any():
                return asked, self.store.candidates(asked), _no_vector(embedder.name)
            try:
                embedded = replace(asked, vector=vector, embedder=embedder.name)
                return embedded, self.store.candidates(embedded), None
            except InvalidRequest as error:
                if error.code != EMBEDDER_CHANGED:
                    raise
        return asked, self.store.candidates(asked), "the embedder changes while it is searched"

    def _features(self, asked: StoreQuery, proposed: Candidates, now: float) -> Features:
        tokens = np.empty(0, np.int32) if asked.tokens is None else asked.tokens
        rarity = inverse_frequency(proposed.holding, proposed.documents)
        periods = periods_in(asked.text)
        return Features(
            lexical=proposed.lexical,
            dense=np.where(np.isnan(proposed.dense), np.float32(0), proposed.dense),
            matches=late_interaction(tokens, rarity, proposed.tokens, proposed.lengths, self.store.vocabulary),
            conversation=proposed.conversation,
            position=proposed.position,
            named=proposed.named,
            dated=from_then(periods, proposed.times_s) if periods else None,
            asks=proposed.asks,
            age_s=now - proposed.times_s,
            confidence=proposed.confidence,
            uses=proposed.uses,
            related=proposed.related,
            strengths=proposed.strengths,
        )

    def _hits(
        self,
        best: Sequence[int],
        proposed: Candidates,
        similarity: NDArray[np.float64],
        scores: Scores,
        filters: Filters,
    ) -> list[_Compared]:
        """The hits that are still there, with what was compared of them."""
        keys = proposed.keys[best].tolist()
        records = self.store.load(keys, tenant=filters.tenant)
        hits = []
        ends = proposed.lengths.cumsum()
        origins, ordinals = proposed.origins[best].tolist(), proposed.ordinals[best].tolist()
        rows = zip(best, keys, origins, ordinals, scores.reasons(best), strict=True)
        for place, key, origin, ordinal, reasons in rows:
            # What was deleted or rewritten meanwhile is no longer what was compared, and may have become private.
            record = records.get(key)
            passages = passages_of(record) if record is not None else []
            if record is None or ordinal >= len(passages) or not admits(filters, record):
                continue
            near, cosine = similarity.item(place), proposed.dense.item(place)
            hit = Hit(
                record=record,
                passage=passages[ordinal],
                similarity=None if math.isnan(near) else near,
                score=reasons.total,
                found_by=tuple(name for bit, name in ORIGINS.items() if origin & bit),
                reasons=reasons,
            )
            tokens = proposed.tokens[ends[place] - proposed.lengths[place] : ends[place]]
            is_whole = len(passages) == 1 and not math.isnan(cosine)
            hits.append((hit, ComparedHit(tokens, cosine) if is_whole else None))
        return hits


def _distinct(
    wanted: _Wanted, order: NDArray[np.int64], hits_of: Callable[[NDArray[np.int64]], list[_Compared]]
) -> tuple[list[_Compared], bool]:
    """The first hits that say something else than those before them, and whether there are too few because of others."""
    asked, most, copies = _words(wanted.query), wanted.max_results, 0
    chosen: dict[str, _Compared] = {}
    for first in range(0, len(order), most):
        for hit in hits_of(order[first : first + most]):
            said = _words(hit[0].record.text if isinstance(hit[0].record, Turn) else hit[0].passage)
            if said in chosen:
                copies += 1
            elif said == asked or len(chosen) - (asked in chosen) < most:
                chosen[said] = hit
        if len(chosen) - (asked in chosen) >= most:
            return [*chosen.values()], False
    return [*chosen.values()], copies > 0


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _no_vector(embedder: str) -> str:
    missing = f"the query has no word that the embedder knows: {embedder} has no vector for it"
    return f"{missing}, so no similarity is known"
