"""Numbers for names: of tenants, owners, types, conversations and focus areas, the same in every process, kept for good."""

from collections.abc import Iterable
from hashlib import blake2b

from psycopg.pq import TransactionStatus

from caxton_llm.memory.filters import areas_of
from caxton_llm.memory.model import Record, Turn, owner_of
from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = ["Codes", "area_key", "code_keys", "conversation_key", "owner_key", "tenant_key", "text_key", "type_key"]

_REMEMBERED = 200_000
"""Codes that a process remembers; then it forgets all and reads them again."""


def text_key(*parts: str) -> bytes:
    """16 bytes for a text, or for several that count together."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def tenant_key(tenant: str) -> bytes:
    return text_key("tenant", tenant)


def owner_key(tenant: str, scope: str, owner: str) -> bytes:
    return text_key("owner", tenant, scope, owner)


def type_key(tenant: str, name: str) -> bytes:
    return text_key("type", tenant, name)


def conversation_key(tenant: str, name: str) -> bytes:
    return text_key("conversation", tenant, name)


def area_key(tenant: str, area: str) -> bytes:
    return text_key("area", tenant, area)


def code_keys(record: Record) -> set[bytes]:
    """Of all names for which a record needs codes."""
    tenant, owner = record.tenant, owner_of(record)
    keys = {tenant_key(tenant), owner_key(tenant, owner.scope, owner.owner)}
    keys.update(area_key(tenant, area) for area in areas_of(record))
    keys.add(type_key(tenant, record.role if isinstance(record, Turn) else record.type))
    if isinstance(record, Turn):
        keys.add(conversation_key(tenant, record.conversation))
    return keys


class Codes:
    """Codes by their keys, remembered in this process; any thread may use it."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}

    def found(self, db: Connection, keys: Iterable[bytes]) -> dict[bytes, int]:
        """The codes that there are; unknown keys are missing."""
        wanted = set(keys)
        found = {key: code for key in wanted if (code := self._known.get(key)) is not None}
        if missing := list(wanted - found.keys()):
            read: dict[bytes, int] = dict(
                db.execute("select key, id from codes where key = any(%s)", (missing,)).fetchall()
            )
            self._remember(db, read)
            found |= read
        return found

    def made(self, db: Connection, keys: Iterable[bytes]) -> dict[bytes, int]:
        """The codes of all keys, made if need be."""
        wanted = set(keys)
        found = self.found(db, wanted)
        if missing := sorted(wanted - found.keys()):
            db.execute("insert into codes (key) select unnest(%s::bytea[]) on conflict do nothing", (missing,))
            found = self.found(db, wanted)
        return found

    def _remember(self, db: Connection, codes: dict[bytes, int]) -> None:
        # What a transaction has made may be rolled back, and its number given to nobody or to another name.
        if db.info.transaction_status == TransactionStatus.IDLE or db.read_only:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known.update(codes)
