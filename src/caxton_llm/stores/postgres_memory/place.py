"""A schema of a server in which a store is, or will be."""

from dataclasses import dataclass, field

from caxton_llm.memory.embedder_store import KeptEmbedder
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.store import Progress
from caxton_llm.stores.postgres_memory.failures import place_of, translated
from caxton_llm.stores.postgres_memory.schema import prepare
from caxton_llm.stores.postgres_memory.sessions import connect
from caxton_llm.stores.postgres_memory.spaces import kept_in
from caxton_llm.stores.postgres_memory.store import PostgresMemory

__all__ = ["PostgresPlace"]


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """The `MemoryPlace` protocol over a server's URL. Raises `ConfigurationError` for a URL that is none."""

    url: str = field(repr=False)
    schema: str = "caxton_memory"

    def kept_embedders(self) -> tuple[list[KeptEmbedder], int]:
        """See `MemoryPlace.kept_embedders`; makes the tables if need be."""
        place = place_of(self.url)
        with translated(place), connect(self.url) as db:
            prepare(db, self.schema, place)
            return kept_in(db)

    def open(
        self,
        embedder: Embedder,
        *,
        previous: Embedder | None = None,
        claims: bool = True,
        background: bool = True,
        progress: Progress | None = None,
    ) -> PostgresMemory:
        """See `MemoryPlace.open`."""
        return PostgresMemory(
            self.url,
            embedder,
            previous=previous,
            claims=claims,
            background=background,
            progress=progress,
            schema=self.schema,
        )
