"""A search's filter in the numbers of the database, and as a mask over a tenant's passages."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.filters import Filters, normal_area
from caxton_llm.stores.sqlite_memory.columns import Allowed, Mask, Snapshot
from caxton_llm.stores.sqlite_memory.rows import KINDS, marks

__all__ = ["Selection", "allowed", "selection"]


class Selection(NamedTuple):
    """What is allowed; `None`: anything. `records` are those of the conversation or the focus areas; `sees_all`: the owners
    are all that the tenant had when they were looked up."""

    owners: tuple[int, ...] | None
    types: tuple[int, ...] | None
    records: frozenset[int] | None
    sees_all: bool = True


def selection(db: sqlite3.Connection, filters: Filters, tenant: int) -> Selection:
    """Look the filter's names up."""
    owners = types = records = None
    sees_all = True
    if filters.agent is not None or filters.workspace is not None or filters.scopes is not None:
        rows = db.execute("select id, scope, owner from owners where tenant = ?", (tenant,)).fetchall()
        owners = tuple(number for number, scope, owner in rows if _may_see(filters, scope, owner))
        sees_all = len(owners) == len(rows)
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
    return Selection(owners, types, records, sees_all)


def _may_see(filters: Filters, scope: str, owner: str) -> bool:
    if filters.scopes is not None and scope not in filters.scopes:
        return False
    if scope == "agent":
        return filters.agent is None or owner == filters.agent
    if scope == "workspace":
        return filters.workspace is None or owner == filters.workspace
    return True


def allowed(seen: Snapshot, filters: Filters, chosen: Selection) -> Allowed:
    """Which passages may be found; little to do for the same filter again."""
    kinds = None if filters.kinds is None else tuple(filters.kinds)
    key = (chosen, kinds, filters.since, filters.until, filters.valid_at)
    last = seen.last_allowed
    if last is None or last[0] != key:
        mask = _mask_of(seen, filters, chosen)
        records = int(np.count_nonzero(mask & (seen.ordinals == 0)))
        last = seen.last_allowed = key, Allowed(mask, mask.nonzero()[0], records)
    return last[1]


def _mask_of(seen: Snapshot, filters: Filters, chosen: Selection) -> Mask:
    mask = seen.alive
    if chosen.owners is not None:
        mask = mask & _among(seen.owners, chosen.owners)
    if chosen.types is not None:
        mask = mask & _among(seen.types, chosen.types) & (seen.kinds == KINDS["entity"])
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


def _among(column: NDArray[np.int32], numbers: Sequence[int]) -> Mask:
    """Which of many numbers, from 0 on, are among a few: looked up, which is several times as fast as `numpy.isin`."""
    table = np.zeros(max(numbers, default=0) + 2, np.bool_)
    table[list(numbers)] = True
    found: Mask = table.take(column, mode="clip")
    return found
