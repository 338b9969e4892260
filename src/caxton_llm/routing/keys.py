"""Several keys of one target: each in its turn, and one that was refused is left alone for a while. Pure."""

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

    __slots__ = ("_next", "_parked_until", "keys")

    def __init__(self, keys: Sequence[_Key]) -> None:
        self.keys = tuple(keys)
        self._parked_until = [0.0] * len(self.keys)
        self._next = 0

    def pick(self, now: float, tried: Collection[int] = ()) -> int:
        """The next key in turn that is not resting and not in `tried`; with none left, the one that has rested longest."""
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

    def park(self, number: int, error: LlmError, now: float) -> None:
        """Leave a key alone after a refusal that another key may not meet."""
        for kind, seconds in _PARKED_S.items():
            if isinstance(error, kind):
                self.rest(number, now + (seconds if error.retry_after_s is None else error.retry_after_s))

    def rest(self, number: int, until: float) -> None:
        """Leave a key alone until then."""
        self._parked_until[number] = max(self._parked_until[number], until)

    def restored(self, number: int) -> None:
        """The key has been accepted."""
        self._parked_until[number] = 0.0

    def resting(self, now: float) -> int:
        """How many keys are left alone at the moment."""
        return sum(until > now for until in self._parked_until)
