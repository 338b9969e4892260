"""Where a test's memory may be: a folder, or a schema of a PostgreSQL server. Each can be opened more than once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from caxton_llm.memory.embedder_store import EmbedderStore, MemoryPlace
from caxton_llm.memory.embedding import Embedder
from caxton_llm.stores.sqlite_memory import SqliteMemory, SqlitePlace
from hashing_embedder import HashingEmbedder

__all__ = ["Folder", "Place", "Schema", "Store"]


class Store(EmbedderStore, Protocol):
    """A store of this package: it indexes, and changes its embedder."""

    def catch_up(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Place(Protocol):
    """`place / "other"` is another one."""

    def __truediv__(self, name: str) -> Self: ...

    def to_open(self) -> MemoryPlace: ...

    def open(
        self,
        embedder: Embedder | None = None,
        *,
        previous: Embedder | None = None,
        background: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> Store: ...


@dataclass(frozen=True)
class Folder:
    """Of the embedded store."""

    path: Path

    def __truediv__(self, name: str) -> "Folder":
        return Folder(self.path / name)

    def to_open(self) -> MemoryPlace:
        return SqlitePlace(self.path)

    def open(
        self,
        embedder: Embedder | None = None,
        *,
        previous: Embedder | None = None,
        background: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> Store:
        return SqliteMemory(
            self.path, embedder or HashingEmbedder(), previous=previous, background=background, clock=clock
        )


@dataclass(frozen=True)
class Schema:
    """Of a server."""

    url: str
    name: str

    def __truediv__(self, name: str) -> "Schema":
        return Schema(self.url, f"{self.name}_{name}")

    def to_open(self) -> MemoryPlace:
        from caxton_llm.stores.postgres_memory import PostgresPlace

        return PostgresPlace(self.url, self.name)

    def open(
        self,
        embedder: Embedder | None = None,
        *,
        previous: Embedder | None = None,
        background: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> Store:
        from caxton_llm.stores.postgres_memory import PostgresMemory

        return PostgresMemory(
            self.url,
            embedder or HashingEmbedder(),
            previous=previous,
            background=background,
            schema=self.name,
            clock=clock,
        )
