"""Conversations as JSON Lines, and back: one exchange or summary a line, each with its conversation's name.

An import can be broken off and begun again: what is there already is passed over, as long as it is the same.
"""

from collections.abc import Generator, Iterable

import msgspec
from msgspec import Struct

from caxton_llm.agents.conversation import ConversationKey, Exchange, Summary
from caxton_llm.errors import InvalidRequest
from caxton_llm.stores.conversations.store import ConversationStore

__all__ = ["ImportedConversations", "export_conversations", "import_conversations"]

MAX_LINE = 64 * 1024 * 1024
"""Bytes of a line."""
_BATCH = 200
_FORMAT = 1


class ImportedConversations(Struct, frozen=True):
    """What an import has done: lines read, exchanges that were new."""

    lines: int
    exchanges: int


class _Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of an export: one of `exchange` and `summary`."""

    tenant: str = ""
    agent: str = ""
    conversation: str
    exchange: Exchange | None = None
    summary: Summary | None = None
    format: int = _FORMAT

    @property
    def key(self) -> ConversationKey:
        return ConversationKey(self.conversation, self.agent, self.tenant)


_decoder = msgspec.json.Decoder(_Line)


def export_conversations(
    store: ConversationStore, *, tenant: str | None = None, agent: str | None = None, conversation: str | None = None
) -> Generator[bytes, None, None]:
    """Every exchange in its order, then the summaries, conversation by conversation; of one tenant, agent, conversation."""
    for found in store.conversations(tenant=tenant, agent=agent):
        key = found.key
        if conversation is not None and key.conversation != conversation:
            continue
        thread = store.thread(key)
        for exchange in thread.exchanges:
            yield _written(key, exchange=exchange)
        for summary in thread.summaries:
            yield _written(key, summary=summary)


def import_conversations(
    store: ConversationStore, lines: Iterable[bytes], *, tenant: str | None = None
) -> ImportedConversations:
    """Write what the lines say; `tenant`: everything becomes this tenant's.

    The first line that cannot be used ends it with `InvalidRequest`, which names the line; what came before may be there.
    """
    number = added = 0
    batch: list[_Line] = []
    first = 1
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        read = _read(line, number, tenant)
        if batch and (read.key != batch[0].key or len(batch) == _BATCH):
            added += _restored(store, batch, first)
            batch = []
        if not batch:
            first = number
        batch.append(read)
    added += _restored(store, batch, first)
    return ImportedConversations(number, added)


def _written(key: ConversationKey, *, exchange: Exchange | None = None, summary: Summary | None = None) -> bytes:
    line = _Line(tenant=key.tenant, agent=key.agent, conversation=key.conversation, exchange=exchange, summary=summary)
    return msgspec.json.encode(line) + b"\n"


def _read(line: bytes, number: int, tenant: str | None) -> _Line:
    if len(line) > MAX_LINE:
        raise InvalidRequest(f"line {number}: {len(line)} bytes are more than the {MAX_LINE} that a line may have")
    try:
        read = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"line {number}: is not a line of an export: {error}") from None
    if read.format != _FORMAT:
        raise InvalidRequest(f"line {number}: has the format {read.format}; this version reads {_FORMAT}")
    if (read.exchange is None) == (read.summary is None):
        raise InvalidRequest(f"line {number}: must have one of 'exchange' and 'summary'")
    return read if tenant is None else msgspec.structs.replace(read, tenant=tenant)


def _restored(store: ConversationStore, batch: list[_Line], first: int) -> int:
    if not batch:
        return 0
    exchanges = [line.exchange for line in batch if line.exchange is not None]
    summaries = [line.summary for line in batch if line.summary is not None]
    try:
        return store.restore(batch[0].key, exchanges, summaries)
    except InvalidRequest as error:
        where = f"line {first}" if len(batch) == 1 else f"lines {first} to {first + len(batch) - 1}"
        raise InvalidRequest(f"{where}: {error}") from error
