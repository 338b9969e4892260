"""Exchanges of conversations as they were read last: they never change, so only new ones have to be read."""

import sqlite3
from collections.abc import Iterable
from threading import Lock

from msgspec import Struct

from caxton_llm.agents.conversation import Exchange, Position
from caxton_llm.stores.conversations import rows

__all__ = ["HeldExchanges"]

_MOST = 16 * 1024 * 1024
"""Bytes of all that is held, as it is stored."""
_LARGEST = _MOST // 4
"""Bytes of what is held of one conversation."""
_LIGHT = 1_000
"""Bytes of a conversation beside its exchanges."""


class _Held(Struct, frozen=True):
    """Exchanges from number `first` on, the numbers of those with which a turn begins, and how many bytes all are."""

    first: int
    exchanges: tuple[Exchange, ...] = ()
    begins: tuple[int, ...] = ()
    size: int = 0

    @property
    def end(self) -> int:
        return self.first + len(self.exchanges)

    def continued(self, db: sqlite3.Connection, conversation: int) -> "_Held":
        """With all that follows."""
        new, size = rows.sized_exchanges_from(db, conversation, self.end)
        begins = tuple(one.number for one in new if not one.continues or one.number == 0)
        return _Held(self.first, self.exchanges + new, self.begins + begins, self.size + size)


class HeldExchanges:
    """The last conversations that were read. Safe to share between threads, in transactions of any age."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[int, _Held] = {}
        self._left = _MOST

    def read(
        self, db: sqlite3.Connection, at: Position, *, since: int = 0, last: int | None = None
    ) -> tuple[Exchange, ...]:
        """The exchanges from number `since` on, of the `last` turns at most, as far as the conversation goes in the
        connection's transaction."""
        known = self._held.get(at.conversation)
        held = known if known is None or known.end >= at.length else known.continued(db, at.conversation)
        first = since if last is None else max(since, _first_of_last(db, at, held, last))
        if held is None or held.first > first:
            held = _Held(first).continued(db, at.conversation)
        if held is not known:
            self._hold(at.conversation, held)
        # What is held may begin behind the end that an older transaction sees.
        return held.exchanges[first - held.first : max(0, at.length - held.first)]

    def holds(self, conversation: int) -> bool:
        """Whether there is anything of the conversation."""
        return conversation in self._held

    def at_hand(self, at: Position, *, last: int) -> tuple[Exchange, ...] | None:
        """The exchanges of the `last` turns where nothing has to be read for them."""
        held = self._held.get(at.conversation)
        first = _first_without_reading(at, held, last)
        if held is None or first is None or held.first > first or held.end < at.length:
            return None
        return held.exchanges[first - held.first : at.length - held.first]

    def forget(self, conversations: Iterable[int]) -> None:
        """They were deleted."""
        with self._lock:
            for number in conversations:
                self._drop(number)

    def _hold(self, conversation: int, held: _Held) -> None:
        with self._lock:
            self._drop(conversation)
            # Where it has become too large, what is asked for next may not be: that is read, and held, alone.
            if held.exchanges and held.size <= _LARGEST:
                self._held[conversation] = held
                self._left -= held.size + _LIGHT
                while self._left < 0:
                    self._drop(next(iter(self._held)))

    def _drop(self, conversation: int) -> None:
        dropped = self._held.pop(conversation, None)
        if dropped is not None:
            self._left += dropped.size + _LIGHT


def _first_of_last(db: sqlite3.Connection, at: Position, held: _Held | None, turns: int) -> int:
    """The number of the exchange with which the last so many turns begin."""
    known = _first_without_reading(at, held, turns)
    return (rows.first_of_last(db, at.conversation, turns) or 0) if known is None else known


def _first_without_reading(at: Position, held: _Held | None, turns: int) -> int | None:
    if not turns:
        return at.length
    if turns >= at.length:  # no turn has less than one exchange
        return 0
    if held is not None and held.end == at.length and len(held.begins) >= turns:
        return held.begins[-turns]
    return None
