"""Values by their identity: a key for what was made of objects that are the same ones in request after request."""

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Identical", "KeptByIdentity"]

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


class KeptByIdentity(Generic[_Value, _Made]):
    """What `make` has made of values, kept for the last `most` of those that `is_short` says may be held so long.

    Safe to share between threads.
    """

    def __init__(
        self, make: Callable[[_Value], _Made], is_short: Callable[[_Value], bool], *, most: int = 2_000
    ) -> None:
        self._make = make
        self._is_short = is_short
        self._most = most
        self._known: dict[int, tuple[_Value, _Made]] = {}
        self._lock = Lock()

    def of(self, value: _Value) -> _Made:
        """What is made of the very same object."""
        known = self._known.get(id(value))
        # It holds its value, so no other object can have the same identity.
        return self._fresh(value) if known is None else known[1]

    def of_each(self, values: Iterable[_Value]) -> list[_Made]:
        """The same of many."""
        get, fresh = self._known.get, self._fresh
        return [fresh(value) if (known := get(id(value))) is None else known[1] for value in values]

    def _fresh(self, value: _Value) -> _Made:
        made = self._make(value)
        if self._is_short(value):
            with self._lock:
                self._known[id(value)] = (value, made)
                if len(self._known) > self._most:
                    del self._known[next(iter(self._known))]
        return made
