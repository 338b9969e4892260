"""The store in PostgreSQL as its users see it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from msgspec.structs import replace
from psycopg import errors

from caxton_llm.errors import LlmError, MemoryStoreError
from caxton_llm.memory.candidates import Candidates, StoreQuery, embedder_changed
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.embedder import TokenVectors
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.model import Kind, Record, Relation, Turn
from caxton_llm.memory.problems import Problems
from caxton_llm.memory.store import Forgotten, Progress, Retention, StoreStats, Written
from caxton_llm.memory.vectors import checked_query
from caxton_llm.memory.versions import Change, history_of
from caxton_llm.stores.postgres_memory.care import expired, problems_of, purge, rewrite_words, stats_of
from caxton_llm.stores.postgres_memory.codes import Codes, tenant_key, text_key
from caxton_llm.stores.postgres_memory.failures import place_of, translated
from caxton_llm.stores.postgres_memory.filling import Filling
from caxton_llm.stores.postgres_memory.graph import index_vectors, remake_indexes
from caxton_llm.stores.postgres_memory.rows import KINDS, decode, decode_change
from caxton_llm.stores.postgres_memory.samples import Samples
from caxton_llm.stores.postgres_memory.schema import prepare
from caxton_llm.stores.postgres_memory.search import Search, candidates_of
from caxton_llm.stores.postgres_memory.selection import selection
from caxton_llm.stores.postgres_memory.sessions import Connection, Sessions, connect
from caxton_llm.stores.postgres_memory.spaces import Space, Spaces, remember, sweep, vector_tables
from caxton_llm.stores.postgres_memory.tokens import Tokens
from caxton_llm.stores.postgres_memory.writer import Writer

__all__ = ["PostgresMemory"]

_LOOK_S = 10.0
_CANCEL_S = 1.0
_MANY = 500
_OWN = "id_key = any(%s) and tenant = (select id from codes where key = %s)"
"""Records by their ids, of one tenant."""


class PostgresMemory:
    """A memory in PostgreSQL, for any thread and for many processes at once (the `MemoryStore` protocol).

    `embedder` makes the vectors of what is written. If the store was filled by another one, pass that as `previous`: it
    serves until `embed_missing` has gone through everything. `claims: false` leaves the store with the embedder that it is
    being changed to, whatever this one is. `background` starts a thread that makes the vector index once
    it is worth it; without it that is what `catch_up` does. `schema` holds the tables, so that a database may hold several
    memories. At most `connections` are open; a call waits `timeout_s` for one. Raises `MemoryStoreError`, and
    `ConfigurationError` for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        embedder: Embedder,
        *,
        previous: Embedder | None = None,
        claims: bool = True,
        background: bool = True,
        progress: Progress | None = None,
        schema: str = "caxton_memory",
        connections: int = 10,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.place = place_of(url)
        self.vocabulary: TokenVectors = StaticEmbedder.default()
        self._problems = Problems()
        self._clock = clock
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._indexing: Connection | None = None
        tokens = Tokens(self.vocabulary)
        with translated(self.place), connect(url) as db:
            setup = prepare(db, schema, self.place)
            self._spaces = Spaces(db, embedder, previous, claims=claims)
            tokens.complete(db, progress)
        self._sessions = Sessions(url, self.place, setup, size=connections, timeout_s=timeout_s)
        self._codes = Codes()
        self._tokens = tokens
        self._samples = Samples(tokens)
        self._writer = Writer(self._sessions, self._spaces, tokens, self._codes, clock)
        self._filling = Filling(self._sessions, self._spaces)
        if background:
            self._thread = threading.Thread(target=self._index_on, name="caxton-memory-index", daemon=True)
            self._thread.start()

    @property
    def embedder(self) -> Embedder:
        """The embedder that queries need: the previous one while vectors of the new one are missing."""
        return self._spaces.serving.embedder

    @property
    def problems(self) -> list[str]:
        """What went wrong in the background, until it goes well again."""
        return self._problems.texts

    # -- writing --------------------------------------------------------------------------------------------------------

    def put(self, records: Sequence[Record]) -> list[Written]:
        """See `MemoryStore.put`."""
        return self._writer.put(records, self._clock(), None)

    def restore(self, records: Sequence[Record], changes: Sequence[Sequence[Change]] = ()) -> list[Written]:
        """See `MemoryStore.restore`. What is there in the same or a later version stays."""
        return self._writer.put(records, self._clock(), changes)

    def note_used(self, ids: Iterable[str], *, tenant: str, at: float) -> int:
        """See `MemoryStore.note_used`."""
        query = f"""insert into uses select key, 1, %s from records where {_OWN} order by key for key share
            on conflict (record) do update set count = uses.count + 1, last = greatest(uses.last, excluded.last)"""  # noqa: S608
        with self._sessions.writing() as db:
            return db.execute(query, (at, *_own(ids, tenant))).rowcount

    def forget(self, ids: Iterable[str], *, tenant: str) -> Forgotten:
        """Delete records, their versions and, of entities, their relations. Unknown ids are passed over."""
        return self._delete(f"select key from records where {_OWN}", _own(ids, tenant))  # noqa: S608

    def retain(self, retention: Retention, *, now: float) -> Forgotten:
        """Delete what is too old or too much."""
        return self._delete(*expired(retention, now))

    def _delete(self, query: str, values: Sequence[object]) -> Forgotten:
        forgotten = self._writer.delete(query, values)
        if forgotten.passages > _MANY:
            self._samples.forget()
        return forgotten

    # -- embedders ------------------------------------------------------------------------------------------------------

    @property
    def is_changing(self) -> bool:
        """Whether a previous embedder serves while vectors of another one are being made."""
        return self._spaces.is_changing

    @property
    def owes_vectors(self) -> bool:
        """Whether something was written here without a vector, because the embedder failed: `embed_missing` makes them."""
        return self._writer.owes

    @property
    def vectors_made(self) -> int:
        """How many vectors `embed_missing` has made here, and no other process."""
        return self._filling.vectors_made

    def change_embedder(self, embedder: Embedder) -> None:
        """See `EmbedderStore.change_embedder`."""
        dimensions = embedder.dimensions  # may ask a server, which no connection shall wait for
        with self._sessions.connection() as db:
            self._spaces.change(db, embedder, dimensions)

    def follow(self, embedder: Embedder) -> bool:
        """See `EmbedderStore.follow`."""
        dimensions = embedder.dimensions
        with self._sessions.connection() as db:
            return self._spaces.serve(db, embedder, dimensions)

    def successor(self) -> str | None:
        """See `EmbedderStore.successor`."""
        with self._sessions.connection() as db:
            return self._spaces.successor(db)

    def remember_embedder(self, name: str, *, settings: str | None = None, calibration: str | None = None) -> None:
        """See `EmbedderStore.remember_embedder`."""
        with self._sessions.connection() as db:
            remember(db, name, settings, calibration)

    def embed_missing(self, limit: int = 1_000) -> int:
        """See `EmbedderStore.embed_missing`. Meanwhile it has one of the connections."""
        owed, self._writer.owes = self._writer.owes, False  # what is written from now on counts again
        left = 1
        try:
            left = self._filling.embed_missing(limit)
        finally:
            self._writer.owes = self._writer.owes or (owed and left > 0)
        if not left:
            self._writer.caught_up()
        return left

    # -- searching ------------------------------------------------------------------------------------------------------

    def candidates(self, query: StoreQuery) -> Candidates:
        """See `MemoryStore.candidates`."""
        space = self._spaces.serving
        query = checked_query(query, space.embedder)
        try:
            return self._candidates(query, space)
        except MemoryStoreError as error:
            if not isinstance(error.__cause__, errors.UndefinedTable):
                raise
        return self._candidates(query, space)  # its vectors have gone just now, which is seen from the start this time

    def _candidates(self, query: StoreQuery, space: Space) -> Candidates:
        with self._sessions.reading() as db:
            if query.vector is not None and not self._spaces.is_there(db, space):
                self._spaces.refresh(db)
                if self._spaces.serving is not space:
                    raise embedder_changed(self.embedder.name)
                query = replace(query, vector=None)  # another process has changed the embedder: see `successor`
            chosen = selection(db, self._codes, query.filters)
            if chosen is None:
                return candidates_of([], query, self._tokens)
            sample = self._samples.of(db, chosen.tenant)
            return Search(db, query, chosen, space=space, sample=sample, tokens=self._tokens).candidates()

    def load(self, keys: Iterable[int], *, tenant: str) -> dict[int, Record]:
        """See `MemoryStore.load`."""
        query = (
            "select key, payload from records where key = any(%s) and tenant = (select id from codes where key = %s)"
        )
        with self._sessions.connection() as db:
            rows = db.execute(query, (list(keys), tenant_key(tenant))).fetchall()
        return {key: decode(payload) for key, payload in rows}

    # -- reading --------------------------------------------------------------------------------------------------------

    def get(self, ids: Iterable[str], *, tenant: str) -> dict[str, Record]:
        """Records by their ids; unknown ones are missing."""
        wanted = list(ids)
        query = f"select id, payload from records where {_OWN}"  # noqa: S608
        with self._sessions.connection() as db:
            found = dict(db.execute(query, _own(wanted, tenant)).fetchall())
        return {name: decode(found[name]) for name in dict.fromkeys(wanted) if name in found}

    def find(self, names: Iterable[str], *, filters: Filters) -> dict[str, list[str]]:
        """See `MemoryStore.find`; of the filters, scopes and types count."""
        kept = Filters(
            tenant=filters.tenant,
            agent=filters.agent,
            workspace=filters.workspace,
            scopes=filters.scopes,
            types=filters.types,
        )
        wanted = {name: name_key(name) for name in names}
        with self._sessions.connection() as db:
            chosen = selection(db, self._codes, kept)
            if chosen is None or not wanted:
                return {}
            query = f"""select r.name, array_agg(r.id order by r.key) from records r
                where r.name = any(%(names)s) and {chosen.of("r")} group by r.name"""  # noqa: S608
            values = {**chosen.values, "names": list(set(wanted.values()))}
            found = dict(db.execute(query, values).fetchall())
        return {name: found[key] for name, key in wanted.items() if key in found}

    def turns_near(self, turn: str, *, distance: int, tenant: str) -> list[Turn]:
        """See `MemoryStore.turns_near`."""
        query = """select r.payload from records me join records r on r.conversation = me.conversation
              and r.position between me.position::bigint - %s and me.position::bigint + %s
              and r.owner = me.owner and r.key <> me.key
            where me.id_key = %s and me.tenant = (select id from codes where key = %s) order by r.position"""
        with self._sessions.connection() as db:
            rows = db.execute(query, (distance, distance, text_key(turn), tenant_key(tenant))).fetchall()
        return [record for (payload,) in rows if isinstance(record := decode(payload), Turn)]

    def relations_of(self, ids: Iterable[str], *, tenant: str) -> list[Relation]:
        """See `MemoryStore.relations_of`."""
        query = f"""with wanted as (select key from records where {_OWN})
            select r.payload from records r where r.key in (
              select record from relations where source in (select key from wanted)
              union select record from relations where target in (select key from wanted)) order by r.key"""  # noqa: S608
        with self._sessions.connection() as db:
            rows = db.execute(query, _own(ids, tenant)).fetchall()
        return [record for (payload,) in rows if isinstance(record := decode(payload), Relation)]

    def records(self, *, tenant: str | None = None, kinds: Sequence[Kind] | None = None) -> Iterator[Record]:
        """See `MemoryStore.records`: in the order in which they were first written."""
        numbers = [KINDS[kind] for kind in (kinds if kinds is not None else KINDS)]
        where, key = (
            ("", []) if tenant is None else ("and tenant = (select id from codes where key = %s)", [tenant_key(tenant)])
        )
        query = f"select key, payload from records where key > %s and kind = any(%s) {where} order by key limit %s"  # noqa: S608
        last = 0
        while True:
            with self._sessions.connection() as db:
                rows = db.execute(query, (last, numbers, *key, _MANY)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (decode(payload) for _, payload in rows)

    def history(self, record: str, *, tenant: str) -> list[Record]:
        """See `MemoryStore.history`; empty for an unknown id."""
        with self._sessions.reading() as db:
            found = db.execute(f"select payload from records where {_OWN}", _own([record], tenant)).fetchone()  # noqa: S608
            changes = _changes(db, record, tenant)
        return [] if found is None else history_of(decode(found[0]), changes)

    def changes(self, record: str, *, tenant: str) -> list[Change]:
        """What has changed, the last change first."""
        with self._sessions.connection() as db:
            return _changes(db, record, tenant)

    # -- care -----------------------------------------------------------------------------------------------------------

    def catch_up(self) -> bool:
        """Make the vector index if there are many vectors without, and drop tables that serve no more; returns whether no
        other process is doing so. Whoever's vectors are gone indexes nothing."""
        with self._sessions.connection() as db:
            sweep(db)
            if self._spaces.successor(db) is not None:
                return False
            self._indexing = db
            try:
                return index_vectors(db, self._spaces.serving)
            finally:
                self._indexing = None

    def purge(self, progress: Progress | None = None) -> None:
        """See `MemoryStore.purge`. Rows that an open transaction may still see stay until it has ended, and that is told."""
        with self._sessions.connection() as db:
            purge(db, vector_tables(db), progress)

    def rebuild(self, progress: Progress | None = None) -> None:
        """See `MemoryStore.rebuild`. Reading and writing go on meanwhile."""
        with self._sessions.connection() as db:
            rewrite_words(db, progress)
            remake_indexes(db, self._spaces.present(db))

    def verify(self, progress: Progress | None = None) -> list[str]:
        """See `MemoryStore.verify`."""
        with self._sessions.reading() as db:
            return problems_of(db, self._spaces.present(db), progress)

    def stats(self) -> StoreStats:
        """See `MemoryStore.stats`."""
        with self._sessions.reading() as db:
            return stats_of(db, self._spaces.present(db))

    def close(self) -> None:
        """Close the connections; what was acknowledged is kept. A graph that is being made is given up."""
        self._closing.set()
        if self._thread is not None:
            while self._thread.is_alive():
                if (db := self._indexing) is not None:
                    db.cancel_safe(timeout=_CANCEL_S)
                self._thread.join(_CANCEL_S)
        self._sessions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _index_on(self) -> None:
        """The thread that indexes. A failure is kept in `problems`; searching goes on without the index."""
        while not self._closing.wait(_LOOK_S):
            try:
                self.catch_up()
            except Exception as error:  # noqa: BLE001 - else nothing would ever be indexed again, and nobody would know
                what = error if isinstance(error, LlmError) else f"{type(error).__name__}: {error}"
                self._problems.add(f"indexing failed: {what}")
            else:
                self._problems.mended()


def _own(ids: Iterable[str], tenant: str) -> tuple[list[bytes], bytes]:
    return [text_key(one) for one in dict.fromkeys(ids)], tenant_key(tenant)


def _changes(db: Connection, record: str, tenant: str) -> list[Change]:
    query = f"""select v.change from versions v join records on key = v.record
        where {_OWN} order by v.version desc"""  # noqa: S608
    return [decode_change(change) for (change,) in db.execute(query, _own([record], tenant))]
