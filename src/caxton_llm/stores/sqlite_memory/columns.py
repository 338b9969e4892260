"""One tenant's passages in memory, as columns: what a filter asks of them, and their vectors as bytes.

Always as new as the database: what was committed since the last search is read before the next one, so that a filter is a
mask and never hides what the index has not seen. Rows are appended and marked as gone, never moved, so a search may go on
reading while a later one appends.
"""

import sqlite3
import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import TokenVectors
from caxton_llm.stores.sqlite_memory.beside import Beside
from caxton_llm.stores.sqlite_memory.growing import with_room
from caxton_llm.stores.sqlite_memory.name_bits import NameBits
from caxton_llm.stores.sqlite_memory.token_rows import TokenRows
from caxton_llm.stores.sqlite_memory.vectors import from_bytes, quantised

__all__ = ["Allowed", "Columns", "Mask", "Snapshot"]

Mask = NDArray[np.bool_]

_PASSAGES = """
select p.id, p.record, p.ordinal, r.owner, r.kind, r.type, r.at, ifnull(r.valid_from, -1e300), ifnull(r.valid_until, 1e300),
  ifnull(r.confidence, -1), ifnull(t.number, -1), ifnull(t.asks, 0), ifnull(u.count, 0),
  t.conversation, t.speaker, n.name, p.tokens, v.vector
from passages p join records r on r.key = p.record left join turns t on t.record = p.record
left join names n on n.record = p.record
left join uses u on u.record = p.record
left join vectors v on v.space = ? and v.passage = p.id
where p.tenant = ? and p.id > ? order by p.id
"""
_USES = """
select p.id, u.count from uses u join passages p on p.record = u.record where u.seq > ? and u.tenant = ?
"""
# Each alone is the end of an index; both in one would read all. The last are the newest passage and use there ever were.
_CHANGES = """select (select min(seq) from removals), (select max(seq) from removals),
  ifnull((select seq from sqlite_sequence where name = 'passages'), 0),
  ifnull((select seq from sqlite_sequence where name = 'uses'), 0)"""
_READ = 20_000
"""Rows that are read at a time."""
_NUMBERS = (
    ("ids", np.int64),
    ("records", np.int64),
    ("ordinals", np.int32),
    ("owners", np.int32),
    ("kinds", np.int8),
    ("types", np.int32),
    ("times", np.float64),
    ("valid_from", np.float64),
    ("valid_until", np.float64),
    ("confidence", np.float32),
    ("positions", np.int32),
    ("asks", np.bool_),
    ("uses", np.int32),
)
"""Columns that are numbers in the database, in the order of the query."""
_CODES = (("conversations", np.int32), ("speakers", np.int32))
"""Columns that are made of what follows them there."""
_COLUMNS = _NUMBERS + _CODES
_OWNER = 3


class Allowed(NamedTuple):
    """What a filter lets through: a mask over the passages, the places of those that it lets through, and of how many records
    they are."""

    mask: Mask
    places: NDArray[np.int64]
    records: int


class Columns:
    """The passages of one tenant with their vectors in one space."""

    def __init__(self, tenant: int, space: int, dimensions: int, vocabulary: TokenVectors) -> None:
        self.tenant = tenant
        self.space = space
        self.dimensions = dimensions
        self.vocabulary = vocabulary
        self.lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self.count = 0
        self.gone = 0
        self.beside = Beside()
        self._removal: int | None = None
        self._newest = 0
        self._used = 0
        self._snapshot: Snapshot | None = None
        self._arrays: dict[str, NDArray[np.generic]] = {name: np.empty(0, kind) for name, kind in _COLUMNS}
        self.tokens = TokenRows(self.vocabulary)
        self.names = NameBits()
        self._conversations: dict[tuple[int, str], int] = {}
        self.speakers: dict[bytes, int] = {}
        self._alive: Mask = np.empty(0, np.bool_)
        self._small: NDArray[np.int8] = np.empty((0, self.dimensions), np.int8)
        self._reciprocals: NDArray[np.float32] = np.empty(0, np.float32)

    def refresh(self, db: sqlite3.Connection) -> "Snapshot":
        """Read what is new in the connection's transaction."""
        with self.lock:
            oldest, newest, passage, used = db.execute(_CHANGES).fetchone()
            known = self._removal
            if known is not None and (
                (oldest is not None and oldest > known + 1) or self.gone > 1000 + self.count // 4
            ):
                # What was removed is no longer listed, or a quarter is gone: read all again.
                self._reset()
                known = None
            if known is not None and newest is not None and newest > known:
                sql = "select passage from removals where seq > ? and tenant = ?"
                self._remove([row[0] for row in db.execute(sql, (known, self.tenant))])
            self._removal = newest or known or 0
            if passage > self._newest:
                last = int(self._arrays["ids"][self.count - 1]) if self.count else 0
                cursor = db.execute(_PASSAGES, (self.space, self.tenant, last))
                while rows := cursor.fetchmany(_READ):
                    self._append(rows)
                self._newest = passage
            if used > self._used:
                self._count_uses(db.execute(_USES, (self._used, self.tenant)).fetchall())
                self._used = used
            if self._snapshot is None:
                self._snapshot = Snapshot(self)
            return self._snapshot

    def _remove(self, ids: list[int]) -> None:
        known = self._arrays["ids"][: self.count]
        wanted = np.asarray(ids, np.int64)
        places = np.searchsorted(known, wanted)
        inside = places < self.count
        places = places[inside][known[places[inside]] == wanted[inside]]
        places = places[self._alive[places]]
        if not len(places):
            return
        self._snapshot = None
        self.gone += len(places)
        self._alive[places] = False
        self.tokens.remove(places)

    def _count_uses(self, rows: list[tuple[int, int]]) -> None:
        """In place: for a search that goes on meanwhile one count is as good as the other."""
        counts = dict(rows)
        wanted = np.array(sorted(counts), np.int64)
        known = self._arrays["ids"][: self.count]
        places = np.searchsorted(known, wanted)
        is_known = places < self.count
        is_known[is_known] = known[places[is_known]] == wanted[is_known]
        self._arrays["uses"][places[is_known]] = [counts[one] for one in wanted[is_known].tolist()]

    def _append(self, rows: list[tuple[Any, ...]]) -> None:
        self._snapshot = None
        start, end = self.count, self.count + len(rows)
        self._grow(end)
        fields = list(zip(*rows, strict=True))
        for (name, kind), values in zip(_NUMBERS, fields, strict=False):
            self._arrays[name][start:end] = np.asarray(values, kind)
        conversations, speakers, names, tokens, vectors = fields[-5:]
        self._arrays["conversations"][start:end] = self._codes(rows, conversations)
        known = self.speakers
        self._arrays["speakers"][start:end] = [
            -1 if one is None else known.setdefault(one, len(known)) for one in speakers
        ]
        self.beside.append(start, self._arrays["conversations"][start:end], self._arrays["positions"][start:end])
        self.names.append([name for name in names if name is not None])
        self.tokens.append([blob or b"" for blob in tokens])
        width = 2 * self.dimensions
        missing = bytes(width)
        blobs = [blob if isinstance(blob, bytes) and len(blob) == width else missing for blob in vectors]
        self._small[start:end], self._reciprocals[start:end] = quantised(from_bytes(blobs, self.dimensions))
        self._alive[start:end] = True
        self.count = end

    def _codes(self, rows: list[tuple[Any, ...]], conversations: tuple[Any, ...]) -> list[int]:
        """A number for each conversation: turns of one name are one conversation if they have one owner."""
        known = self._conversations
        return [
            -1 if name is None else known.setdefault((row[_OWNER], name), len(known))
            for row, name in zip(rows, conversations, strict=True)
        ]

    def _grow(self, needed: int) -> None:
        for name, array in self._arrays.items():
            self._arrays[name] = with_room(array, self.count, needed)
        self._alive = with_room(self._alive, self.count, needed)
        self._reciprocals = with_room(self._reciprocals, self.count, needed)
        self._small = with_room(self._small, self.count, needed)


class Snapshot:
    """The columns as one search sees them."""

    def __init__(self, columns: Columns) -> None:
        count = columns.count
        arrays = columns._arrays
        self.count = count
        self.space = columns.space
        self.alive = columns._alive[:count].copy()
        self.ids: NDArray[np.int64] = arrays["ids"][:count]  # type: ignore[assignment]
        self.records: NDArray[np.int64] = arrays["records"][:count]  # type: ignore[assignment]
        self.ordinals: NDArray[np.int32] = arrays["ordinals"][:count]  # type: ignore[assignment]
        self.owners: NDArray[np.int32] = arrays["owners"][:count]  # type: ignore[assignment]
        self.kinds = arrays["kinds"][:count]
        self.types: NDArray[np.int32] = arrays["types"][:count]  # type: ignore[assignment]
        self.times: NDArray[np.float64] = arrays["times"][:count]  # type: ignore[assignment]
        self.valid_from: NDArray[np.float64] = arrays["valid_from"][:count]  # type: ignore[assignment]
        self.valid_until: NDArray[np.float64] = arrays["valid_until"][:count]  # type: ignore[assignment]
        self.confidence: NDArray[np.float32] = arrays["confidence"][:count]  # type: ignore[assignment]
        self.positions: NDArray[np.int32] = arrays["positions"][:count]  # type: ignore[assignment]
        self.asks: Mask = arrays["asks"][:count]  # type: ignore[assignment]
        self.uses: NDArray[np.int32] = arrays["uses"][:count]  # type: ignore[assignment]
        self.conversations: NDArray[np.int32] = arrays["conversations"][:count]  # type: ignore[assignment]
        self.speakers: NDArray[np.int32] = arrays["speakers"][:count]  # type: ignore[assignment]
        self._beside = columns.beside
        self.speaker_codes = columns.speakers
        self.tokens = columns.tokens
        self.names = columns.names
        self.gone = columns.gone
        self.small = columns._small[:count]
        self.reciprocals = columns._reciprocals[:count]
        self.last_allowed: tuple[object, Allowed] | None = None
        """For which filter, and what it lets through: most searches of a tenant have the same one."""

    def beside(self, places: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
        """Places of turns that stand at most `reach` before or after a turn among `places`; also of turns that are gone."""
        found = self._beside.around(self.conversations[places], self.positions[places], reach)
        return found[found < self.count]

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where passages are; -1 for those that are not."""
        if not self.count:
            return np.full(len(ids), -1, np.int64)
        places = np.minimum(np.searchsorted(self.ids, ids), self.count - 1)
        return np.where(self.ids[places] == ids, places, -1)
