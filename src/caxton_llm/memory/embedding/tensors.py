"""Reads the safetensors format: a length, a JSON header, raw numbers."""

import json

import numpy as np
from msgspec import DecodeError, Struct, ValidationError, convert
from numpy.typing import NDArray

__all__ = ["UnreadableTensors", "read_tensors"]

_TYPES = {"I8": "int8", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
_LENGTH = 8


class UnreadableTensors(ValueError):
    """The bytes are not safetensors, or hold numbers in a format that is not read here."""


class _Entry(Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_tensors(data: bytes) -> dict[str, NDArray[np.generic]]:
    """All tensors by name, read-only views of `data`. Raises `UnreadableTensors`."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    if not _LENGTH < end <= len(data):
        raise UnreadableTensors(f"not a safetensors file: a header of {end - _LENGTH} bytes in {len(data)}")
    try:
        header = json.loads(data[_LENGTH:end])
        header.pop("__metadata__", None)
        entries = convert(header, dict[str, _Entry])
        return {name: _tensor(name, entry, data, end) for name, entry in entries.items()}
    except (AttributeError, DecodeError, ValidationError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UnreadableTensors(f"the header of the safetensors file cannot be read: {error}") from None


def _tensor(name: str, entry: _Entry, data: bytes, start: int) -> NDArray[np.generic]:
    kind = _TYPES.get(entry.dtype)
    if kind is None:
        raise UnreadableTensors(f"tensor {name!r} is {entry.dtype}; readable are {', '.join(_TYPES)}")
    first, last = entry.data_offsets
    expected = int(np.prod(entry.shape, dtype=np.int64)) * np.dtype(kind).itemsize
    if not 0 <= first <= last <= len(data) - start or last - first != expected:
        raise UnreadableTensors(f"tensor {name!r} does not fit into the file: it is cut or damaged")
    return np.frombuffer(data[start + first : start + last], kind).reshape(entry.shape)
