"""Values by their identity: a key for what was made of objects that are the same ones in request after request."""

from typing import Generic, TypeVar

__all__ = ["Identical"]

_Value = TypeVar("_Value")


class Identical(Generic[_Value]):
    """`value` as a key that equals another one of the very same object, which it holds: no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: _Value) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identical) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
