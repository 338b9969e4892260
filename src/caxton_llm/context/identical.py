"""Values by their identity: a key for what was made of objects that are the same ones in request after request."""

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Identical", "Kept"]

_Value = TypeVar("_Value")
_Made = TypeVar("_Made")


class Identical(Generic[_Value]):
    """`value` as a key that equals another one of the very same object, which it holds: no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: _Value) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identical) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class Kept(Generic[_Value, _Made]):
    """What `make` has made of values, found again for the very same object.

    `weight` gives the bytes that a value and what was made of it take, `None` where they are not to be held; of the others
    the last are, with at most `heaviest` bytes together. Safe to share between threads.
    """

    def __init__(
        self, make: Callable[[_Value], _Made], weight: Callable[[_Value, _Made], int | None], *, heaviest: int
    ) -> None:
        self._make = make
        self._weight = weight
        self._left = heaviest
        self._known: dict[int, tuple[_Value, _Made, int]] = {}
        self._lock = Lock()

    def of(self, value: _Value) -> _Made:
        """What is made of the value."""
        known = self._known.get(id(value))
        # It holds its value, so no other object can have the same identity.
        return self._fresh(value) if known is None else known[1]

    def of_each(self, values: Iterable[_Value]) -> list[_Made]:
        """The same of many."""
        get, fresh = self._known.get, self._fresh
        return [fresh(value) if (known := get(id(value))) is None else known[1] for value in values]

    def _fresh(self, value: _Value) -> _Made:
        made = self._make(value)
        weight = self._weight(value, made)
        if weight is not None:
            with self._lock:
                if id(value) not in self._known:
                    self._known[id(value)] = (value, made, weight)
                    self._left -= weight
                while self._left < 0 and self._known:
                    self._left += self._known.pop(next(iter(self._known)))[2]
        return made
