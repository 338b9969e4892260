"""The tables, how older stores become the present ones, and what goes wrong with a database file, in words.

A store is made by the same steps that bring an older one up to date, so there is one description of the tables.
"""

import json
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from caxton_llm.errors import MemoryStoreError
from caxton_llm.stores import sqlite

__all__ = ["SCHEMA", "connect", "prepare", "translated"]

_TABLES = """
create table store (key text primary key, value text not null) without rowid;
create table tenants (id integer primary key, name text not null unique);
create table owners (id integer primary key, tenant integer not null, scope text not null, owner text not null,
  unique (tenant, scope, owner));
create table types (id integer primary key, name text not null unique);
create table spaces (id integer primary key, name text not null unique, dimensions integer not null);
create table records (key integer primary key autoincrement, id text not null unique, identity blob not null unique,
  kind integer not null, tenant integer not null, owner integer not null, type integer not null, at real not null,
  valid_from real, valid_until real, updated real not null, version integer not null, payload blob not null);
create index records_by_owner on records (owner, kind, updated);
create table names (record integer primary key, tenant integer not null, name blob not null);
create index names_by_name on names (tenant, name);
create table turns (record integer primary key, tenant integer not null, conversation text not null, number integer not null);
create index turns_by_number on turns (tenant, conversation, number);
create table relations (record integer primary key, source integer not null, target integer not null);
create index relations_by_source on relations (source);
create index relations_by_target on relations (target);
create table versions (record integer, version integer, change blob not null, primary key (record, version)) without rowid;
create table passages (id integer primary key autoincrement, tenant integer not null, record integer not null,
  ordinal integer not null);
create index passages_by_tenant on passages (tenant);
create index passages_by_record on passages (record);
create table vectors (space integer, passage integer, vector blob not null, primary key (space, passage)) without rowid;
create table removals (seq integer primary key autoincrement, tenant integer not null, passage integer not null);
"""

_AREAS = """
create table areas (tenant integer, area text, record integer, primary key (tenant, area, record)) without rowid;
create index areas_by_record on areas (record);
"""


_FACTS = """
alter table passages add column tokens blob;
alter table records add column confidence real;
alter table relations add column strength real not null default 1;
alter table turns add column speaker blob;
alter table turns add column asks integer not null default 0;
"""


def _make_tables(db: sqlite3.Connection) -> None:
    sqlite.run(db, _TABLES)
    db.execute("insert into store values ('id', ?)", (secrets.token_hex(16),))


def _add_areas(db: sqlite3.Connection) -> None:
    """Version 2: tags can be filtered by. Version 1 had the type alone."""
    from caxton_llm.memory.filters import normal_area  # noqa: PLC0415 - only where an older store is brought up to date

    sqlite.run(db, _AREAS)
    rows = db.execute("select r.key, r.tenant, t.name, r.kind, r.payload from records r join types t on t.id = r.type")
    for key, tenant, type_name, kind, payload in rows.fetchall():
        tags = (json.loads(payload).get("metadata") or {}).get("tags")
        areas = {normal_area(tag) for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()
        if kind != 2:  # a turn has no type
            areas.add(normal_area(type_name))
        db.executemany("insert into areas values (?, ?, ?)", [(tenant, area, key) for area in sorted(areas - {""})])


def _add_facts(db: sqlite3.Connection) -> None:
    """Version 3: what a search compares without reading the records. Tokens come when the store is opened."""
    from caxton_llm.memory.filters import confidence_of, weight_of  # noqa: PLC0415 - as above
    from caxton_llm.memory.merging import name_key  # noqa: PLC0415
    from caxton_llm.memory.model import Record, Relation, Turn  # noqa: PLC0415
    from caxton_llm.memory.query_words import is_question  # noqa: PLC0415

    sqlite.run(db, _FACTS)
    decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
    for key, payload in db.execute("select key, payload from records").fetchall():
        record = decoder.decode(payload)
        if isinstance(record, Turn):
            speaker = name_key(record.speaker) if record.speaker else None
            values = (speaker, is_question(record.text), key)
            db.execute("update turns set speaker = ?, asks = ? where record = ?", values)
        elif isinstance(record, Relation):
            db.execute("update relations set strength = ? where record = ?", (weight_of(record), key))
        else:
            db.execute("update records set confidence = ? where key = ?", (confidence_of(record), key))


_SPACES = """
create table known_spaces (id integer primary key autoincrement, name text not null unique, dimensions integer not null,
  settings text, calibration text);
insert into known_spaces (id, name, dimensions) select id, name, dimensions from spaces;
drop table spaces;
alter table known_spaces rename to spaces;
"""


def _remember_embedders(db: sqlite3.Connection) -> None:
    """Version 4: an embedder can be opened again by what is known of it. Numbers of spaces are never used twice, because
    another process may still hold vectors under one."""
    sqlite.run(db, _SPACES)


def _miss_tokens(db: sqlite3.Connection) -> None:
    """Version 5: where passages have lost their tokens (version 4 did that), opening the store makes them anew."""
    lost = "exists (select 1 from passages where tokens is null)"
    db.execute(f"delete from store where key = 'vocabulary' and {lost}")  # noqa: S608


_RECORDS = """
create table records_of_tenants (key integer primary key autoincrement, id text not null, identity blob not null unique,
  kind integer not null, tenant integer not null, owner integer not null, type integer not null, at real not null,
  valid_from real, valid_until real, updated real not null, version integer not null, payload blob not null,
  confidence real, unique (tenant, id));
insert into records_of_tenants select key, id, identity, kind, tenant, owner, type, at, valid_from, valid_until, updated,
  version, payload, confidence from records;
delete from sqlite_sequence where name = 'records_of_tenants';
insert into sqlite_sequence select 'records_of_tenants', seq from sqlite_sequence where name = 'records';
drop table records;
alter table records_of_tenants rename to records;
create index records_by_owner on records (owner, kind, updated);
"""


def _let_tenants_choose_ids(db: sqlite3.Connection) -> None:
    """Version 6: an id is that of one record of a tenant, not of all. Keys of deleted records are not used again."""
    sqlite.run(db, _RECORDS)


_KEYS_AT_ONCE = 500


def _make_keys_anew(db: sqlite3.Connection) -> None:
    """Version 7: names differ in every word, and words keep their marks. Where two records have one identity now, the first
    one keeps it."""
    from caxton_llm.memory.merging import identity_of, name_key, set_apart  # noqa: PLC0415 - as above
    from caxton_llm.memory.model import Entity, Record, Turn  # noqa: PLC0415

    decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
    db.execute("update records set identity = cast('old ' || key as blob)")  # a new one may be another's old one
    last = -1
    while rows := db.execute(
        "select key, payload from records where key > ? order by key limit ?", (last, _KEYS_AT_ONCE)
    ).fetchall():
        for last, payload in rows:
            record = decoder.decode(payload)
            identity = identity_of(record)
            if db.execute("select 1 from records where identity = ?", (identity,)).fetchone():
                identity = set_apart(identity, record.id)
            db.execute("update records set identity = ? where key = ?", (identity, last))
            if isinstance(record, Entity):
                db.execute("update names set name = ? where record = ?", (name_key(record.name), last))
            elif isinstance(record, Turn) and record.speaker:
                db.execute("update turns set speaker = ? where record = ?", (name_key(record.speaker), last))


_USES = """
create table if not exists uses (seq integer primary key autoincrement, tenant integer not null,
  record integer not null unique, count integer not null, last real not null);
"""


def _count_uses(db: sqlite3.Connection) -> None:
    """Version 8: how often records went into answers. A row gets a new number whenever it changes, so that others see which
    have."""
    sqlite.run(db, _USES)


_STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _make_tables,
    _add_areas,
    _add_facts,
    _remember_embedders,
    _miss_tokens,
    _let_tenants_choose_ids,
    _make_keys_anew,
    _count_uses,
)
SCHEMA = len(_STEPS)
"""The version of the tables."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing or a new database. One thread at a time may use it."""
    with translated(path):
        return sqlite.connect(path)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables or bring them up to date. Raises `MemoryStoreError` for a store of a newer version."""
    with translated(path):
        if sqlite.version(db) == SCHEMA:
            return
        db.execute("begin immediate")
        try:
            version = sqlite.version(db)
            if version > SCHEMA:
                raise MemoryStoreError(
                    f"the memory in {path} was written by a newer version (schema {version}, this one knows {SCHEMA}); "
                    "use that version, or export it there and import it here"
                )
            if version == 0 and db.execute("select count(*) from sqlite_schema").fetchone()[0]:
                raise MemoryStoreError(f"{path} is a database of something else; give the memory a folder of its own")
            for step in _STEPS[version:]:
                step(db)
            db.execute(f"pragma user_version = {SCHEMA}")
            db.execute("commit")
        except BaseException:
            db.execute("rollback")
            raise


def translated(path: Path) -> AbstractContextManager[None]:
    """Errors of SQLite and of the file system become `MemoryStoreError`s that say how to mend it."""
    return sqlite.translated(path, "the memory", MemoryStoreError)
