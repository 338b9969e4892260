"""Exchanges of conversations as they were read last: they never change, so only new ones have to be read."""

import sqlite3
from collections.abc import Iterable
from threading import Lock

from msgspec import Struct

from caxton_llm.agents.conversation import Exchange, Position
from caxton_llm.stores.conversations import rows

__all__ = ["HeldExchanges"]

_MOST = 64
_LARGEST = 256 * 1024
"""Bytes of what is held of a conversation, about: as if its exchanges were of one size."""


class _Held(Struct, frozen=True):
    first: int
    exchanges: tuple[Exchange, ...]


class HeldExchanges:
    """The last conversations that were read. Safe to share between threads, in transactions of any age."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[int, _Held] = {}

    def read(self, db: sqlite3.Connection, at: Position, first: int) -> tuple[Exchange, ...]:
        """The exchanges from number `first` on, as far as the conversation goes in the connection's transaction."""
        held = self._held.get(at.conversation)
        if held is None or held.first > first:
            held = self._hold(db, at, _Held(first, rows.exchanges_from(db, at.conversation, first)))
        elif (end := held.first + len(held.exchanges)) < at.length:
            # What is older than what is wanted now is seldom wanted again.
            known = held.exchanges[first - held.first :]
            held = self._hold(db, at, _Held(first, known + rows.exchanges_from(db, at.conversation, max(first, end))))
        return held.exchanges[first - held.first : at.length - held.first]

    def forget(self, conversations: Iterable[int]) -> None:
        """They were deleted."""
        with self._lock:
            for number in conversations:
                self._held.pop(number, None)

    def _hold(self, db: sqlite3.Connection, at: Position, held: _Held) -> _Held:
        is_small = rows.size_of(db, at.conversation) * len(held.exchanges) <= _LARGEST * at.length
        with self._lock:
            self._held.pop(at.conversation, None)
            if is_small and held.exchanges:
                self._held[at.conversation] = held
                if len(self._held) > _MOST:
                    del self._held[next(iter(self._held))]
        return held
