"""The store of conversations as its users see it: reading, appending without loss, deleting for good."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from caxton_llm.agents.conversation import (
    MAX_EXCHANGES,
    Conversation,
    ConversationKey,
    Exchange,
    Position,
    Removed,
    Summary,
    Thread,
    check_exchange,
    check_key,
    check_summary,
)
from caxton_llm.errors import ConversationChanged, ConversationDeleted, ConversationStoreError, InvalidRequest
from caxton_llm.stores import sqlite
from caxton_llm.stores.connections import Connections, clear_log, one_state
from caxton_llm.stores.conversations import rows
from caxton_llm.stores.conversations.held import HeldExchanges

__all__ = ["ConversationStore"]

_FILE = "conversations.db"
_PAGE = 200
_CHECKPOINT_MS = 2_000
"""How long a deletion waits for readers before it leaves overwriting the log to `purge`."""


class ConversationStore:
    """Conversations in a folder, for any thread and for several processes at once. Blocks while it reads and writes.

    What `append` has returned survives a crash and a loss of power. Raises `InvalidRequest` for the caller's mistakes and
    `ConversationStoreError` for all that is wrong with the store. Use it in a `with` statement or call `close()`.
    """

    def __init__(self, folder: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = Path(folder)
        self.path = self.folder / _FILE
        self._clock = clock
        self._connections = Connections(self.path, self._closed)
        self._impatient = Connections(self.path, self._closed, wait_s=0.0)
        self._held = HeldExchanges()
        with self._translated():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with self._connections.lent() as db:
                    rows.prepare(db, self.path)
            except BaseException:
                self.close()
                raise

    @staticmethod
    def is_in(folder: Path | str) -> bool:
        """Whether a folder has a store already."""
        return (Path(folder) / _FILE).is_file()

    # -- reading --------------------------------------------------------------------------------------------------------

    def thread(self, key: ConversationKey, *, last: int | None = None, since: int | None = None) -> Thread:
        """The conversation: whole, its `last` turns (0: none of it), or its exchanges from number `since` on; always with its
        summaries and its position. One that does not exist is empty. Other readers are given the same messages: they must not
        be changed."""
        check_key(key)
        if last is not None and last < 0:
            raise InvalidRequest(f"must not be negative, found {last}", param="last")
        with self._reading() as db:
            position = rows.find(db, key)
            if not position.conversation:
                return Thread(position=position)
            most = None if last is None else min(last, MAX_EXCHANGES)
            return _thread(db, position, self._held.read(db, position, since=since or 0, last=most))

    def held(self, key: ConversationKey, *, last: int) -> Thread | None:
        """The same where the last turns are held, so that there is one row to look at and nobody to wait for: an event loop
        may ask. `None`: ask for the `thread`."""
        check_key(key)
        try:
            with self._impatient.lent() as db, one_state(db):
                position = rows.find(db, key)
                exchanges = self._held.at_hand(position, last=last)
                return None if exchanges is None else _thread(db, position, exchanges)
        except (sqlite3.Error, ConversationStoreError):
            return None  # `thread` waits, and says what is wrong.

    def continued(self, key: ConversationKey, *, last: int) -> Thread | None:
        """The same where turns are held, perhaps not the last ones: what was added since is read. `None`: they are not."""
        check_key(key)
        with self._reading() as db:
            position = rows.find(db, key)
            if not self._held.holds(position.conversation):
                return None
            return _thread(db, position, self._held.read(db, position, last=last))

    def describe(self, key: ConversationKey) -> Conversation | None:
        """What is known of a conversation; `None`: there is none."""
        check_key(key)
        with self._reading() as db:
            return rows.describe(db, key)

    def conversations(self, *, tenant: str | None = None, agent: str | None = None) -> Iterator[Conversation]:
        """All conversations, the oldest first; of one tenant, of one agent."""
        after: int | None = 0
        while after is not None:
            page, after = self.page(tenant=tenant, agent=agent, after=after)
            yield from page

    def page(
        self, *, tenant: str | None = None, agent: str | None = None, after: int = 0, limit: int = _PAGE
    ) -> tuple[list[Conversation], int | None]:
        """Some of them, the oldest first, and what `after` is for those behind them; `None`: there are none."""
        with self._reading() as db:
            found = rows.listed(db, tenant, agent, after, limit)
        more = found[-1][0] if found and len(found) == limit else None
        return [conversation for _, conversation in found], more

    # -- writing --------------------------------------------------------------------------------------------------------

    def append(self, key: ConversationKey, exchanges: Sequence[Exchange], *, after: Position | None = None) -> Position:
        """Add exchanges, all or none; returns the position after them.

        `after` is the position of the thread that they answer. Raises `ConversationChanged` if the conversation has been
        continued since, `ConversationDeleted` if it was deleted. Without it they are added to whatever is there.
        """
        check_key(key)
        if not exchanges:
            raise InvalidRequest("there are no exchanges to add", param="exchanges")
        for number, exchange in enumerate(exchanges):
            check_exchange(exchange, f"exchanges[{number}]")  # before the lock is taken
        now = self._clock()
        with self._writing() as db:
            at = rows.find(db, key)
            if after is not None:
                _compare(key, after, at)
            return self._add(db, key, at, exchanges, now)

    def summarize(self, key: ConversationKey, summary: Summary, *, after: Position) -> None:
        """Keep a summary of exchanges that a thread at `after` had; it replaces those of parts of the same exchanges.

        Raises `ConversationDeleted` if the conversation was deleted since. That it was continued does not matter.
        """
        check_key(key)
        summary = summary if summary.at is not None else replace(summary, at=self._clock())
        payload = check_summary(summary, after.length)
        with self._writing() as db:
            at = rows.find(db, key)
            _compare(key, after, replace(at, length=after.length))
            rows.add_summary(db, at.conversation, summary, payload)

    def restore(self, key: ConversationKey, exchanges: Sequence[Exchange], summaries: Sequence[Summary] = ()) -> int:
        """Write exchanges as an export has them, with their numbers and times; returns how many were new.

        What is there already must be the same. Raises `InvalidRequest` where it is not, and where some are missing between.
        """
        check_key(key)
        with self._writing() as db:
            at = rows.find(db, key)
            begin = exchanges[0].number if exchanges else at.length
            if [exchange.number for exchange in exchanges] != list(range(begin, begin + len(exchanges))):
                raise InvalidRequest("the exchanges do not follow each other by their numbers", param="number")
            if begin > at.length:
                raise InvalidRequest(f"exchange {begin} comes after {at.length} exchanges", param="number")
            known = rows.exchanges_from(db, at.conversation, begin, len(exchanges))
            if list(known) != list(exchanges[: len(known)]):
                raise InvalidRequest(
                    f"the conversation {key.conversation!r} is there with other exchanges", param="number"
                )
            fresh = exchanges[len(known) :]
            if fresh:
                at = self._add(db, key, at, fresh, self._clock())
            for summary in summaries:
                rows.add_summary(db, at.conversation, summary, check_summary(summary, at.length))
            return len(fresh)

    def _add(
        self, db: sqlite3.Connection, key: ConversationKey, at: Position, exchanges: Sequence[Exchange], now: float
    ) -> Position:
        if at.length + len(exchanges) > MAX_EXCHANGES:
            raise InvalidRequest(
                f"a conversation may have {MAX_EXCHANGES} exchanges; begin another one", param="conversation_id"
            )
        placed = [
            replace(exchange, number=at.length + offset, at=now if exchange.at is None else exchange.at)
            for offset, exchange in enumerate(exchanges)
        ]
        written = [(exchange, check_exchange(exchange, "exchange")) for exchange in placed]
        return rows.add_exchanges(db, key, at, written, now)

    # -- deleting -------------------------------------------------------------------------------------------------------

    def delete(self, key: ConversationKey) -> Removed:
        """Delete a conversation for good: exchanges, summaries, and their traces in the files."""
        check_key(key)
        with self._writing() as db:
            found = rows.find(db, key).conversation
            removed = self._removed(db, [found] if found else [])
        return self._overwritten(removed)

    def delete_all(self, *, tenant: str, agent: str | None = None) -> Removed:
        """Delete all conversations of a tenant, or of one of its agents."""
        with self._writing() as db:
            removed = self._removed(db, [number for number, _ in rows.listed(db, tenant, agent, 0, -1)])
        return self._overwritten(removed)

    def retain(self, *, max_age_s: float | None = None, max_conversations: int | None = None) -> Removed:
        """Delete conversations that were not continued for so long, and all but the newest of every agent."""
        if (max_age_s or 0) < 0 or (max_conversations or 0) < 0:
            raise InvalidRequest("an age or a number of conversations must not be negative", param="retention")
        before = None if max_age_s is None else self._clock() - max_age_s
        with self._writing() as db:
            removed = self._removed(db, rows.expired(db, before, max_conversations))
        return self._overwritten(removed)

    def purge(self) -> bool:
        """Overwrite what the log of writes may still hold of deleted conversations; false where a reader is in the way."""
        with self._translated(), self._connections.lent() as db:
            return clear_log(db, wait_ms=_CHECKPOINT_MS)

    def _removed(self, db: sqlite3.Connection, numbers: Sequence[int]) -> Removed:
        self._held.forget(numbers)
        exchanges, summaries = rows.delete(db, numbers)
        return Removed(conversations=len(numbers), exchanges=exchanges, summaries=summaries)

    def _overwritten(self, removed: Removed) -> Removed:
        return replace(removed, is_overwritten=self.purge()) if removed.conversations else removed

    # -- opening and closing --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the database. Safe to call twice, and while others use the store: these end what they are at."""
        self._connections.close()
        self._impatient.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _closed(self) -> ConversationStoreError:
        return ConversationStoreError(f"the store of conversations in {self.folder} is closed")

    def _translated(self) -> AbstractContextManager[None]:
        return sqlite.translated(self.path, "the store of conversations", ConversationStoreError)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._connections.lent() as db:
            db.execute(begin)
            try:
                yield db
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                raise

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """One state of the database, whatever is written meanwhile."""
        return self._transaction("begin")

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One writer at a time, over all threads and processes."""
        return self._transaction("begin immediate")


def _thread(db: sqlite3.Connection, position: Position, exchanges: tuple[Exchange, ...]) -> Thread:
    return Thread(position=position, exchanges=exchanges, summaries=rows.summaries_of(db, position.conversation))


def _compare(key: ConversationKey, after: Position, at: Position) -> None:
    if after == at:
        return
    name = f"the conversation {key.conversation!r}"
    if after.conversation and after.conversation != at.conversation:
        raise ConversationDeleted(
            f"{name} was deleted while this request was answered; nothing of it was kept. Begin another one",
            param="conversation_id",
        )
    raise ConversationChanged(
        f"{name} had {after.length} exchanges when this request began and has {at.length} now; nothing was kept. "
        "Send it again: one request at a time continues a conversation",
        param="conversation_id",
    )
