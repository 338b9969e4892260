"""Records that a search reaches by names and relations: looked up in the database, few and exact."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from caxton_llm.stores.sqlite_memory.rows import chunked, marks

__all__ = ["Edges", "edges_of", "named_records", "passages_of_records"]

_RELATIONS = 200
"""Relations that are followed, the strongest."""


class Edges(NamedTuple):
    """Relations by the keys of the entities at their ends, and how strong each is: strength times confidence."""

    ends: NDArray[np.int64]
    strengths: NDArray[np.float32]

    @classmethod
    def none(cls) -> Self:
        return cls(np.empty((0, 2), np.int64), np.empty(0, np.float32))

    @property
    def records(self) -> list[int]:
        """All entities at their ends."""
        return [int(key) for key in np.unique(self.ends)]

    def among(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Both ways, as places in `keys` (sorted); without those that have an end elsewhere."""
        if not len(self.ends) or not len(keys):
            return np.empty((0, 2), np.int64), np.empty(0, np.float32)
        places = np.minimum(np.searchsorted(keys, self.ends), len(keys) - 1)
        inside = (keys[places] == self.ends).all(axis=1)
        places, strengths = places[inside], self.strengths[inside]
        return np.concatenate([places, places[:, ::-1]]), np.concatenate([strengths, strengths])


def edges_of(db: sqlite3.Connection, records: Sequence[int], tenant: int, owners: Collection[int] | None) -> Edges:
    """The strongest relations from and to these entities, of those that belong to one of the owners (`None`: any)."""
    if not records:
        return Edges.none()
    # SQLite keeps the order of a cross join: from few relations to their records, never through all records of a tenant.
    known = "from relations l cross join records r on r.key = l.record"
    sql = f"""select l.source, l.target, l.strength as strength, r.owner {known}
          where l.source in ({marks(records)}) and r.tenant = ?
        union select l.source, l.target, l.strength, r.owner {known}
          where l.target in ({marks(records)}) and r.tenant = ?
        order by strength desc"""
    strongest: dict[tuple[int, int], float] = {}
    for source, target, strength, owner in db.execute(sql, (*records, tenant, *records, tenant)):
        if owners is None or owner in owners:
            strongest.setdefault((source, target), strength)
        if len(strongest) == _RELATIONS:
            break
    if not strongest:
        return Edges.none()
    return Edges(np.array(list(strongest), np.int64), np.array(list(strongest.values()), np.float32))


def named_records(db: sqlite3.Connection, tenant: int, names: Sequence[bytes], limit: int) -> list[int]:
    """Entities that have one of the names, at most `limit`."""
    if not names:
        return []
    sql = f"select record from names where tenant = ? and name in ({marks(names)}) limit ?"  # noqa: S608
    return [row[0] for row in db.execute(sql, (tenant, *names, limit))]


def passages_of_records(db: sqlite3.Connection, records: Iterable[int]) -> NDArray[np.int64]:
    """The numbers of their passages."""
    found: list[int] = []
    for chunk in chunked(records):
        sql = f"select id from passages where record in ({marks(chunk)})"  # noqa: S608
        found += [row[0] for row in db.execute(sql, chunk)]
    return np.array(found, np.int64)
