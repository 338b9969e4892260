"""The seam between a memory and what keeps it: records in, candidates out.

A store is used from any thread and by several processes at once. What `put` has returned is kept, and is found by the next
search of whoever searches. Errors are `InvalidRequest` for the caller's mistakes and `MemoryStoreError` for all else.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from caxton_llm.memory.candidates import Candidates, StoreQuery
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Kind, Record, Relation, Turn
from caxton_llm.memory.versions import Change

if TYPE_CHECKING:
    from caxton_llm.memory.embedding.embedder import TokenVectors

__all__ = [
    "Action",
    "Forgotten",
    "MemoryStore",
    "Progress",
    "Retention",
    "StoreStats",
    "Written",
]

Action = Literal["created", "merged", "updated", "unchanged"]
Progress = Callable[[int, int | None], None]
"""Called with what is done and what there is to do (`None`: not known)."""


class Written(Struct, frozen=True):
    """What became of a record. `duplicates` counts observations that were known already."""

    id: str
    version: int
    action: Action
    duplicates: int = 0


class Forgotten(Struct, frozen=True, kw_only=True):
    """What has been deleted for good. `indexes` says whether index files may still hold traces: then `purge` removes them."""

    records: int = 0
    relations: int = 0
    """Relations among `records`; those of a deleted entity go with it."""
    versions: int = 0
    passages: int = 0
    indexes: Literal["clean", "purge needed"] = "clean"
    ids: tuple[str, ...] = ()


class Retention(Struct, frozen=True, kw_only=True):
    """What may stay. `max_age_s` counts from a record's last change; `max_records` are the newest of each owner."""

    max_age_s: float | None = None
    max_records: int | None = None
    kinds: tuple[Kind, ...] = ("entity", "turn")
    tenant: str | None = None


class StoreStats(Struct, frozen=True, kw_only=True):
    """How much there is. `waiting` passages are searched without the index. Sizes in bytes."""

    entities: int
    relations: int
    turns: int
    versions: int
    tenants: int
    passages: int
    waiting: int
    without_vector: int
    database_bytes: int
    index_bytes: int
    embedder: str
    schema: int


class MemoryStore(Protocol):
    """Keeps the records of a memory and finds candidates among them."""

    def put(self, records: Sequence[Record]) -> list[Written]:
        """Write all or none, at most 10,000. A record without an id is merged with the one that has its identity, one with an
        id replaces the one that has it."""

    def restore(self, records: Sequence[Record], changes: Sequence[Sequence[Change]] = ()) -> list[Written]:
        """Write records as an export has them: with their ids, times, version and earlier versions."""

    def note_used(self, ids: Iterable[str], *, tenant: str, at: float) -> int:
        """Count that these records went into an answer, at `at` seconds since 1970: once each, however often they stand in
        `ids`. Returns how many there are; unknown ids are passed over. The records and their versions stay as they are."""

    def get(self, ids: Iterable[str], *, tenant: str) -> dict[str, Record]: ...

    def find(self, names: Iterable[str], *, filters: Filters) -> dict[str, list[str]]:
        """Ids of the entities that have a name, however it is spelled."""

    @property
    def problems(self) -> list[str]:
        """What is wrong with index files, the last things, each once; searches do without them until they are made anew."""

    @property
    def embedder(self) -> Embedder:
        """The embedder of the vectors that are searched; while the store changes it, that is the previous one."""

    @property
    def vocabulary(self) -> "TokenVectors":
        """What the tokens of a query are taken from."""

    def candidates(self, query: StoreQuery) -> Candidates:
        """What may be sought; every committed record is considered."""

    def load(self, keys: Iterable[int], *, tenant: str) -> dict[int, Record]:
        """Records by the keys of candidates; those that were deleted since are missing."""

    def turns_near(self, turn: str, *, distance: int, tenant: str) -> list[Turn]:
        """The turns of the same conversation at most `distance` places away, in order, without the turn itself."""

    def relations_of(self, ids: Iterable[str], *, tenant: str) -> list[Relation]:
        """Relations from or to any of these entities."""

    def records(self, *, tenant: str | None = None, kinds: Sequence[Kind] | None = None) -> Iterator[Record]:
        """Everything, in a fixed order, as it is when its turn comes."""

    def history(self, record: str, *, tenant: str) -> list[Record]:
        """The record's versions, the newest first."""

    def changes(self, record: str, *, tenant: str) -> list[Change]: ...

    def forget(self, ids: Iterable[str], *, tenant: str) -> Forgotten: ...

    def retain(self, retention: Retention, *, now: float) -> Forgotten: ...

    def purge(self, progress: Progress | None = None) -> None:
        """Rewrite what may hold traces of deleted records. Raises `MemoryStoreError` when who reads is in the way."""

    def rebuild(self, progress: Progress | None = None) -> None:
        """Make the indexes anew from the records."""

    def verify(self, progress: Progress | None = None) -> list[str]:
        """What is wrong with the store, in words; empty: nothing."""

    def stats(self) -> StoreStats: ...

    def close(self) -> None: ...
