"""A second, patient reading of an answer whose fields are not of the promised types.

An answer has cost money and is not asked for again because of a field beside its content. Where the strict reading has
failed, a value that can be understood is read as what it means (`1.0` as a count, a number as an id), one that says nothing
(false, 0, "", [], {}) as absent, and a field beside the content that is neither is left out.
"""

import re
from typing import TypeVar

import msgspec

from caxton_llm.types import Json

__all__ = ["read_patiently"]

_Shape = TypeVar("_Shape")

_ROUNDS = 32
"""One is needed for each wrong value; an answer with more is none."""

_NUMERIC_TEXTS = frozenset({"id", "model"})
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def read_patiently(payload: bytes, kind: type[_Shape], beside: frozenset[str]) -> tuple[_Shape, bytes]:
    """The payload as `kind`, and the payload as it was understood. `beside` names the fields that are not content.

    Raises `msgspec.ValidationError` when its content is not of the promised types, and whatever decoding JSON raises.
    """
    value: Json = msgspec.json.decode(payload)
    for _ in range(_ROUNDS):
        payload = msgspec.json.encode(value)
        try:
            return msgspec.json.decode(payload, type=kind), payload
        except msgspec.ValidationError as error:
            if not _mend(value, str(error), beside):
                raise
    raise msgspec.ValidationError("more values than can be mended are not as promised")


def _mend(value: Json, problem: str, beside: frozenset[str]) -> bool:
    """Mend the one value that `problem` is about; says whether that could be done."""
    wanted, _, place = problem.partition(" - at `$")
    path: list[str | int] = [name or int(index) for name, index in _STEP.findall(place.removesuffix("`"))]
    if not path or not wanted.startswith("Expected"):
        return False
    holder = value
    for step in path[:-1]:
        holder = holder[step]
    last = path[-1]
    understood = _understood(holder[last], wanted.partition(", got ")[0], last)
    if understood is not None:
        holder[last] = understood
    elif not holder[last] or not beside.isdisjoint(path):
        del holder[last]
    else:
        return False
    return True


def _understood(value: Json, wanted: str, name: str | int) -> Json:
    """The value in the wanted type, `None` when it does not mean one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) and "str" in wanted and name in _NUMERIC_TEXTS:
        return str(value)
    if isinstance(value, float) and "int" in wanted and value.is_integer():
        return int(value)
    if isinstance(value, str) and "int" in wanted and value.isdecimal() and value.isascii():
        return int(value)
    return None
