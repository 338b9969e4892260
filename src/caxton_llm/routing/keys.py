"""Several keys of one target: each in its turn, and one that was refused is left alone for a while. Pure."""

import math
from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

from caxton_llm.errors import Authentication, LlmError, Permission, QuotaExhausted, RateLimited

__all__ = ["KeyRing"]

_Key = TypeVar("_Key")

_PARKED_S: dict[type[LlmError], float] = {
    Authentication: 60.0,
    Permission: 60.0,
    QuotaExhausted: 300.0,
    RateLimited: 5.0,
}
"""How long a key rests after a refusal that did not say how long."""


class KeyRing(Generic[_Key]):
    """The keys of a target, at least one. Keys are numbered from 0; what a key is, the caller knows."""

    __slots__ = ("_next", "_parked_at", "_parked_until", "keys")

    def __init__(self, keys: Sequence[_Key]) -> None:
        self.keys = tuple(keys)
        self._next = 0
        self.reset()

    def reset(self) -> None:
        """No key rests any more."""
        self._parked_until = [-math.inf] * len(self.keys)
        self._parked_at = [-math.inf] * len(self.keys)

    def pick(self, now: float, tried: Collection[int] = ()) -> int:
        """The next key in turn that is not resting and not in `tried`; with none left, the one that rests shortest."""
        count = len(self.keys)
        if count == 1:
            return 0
        turn = [(self._next + step) % count for step in range(count)]
        free = [number for number in turn if number not in tried and self._parked_until[number] <= now]
        left = [number for number in turn if number not in tried] or turn
        number = free[0] if free else min(left, key=lambda each: self._parked_until[each])
        self._next = (number + 1) % count
        return number

    def has_other(self, now: float, tried: Collection[int]) -> bool:
        """Whether a key is left that is not resting and not in `tried`."""
        return any(number not in tried and until <= now for number, until in enumerate(self._parked_until))

    def park(self, number: int, error: LlmError, retry_after_s: float | None, now: float) -> None:
        """Leave a key alone after a refusal that another key may not meet, for as long as the provider said if it did."""
        for kind, seconds in _PARKED_S.items():
            if isinstance(error, kind):
                self.rest(number, now, seconds if retry_after_s is None else retry_after_s)

    def rest(self, number: int, now: float, seconds: float) -> None:
        """Leave a key alone for so long; a shorter rest does not end a longer one."""
        self._parked_at[number] = now
        self._parked_until[number] = max(self._parked_until[number], now + seconds)

    def accepted(self, number: int, sent_at: float) -> None:
        """A request that was sent then has succeeded: what was said of the key before is over, what was said since is not."""
        if sent_at > self._parked_at[number]:
            self._parked_until[number] = -math.inf

    def all_rest_until(self, now: float) -> float | None:
        """When the first of them may be used again; `None` while one may be used."""
        earliest = min(self._parked_until)
        return earliest if earliest > now else None

    def resting(self, now: float) -> int:
        """How many keys are left alone at the moment."""
        return sum(until > now for until in self._parked_until)
