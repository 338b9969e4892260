"""What a search reaches by names, relations and neighbourhood: looked up by indexes, few and exact."""

from collections.abc import Iterable, Sequence

from caxton_llm.stores.postgres_memory.selection import Selection
from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = ["Edges", "Reached", "beside", "edges_of", "named", "passages_of_records"]

_RELATIONS = 16
"""Relations of one entity that are followed, the strongest."""

Edges = dict[tuple[int, int], float]
"""Relations by the keys of the entities at their ends, and how strong each is."""
Reached = list[tuple[int, int]]
"""Passages and their records."""


def named(db: Connection, chosen: Selection, names: Sequence[bytes], limit: int) -> Reached:
    """Passages of entities that have one of the names, at most `limit` entities of each."""
    if not names:
        return []
    query = f"""select p.id, p.record from unnest(%(names)s::bytea[]) wanted(name)
        cross join lateral (select r.key from records r where r.tenant = %(f_tenant)s and r.name = wanted.name
          order by r.key limit %(limit)s) called
        join passages p on p.record = called.key where {chosen.of("p")}"""  # noqa: S608
    return db.execute(query, {**chosen.values, "names": list(names), "limit": limit}).fetchall()


def passages_of_records(db: Connection, chosen: Selection, records: Iterable[int]) -> Reached:
    """Those of their passages that may be found."""
    keys = list(records)
    if not keys:
        return []
    query = f"select p.id, p.record from passages p where p.record = any(%(keys)s) and {chosen.of('p')}"  # noqa: S608
    return db.execute(query, {**chosen.values, "keys": keys}).fetchall()


def beside(db: Connection, chosen: Selection, turns: Sequence[int], reach: int) -> Reached:
    """Passages of turns that stand at most `reach` places from one of these passages in its conversation."""
    query = f"""select distinct p.id, p.record from passages mine join passages p on p.conversation = mine.conversation
          and p.position between mine.position - %(reach)s and mine.position + %(reach)s and p.owner = mine.owner
        where mine.id = any(%(turns)s) and {chosen.of("p")}"""  # noqa: S608
    values = {**chosen.values, "turns": list(turns), "reach": reach}
    return db.execute(query, values).fetchall()


def edges_of(db: Connection, chosen: Selection, records: Sequence[int]) -> Edges:
    """The strongest relations from and to each of these entities, of those that may be seen."""
    if not records:
        return {}
    some = f"""(select l.source, l.target, l.strength from relations l join records o on o.key = l.record
          where l.{{}} = one.key and {chosen.seen("o")} order by l.strength desc limit %(most)s)"""  # noqa: S608
    query = f"""select r.source, r.target, max(r.strength) from unnest(%(keys)s::bigint[]) one(key) cross join lateral (
          {some.format("source")} union all {some.format("target")} order by strength desc limit %(most)s
        ) r group by r.source, r.target"""  # noqa: S608
    rows = db.execute(query, {**chosen.values, "keys": list(records), "most": _RELATIONS}).fetchall()
    return {(source, target): strength for source, target, strength in rows}
