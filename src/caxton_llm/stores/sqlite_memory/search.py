"""Candidates for a query: what the lexical and the vector side propose, with exact cosines, one line for each record."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.filters import Filters, normal_area
from caxton_llm.memory.store import Candidate
from caxton_llm.stores.sqlite_memory.analysis import terms_of
from caxton_llm.stores.sqlite_memory.columns import Mask, Snapshot
from caxton_llm.stores.sqlite_memory.dense import nearest
from caxton_llm.stores.sqlite_memory.indexes import Indexes, Opened
from caxton_llm.stores.sqlite_memory.lexical import Facets, Found, facets_of
from caxton_llm.stores.sqlite_memory.rows import KINDS, chunked, marks
from caxton_llm.stores.sqlite_memory.tail import Tail
from caxton_llm.stores.sqlite_memory.vectors import Floats, cosines, from_bytes

__all__ = ["Query", "find_candidates", "selection"]

_WIDER = 4
_SPARE = 16
"""Vectors more than asked for whose order is looked at exactly: bytes may swap near neighbours."""

_Places = NDArray[np.int64]


class Query(NamedTuple):
    """What is sought. `vector` has length 1."""

    text: str
    vector: Floats | None
    filters: Filters
    limit: int


class Selection(NamedTuple):
    """A filter in the numbers of the database."""

    owners: tuple[int, ...] | None
    types: tuple[int, ...] | None
    records: frozenset[int] | None
    """Records of the conversation or the focus areas; `None`: any."""


def selection(db: sqlite3.Connection, filters: Filters, tenant: int) -> Selection:
    """Look the filter's names up."""
    owners = types = records = None
    if filters.agent is not None or filters.workspace is not None or filters.scopes is not None:
        rows = db.execute("select id, scope, owner from owners where tenant = ?", (tenant,))
        owners = tuple(id for id, scope, owner in rows if _may_see(filters, scope, owner))
    if filters.types is not None:
        sql = f"select id from types where name in ({marks(filters.types)})"  # noqa: S608
        types = tuple(row[0] for row in db.execute(sql, filters.types))
    if filters.focus_areas is not None:
        areas = [normal_area(area) for area in filters.focus_areas]
        sql = f"select record from areas where tenant = ? and area in ({marks(areas)})"  # noqa: S608
        records = frozenset(row[0] for row in db.execute(sql, (tenant, *areas)))
    if filters.conversation is not None:
        sql = "select record from turns where tenant = ? and conversation = ?"
        said = frozenset(row[0] for row in db.execute(sql, (tenant, filters.conversation)))
        records = said if records is None else records & said
    return Selection(owners, types, records)


def _may_see(filters: Filters, scope: str, owner: str) -> bool:
    if filters.scopes is not None and scope not in filters.scopes:
        return False
    if scope == "agent":
        return filters.agent is None or owner == filters.agent
    if scope == "workspace":
        return filters.workspace is None or owner == filters.workspace
    return True


def mask_of(seen: Snapshot, filters: Filters, chosen: Selection) -> Mask:
    """Which passages may be found."""
    mask = seen.alive
    if chosen.owners is not None:
        mask = mask & np.isin(seen.owners, chosen.owners)
    if chosen.types is not None:
        mask = mask & np.isin(seen.types, chosen.types) & (seen.kinds == KINDS["entity"])
    if filters.kinds is not None:
        mask = mask & np.isin(seen.kinds, [KINDS[kind] for kind in filters.kinds])
    if filters.since is not None:
        mask = mask & (seen.times >= filters.since)
    if filters.until is not None:
        mask = mask & (seen.times <= filters.until)
    if filters.valid_at is not None:
        mask = mask & (seen.valid_from <= filters.valid_at) & (seen.valid_until > filters.valid_at)
    if chosen.records is not None:
        mask = mask & np.isin(seen.records, np.fromiter(chosen.records, np.int64, len(chosen.records)))
    return mask


def find_candidates(
    db: sqlite3.Connection, indexes: Indexes, opened: Opened, tail: Tail, seen: Snapshot, query: Query, space: int
) -> list[Candidate]:
    """Search in the connection's transaction, which is not older than `opened`."""
    chosen = selection(db, query.filters, tail.tenant)
    mask = mask_of(seen, query.filters, chosen)
    if not mask.any():
        return []
    facets = facets_of(query.filters, tail.tenant, chosen.owners, chosen.types)
    terms = terms_of(query.text)
    scores: dict[int, float] = {}
    if terms:
        tail.refresh(db, opened.indexed, int(seen.ids[-1]))
        scores = _lexical(db, indexes, opened, tail, seen, mask, terms, facets, query.limit)
    places = np.empty(0, np.int64)
    if query.vector is not None:
        graph = opened.graphs.get((tail.tenant, space))
        vector = query.vector

        def near(wanted: int) -> _Places:
            return nearest(seen, mask, vector, wanted + _SPARE, graph)

        places = _enough(near, seen, query.limit)
    both = np.union1d(places, np.fromiter(scores, np.int64, len(scores)))
    cosine = _exact(db, seen, both, query.vector, space)
    return _joined(db, seen, both, scores, cosine, set(_best(seen, places, cosine, query.limit)))


def _lexical(
    db: sqlite3.Connection,
    indexes: Indexes,
    opened: Opened,
    tail: Tail,
    seen: Snapshot,
    mask: Mask,
    terms: list[str],
    facets: Facets,
    limit: int,
) -> dict[int, float]:
    """Scores by place, of the best records."""
    lexical, folder = opened.lexical, opened.manifest.lexical

    def allowed(passages: NDArray[np.int64]) -> Mask:
        places = seen.places(passages)
        return (places >= 0) & mask[places]

    found: Found = []

    def search(wanted: int) -> _Places:
        nonlocal found
        assert lexical is not None
        found = lexical.search(terms, facets, wanted)
        places = seen.places(np.array([passage for passage, _ in found], np.int64))
        return np.where((places >= 0) & mask[places], places, -1)

    if lexical is not None:
        try:
            _enough(search, seen, limit)
        except (ValueError, OSError) as error:
            indexes.lost(f"the lexical index failed: {error}")
            found, lexical = [], None
            tail.refresh(db, 0, int(seen.ids[-1]))
    waiting = tail.search(
        terms,
        count=0 if lexical is None else lexical.count,
        average=0.0 if folder is None else folder.average_length,
        frequency=(lambda _: 0) if lexical is None else lexical.frequency,
        allowed=allowed,
    )
    scores = dict(waiting) | dict(found)
    passages = np.fromiter(scores, np.int64, len(scores))
    places = seen.places(passages)
    by_place = {
        place: scores[passage]
        for place, passage in zip(places.tolist(), passages.tolist(), strict=True)
        if place >= 0 and mask[place]
    }
    ordered = sorted(by_place, key=by_place.__getitem__, reverse=True)
    return {place: by_place[place] for place in _first(seen, ordered, limit)}


def _enough(search: Callable[[int], _Places], seen: Snapshot, limit: int) -> _Places:
    """Search for more passages until they are of enough records, or there are no more. -1 stands for what may not be found."""
    wanted = limit
    while True:
        places = search(wanted)
        good = places[places >= 0]
        if len(places) < wanted or wanted >= seen.count or len(np.unique(seen.records[good])) >= limit:
            return good
        wanted *= _WIDER


def _first(seen: Snapshot, places: Iterable[int], limit: int) -> list[int]:
    """Places, best first, of the first `limit` records."""
    records: set[int] = set()
    kept: list[int] = []
    for place in places:
        record = int(seen.records[place])
        if record not in records and len(records) == limit:
            continue
        records.add(record)
        kept.append(place)
    return kept


def _best(seen: Snapshot, places: _Places, cosine: dict[int, float], limit: int) -> list[int]:
    ordered = sorted((place for place in places.tolist() if place in cosine), key=lambda place: -cosine[place])
    return _first(seen, ordered, limit)


def _exact(
    db: sqlite3.Connection, seen: Snapshot, places: _Places, vector: Floats | None, space: int
) -> dict[int, float]:
    """Cosines by place from the vectors in the database."""
    if vector is None:
        return {}
    blobs: dict[int, bytes] = {}
    for chunk in chunked(seen.ids[places].tolist()):
        sql = f"select passage, vector from vectors where space = ? and passage in ({marks(chunk)})"  # noqa: S608
        blobs.update(db.execute(sql, (space, *chunk)))
    pairs = [
        (place, blobs[id]) for place, id in zip(places.tolist(), seen.ids[places].tolist(), strict=True) if id in blobs
    ]
    if not pairs:
        return {}
    near = cosines(from_bytes([blob for _, blob in pairs], len(vector)), vector)
    return {place: float(cosine) for (place, _), cosine in zip(pairs, near, strict=True)}


def _joined(
    db: sqlite3.Connection,
    seen: Snapshot,
    places: _Places,
    scores: dict[int, float],
    cosine: dict[int, float],
    dense: set[int],
) -> list[Candidate]:
    """One candidate for each record: its best scores, and the passage that is nearest, or fits best."""
    grouped: dict[int, list[int]] = {}
    for place in places.tolist():
        if place in scores or place in dense:
            grouped.setdefault(int(seen.records[place]), []).append(place)
    ids: dict[int, str] = {}
    for chunk in chunked(grouped):
        ids.update(db.execute(f"select key, id from records where key in ({marks(chunk)})", chunk))  # noqa: S608
    found = []
    for record, group in grouped.items():
        best = max(group, key=lambda place: (cosine.get(place, -2.0), scores.get(place, 0.0)))
        lexical = max((scores[place] for place in group if place in scores), default=None)
        found.append(Candidate(ids[record], int(seen.ordinals[best]), lexical, cosine.get(best)))
    return sorted(found, key=lambda one: (-(one.dense or 0.0), -(one.lexical or 0.0), one.id))
