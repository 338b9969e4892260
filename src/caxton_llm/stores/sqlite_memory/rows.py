"""Records as rows: reading them, writing one with all that belongs to it, and deleting every trace of it."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.filters import areas_of, confidence_of, time_of, weight_of
from caxton_llm.memory.merging import identity_of, name_key
from caxton_llm.memory.model import Entity, Owner, Record, Relation, Turn, owner_of
from caxton_llm.memory.query_words import is_question
from caxton_llm.memory.versions import Change

__all__ = [
    "KINDS",
    "PassageRow",
    "Row",
    "Rows",
    "chunked",
    "decode",
]

KINDS = {"entity": 0, "relation": 1, "turn": 2}
"""How kinds are written in the table."""

_MANY = 500
"""Values in one `in (...)`."""

_record_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_change_decoder = msgspec.json.Decoder(Change)
_encode = msgspec.json.encode


class Row(NamedTuple):
    """A record as it is stored."""

    key: int
    tenant: int
    record: Record


class PassageRow(NamedTuple):
    """What is written of a passage: its tokens, and its vectors with their spaces' numbers."""

    tokens: bytes
    vectors: Sequence[tuple[int, bytes]]


def decode(payload: bytes) -> Record:
    """Raises `MemoryStoreError` for a payload that is no record."""
    try:
        return _record_decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise MemoryStoreError(
            f"a record of the memory cannot be read ({error}); restore the store from a backup"
        ) from error


def kind_of(record: Record) -> int:
    """The record's kind as it is written in the table."""
    return 0 if isinstance(record, Entity) else 1 if isinstance(record, Relation) else 2


def chunked(values: Iterable[Any], size: int = _MANY) -> Iterator[list[Any]]:
    """The values in lists of at most `size`."""
    chunk: list[Any] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def marks(values: Sequence[Any]) -> str:
    """Question marks for an `in (...)`."""
    return ",".join("?" * len(values))


class Rows:
    """The tables of records over one connection. Codes for names are remembered, except what a rollback may undo."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._codes: dict[tuple[Any, ...], int] = {}

    def forget_codes(self) -> None:
        """After a rollback."""
        self._codes.clear()

    # -- reading --------------------------------------------------------------------------------------------------------

    def tenant(self, name: str) -> int | None:
        """The tenant's number; `None`: nothing was ever written for it."""
        row = self.db.execute("select id from tenants where name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def by_id(self, record: str, tenant: str) -> Row | None:
        number = self.tenant(tenant)
        sql = "select key, tenant, payload from records where tenant = ? and id = ?"
        return None if number is None else self._one(sql, number, record)

    def by_identity(self, identity: bytes) -> Row | None:
        return self._one("select key, tenant, payload from records where identity = ?", identity)

    def _one(self, sql: str, *values: object) -> Row | None:
        row = self.db.execute(sql, values).fetchone()
        return None if row is None else Row(row[0], row[1], decode(row[2]))

    def by_ids(self, ids: Iterable[str], tenant: int) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for chunk in chunked(dict.fromkeys(ids)):
            sql = f"select id, key, payload from records where tenant = ? and id in ({marks(chunk)})"  # noqa: S608
            for name, key, payload in self.db.execute(sql, (tenant, *chunk)):
                found[name] = Row(key, tenant, decode(payload))
        return found

    def by_keys(self, keys: Iterable[int]) -> dict[int, Record]:
        found: dict[int, Record] = {}
        for chunk in chunked(dict.fromkeys(keys)):
            sql = f"select key, payload from records where key in ({marks(chunk)})"  # noqa: S608
            found.update((key, decode(payload)) for key, payload in self.db.execute(sql, chunk))
        return found

    def changes(self, key: int) -> list[Change]:
        """What has changed, the last change first."""
        sql = "select change from versions where record = ? order by version desc"
        return [_change_decoder.decode(change) for (change,) in self.db.execute(sql, (key,))]

    # -- writing --------------------------------------------------------------------------------------------------------

    def code(self, table: str, **values: object) -> int:
        """The number of a name in one of the tables of names, made if need be."""
        known = (table, *values.values())
        found = self._codes.get(known)
        if found is None:
            where = " and ".join(f"{column} = ?" for column in values)
            row = self.db.execute(f"select id from {table} where {where}", tuple(values.values())).fetchone()  # noqa: S608
            if row is None:
                sql = f"insert into {table} ({', '.join(values)}) values ({marks(list(values))}) returning id"  # noqa: S608
                row = self.db.execute(sql, tuple(values.values())).fetchone()
            found = self._codes[known] = int(row[0])
        return found

    def write(self, record: Record, key: int | None) -> tuple[int, int]:
        """Insert or replace the record's rows, without passages. Returns its key and its tenant's number."""
        owner = owner_of(record)
        tenant = self.code("tenants", name=owner.tenant)
        values = self._columns(record, owner, tenant)
        if key is None:
            sql = f"insert into records ({', '.join(values)}) values ({marks(list(values))})"  # noqa: S608
            key = self.db.execute(sql, tuple(values.values())).lastrowid or 0
        else:
            changed = ", ".join(f"{name} = ?" for name in values)
            self.db.execute(f"update records set {changed} where key = ?", (*values.values(), key))  # noqa: S608
            self._delete_lookups(key)
        self._write_lookups(record, key, tenant)
        return key, tenant

    def _columns(self, record: Record, owner: Owner, tenant: int) -> dict[str, object]:
        written = record.updated or 0.0
        return {
            "id": record.id,
            "identity": identity_of(record),
            "kind": kind_of(record),
            "tenant": tenant,
            "owner": self.code("owners", tenant=tenant, scope=owner.scope, owner=owner.owner),
            "type": self.code("types", name=record.role if isinstance(record, Turn) else record.type),
            "at": time_of(record, written),
            "valid_from": record.valid_from if isinstance(record, Entity) else None,
            "valid_until": record.valid_until if isinstance(record, Entity) else None,
            "updated": written,
            "version": record.version,
            "confidence": confidence_of(record),
            "payload": _encode(record),
        }

    def _write_lookups(self, record: Record, key: int, tenant: int) -> None:
        if isinstance(record, Entity):
            self.db.execute("insert into names values (?, ?, ?)", (key, tenant, name_key(record.name)))
        elif isinstance(record, Turn):
            speaker = name_key(record.speaker) if record.speaker else None
            values = (key, tenant, record.conversation, record.index, speaker, is_question(record.text))
            self.db.execute("insert into turns values (?, ?, ?, ?, ?, ?)", values)
        else:
            sql = """insert into relations select ?1, s.key, t.key, ?2 from records s, records t
                where s.tenant = ?3 and s.id = ?4 and t.tenant = ?3 and t.id = ?5"""
            self.db.execute(sql, (key, weight_of(record), tenant, record.source, record.target))
        for area in areas_of(record):
            self.db.execute("insert into areas values (?, ?, ?)", (tenant, area, key))

    def _delete_lookups(self, key: int) -> None:
        for table in ("names", "turns", "relations", "areas"):
            self.db.execute(f"delete from {table} where record = ?", (key,))  # noqa: S608

    def write_change(self, key: int, change: Change) -> None:
        self.db.execute("insert or replace into versions values (?, ?, ?)", (key, change.version, _encode(change)))

    def write_passages(self, key: int, tenant: int, passages: Sequence["PassageRow"]) -> None:
        """Insert the passages of a record in their order."""
        for ordinal, row in enumerate(passages):
            sql = "insert into passages (tenant, record, ordinal, tokens) values (?, ?, ?, ?)"
            passage = self.db.execute(sql, (tenant, key, ordinal, row.tokens)).lastrowid
            for space, vector in row.vectors:
                self.db.execute("insert into vectors values (?, ?, ?)", (space, passage, vector))

    def note_used(self, ids: Iterable[str], tenant: int, at: float) -> int:
        """Count a use of each record. Returns how many there are."""
        sql = """insert or replace into uses (tenant, record, count, last)
            select r.tenant, r.key, ifnull(u.count, 0) + 1, max(ifnull(u.last, ?1), ?1)
            from records r left join uses u on u.record = r.key where r.tenant = ?2 and r.id = ?3"""
        return sum(self.db.execute(sql, (at, tenant, one)).rowcount for one in dict.fromkeys(ids))

    def delete_passages(self, key: int, tenant: int) -> int:
        """Returns how many there were."""
        ids = [row[0] for row in self.db.execute("select id from passages where record = ?", (key,))]
        if ids:
            for (space,) in self.db.execute("select id from spaces").fetchall():
                self.db.executemany(
                    "delete from vectors where space = ? and passage = ?", [(space, one) for one in ids]
                )
            self.db.execute("delete from passages where record = ?", (key,))
            self.db.executemany("insert into removals (tenant, passage) values (?, ?)", [(tenant, one) for one in ids])
        return len(ids)

    def delete(self, key: int, tenant: int) -> tuple[int, int]:
        """Delete every row of a record. Returns how many versions and passages there were."""
        passages = self.delete_passages(key, tenant)
        versions = self.db.execute("delete from versions where record = ?", (key,)).rowcount
        self._delete_lookups(key)
        self.db.execute("delete from uses where record = ?", (key,))
        self.db.execute("delete from records where key = ?", (key,))
        return versions, passages
