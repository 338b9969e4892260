"""Vectors on their way to the server: in half precision, as the bytes that pgvector keeps."""

import struct
from typing import Any

import numpy as np
from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.sql import Identifier
from psycopg.types import TypeInfo

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.vectors import Floats

__all__ = ["Halves", "halves_of", "read_type", "register"]


class Halves(bytes):
    """A vector as pgvector's type `halfvec` is sent."""


class _HalvesDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Halves) -> bytes:
        return bytes(obj)


def halves_of(rows: Floats) -> list[Halves]:
    """Vectors of length 1, or 0: only the direction counts, and then no number is too large for half precision."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    halves = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(">f2")
    head = struct.pack(">hh", rows.shape[1], 0)
    return [Halves(head + row.tobytes()) for row in halves]


def read_type(db: Connection[tuple[Any, ...]], extension: str, place: str) -> TypeInfo:
    """What the server calls the type; its number differs between databases."""
    found = TypeInfo.fetch(db, Identifier(extension, "halfvec"))
    if found is None:
        raise MemoryStoreError(
            f"{place} has a pgvector without half precision; run `alter extension vector update` there"
        )
    return found


def register(db: Connection[tuple[Any, ...]], halfvec: TypeInfo) -> None:
    """Let a connection send vectors."""
    halfvec.register(db)
    db.adapters.register_dumper(Halves, type("Dumper", (_HalvesDumper,), {"oid": halfvec.oid}))
