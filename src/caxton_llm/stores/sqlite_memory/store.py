"""The embedded store as its users see it: opening and closing, the thread that indexes."""

import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from caxton_llm.errors import LlmError, MemoryStoreError
from caxton_llm.memory.candidates import Candidates, StoreQuery, embedder_changed
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.embedder import TokenVectors
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.model import Kind, Record, Relation, Turn
from caxton_llm.memory.store import Forgotten, Progress, Retention, StoreStats, Written
from caxton_llm.memory.vectors import checked_query
from caxton_llm.memory.versions import Change, history_of
from caxton_llm.stores.connections import Connections, clear_log, one_state
from caxton_llm.stores.sqlite_memory.checking import problems_of
from caxton_llm.stores.sqlite_memory.columns import Columns
from caxton_llm.stores.sqlite_memory.counting import count
from caxton_llm.stores.sqlite_memory.indexer import Indexer
from caxton_llm.stores.sqlite_memory.indexes import Indexes, Opened
from caxton_llm.stores.sqlite_memory.locks import writer_lock
from caxton_llm.stores.sqlite_memory.retention import expired
from caxton_llm.stores.sqlite_memory.rows import KINDS, Rows, decode, marks
from caxton_llm.stores.sqlite_memory.schema import connect, prepare, translated
from caxton_llm.stores.sqlite_memory.search import Search, no_candidates
from caxton_llm.stores.sqlite_memory.selection import selection
from caxton_llm.stores.sqlite_memory.spaces import Spaces, vectors_for
from caxton_llm.stores.sqlite_memory.tail import Tail
from caxton_llm.stores.sqlite_memory.tokens import Tokens
from caxton_llm.stores.sqlite_memory.writer import Space, Writer

__all__ = ["SqliteMemory"]

_LONG_TAIL = 20_000
"""Passages without an index from which on opening a store waits until they have one."""
_HELD_PASSAGES = 2_000_000
"""Passages that are held in memory, of the tenants that were searched last."""
_GATHER_S = 2.0
"""Writes that are gathered for one commit of the index: it costs as much for one passage as for a thousand."""
_LOOK_S = 10.0
_PATIENCE_S = 5.0
"""How long `purge` waits for those who read."""
_PAUSE_S = 0.05
_STATE = """select (select id from tenants where name = ?), exists (select 1 from spaces where id = ?),
  exists (select 1 from relations)"""
_LAST = 64
"""Missing vectors that are made while nothing else is written."""
_MANY = 500


class SqliteMemory:
    """A memory in a folder, for any thread and for several processes at once (the `MemoryStore` protocol).

    `embedder` makes the vectors of what is written. If the store was filled by another one, pass that as `previous`: it
    serves until `embed_missing` has gone through everything. `claims: false` leaves the store with the embedder that it is
    being changed to, whatever this one is. `background` starts a thread that indexes; without it nothing is indexed before
    `catch_up`. Raises `MemoryStoreError`.
    """

    def __init__(
        self,
        folder: Path | str,
        embedder: Embedder,
        *,
        previous: Embedder | None = None,
        claims: bool = True,
        background: bool = True,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = Path(folder)
        self.path = self.folder / "memory.db"
        self.vocabulary: TokenVectors = StaticEmbedder.default()
        self._clock = clock
        self._connections = Connections(
            self.path, lambda: MemoryStoreError(f"the memory in {self.path.parent} is closed")
        )
        self._write_lock = threading.Lock()
        self._held_lock = threading.Lock()
        self._columns: OrderedDict[tuple[int, int], Columns] = OrderedDict()
        self._tails: dict[int, Tail] = {}
        self._is_open = True
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.vectors_made = 0
        """How many vectors `embed_missing` has made here, and no other process."""
        self._thread: threading.Thread | None = None
        with translated(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open(embedder, previous, progress, claims=claims)
        if background:
            self._thread = threading.Thread(target=self._index_on, name="caxton-memory-index", daemon=True)
            self._thread.start()

    def _open(self, embedder: Embedder, previous: Embedder | None, progress: Progress | None, *, claims: bool) -> None:
        writing = connect(self.path)
        try:
            prepare(writing, self.path)
            self._spaces = Spaces(writing, embedder, previous, claims=claims)
            tokens = Tokens(writing, self.vocabulary)
            tokens.complete(progress)
            self._writer = Writer(writing, self._spaces.written, tokens, self._clock)
            store = writing.execute("select value from store where key = 'id'").fetchone()[0]
            self._indexes = Indexes(self.folder / "index", store, self.embedder.dimensions)
            self._indexer = Indexer(self._indexes, self._spaces.serving.number)
            if self._indexer.waiting(writing) > _LONG_TAIL:
                self._indexer.catch_up(writing, progress)
        except BaseException:
            writing.close()
            raise

    @property
    def embedder(self) -> Embedder:
        """The embedder that queries need: the previous one while vectors of the new one are missing."""
        return self._spaces.serving.embedder

    @property
    def problems(self) -> list[str]:
        """What is wrong with index files; they are made anew by themselves, and then it is forgotten."""
        return self._indexes.problems.texts

    # -- writing --------------------------------------------------------------------------------------------------------

    def put(self, records: Sequence[Record]) -> list[Written]:
        """See `MemoryStore.put`."""
        return self._put(records, None)

    def restore(self, records: Sequence[Record], changes: Sequence[Sequence[Change]] = ()) -> list[Written]:
        """See `MemoryStore.restore`. What is there in the same or a later version stays."""
        return self._put(records, changes)

    def _put(self, records: Sequence[Record], changes: Sequence[Sequence[Change]] | None) -> list[Written]:
        with self._writing():
            written = self._writer.put(records, self._clock(), changes)
        self._wake.set()
        return written

    def note_used(self, ids: Iterable[str], *, tenant: str, at: float) -> int:
        """See `MemoryStore.note_used`."""
        with self._writing():
            return self._writer.note_used(ids, tenant, at)

    def forget(self, ids: Iterable[str], *, tenant: str) -> Forgotten:
        """Delete records, their versions and, of entities, their relations. Unknown ids are passed over."""
        with self._writing():
            number = self._writer.rows.tenant(tenant)
            rows = {} if number is None else self._writer.rows.by_ids(ids, number)
            return self._delete(row.key for row in rows.values())

    def retain(self, retention: Retention, *, now: float) -> Forgotten:
        """Delete what is too old or too much."""
        with self._writing():
            return self._delete(expired(self._writer.db, retention, now))

    def _delete(self, keys: Iterable[int]) -> Forgotten:
        forgotten, passages = self._writer.delete(keys)
        if not forgotten.records:
            return forgotten
        try:
            is_clear = clear_log(self._writer.db)
        except sqlite3.OperationalError:
            is_clear = False  # the records are gone whatever it was; `purge` tells
        traces = self._indexer.traces(self._writer.db, passages)
        self._wake.set()
        return forgotten if is_clear and not traces else replace(forgotten, indexes="purge needed")

    # -- embedders ------------------------------------------------------------------------------------------------------

    @property
    def is_changing(self) -> bool:
        """Whether a previous embedder serves while vectors of another one are being made."""
        return self._spaces.is_changing

    @property
    def owes_vectors(self) -> bool:
        """Whether something was written here without a vector, because the embedder failed: `embed_missing` makes them."""
        return self._writer.owes

    def change_embedder(self, embedder: Embedder) -> None:
        """From now on the store is to have the vectors of `embedder`; what serves goes on until `embed_missing` is done."""
        dimensions = embedder.dimensions  # may ask a server, which no write shall wait for
        with self._writing():
            self._spaces.change(embedder, dimensions)

    def follow(self, embedder: Embedder) -> bool:
        """Search the vectors that another process has changed the store to. False: the store has none of `embedder`."""
        with self._writing():
            followed = self._spaces.serve(embedder)
            self._serve()
            return followed

    def successor(self) -> str | None:
        """The name of the embedder that another process has changed the store to, so that the vectors of the one that serves
        here are gone: until `follow`, searches here are by words alone. `None`: nothing has happened."""
        with self._reading() as db:
            return self._spaces.successor(db)

    def remember_embedder(self, name: str, *, settings: str | None = None, calibration: str | None = None) -> None:
        """Keep, with the vectors of an embedder, how to open it again and its scale. Never a secret."""
        with self._writing():
            for key, value in (("settings", settings), ("calibration", calibration)):
                if value is not None:
                    self._spaces.remember(name, key, value)

    def embed_missing(self, limit: int = 1_000) -> int:
        """Make up to `limit` vectors of the new embedder, or of the only one where some are missing; returns how many still
        are. At 0 the new one serves queries. One process at a time does it; writes and searches go on meanwhile. Raises what
        the embedder raises; what was made is kept."""
        with translated(self.path), writer_lock(self.folder / "embedding.lock", wait=False) as held:
            with self._writing():
                may = held and self._spaces.may_fill()
            done = self._embed_some(limit) if may else 0
            with self._writing():
                if not self._spaces.may_fill():
                    return 0
                last = min(limit, _LAST)
                left = self._spaces.left(last) if done == limit else self._spaces.missing()
                if may and 0 < left <= last:
                    # With no write in between, or a busy store would never be complete.
                    lacking = self._spaces.lacking(self._writer.db, last)
                    self._spaces.fill(lacking, vectors_for(lacking, self._spaces.wanted.embedder))
                    left = self._spaces.missing()
                if left or (self._spaces.is_changing and not self._spaces.switch()):
                    return max(left, 1)
                self._writer.caught_up()
                self._serve()
            while self._sweep():
                pass
        return 0

    def _embed_some(self, limit: int) -> int:
        """Returns how many vectors were made, without keeping writes waiting for the embedder."""
        with self._reading() as db:
            lacking = self._spaces.lacking(db, limit)
        if lacking:
            vectors = vectors_for(lacking, self._spaces.wanted.embedder)
            with self._writing():
                self._spaces.fill(lacking, vectors)
                self.vectors_made += len(lacking)
        return len(lacking)

    def _sweep(self) -> bool:
        with self._writing():
            return self._spaces.sweep()

    def _serve(self) -> None:
        """The indexes and what is held in memory follow the space that serves."""
        space = self._spaces.serving
        if self._indexer.space != space.number:
            self._indexes.dimensions = space.embedder.dimensions
            self._indexer.space = space.number
            with self._held_lock:
                self._columns.clear()

    # -- reading --------------------------------------------------------------------------------------------------------

    def candidates(self, query: StoreQuery) -> Candidates:
        """See `MemoryStore.candidates`."""
        space = self._spaces.serving
        query = checked_query(query, space.embedder)
        with translated(self.path), self._connections.lent() as db:
            opened = self._indexes.current(db)
            with one_state(db):
                return self._candidates(db, query, space, opened)

    def _candidates(self, db: sqlite3.Connection, query: StoreQuery, space: Space, opened: Opened) -> Candidates:
        tenant, is_there, has_relations = db.execute(_STATE, (query.filters.tenant, space.number)).fetchone()
        if tenant is None:
            return no_candidates(query)
        if query.vector is not None and not is_there:
            if self._spaces.serving is not space:
                raise embedder_changed(self._spaces.serving.embedder.name)
            query = replace(query, vector=None)  # another process has changed the embedder: see `successor`
        columns, tail = self._held(tenant, space.number, space.embedder.dimensions)
        known = columns.count
        seen = columns.refresh(db)
        if columns.count != known:
            self._let_go()
        return Search(
            db, self._indexes, opened, tail, seen, query=query, has_relations=bool(has_relations)
        ).candidates()

    def load(self, keys: Iterable[int], *, tenant: str) -> dict[int, Record]:
        """See `MemoryStore.load`."""
        with self._lent() as db:
            found = Rows(db).by_keys(keys)
            return {key: record for key, record in found.items() if record.tenant == tenant}

    def get(self, ids: Iterable[str], *, tenant: str) -> dict[str, Record]:
        """Records by their ids; unknown ones are missing."""
        with self._reading() as db:
            number = Rows(db).tenant(tenant)
            return {} if number is None else {name: row.record for name, row in Rows(db).by_ids(ids, number).items()}

    def find(self, names: Iterable[str], *, filters: Filters) -> dict[str, list[str]]:
        """See `MemoryStore.find`; of the filters, scopes and types count."""
        found: dict[str, list[str]] = {}
        with self._reading() as db:
            tenant = Rows(db).tenant(filters.tenant)
            if tenant is None:
                return {}
            chosen = selection(db, filters, tenant)
            for name in dict.fromkeys(names):
                sql = """select r.id, r.owner, r.type from names n join records r on r.key = n.record
                    where n.tenant = ? and n.name = ? order by r.key"""
                ids = [
                    record
                    for record, owner, type_code in db.execute(sql, (tenant, name_key(name)))
                    if (chosen.owners is None or owner in chosen.owners)
                    and (chosen.types is None or type_code in chosen.types)
                ]
                if ids:
                    found[name] = ids
        return found

    def turns_near(self, turn: str, *, distance: int, tenant: str) -> list[Turn]:
        """See `MemoryStore.turns_near`."""
        sql = """select r.payload from turns mine join records me on me.key = mine.record
            join turns t on t.tenant = mine.tenant and t.conversation = mine.conversation
              and t.number between mine.number - ? and mine.number + ? and t.record != mine.record
            join records r on r.key = t.record and r.owner = me.owner
            where me.id = ? and me.tenant = (select id from tenants where name = ?) order by t.number"""
        with self._reading() as db:
            records = (decode(payload) for (payload,) in db.execute(sql, (distance, distance, turn, tenant)))
            return [record for record in records if isinstance(record, Turn)]

    def relations_of(self, ids: Iterable[str], *, tenant: str) -> list[Relation]:
        """See `MemoryStore.relations_of`."""
        with self._reading() as db:
            number = Rows(db).tenant(tenant)
            keys = [] if number is None else [row.key for row in Rows(db).by_ids(ids, number).values()]
            found: dict[int, None] = {}
            for key in keys:
                sql = "select record from relations where source = ? or target = ?"
                found.update((row[0], None) for row in db.execute(sql, (key, key)))
            return [record for record in Rows(db).by_keys(found).values() if isinstance(record, Relation)]

    def records(self, *, tenant: str | None = None, kinds: Sequence[Kind] | None = None) -> Iterator[Record]:
        """See `MemoryStore.records`: in the order in which they were first written."""
        numbers = [KINDS[kind] for kind in (kinds if kinds is not None else KINDS)]
        last = 0
        while True:
            with self._reading() as db:
                sql = f"""select key, payload from records where key > ? and kind in ({marks(numbers)})
                    and (? is null or tenant = (select id from tenants where name = ?)) order by key limit ?"""  # noqa: S608
                rows = db.execute(sql, (last, *numbers, tenant, tenant, _MANY)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (decode(payload) for _, payload in rows)

    def history(self, record: str, *, tenant: str) -> list[Record]:
        """See `MemoryStore.history`; empty for an unknown id."""
        found = self.get([record], tenant=tenant).get(record)
        return [] if found is None else history_of(found, self.changes(record, tenant=tenant))

    def changes(self, record: str, *, tenant: str) -> list[Change]:
        """What has changed, the last change first."""
        with self._reading() as db:
            number = Rows(db).tenant(tenant)
            row = None if number is None else Rows(db).by_ids([record], number).get(record)
            return [] if row is None else Rows(db).changes(row.key)

    # -- care -----------------------------------------------------------------------------------------------------------

    def catch_up(self, progress: Progress | None = None) -> bool:
        """Index what is committed; returns whether this process had the lock. Whoever's vectors are gone indexes nothing."""
        with self._lent() as db:
            if not self._spaces.is_there(db, self._spaces.serving):
                return False
            has_caught_up = self._indexer.catch_up(db, progress)
            if has_caught_up:
                self._indexes.problems.mended()
            return has_caught_up

    def purge(self, progress: Progress | None = None) -> None:
        """See `MemoryStore.purge`. Raises `MemoryStoreError` when another process reads for longer than 5 s meanwhile."""
        with self._writing():
            self._writer.drop_unused_names()
        with self._lent() as db:
            if self._indexer.traces(db):
                self._indexer.rebuild(db, progress)
            end = time.monotonic() + _PATIENCE_S
            while not clear_log(db):
                if time.monotonic() > end:
                    message = (
                        f"{self.path}-wal may still hold what was deleted: another process, or a search here, has read"
                    )
                    raise MemoryStoreError(
                        f"{message} the memory for longer than {_PATIENCE_S:g} s; end it or try again"
                    )
                time.sleep(_PAUSE_S)

    def rebuild(self, progress: Progress | None = None) -> None:
        """See `MemoryStore.rebuild`."""
        with self._writing():
            if self._writer.tokens.mend():
                with self._held_lock:
                    self._columns.clear()
        with self._lent() as db:
            self._indexer.rebuild(db, progress)
            self._indexes.problems.mended()

    def verify(self, progress: Progress | None = None) -> list[str]:
        """See `MemoryStore.verify`."""
        with self._lent() as db:
            return problems_of(db, self._indexes, self._spaces.serving.number, progress)

    def stats(self) -> StoreStats:
        """See `MemoryStore.stats`."""
        with self._lent() as db:
            return count(db, self.folder, self._indexer.waiting(db), self._spaces.serving)

    def close(self) -> None:
        """Stop indexing and close the database; what is not indexed yet is searched as the tail next time."""
        self._is_open = False
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._connections.close()
        with self._write_lock:
            self._writer.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- connections and threads ----------------------------------------------------------------------------------------

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the newest state with every statement."""
        with translated(self.path), self._connections.lent() as db:
            yield db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One state of the database, whatever is written meanwhile."""
        with self._lent() as db, one_state(db):
            yield db

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self.path), self._write_lock:
            if not self._is_open:
                raise MemoryStoreError(f"the memory in {self.folder} is closed")
            yield

    def _held(self, tenant: int, space: int, dimensions: int) -> tuple[Columns, Tail]:
        with self._held_lock:
            columns = self._columns.pop((tenant, space), None) or Columns(tenant, space, dimensions, self.vocabulary)
            self._columns[tenant, space] = columns
            if tenant not in self._tails:
                self._tails[tenant] = Tail(tenant)
            return columns, self._tails[tenant]

    def _let_go(self) -> None:
        """Of tenants that were not searched for longest, when too much is held."""
        with self._held_lock:
            while len(self._columns) > 1 and sum(held.count for held in self._columns.values()) > _HELD_PASSAGES:
                gone, _ = self._columns.popitem(last=False)[0]
                self._tails.pop(gone, None)

    def _index_on(self) -> None:
        """The thread that indexes. A failure is kept in `problems`; searching goes on without the index."""
        while not self._closing.is_set():
            # Whatever was written by others is indexed too, if they do not.
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            if self._closing.wait(_GATHER_S):
                return
            try:
                self.catch_up()
            except Exception as error:  # noqa: BLE001 - else nothing would ever be indexed again, and nobody would know
                what = error if isinstance(error, LlmError) else f"{type(error).__name__}: {error}"
                self._indexes.problems.add(f"indexing failed: {what}")
