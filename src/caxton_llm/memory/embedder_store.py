"""What a store that can change its embedder is asked, beside what every store is; and what it remembers of embedders."""

from typing import NamedTuple, Protocol

from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.store import MemoryStore, Progress

__all__ = ["EmbedderStore", "KeptEmbedder", "MemoryPlace"]


class KeptEmbedder(NamedTuple):
    """What a store remembers of an embedder. `settings` and `calibration` are as whoever opened it has written them;
    `vectors` counts those of one among several, and says 0 or 1 of an only one."""

    name: str
    dimensions: int
    settings: str | None
    calibration: str | None
    vectors: int


class EmbedderStore(MemoryStore, Protocol):
    """A store that has the vectors of several embedders side by side while it is changed from one to another."""

    @property
    def is_changing(self) -> bool:
        """Whether a previous embedder serves while vectors of another one are being made."""

    @property
    def owes_vectors(self) -> bool:
        """Whether something was written here without a vector: `embed_missing` makes them."""

    @property
    def vectors_made(self) -> int:
        """How many vectors `embed_missing` has made here, and no other process."""

    def change_embedder(self, embedder: Embedder) -> None:
        """From now on the store is to have the vectors of `embedder`; what serves goes on until `embed_missing` is done."""

    def follow(self, embedder: Embedder) -> bool:
        """Search the vectors that another process has changed the store to. False: the store has none of `embedder`."""

    def successor(self) -> str | None:
        """The name of the embedder that another process has changed the store to, so that the vectors of the one that serves
        here are gone: until `follow`, searches here are by words alone. `None`: nothing has happened."""

    def remember_embedder(self, name: str, *, settings: str | None = None, calibration: str | None = None) -> None:
        """Keep, with the vectors of an embedder, how to open it again and its scale. Never a secret."""

    def embed_missing(self, limit: int = 1_000) -> int:
        """Make up to `limit` vectors of the new embedder, or of the only one where some are missing; returns how many still
        are. At 0 the new one serves queries. One process at a time does it; writes and searches go on meanwhile. Raises what
        the embedder raises; what was made is kept."""


class MemoryPlace(Protocol):
    """Where a store is, before it is opened."""

    def kept_embedders(self) -> tuple[list[KeptEmbedder], int]:
        """The embedders that the store has vectors of, the one with most first, and how many passages there are. Brings an
        older store up to date; of a store that is not there nothing is known. Raises `MemoryStoreError`."""

    def open(
        self,
        embedder: Embedder,
        *,
        previous: Embedder | None = None,
        claims: bool = True,
        background: bool = True,
        progress: Progress | None = None,
    ) -> EmbedderStore:
        """The store, made if need be. If it was filled by another embedder, pass that as `previous`: it serves until
        `embed_missing` has gone through everything. `claims: false` leaves the store with the embedder that it is being
        changed to, whatever `embedder` is. Raises `MemoryStoreError`."""
