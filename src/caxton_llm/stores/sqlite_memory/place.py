"""A folder in which an embedded store is, or will be."""

from dataclasses import dataclass
from pathlib import Path

from caxton_llm.memory.embedder_store import KeptEmbedder
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.store import Progress
from caxton_llm.stores.sqlite_memory.spaces import kept_embedders
from caxton_llm.stores.sqlite_memory.store import SqliteMemory

__all__ = ["SqlitePlace"]


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    """The `MemoryPlace` protocol over a folder."""

    folder: Path

    def kept_embedders(self) -> tuple[list[KeptEmbedder], int]:
        """See `MemoryPlace.kept_embedders`."""
        return kept_embedders(self.folder / "memory.db")

    def open(
        self,
        embedder: Embedder,
        *,
        previous: Embedder | None = None,
        claims: bool = True,
        background: bool = True,
        progress: Progress | None = None,
    ) -> SqliteMemory:
        """See `MemoryPlace.open`."""
        return SqliteMemory(
            self.folder, embedder, previous=previous, claims=claims, background=background, progress=progress
        )
