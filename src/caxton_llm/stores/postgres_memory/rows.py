"""Records as rows: what is written of one, and how those that are there are read again."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import msgspec

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.analysis import terms_of
from caxton_llm.memory.filters import areas_of, confidence_of, time_of
from caxton_llm.memory.merging import identity_of, name_key
from caxton_llm.memory.model import Entity, Record, Relation, Turn, owner_of
from caxton_llm.memory.query_words import is_question
from caxton_llm.memory.versions import Change
from caxton_llm.stores.postgres_memory.codes import (
    area_key,
    conversation_key,
    owner_key,
    tenant_key,
    text_key,
    type_key,
)
from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = [
    "KINDS",
    "PASSAGE_COLUMNS",
    "RECORD_COLUMNS",
    "SCOPES",
    "Known",
    "Row",
    "decode",
    "decode_change",
    "encode",
    "filtered_values",
    "lexeme",
    "passage_values",
    "record_values",
    "words_of",
]

KINDS = {"entity": 0, "relation": 1, "turn": 2}
SCOPES = {"agent": 0, "workspace": 1, "global": 2}
"""How kinds and scopes are written in the tables."""
RECORD_COLUMNS = (
    *("id", "id_key", "identity", "kind", "tenant", "scope", "owner", "type"),
    *("name", "conversation", "position", "updated", "version", "payload"),
)
PASSAGE_COLUMNS = ("position", "speaker", "asks", "confidence")
"""Of passages, beside those that filters ask for."""

_MOST_POSITIONS = 255
"""Of one word in one passage; PostgreSQL keeps no more."""

_record_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_change_decoder = msgspec.json.Decoder(Change)


class Row(NamedTuple):
    """A record as it is stored."""

    key: int
    record: Record


def encode(value: Record | Change) -> str:
    return msgspec.json.encode(value).decode()


def decode(payload: str) -> Record:
    """Raises `MemoryStoreError` for a payload that is no record."""
    try:
        return _record_decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise MemoryStoreError(
            f"a record of the memory cannot be read ({error}); restore the database from a backup"
        ) from error


def decode_change(payload: str) -> Change:
    return _change_decoder.decode(payload)


# -- writing ------------------------------------------------------------------------------------------------------------


def record_values(record: Record, codes: Mapping[bytes, int]) -> tuple[object, ...]:
    """The values of `RECORD_COLUMNS`."""
    tenant, kind, scope, owner, type_code, conversation = _placed(record, codes)
    return (
        record.id,
        text_key(record.id),
        identity_of(record),
        kind,
        tenant,
        scope,
        owner,
        type_code,
        name_key(record.name) if isinstance(record, Entity) else None,
        conversation,
        record.index if isinstance(record, Turn) else None,
        record.updated or 0.0,
        record.version,
        encode(record),
    )


def filtered_values(record: Record, codes: Mapping[bytes, int]) -> tuple[object, ...]:
    """The values of `FILTERED`, alike for all passages of a record."""
    return (
        *_placed(record, codes),
        time_of(record, record.updated or 0.0),
        record.valid_from if isinstance(record, Entity) else None,
        record.valid_until if isinstance(record, Entity) else None,
        sorted(codes[area_key(record.tenant, area)] for area in areas_of(record)),
    )


def passage_values(record: Record) -> tuple[object, ...]:
    """The values of `PASSAGE_COLUMNS`."""
    if isinstance(record, Turn):
        speaker = name_key(record.speaker) if record.speaker else None
        return record.index, speaker, is_question(record.text), None
    return None, None, False, confidence_of(record)


def _placed(record: Record, codes: Mapping[bytes, int]) -> tuple[int, int, int, int, int, int | None]:
    owner = owner_of(record)
    kind = 0 if isinstance(record, Entity) else 1 if isinstance(record, Relation) else 2
    return (
        codes[tenant_key(record.tenant)],
        kind,
        SCOPES[owner.scope],
        codes[owner_key(record.tenant, owner.scope, owner.owner)],
        codes[type_key(record.tenant, record.role if isinstance(record, Turn) else record.type)],
        codes[conversation_key(record.tenant, record.conversation)] if isinstance(record, Turn) else None,
    )


def lexeme(tenant: int, term: str) -> str:
    """A tenant's term in the index: each tenant's words are its own, so that one is never slowed down by another."""
    return f"{tenant:x}x{term}"


def words_of(tenant: int, text: str) -> tuple[int, str]:
    """How many terms a passage has, and its `tsvector`: each term as often as it stands there."""
    terms = terms_of(text)
    counted = Counter(terms).items()
    return len(terms), " ".join([f"{quoted(lexeme(tenant, term))}:{_positions(count)}" for term, count in counted])


@lru_cache(_MOST_POSITIONS)
def _positions(count: int) -> str:
    return ",".join(map(str, range(1, min(count, _MOST_POSITIONS) + 1)))


def quoted(text: str) -> str:
    """A lexeme inside a `tsvector` or a `tsquery`."""
    if text.isalnum():
        return f"'{text}'"
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


# -- reading ------------------------------------------------------------------------------------------------------------


_NAMED = """select r.key from unnest(%s::bytea[], %s::bytea[]) wanted(tenant, id_key)
    join codes c on c.key = wanted.tenant join records r on r.tenant = c.id and r.id_key = wanted.id_key"""
"""Keys of records by tenants and ids."""


def _keys(names: Iterable[tuple[str, str]]) -> tuple[list[bytes], list[bytes]]:
    """The parameters of `_NAMED`."""
    wanted = list(names)
    return [tenant_key(tenant) for tenant, _ in wanted], [text_key(record) for _, record in wanted]


class Known:
    """What the store has of some records, and of the entities that relations among them join."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[str, str], Row] = {}
        """By tenant and id."""
        self._by_identity: dict[bytes, Row] = {}
        self.state: frozenset[tuple[int, int, bytes]] = frozenset()
        """Equal when nothing that matters has changed."""

    @classmethod
    def read(cls, db: Connection, records: Sequence[Record], *, lock: bool) -> Self:
        """With `lock` nobody else changes them before the transaction ends."""
        known = cls()
        ids = {(record.tenant, record.id) for record in records if record.id}
        identities = [identity_of(record) for record in records]
        # Always in one order, so that two writers do not wait for each other.
        query = f"""select key, version, identity, payload from records where key = any(array(
            {_NAMED} union all select key from records where identity = any(%s)))"""  # noqa: S608
        query += " order by key for no key update" if lock else ""
        rows = db.execute(query, (*_keys(ids), identities)).fetchall()
        known.state = frozenset((key, version, identity) for key, version, identity, _ in rows)
        known._add((key, identity, payload) for key, _, identity, payload in rows)
        ends = {
            (record.tenant, end)
            for record in records
            if isinstance(record, Relation)
            for end in (record.source, record.target)
        }
        if ends := ends - known._by_id.keys():
            query = f"select key, identity, payload from records where key = any(array({_NAMED}))"  # noqa: S608
            known._add(db.execute(query, _keys(ends)).fetchall())
        return known

    def _add(self, rows: Iterable[tuple[int, bytes, str]]) -> None:
        for key, identity, payload in rows:
            row = Row(key, decode(payload))
            self._by_id[row.record.tenant, row.record.id] = self._by_identity[identity] = row

    def by_id(self, record: str, tenant: str, /) -> Row | None:
        return self._by_id.get((tenant, record))

    def by_identity(self, identity: bytes, /) -> Row | None:
        return self._by_identity.get(identity)
