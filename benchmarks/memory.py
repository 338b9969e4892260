"""The embedded memory store: how fast it writes and searches, what it finds, what it costs; against what else would do.

    python benchmarks/memory.py [--sizes 10000 100000] [--tenants 10] [--queries 300]

Texts and vectors are made up (words by Zipf's law, a vector for each word), so it needs no model; a query is made of some
words of one text and some others. Everything is searched with a tenant filter, on one core, the query's embedding included.
Recall is that of the ten nearest vectors against an exact search in float32. Compare rows of one run only.
"""

import argparse
import gc
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory.passages import passages_of
from caxton_llm.stores.sqlite_memory import SqliteMemory

Floats = NDArray[np.float32]

VOCABULARY = 30_000
DIMENSIONS = 256
FOUND = 100
"""Candidates of each side, from which a scorer would choose."""


class WordVectors:
    """An embedder for measuring: the mean of its words' vectors, rare words counting more."""

    name = "benchmark-words"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        topics = random.standard_normal((500, DIMENSIONS))
        vectors = topics[random.integers(0, 500, VOCABULARY)] + random.standard_normal((VOCABULARY, DIMENSIONS))
        weights = np.log1p(np.arange(1, VOCABULARY + 1))[:, None]
        self._vectors: Floats = (vectors * weights).astype(np.float32)
        self._numbers = {f"w{number}": number for number in range(VOCABULARY)}

    def embed(self, texts: Sequence[str]) -> Floats:
        rows = np.empty((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            numbers = [self._numbers[word] for word in text.split() if word in self._numbers]
            rows[row] = self._vectors[numbers].sum(axis=0) if numbers else 0.0
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows


class Data:
    """`size` entities of `tenants` tenants, and queries with the tenant each is for."""

    def __init__(self, size: int, tenants: int, queries: int) -> None:
        random = np.random.default_rng(11)
        shares = 1 / np.arange(1, VOCABULARY + 1)
        shares /= shares.sum()
        lengths = random.integers(8, 30, size)
        words = random.choice(VOCABULARY, size=int(lengths.sum()), p=shares)
        ends = np.cumsum(lengths)
        self.texts = [
            " ".join(f"w{word}" for word in words[end - length : end])
            for end, length in zip(ends, lengths, strict=True)
        ]
        self.tenants = [f"tenant-{number % tenants}" for number in range(size)]
        self.queries = []
        for number in random.integers(0, size, queries).tolist():
            own = random.choice(words[ends[number] - lengths[number] : ends[number]], 5)
            others = random.choice(VOCABULARY, 3, p=shares)
            self.queries.append((" ".join(f"w{word}" for word in (*own, *others)), self.tenants[number]))

    def entity(self, number: int) -> Entity:
        text = Observation(self.texts[number])
        return Entity(name=f"entity {number}", type="note", observations=(text,), tenant=self.tenants[number])


Timing = tuple[float, float]
"""Seconds on the clock and seconds of CPU of one call."""


def percentiles(seconds: Sequence[Timing]) -> str:
    half, most = np.percentile(np.array(seconds) * 1000, [50, 95], axis=0)
    return f"p50 {half[0]:7.2f} ms   p95 {most[0]:7.2f} ms   CPU p50 {half[1]:7.2f} ms   p95 {most[1]:7.2f} ms"


def timed(call: Callable[[int], object], count: int, first: int = 0) -> list[Timing]:
    seconds = []
    for number in range(first, first + count):
        start, start_cpu = time.perf_counter(), time.thread_time()
        call(number)
        seconds.append((time.perf_counter() - start, time.thread_time() - start_cpu))
    return seconds


def memory_bytes() -> int:
    """Without pages of files, which the system takes back when it needs them."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def measure(size: int, tenants: int, queries: int, folder: Path) -> None:
    print(f"\n{size} entities, {tenants} tenants, {DIMENSIONS} dimensions")
    data, embedder = Data(size, tenants, queries), WordVectors()
    before = memory_bytes()
    with SqliteMemory(folder / "memory", embedder, background=False) as store:
        write(store, data, size)
        search(store, data, embedder, before, size)
        single(store, embedder, data)
    exact(data, embedder)
    full_text(data, folder / "fts.db")


def write(store: SqliteMemory, data: Data, size: int) -> None:
    start = time.perf_counter()
    for first in range(0, size, 1000):
        store.put([data.entity(number) for number in range(first, min(size, first + 1000))])
    seconds = time.perf_counter() - start
    print(f"  write in batches of 1,000   {size / seconds:8.0f} entities/s")
    start = time.perf_counter()
    store.catch_up()
    print(f"  index                       {size / (time.perf_counter() - start):8.0f} entities/s")


def search(store: SqliteMemory, data: Data, embedder: WordVectors, before: int, size: int) -> None:
    found: dict[int, list[str]] = {}

    def one(number: int) -> None:
        text, tenant = data.queries[number]
        candidates = store.candidates(text, embedder.embed([text])[0], Filters(tenant=tenant), FOUND)
        found[number] = [candidate.id for candidate in candidates if candidate.dense is not None]

    for tenant in set(data.tenants):
        store.candidates("w1", embedder.embed(["w1"])[0], Filters(tenant=tenant), FOUND)
    print(f"  search                      {percentiles(timed(one, len(data.queries)))}")
    wanted = nearest(data, embedder)
    names = {
        tenant: store.get([one for ids in found.values() for one in ids], tenant=tenant) for tenant in set(data.tenants)
    }
    hits = 0
    for number, (_, tenant) in enumerate(data.queries):
        ten = found[number][:10]
        entities = [names[tenant][one] for one in ten]
        places = {int(entity.name.split()[1]) for entity in entities if isinstance(entity, Entity)}
        hits += len(places & wanted[number])
    print(f"  recall@10, dense            {hits / sum(map(len, wanted.values())):8.3f}")
    stats = store.stats()
    print(f"  memory per entity           {(memory_bytes() - before) / size:8.0f} bytes")
    database, indexes = stats.database_bytes / size, stats.index_bytes / size
    print(
        f"  disk per entity             {database + indexes:8.0f} bytes ({database:.0f} database, {indexes:.0f} indexes)"
    )


def single(store: SqliteMemory, embedder: WordVectors, data: Data) -> None:
    tenant = data.tenants[0]
    missed = 0

    def one(number: int) -> None:
        observation = Observation(f"w{number} w{number + 1} said once")
        store.put([Entity(name=f"single {number}", observations=(observation,), tenant=tenant)])

    seconds: list[Timing] = []
    for number in range(100):
        seconds += timed(one, 1, number)
        text = f"w{number} w{number + 1} said once single {number}"
        found = store.candidates(text, embedder.embed([text])[0], Filters(tenant=tenant), 10)
        names = [
            one.name for one in store.get([c.id for c in found], tenant=tenant).values() if isinstance(one, Entity)
        ]
        missed += f"single {number}" not in names
    print(f"  one acknowledged write      {percentiles(seconds)}   not found at once: {missed}")


def vectors_of(data: Data, embedder: WordVectors) -> Floats:
    return embedder.embed([passages_of(data.entity(number))[0] for number in range(len(data.texts))])


def nearest(data: Data, embedder: WordVectors) -> dict[int, set[int]]:
    vectors = vectors_of(data, embedder)
    tenants = np.array(data.tenants)
    wanted = {}
    for number, (text, tenant) in enumerate(data.queries):
        places = np.flatnonzero(tenants == tenant)
        near = vectors[places] @ embedder.embed([text])[0]
        wanted[number] = set(places[np.argsort(-near)[:10]].tolist())
    return wanted


def exact(data: Data, embedder: WordVectors) -> None:
    vectors = vectors_of(data, embedder)
    tenants = np.array(data.tenants)
    masks = {tenant: tenants == tenant for tenant in set(data.tenants)}

    def one(number: int) -> None:
        text, tenant = data.queries[number]
        near = np.where(masks[tenant], vectors @ embedder.embed([text])[0], -2.0)
        np.argpartition(-near, FOUND)[:FOUND]

    print(f"  numpy, exact, dense only    {percentiles(timed(one, min(100, len(data.queries))))}")


def full_text(data: Data, path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create virtual table t using fts5(text, tenant unindexed)")
        db.executemany("insert into t values (?, ?)", zip(data.texts, data.tenants, strict=True))

    def one(number: int) -> None:
        text, tenant = data.queries[number]
        words = " or ".join(f'"{word}"' for word in text.split()).replace(" or ", " OR ")
        sql = "select rowid from t where t match ? and tenant = ? order by rank limit ?"
        db.execute(sql, (words, tenant, FOUND)).fetchall()

    print(f"  SQLite FTS5, lexical only   {percentiles(timed(one, min(100, len(data.queries))))}")
    db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--tenants", type=int, default=10)
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(size, options.tenants, options.queries, Path(folder))


if __name__ == "__main__":
    main()
