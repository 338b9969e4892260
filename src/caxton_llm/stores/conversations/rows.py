"""The tables of conversations, and the statements that read and change them; every function is part of a transaction."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from caxton_llm.agents.conversation import Conversation, ConversationKey, Exchange, Position, Summary
from caxton_llm.errors import ConversationStoreError
from caxton_llm.stores import sqlite

__all__ = [
    "SCHEMA",
    "add_exchanges",
    "add_summary",
    "delete",
    "describe",
    "exchanges_from",
    "expired",
    "find",
    "first_of_last",
    "listed",
    "prepare",
    "sized_exchanges_from",
    "summaries_of",
]

_TABLES = """
create table conversations (id integer primary key autoincrement, tenant text not null, agent text not null,
  name text not null, length integer not null, turns integer not null, size integer not null,
  created real not null, updated real not null, unique (tenant, agent, name));
create index conversations_by_time on conversations (updated);
create table exchanges (conversation integer not null, number integer not null, continues integer not null,
  payload blob not null, primary key (conversation, number));
create table summaries (conversation integer not null, first integer not null, last integer not null,
  payload blob not null, primary key (conversation, first, last))
"""
SCHEMA = 1
"""The version of the tables."""

_Value = TypeVar("_Value", Exchange, Summary)

_exchange = msgspec.json.Decoder(Exchange)
_summary = msgspec.json.Decoder(Summary)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables where there are none. Raises `ConversationStoreError` for a store of a newer version."""
    if sqlite.version(db) == SCHEMA:
        return
    db.execute("begin immediate")
    try:
        version = sqlite.version(db)
        if version > SCHEMA:
            raise ConversationStoreError(
                f"the conversations in {path} were written by a newer version (schema {version}, this one knows {SCHEMA}); "
                "use that version, or export them there and import them here"
            )
        if version == 0:
            if db.execute("select count(*) from sqlite_schema").fetchone()[0]:
                raise ConversationStoreError(
                    f"{path} is a database of something else; give conversations their own folder"
                )
            sqlite.run(db, _TABLES)
            db.execute(f"pragma user_version = {SCHEMA}")
        db.execute("commit")
    except BaseException:
        db.execute("rollback")
        raise


def find(db: sqlite3.Connection, key: ConversationKey) -> Position:
    """Where the conversation stands; number 0: there is none."""
    sql = "select id, length from conversations where tenant = ? and agent = ? and name = ?"
    row = db.execute(sql, (key.tenant, key.agent, key.conversation)).fetchone()
    return Position(*row) if row else Position()


def add_exchanges(
    db: sqlite3.Connection, key: ConversationKey, at: Position, exchanges: Sequence[tuple[Exchange, bytes]], now: float
) -> Position:
    """Append exchanges as they are written; makes the conversation where there is none."""
    times = [now if exchange.at is None else exchange.at for exchange, _ in exchanges]
    number = at.conversation
    if not number:
        sql = "insert into conversations values (null, ?, ?, ?, 0, 0, 0, ?, ?)"
        number = db.execute(sql, (key.tenant, key.agent, key.conversation, times[0], times[0])).lastrowid or 0
    # The first exchange of all begins a turn, whatever it begins with.
    continues = [exchange.continues and exchange.number > 0 for exchange, _ in exchanges]
    rows = [
        (number, exchange.number, follows, payload)
        for (exchange, payload), follows in zip(exchanges, continues, strict=True)
    ]
    db.executemany("insert into exchanges values (?, ?, ?, ?)", rows)
    sql = """update conversations set length = length + ?, turns = turns + ?, size = size + ?, updated = max(updated, ?)
        where id = ?"""
    size = sum(len(payload) for _, payload in exchanges)
    db.execute(sql, (len(rows), continues.count(False), size, max(times), number))
    return Position(number, at.length + len(rows))


def first_of_last(db: sqlite3.Connection, conversation: int, turns: int) -> int | None:
    """The number of the exchange with which the last so many turns begin; `None`: there are not so many."""
    sql = "select number from exchanges where conversation = ? and not continues order by number desc limit 1 offset ?"
    row = db.execute(sql, (conversation, turns - 1)).fetchone()
    return None if row is None else int(row[0])


def exchanges_from(db: sqlite3.Connection, conversation: int, first: int, limit: int = -1) -> tuple[Exchange, ...]:
    """Exchanges in their order. Raises `ConversationStoreError` for one that cannot be read."""
    return sized_exchanges_from(db, conversation, first, limit)[0]


def sized_exchanges_from(
    db: sqlite3.Connection, conversation: int, first: int, limit: int = -1
) -> tuple[tuple[Exchange, ...], int]:
    """The same, and how many bytes they take."""
    sql = "select payload from exchanges where conversation = ? and number >= ? order by number limit ?"
    payloads = [row[0] for row in db.execute(sql, (conversation, first, limit))]
    return tuple(_read(_exchange, payload) for payload in payloads), sum(map(len, payloads))


def add_summary(db: sqlite3.Connection, conversation: int, summary: Summary, payload: bytes) -> None:
    """Keep a summary, instead of those whose exchanges are all among its own."""
    sql = "delete from summaries where conversation = ? and first >= ? and last <= ?"
    db.execute(sql, (conversation, summary.first, summary.last))
    db.execute("insert into summaries values (?, ?, ?, ?)", (conversation, summary.first, summary.last, payload))


def summaries_of(db: sqlite3.Connection, conversation: int) -> tuple[Summary, ...]:
    """Summaries by their first exchange."""
    sql = "select payload from summaries where conversation = ? order by first, last"
    return tuple(_read(_summary, row[0]) for row in db.execute(sql, (conversation,)))


def describe(db: sqlite3.Connection, key: ConversationKey) -> Conversation | None:
    """What is known of a conversation."""
    found = find(db, key)
    rows = db.execute(f"{_LISTED} where id = ?", (found.conversation,)).fetchall()
    return _listed(rows[0])[1] if rows else None


def listed(
    db: sqlite3.Connection, tenant: str | None, agent: str | None, after: int, limit: int
) -> list[tuple[int, Conversation]]:
    """Conversations by their numbers, those after `after`."""
    sql = f"{_LISTED} where id > ? and (? is null or tenant = ?) and (? is null or agent = ?) order by id limit ?"
    return [_listed(row) for row in db.execute(sql, (after, tenant, tenant, agent, agent, limit))]


def delete(db: sqlite3.Connection, conversations: Sequence[int]) -> tuple[int, int]:
    """Delete conversations by their numbers; returns how many exchanges and summaries went with them."""
    exchanges = summaries = 0
    for number in conversations:
        exchanges += db.execute("delete from exchanges where conversation = ?", (number,)).rowcount
        summaries += db.execute("delete from summaries where conversation = ?", (number,)).rowcount
        db.execute("delete from conversations where id = ?", (number,))
    return exchanges, summaries


def expired(db: sqlite3.Connection, before: float | None, most: int | None) -> list[int]:
    """Numbers of the conversations that were not continued since `before`, or are not among the newest of their agent."""
    found: set[int] = set()
    if before is not None:
        found.update(row[0] for row in db.execute("select id from conversations where updated < ?", (before,)))
    if most is not None:
        sql = """select id from (select id, row_number() over (partition by tenant, agent order by updated desc, id desc)
            place from conversations) where place > ?"""
        found.update(row[0] for row in db.execute(sql, (most,)))
    return sorted(found)


_LISTED = "select id, name, agent, tenant, length, turns, size, created, updated from conversations"


def _listed(row: tuple[int, str, str, str, int, int, int, float, float]) -> tuple[int, Conversation]:
    number, name, agent, tenant, length, turns, size, created, updated = row
    key = ConversationKey(name, agent, tenant)
    return number, Conversation(key=key, length=length, turns=turns, size=size, created=created, updated=updated)


def _read(decoder: msgspec.json.Decoder[_Value], payload: bytes) -> _Value:
    try:
        return decoder.decode(payload)
    except msgspec.MsgspecError as error:
        message = f"a part of a conversation cannot be read ({error}); restore the store from a backup"
        raise ConversationStoreError(message) from error
