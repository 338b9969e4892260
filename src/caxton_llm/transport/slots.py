"""How many requests one origin may have in flight: a counted queue, first come first served.

A slot that is given back goes straight to the longest waiter, so nobody overtakes. A waiter that is cancelled in the same
turn in which it was given a slot hands it on: a slot is never lost and never counted twice.
"""

import asyncio
from collections import deque

__all__ = ["Slots"]


class Slots:
    """A limit with waiters."""

    __slots__ = ("__weakref__", "_free", "_waiters")

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return self._free

    def take_now(self) -> bool:
        """Take a slot if one is free."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def take(self) -> None:
        """Take a slot, waiting in line for it."""
        if self.take_now():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiters.remove(waiter)
            else:
                self.give()
            raise

    def give(self) -> None:
        """Give a slot back, or on to the next in line."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
                self._waiters.remove(waiter)
                return
        self._free += 1
