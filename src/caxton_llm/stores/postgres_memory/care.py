"""Looking after the tables: whether they are whole, made anew from the records, freed of traces; how much they hold."""

from collections.abc import Sequence

from caxton_llm.errors import InvalidRequest, MemoryStoreError
from caxton_llm.memory.analysis import terms_of
from caxton_llm.memory.passages import passages_of, texts_of_rows
from caxton_llm.memory.store import Progress, Retention, StoreStats
from caxton_llm.stores.postgres_memory.codes import tenant_key
from caxton_llm.stores.postgres_memory.graph import damaged_indexes, is_waiting
from caxton_llm.stores.postgres_memory.rows import KINDS, decode, words_of
from caxton_llm.stores.postgres_memory.schema import SCHEMA
from caxton_llm.stores.postgres_memory.sessions import Connection
from caxton_llm.stores.postgres_memory.spaces import Space

__all__ = ["expired", "problems_of", "purge", "rewrite_words", "stats_of"]

_MANY = 1_000
_SHOWN = 20
_PATIENCE_S = 5
_LOOKS = 10
"""In a second."""
_TABLES = ("records", "relations", "versions", "passages", "uses")
_COUNTS = (
    ("passages of records that do not exist", "passages t where not exists (select from records where key = t.record)"),
    ("versions of records that do not exist", "versions t where not exists (select from records where key = t.record)"),
    (
        "relations whose entities do not exist",
        "records t where t.kind = 1 and not exists (select from relations where record = t.key)",
    ),
)


def problems_of(db: Connection, space: Space, progress: Progress | None) -> list[str]:
    """Everything that is wrong, in words."""
    found = [f"{count} {what}" for what, where in _COUNTS if (count := _one(db, f"select count(*) from {where}"))]  # noqa: S608
    missing = f"passages p where not exists (select from {space.table} v where v.passage = p.id)"
    if count := _one(db, f"select count(*) from {missing}"):  # noqa: S608
        found.append(f"{count} passages without a vector: embed them")
    return (found + damaged_indexes(db) + _records(db, progress))[:_SHOWN]


def _records(db: Connection, progress: Progress | None) -> list[str]:
    """Each record can be read and has its passages with all their words."""
    found: list[str] = []
    last, done, total = 0, 0, _one(db, "select count(*) from records")
    query = """select r.key, r.id, r.payload,
        array(select length(p.words) from passages p where p.record = r.key order by p.ordinal)
        from records r where r.key > %s order by r.key limit %s"""
    while rows := db.execute(query, (last, _MANY)).fetchall():
        for _, name, payload, words in rows:
            try:
                texts = passages_of(decode(payload))
            except MemoryStoreError as error:
                found.append(f"{name}: {error.message}")
                continue
            if len(words) != len(texts):
                found.append(f"{name} has {len(words)} passages instead of {len(texts)}")
            elif words != [len(set(terms_of(text))) for text in texts]:
                found.append(f"{name} is not found by all of its words: rebuild")
        last, done = rows[-1][0], done + len(rows)
        if progress is not None:
            progress(done, total)
    return found


def rewrite_words(db: Connection, progress: Progress | None) -> None:
    """Give every passage the words of its text, where it has others."""
    last, done, total = 0, 0, _one(db, "select count(*) from passages")
    query = """select p.id, p.tenant, p.ordinal, p.record, r.payload from passages p join records r on r.key = p.record
        where p.id > %s order by p.id limit %s"""
    update = (
        "update passages set length = %s, words = %s::tsvector where id = %s and words is distinct from %s::tsvector"
    )
    while rows := db.execute(query, (last, _MANY)).fetchall():
        texts = texts_of_rows((row[2:] for row in rows), decode)
        values = []
        for (passage, tenant, *_), text in zip(rows, texts, strict=True):
            length, words = words_of(tenant, text)
            values.append((length, words, passage, words))
        with db.transaction():
            db.cursor().executemany(update, values)
        last, done = rows[-1][0], done + len(rows)
        if progress is not None:
            progress(done, total)


def purge(db: Connection, tables: Sequence[str], progress: Progress | None) -> None:
    """Let the server remove rows that were deleted, from tables and indexes. Raises `MemoryStoreError` when transactions
    that may still see them go on for longer than 5 s; those of other users are seen with `pg_read_all_stats` alone."""
    every = (*_TABLES, *tables)
    older = _older(db)
    for done, table in enumerate(every, 1):
        db.execute(f"vacuum (analyze, index_cleanup on) {table}")
        if progress is not None:
            progress(done, len(every))
    if older:
        message = f"the server may still hold what was deleted: {older} older transactions went on for longer than"
        raise MemoryStoreError(f"{message} {_PATIENCE_S} s and may still see it; end them or try again")


def _older(db: Connection) -> int:
    """How many transactions began before this one and do not end soon."""
    row = db.execute("select pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    query = """select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend'
        and greatest(age(backend_xmin), age(backend_xid)) > age((%s::text::xid8)::xid)"""
    for _ in range(_PATIENCE_S * _LOOKS):
        count = _one(db, query, row[0] if row else "0")
        if not count:
            break
        db.execute("select pg_sleep(%s)", (1 / _LOOKS,))
    return count


def stats_of(db: Connection, space: Space) -> StoreStats:
    """The numbers of a store."""
    kinds: dict[int, int] = dict(db.execute("select kind, count(*) from records group by kind").fetchall())
    passages, vectors = _one(db, "select count(*) from passages"), _one(db, f"select count(*) from {space.table}")  # noqa: S608
    sizes = """select coalesce(sum(pg_table_size(oid)), 0)::bigint, coalesce(sum(pg_indexes_size(oid)), 0)::bigint
        from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'r'"""
    table_bytes, index_bytes = db.execute(sizes).fetchone() or (0, 0)
    return StoreStats(
        entities=kinds.get(KINDS["entity"], 0),
        relations=kinds.get(KINDS["relation"], 0),
        turns=kinds.get(KINDS["turn"], 0),
        versions=_one(db, "select count(*) from versions"),
        tenants=_one(db, "select count(distinct tenant) from records"),
        passages=passages,
        waiting=vectors if is_waiting(db, space) else 0,
        without_vector=passages - vectors,
        database_bytes=table_bytes,
        index_bytes=index_bytes,
        embedder=space.embedder.name,
        schema=SCHEMA,
    )


def expired(retention: Retention, now: float) -> tuple[str, list[object]]:
    """A query for the keys of records that have to go. Raises `InvalidRequest` for a negative age or number."""
    if (retention.max_age_s or 0) < 0 or (retention.max_records or 0) < 0:
        raise InvalidRequest("an age or a number of records must not be negative", param="retention")
    where = "kind = any(%s)"
    values: list[object] = [[KINDS[kind] for kind in retention.kinds]]
    if retention.tenant is not None:
        where += " and tenant = (select id from codes where key = %s)"
        values.append(tenant_key(retention.tenant))
    parts: list[str] = []
    every: list[object] = []
    if retention.max_age_s is not None:
        parts.append(f"select key from records where {where} and updated < %s")  # noqa: S608
        every += [*values, now - retention.max_age_s]
    if retention.max_records is not None:
        parts.append(
            f"""select key from (select key, row_number() over (partition by owner order by updated desc, key desc) place
            from records where {where}) ranked where place > %s"""  # noqa: S608
        )
        every += [*values, retention.max_records]
    return " union ".join(parts) or "select key from records where false", every


def _one(db: Connection, query: str, *values: object) -> int:
    row = db.execute(query, values).fetchone()
    return 0 if row is None else int(row[0])
