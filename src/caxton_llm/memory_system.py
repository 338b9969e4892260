"""The memory as programs use it: one object over a store and its embedder, blocking, for any thread."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from caxton_llm.config.memory_configuration import MemoryConfiguration
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.embedders.opening import calibration_of
from caxton_llm.errors import ConfigurationError, LlmError
from caxton_llm.memory.embedder_store import MemoryPlace
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.calibration import Calibration
from caxton_llm.memory.filters import Filters, admits, check_filters
from caxton_llm.memory.hits import Found, Searched
from caxton_llm.memory.model import Record, Relation
from caxton_llm.memory.scoring import Weights
from caxton_llm.memory.search import MemorySearch
from caxton_llm.memory.store import Forgotten, MemoryStore, Progress, Retention, StoreStats, Written
from caxton_llm.memory.transfer import Format, Imported, export_lines, import_lines
from caxton_llm.memory_upkeep import Upkeep
from caxton_llm.reembedding import EmbeddedMemory, EmbeddingStatus, open_memory
from caxton_llm.stores.sqlite_memory import SqlitePlace

__all__ = ["Memory"]


class Memory:
    """Entities with observations, relations and conversation turns, found by meaning and by words.

    Everything raises `InvalidRequest` for the caller's mistakes and `MemoryStoreError` for what is wrong with the store. Use
    it in a `with` statement or call `close()`.
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        embedded: EmbeddedMemory | None = None,
        weights: Weights | None = None,
        candidates: int = 64,
        max_results: int = 10,
        min_similarity: float | None = None,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`max_results` and `min_similarity` hold for searches that do not say otherwise. `embedded` looks after the
        embedder of `store`; with `retention` a thread deletes every hour what may not stay."""
        self.store = store
        self.max_results = max_results
        self.min_similarity = min_similarity
        self._embedded = embedded
        self._clock = clock
        self._calibrations: dict[str, Calibration] = {}
        self._upkeep = None if retention is None else Upkeep(lambda: self._tidy(retention))
        self._search = MemorySearch(store, self._calibration_of, weights=weights, candidates=candidates)

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """The embedded store in `folder`, made if need be, with the package's own embedder."""
        return cls.from_configuration(MemoryConfiguration(store="sqlite", folder=str(folder)))

    @staticmethod
    def is_in(folder: Path | str) -> bool:
        """Whether a folder has a memory already."""
        return (Path(folder) / "memory.db").is_file()

    @classmethod
    def from_configuration(
        cls,
        configuration: MemoryConfiguration,
        entries: Sequence[ProviderEntry] = (),
        *,
        background: bool = True,
        upkeep: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """As the `memory` block says; secrets are in place there and in `entries`, which are those under `llm`.

        Without `background` nothing is indexed or embedded anew. With `upkeep` the block's retention is kept to: a thread
        deletes what may not stay. Raises `ConfigurationError` for an embedder that cannot be.
        """
        embedded = open_memory(
            _place(configuration), configuration.embedder, entries=entries, background=background, progress=progress
        )
        return cls(
            embedded.store,
            embedded=embedded,
            weights=replace(Weights(), **configuration.weights),
            candidates=configuration.candidates,
            max_results=configuration.max_results,
            min_similarity=configuration.min_similarity,
            retention=_retention(configuration) if upkeep else None,
        )

    @property
    def problems(self) -> list[str]:
        """What the operator should know: indexes that were made anew, an embedder that does not answer."""
        found = self.store.problems if self._embedded is None else self._embedded.problems
        return found if self._upkeep is None or self._upkeep.problem is None else [*found, self._upkeep.problem]

    @property
    def embedding(self) -> EmbeddingStatus | None:
        """Which embedder serves, and how far a change to another one is."""
        return None if self._embedded is None else self._embedded.status

    def _calibration_of(self, embedder: Embedder) -> Calibration | None:
        if self._embedded is not None:
            return self._embedded.calibration
        known = self._calibrations.get(embedder.name)
        if known is None:
            try:
                known = self._calibrations[embedder.name] = calibration_of(embedder)
            except LlmError:
                return None
        return known

    # -- writing --------------------------------------------------------------------------------------------------------

    def add(self, records: Sequence[Record]) -> list[Written]:
        """Write all or none. What has no id is merged with the record that has its identity, if there is one."""
        return self.store.put(records)

    def note_used(self, ids: Iterable[str], *, tenant: str = "") -> int:
        """Count that these records went into an answer: they come a little earlier from now on. Returns how many there
        are."""
        return self.store.note_used(ids, tenant=tenant, at=self._clock())

    def forget(self, ids: Iterable[str], *, tenant: str = "") -> Forgotten:
        """Delete records for good, with their versions and, of entities, their relations. Unknown ids are passed over."""
        return self.store.forget(ids, tenant=tenant)

    def retain(self, retention: Retention) -> Forgotten:
        """Delete for good what is too old or too much."""
        return self.store.retain(retention, now=self._clock())

    def _tidy(self, retention: Retention) -> None:
        """What is deleted by itself is gone from the indexes, too: nobody is there to be told that a purge is needed."""
        if self.retain(retention).indexes == "purge needed":
            self.purge()

    def purge(self, progress: Progress | None = None) -> None:
        """Rewrite index files that may hold traces of what was deleted."""
        self.store.purge(progress)

    # -- reading --------------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str,
        filters: Filters | None = None,
        *,
        max_results: int | None = None,
        min_similarity: float | None = None,
    ) -> Found:
        """The records that answer `query` best, each with the reasons. `min_similarity` is on the calibrated scale (0..1)."""
        return self.searched(query, filters, max_results=max_results, min_similarity=min_similarity).found

    def searched(
        self,
        query: str,
        filters: Filters | None = None,
        *,
        max_results: int | None = None,
        min_similarity: float | None = None,
        distinct: bool = False,
    ) -> Searched:
        """The same, with what was compared. With `distinct` each says something else, and something else than the query; one
        that says the query again may stand beside these."""
        return self._search.search(
            query,
            filters or Filters(),
            max_results=self.max_results if max_results is None else max_results,
            min_similarity=self.min_similarity if min_similarity is None else min_similarity,
            now=self._clock(),
            distinct=distinct,
        )

    def get(self, ids: Iterable[str], *, tenant: str = "") -> dict[str, Record]:
        """Records by their ids; unknown ones are missing."""
        return self.store.get(ids, tenant=tenant)

    def records(self, filters: Filters | None = None) -> Iterator[Record]:
        """What a filter lets through, in the order in which it was first written."""
        filters = filters or Filters()
        check_filters(filters)
        every = self.store.records(tenant=filters.tenant, kinds=filters.kinds)
        return (record for record in every if admits(filters, record))

    def find(self, names: Iterable[str], filters: Filters | None = None) -> dict[str, list[str]]:
        """Ids of the entities that have a name, however it is spelled."""
        return self.store.find(names, filters=filters or Filters())

    def relations_of(self, ids: Iterable[str], *, tenant: str = "") -> list[Relation]:
        """Relations from or to any of these entities."""
        return self.store.relations_of(ids, tenant=tenant)

    def history(self, record: str, *, tenant: str = "") -> list[Record]:
        """A record's versions, the newest first; empty for an unknown id."""
        return self.store.history(record, tenant=tenant)

    # -- files and care -------------------------------------------------------------------------------------------------

    def export(
        self, *, tenant: str | None = None, history: bool = True, progress: Progress | None = None
    ) -> Generator[bytes, None, None]:
        """Everything, or what one tenant has, as JSON Lines."""
        return export_lines(self.store, tenant=tenant, history=history, progress=progress)

    def load(
        self,
        lines: Iterable[bytes],
        *,
        format: Format = "caxton",  # noqa: A002 - the word that users say
        tenant: str | None = None,
        strict: bool = True,
        progress: Progress | None = None,
    ) -> Imported:
        """Import JSON Lines, of an export or of the reference MCP memory server (`mcp`; `auto` looks). May be repeated.

        Raises `InvalidRequest` with the number of the first line that cannot be used; lines before it may be imported. Not
        `strict`, it goes on, and tells of such lines in `problems`.
        """
        return import_lines(self.store, lines, format=format, tenant=tenant, strict=strict, progress=progress)

    def rebuild(self, progress: Progress | None = None) -> None:
        """Make the indexes anew from the records."""
        self.store.rebuild(progress)

    def verify(self, progress: Progress | None = None) -> list[str]:
        """What is wrong with the store, in words; empty: nothing."""
        return self.store.verify(progress)

    def stats(self) -> StoreStats:
        """How much there is."""
        return self.store.stats()

    def close(self) -> None:
        """Close the store; what was acknowledged is kept."""
        if self._upkeep is not None:
            self._upkeep.close()
        (self._embedded or self.store).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _retention(configuration: MemoryConfiguration) -> Retention | None:
    if configuration.max_age_s is None and configuration.max_records is None:
        return None
    return Retention(max_age_s=configuration.max_age_s, max_records=configuration.max_records)


def _place(configuration: MemoryConfiguration) -> MemoryPlace:
    if configuration.store != "postgres":
        return SqlitePlace(Path(configuration.folder))
    if not isinstance(configuration.url, str):
        raise ConfigurationError("the memory in PostgreSQL has no url: set memory.url")
    from caxton_llm.stores.postgres_memory import PostgresPlace  # noqa: PLC0415 - an extra, which says so where it is missing

    return PostgresPlace(configuration.url)
