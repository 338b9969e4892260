"""The time that a whole request may take, over all that is waited for."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from caxton_llm.errors import DeadlineExceeded
from caxton_llm.protocols import Clock

__all__ = ["TimeLimit"]

_Result = TypeVar("_Result")


class TimeLimit:
    """Begins when it is made; `seconds` of `None` is no limit."""

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._begun = clock()

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, 0 when the time is over; `None`: there is no limit."""
        return None if self._seconds is None else max(self._begun + self._seconds - self._clock(), 0.0)

    async def keep(self, awaited: Awaitable[_Result]) -> _Result:
        """The result of what is waited for. Raises `DeadlineExceeded` when the time is over; `awaited` is cancelled then."""
        if self._seconds is None:
            return await awaited
        try:
            async with asyncio.timeout(self.left_s) as limit:
                return await awaited
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"the agent gave no answer within {self._seconds:g} s, the calls of its tools included"
            raise DeadlineExceeded(message) from None
