"""The nearest vectors: exactly where a filter leaves few, by pgvector's graph (HNSW) where it leaves many.

The graph is searched on until enough of what it finds passes the filter. Where that is hopeless from the start, or was in
vain, all that the filter leaves is compared: a filter never leaves too few results.
"""

from typing import NamedTuple

from caxton_llm.stores.postgres_memory.halves import Halves
from caxton_llm.stores.postgres_memory.samples import Sample
from caxton_llm.stores.postgres_memory.selection import Selection
from caxton_llm.stores.postgres_memory.sessions import Connection
from caxton_llm.stores.postgres_memory.spaces import Space

__all__ = ["Counted", "Near", "counted", "nearest"]

EXACT = 10_000
"""Passages up to which all are compared; that takes about as long as the graph does."""
_LISTS = (200, 1_000)
"""How many vectors the graph looks at in one go (`hnsw.ef_search`), at least and at most: more find more."""
_SCANNED = 40_000
"""Vectors that the graph may look at (`hnsw.max_scan_tuples`)."""


class Near(NamedTuple):
    """A passage that is near, and its record."""

    passage: int
    record: int


class Counted(NamedTuple):
    """How much a filter leaves: exact up to `EXACT` passages, else an estimate of the planner or of the tenant's sample."""

    passages: int
    records: int


def counted(db: Connection, chosen: Selection, sample: Sample) -> Counted:
    """Count what may be found."""
    if len(chosen.conditions) == 1 and sample.documents > EXACT:
        return Counted(sample.documents, sample.records)
    query = f"""select count(*), count(*) filter (where ordinal = 0)
        from (select p.ordinal from passages p where {chosen.of("p")} limit {EXACT + 1}) few"""  # noqa: S608
    passages, records = db.execute(query, chosen.values).fetchone() or (0, 0)
    if passages <= EXACT:
        return Counted(passages, records)
    query = f"explain (format json) select from passages p where {chosen.of('p')}"
    row = db.execute(query, chosen.values).fetchone()
    estimate = max(passages, int(row[0][0]["Plan"]["Plan Rows"]) if row else 0)
    return Counted(estimate, max(records, estimate * records // passages))


def nearest(
    db: Connection, chosen: Selection, count: Counted, *, space: Space, vector: Halves, limit: int
) -> list[Near]:
    """The nearest passages, nearest first: as many as are needed for `limit` records, if there are."""
    wanted = limit + limit // 4
    while True:
        found = _nearest(db, chosen, count, space=space, vector=vector, wanted=wanted)
        if len(found) < wanted or len({one.record for one in found}) >= limit:
            return found
        wanted *= 4


def _nearest(
    db: Connection, chosen: Selection, count: Counted, *, space: Space, vector: Halves, wanted: int
) -> list[Near]:
    values = {**chosen.values, "vector": vector, "wanted": wanted}
    if count.passages > EXACT:
        row = db.execute("select reltuples from pg_class where oid = %s::regclass", (space.table,)).fetchone()
        looked_at = wanted * max(1.0, (row[0] if row else 0) / count.passages)
        if looked_at <= _SCANNED:
            query = f"""select v.passage, v.record from {space.table} v where {chosen.of("v")}
                order by v.vector <=> %(vector)s limit %(wanted)s"""  # noqa: S608
            _use_graph(db, "off", int(min(max(2 * looked_at, _LISTS[0]), _LISTS[1])))
            found = [Near(*row) for row in db.execute(query, values)]
            _use_graph(db, "on", _LISTS[0])
            if len(found) == wanted:
                return found
    # What is no plain distance cannot be answered by the graph. A vector of zeros is no vector: nothing is near it.
    query = f"""select passage, record from (
          select v.passage, v.record, (v.vector <=> %(vector)s) + 0 as distance
          from passages p join {space.table} v on v.passage = p.id where {chosen.of("p")} offset 0
        ) every where distance <> 'NaN' order by distance, passage limit %(wanted)s"""  # noqa: S608
    return [Near(*row) for row in db.execute(query, values)]


def _use_graph(db: Connection, others: str, size: int) -> None:
    """Forbid or allow the other ways: the planner takes the graph for dearer than it is, above all without statistics."""
    query = """select set_config('enable_seqscan', %(others)s, true), set_config('enable_bitmapscan', %(others)s, true),
        set_config('hnsw.ef_search', %(size)s, true)"""
    db.execute(query, {"others": others, "size": str(size)})
