"""The memory as programs use it: one object over a store and its embedder, blocking, for any thread."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.calibration import Calibration, calibrate, default_calibration
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters, admits, check_filters
from caxton_llm.memory.model import Record, Relation
from caxton_llm.memory.scoring import Weights
from caxton_llm.memory.search import Found, MemorySearch
from caxton_llm.memory.store import Forgotten, MemoryStore, Progress, Retention, StoreStats, Written
from caxton_llm.memory.transfer import Format, Imported, export_lines, import_lines
from caxton_llm.stores.sqlite_memory import SqliteMemory

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
        weights: Weights | None = None,
        candidates: int = 100,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._clock = clock
        self._calibrations: dict[str, Calibration] = {}
        self._search = MemorySearch(store, self._calibration_of, weights=weights, candidates=candidates)

    @classmethod
    def open(cls, folder: Path | str, embedder: Embedder | None = None) -> Self:
        """The embedded store in `folder`, made if need be; without `embedder`, the package's own."""
        return cls(SqliteMemory(folder, embedder or StaticEmbedder.default()))

    @staticmethod
    def is_in(folder: Path | str) -> bool:
        """Whether a folder has a memory already."""
        return (Path(folder) / "memory.db").is_file()

    def _calibration_of(self, embedder: Embedder) -> Calibration:
        known = self._calibrations.get(embedder.name)
        if known is None:
            known = default_calibration()
            if known.embedder != embedder.name:
                known = calibrate(embedder)
            self._calibrations[embedder.name] = known
        return known

    # -- writing --------------------------------------------------------------------------------------------------------

    def add(self, records: Sequence[Record]) -> list[Written]:
        """Write all or none. What has no id is merged with the record that has its identity, if there is one."""
        return self.store.put(records)

    def forget(self, ids: Iterable[str], *, tenant: str = "") -> Forgotten:
        """Delete records for good, with their versions and, of entities, their relations. Unknown ids are passed over."""
        return self.store.forget(ids, tenant=tenant)

    def retain(self, retention: Retention) -> Forgotten:
        """Delete for good what is too old or too much."""
        return self.store.retain(retention, now=self._clock())

    def purge(self, progress: Progress | None = None) -> None:
        """Rewrite index files that may hold traces of what was deleted."""
        self.store.purge(progress)

    # -- reading --------------------------------------------------------------------------------------------------------

    def search(
        self, query: str, filters: Filters | None = None, *, max_results: int = 10, min_similarity: float | None = None
    ) -> Found:
        """The records that answer `query` best, each with the reasons. `min_similarity` is on the calibrated scale (0..1)."""
        return self._search.search(
            query, filters or Filters(), max_results=max_results, min_similarity=min_similarity, now=self._clock()
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

    @property
    def problems(self) -> list[str]:
        """What was wrong with index files since the memory was opened. `rebuild` makes them anew at once."""
        return self.store.problems

    def stats(self) -> StoreStats:
        """How much there is."""
        return self.store.stats()

    def close(self) -> None:
        """Close the store; what was acknowledged is kept."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
