"""Values that can hold what a caller or a model wrote, and do not tell it when they are shown."""

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Raw, Struct

__all__ = ["Discreet"]

_SHOWN = frozenset(
    {"id", "type", "role", "index", "format", "finish_reason", "tool_call_id", "reasoning_effort", "strict"}
)


class Discreet:
    """A struct that can hold what a caller or a model wrote: its `repr` tells how much there is, so none reaches a log."""

    __slots__ = ()
    __struct_fields__: ClassVar[tuple[str, ...]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={shown}' for name, shown in self._told())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, _Verbatim(shown)) for name, shown in self._told()]

    def _told(self) -> Iterator[tuple[str, str]]:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and not value):
                yield name, repr(value) if name in _SHOWN else _size(value)


class _Verbatim(str):
    """A text that is its own `repr`."""

    __slots__ = ()
    __repr__ = str.__str__


def _size(value: Any) -> str:
    """A value without what was written in it."""
    if isinstance(value, bool | int | float | Struct):
        return repr(value)
    if isinstance(value, list | tuple) and all(isinstance(item, Struct) for item in value):
        return f"[{', '.join(map(repr, value))}]"
    unit = "characters" if isinstance(value, str) else "bytes" if isinstance(value, bytes | Raw) else "items"
    return f"<{len(bytes(value)) if isinstance(value, Raw) else len(value)} {unit}>"
