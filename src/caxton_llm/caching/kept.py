"""What is made once of values that come again in request after request."""

from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Kept"]

_Value = TypeVar("_Value")
_Made = TypeVar("_Made")


class Kept(Generic[_Value, _Made]):
    """What `make` has made of values, found again by their `key`: for the very same object, unless another key is given.
    Values are held with it, without `holds` only their keys: for keys that no other value has.

    `weight` gives the bytes that a value and what was made of it take, `None` where they are not to be held; of the others
    the last are, with at most `heaviest` bytes together. Safe to share between threads.
    """

    def __init__(
        self,
        make: Callable[[_Value], _Made],
        weight: Callable[[_Value, _Made], int | None],
        *,
        heaviest: int,
        key: Callable[[_Value], Hashable] = id,
        holds: bool = True,
    ) -> None:
        self._make = make
        self._weight = weight
        self._left = heaviest
        self._key = key
        self._holds = holds
        self._known: dict[Hashable, tuple[_Value | None, _Made, int]] = {}
        self._lock = Lock()

    def of(self, value: _Value) -> _Made:
        """What is made of the value."""
        known = self._known.get(self._key(value))
        # It holds its value, so no other object can have the same identity.
        return self._fresh(value) if known is None else known[1]

    def of_each(self, values: Iterable[_Value]) -> list[_Made]:
        """The same of many."""
        get, key, fresh = self._known.get, self._key, self._fresh
        return [fresh(value) if (known := get(key(value))) is None else known[1] for value in values]

    def _fresh(self, value: _Value) -> _Made:
        made = self._make(value)
        weight = self._weight(value, made)
        if weight is not None:
            key = self._key(value)
            with self._lock:
                if key not in self._known:
                    self._known[key] = (value if self._holds else None, made, weight)
                    self._left -= weight
                while self._left < 0 and self._known:
                    self._left += self._known.pop(next(iter(self._known)))[2]
        return made
