"""The embedded memory: how fast it writes and searches, what it finds, what it costs; against what else would do.

    python benchmarks/memory.py [--sizes 10000 100000] [--tenants 10] [--queries 300]

Texts and queries are made up of the default embedder's words, see `Data`. A search is
what a user's search is: embedding, both indexes, comparing, reading ten records; with a tenant filter, on one core. Recall is
that of the ten nearest vectors against an exact search in float32. The others only look up numbers of rows. Compare rows of
one run only.
"""

import argparse
import gc
import importlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.candidates import StoreQuery
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.hits import Found
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory.store import MemoryStore
from caxton_llm.memory_system import Memory
from caxton_llm.stores.sqlite_memory import SqliteMemory

Floats = NDArray[np.float32]
Shares = NDArray[np.float64]

TOPICS = 2_000
TOPIC_WORDS = 300
TOPICAL = 2 / 3

RECALL_QUERIES = 100
FOUND = 64
"""Candidates of each side, from which a scorer would choose."""


class Data:
    """`size` entities of `tenants` tenants, and queries with the tenant each is for.

    A text is about one of many topics: two of three words are the topic's, the others are of the language, all by Zipf's law
    and from the embedder's own vocabulary, which is ordered by how frequent words are in English: function words come first,
    as in real texts. A query is made of five words of one text and three others.
    """

    def __init__(self, size: int, tenants: int, queries: int) -> None:
        random = np.random.default_rng(11)
        vocabulary = np.array(words_of())
        topics = random.integers(100, len(vocabulary), (TOPICS, TOPIC_WORDS))
        lengths = random.integers(8, 30, size)
        ends = np.cumsum(lengths)
        topic = np.repeat(random.integers(0, TOPICS, size), lengths)
        own = topics[topic, random.choice(TOPIC_WORDS, len(topic), p=zipf(TOPIC_WORDS))]
        common = random.choice(len(vocabulary), len(topic), p=zipf(len(vocabulary)))
        words = vocabulary[np.where(random.random(len(topic)) < TOPICAL, own, common)]
        self.texts = [" ".join(words[end - length : end].tolist()) for end, length in zip(ends, lengths, strict=True)]
        self.tenants = [f"tenant-{number % tenants}" for number in range(size)]
        self.queries = []
        for number in random.integers(0, size, queries).tolist():
            said = random.choice(words[ends[number] - lengths[number] : ends[number]], 5)
            others = vocabulary[random.choice(len(vocabulary), 3, p=zipf(len(vocabulary)))]
            self.queries.append((" ".join((*said, *others)), self.tenants[number]))

    def entity(self, number: int) -> Entity:
        text = Observation(self.texts[number])
        return Entity(name=f"entity {number}", type="note", observations=(text,), tenant=self.tenants[number])


def zipf(count: int) -> Shares:
    shares = 1 / np.arange(1, count + 1)
    return cast("Shares", shares / shares.sum())


def words_of() -> list[str]:
    """Whole words of the vocabulary, the frequent ones first."""
    known = json.loads((files("caxton_llm.memory.embedding") / "data/tokenizer.json").read_text(encoding="utf-8"))
    words = sorted(known["model"]["vocab"].items(), key=lambda item: item[1])
    return [word for word, _ in words if word.isascii() and word.isalpha() and len(word) > 1]


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
    print(f"\n{size} entities, {tenants} tenants, {StaticEmbedder.default().name}")
    data = Data(size, tenants, queries)
    before = memory_bytes()
    store = SqliteMemory(folder / "memory", StaticEmbedder.default(), background=False)
    with Memory(store) as memory:
        write(store, data, size)
        search(memory, data, before, size)
        single(memory, data)
    exact(data)
    full_text(data, folder / "fts.db")
    sqlite_vec(data, folder / "vec.db")


def write(store: SqliteMemory, data: Data, size: int) -> None:
    start = time.perf_counter()
    for first in range(0, size, 1000):
        store.put([data.entity(number) for number in range(first, min(size, first + 1000))])
    seconds = time.perf_counter() - start
    print(f"  write in batches of 1,000   {size / seconds:8.0f} entities/s")
    start = time.perf_counter()
    store.catch_up()
    print(f"  index                       {size / (time.perf_counter() - start):8.0f} entities/s")


def search(memory: Memory, data: Data, before: int, size: int) -> None:
    for tenant in sorted(set(data.tenants)):
        start = time.perf_counter()
        memory.search("first", Filters(tenant=tenant))
        first = time.perf_counter() - start
    print(f"  a tenant's first search     {first * 1000:8.0f} ms")
    answers: dict[int, Found] = {}

    def one(number: int) -> None:
        text, tenant = data.queries[number]
        answers[number] = memory.search(text, Filters(tenant=tenant), max_results=10)

    timed(one, min(50, len(data.queries)))
    print(f"  search                      {percentiles(timed(one, len(data.queries)))}")
    print(f"  candidates compared         {np.mean([found.candidates for found in answers.values()]):8.0f}")
    print(f"  recall@10, dense            {recall(memory.store, data):8.3f}")
    stats = memory.stats()
    print(f"  memory per entity           {(memory_bytes() - before) / size:8.0f} bytes")
    database, indexes = stats.database_bytes / size, stats.index_bytes / size
    print(
        f"  disk per entity             {database + indexes:8.0f} bytes ({database:.0f} database, {indexes:.0f} indexes)"
    )


def recall(store: MemoryStore, data: Data) -> float:
    """Of the ten nearest of an exact search in float32, those among the ten nearest candidates."""
    hits = total = 0
    for number, wanted in nearest(data).items():
        text, tenant = data.queries[number]
        vector = StaticEmbedder.default().embed([text])[0]
        found = store.candidates(StoreQuery(text="", vector=vector, filters=Filters(tenant=tenant), limit=FOUND))
        keys = found.keys[np.argsort(-found.dense)[:10]].tolist()
        names = [one.name for one in store.load(keys, tenant=tenant).values() if isinstance(one, Entity)]
        hits += len({int(name.split()[1]) for name in names} & wanted)
        total += len(wanted)
    return hits / total


def single(memory: Memory, data: Data) -> None:
    tenant = data.tenants[0]
    missed = 0

    def one(number: int) -> None:
        observation = Observation(f"zebra{number} crossing said once")
        memory.add([Entity(name=f"single {number}", observations=(observation,), tenant=tenant)])

    def look(number: int) -> None:
        nonlocal missed
        hits = memory.search(f"zebra{number} crossing", Filters(tenant=tenant)).hits
        names = [hit.record.name for hit in hits if isinstance(hit.record, Entity)]
        missed += f"single {number}" not in names

    seconds: list[Timing] = []
    after: list[Timing] = []
    for number in range(100):
        seconds += timed(one, 1, number)
        after += timed(look, 1, number)
    print(f"  one acknowledged write      {percentiles(seconds)}   not found at once: {missed}")
    print(f"  search right after a write  {percentiles(after)}")


def vectors_of(data: Data) -> Floats:
    return StaticEmbedder.default().embed([passages_of(data.entity(number))[0] for number in range(len(data.texts))])


def nearest(data: Data) -> dict[int, set[int]]:
    vectors = vectors_of(data)
    tenants = np.array(data.tenants)
    wanted = {}
    for number, (text, tenant) in enumerate(data.queries[:RECALL_QUERIES]):
        places = np.flatnonzero(tenants == tenant)
        near = vectors[places] @ StaticEmbedder.default().embed([text])[0]
        wanted[number] = set(places[np.argsort(-near)[:10]].tolist())
    return wanted


def exact(data: Data) -> None:
    vectors = vectors_of(data)
    places = {tenant: np.flatnonzero(np.array(data.tenants) == tenant) for tenant in set(data.tenants)}
    of_tenant = {tenant: vectors[rows] for tenant, rows in places.items()}

    def one(number: int) -> None:
        text, tenant = data.queries[number]
        near = of_tenant[tenant] @ StaticEmbedder.default().embed([text])[0]
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


def sqlite_vec(data: Data, path: Path) -> None:
    try:
        module = importlib.import_module("sqlite_vec")
    except ImportError:
        print("  sqlite-vec                  not installed: pip install sqlite-vec")
        return
    db = sqlite3.connect(path)
    try:
        db.enable_load_extension(True)
        module.load(db)
    except (AttributeError, sqlite3.Error) as error:
        print(f"  sqlite-vec                  cannot be loaded here: {error}")
        return
    vectors = vectors_of(data)
    db.execute(f"create virtual table t using vec0(tenant text partition key, v float[{vectors.shape[1]}])")
    with db:
        rows = zip(data.tenants, (row.tobytes() for row in vectors), strict=True)
        db.executemany("insert into t (tenant, v) values (?, ?)", rows)

    def one(number: int) -> None:
        text, tenant = data.queries[number]
        vector = StaticEmbedder.default().embed([text])[0].tobytes()
        db.execute("select rowid from t where tenant = ? and v match ? and k = ?", (tenant, vector, FOUND)).fetchall()

    print(f"  sqlite-vec, dense only      {percentiles(timed(one, min(100, len(data.queries))))}")
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
