"""Parts of a client's request that no decoding has looked into: valid JSON, but perhaps with numbers that no type holds."""

import msgspec
from msgspec import Raw

from caxton_llm.errors import InvalidRequest
from caxton_llm.types import Json
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["read_raw"]


def read_raw(raw: Raw, path: str, *, param: str | None = None) -> Json:
    """The value that stands at `path`. Raises `InvalidRequest` with the path of what cannot be read, or with `param`."""
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE as error:
        place, what = _place(raw, path), str(error)
    what = what[:1].lower() + what[1:]
    raise InvalidRequest(f"{place}: {what}", param=param or place)


def _place(raw: Raw, path: str) -> str:
    """The path of the innermost value that cannot be read."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Raw] | list[Raw])
    except UNREADABLE:
        return path
    named = (
        [(f"{path}.{name}", value) for name, value in fields.items()]
        if isinstance(fields, dict)
        else [(f"{path}[{index}]", value) for index, value in enumerate(fields)]
    )
    return next((_place(value, place) for place, value in named if not _is_readable(value)), path)


def _is_readable(raw: Raw) -> bool:
    try:
        msgspec.json.decode(raw)
    except UNREADABLE:
        return False
    return True
