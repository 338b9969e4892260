"""What is left in files after a deletion, and whether that is told."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.filters import Filters
from caxton_llm.stores.sqlite_memory import SqliteMemory
from hashing_embedder import by_words, fact, opened
from memory_places import Schema

WORD = "xylophonequark"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process that reads, as far as the database can tell."""
    opened(tmp_path).close()
    db = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    yield db
    db.close()


def read_on(reader: sqlite3.Connection) -> None:
    reader.execute("begin")
    reader.execute("select count(*) from records").fetchone()


def traces(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and WORD.encode() in path.read_bytes()]


def filled(folder: Path) -> tuple[SqliteMemory, str]:
    store = opened(folder)
    return store, store.put([fact("a", WORD)])[0].id


def test_while_somebody_reads_a_deletion_waits_for_nobody_and_says_that_traces_may_be_left(
    tmp_path: Path, reader: sqlite3.Connection
) -> None:
    store, name = filled(tmp_path)
    with store:
        read_on(reader)
        gone: list[str] = []
        deletion = threading.Thread(target=lambda: gone.append(store.forget([name], tenant="").indexes))
        deletion.start()
        deletion.join(20)  # it used to wait for 30 s
        assert gone == ["purge needed"]
        assert traces(tmp_path) == ["memory.db-wal"]
        reader.execute("commit")
        store.purge()
        assert traces(tmp_path) == []


def test_a_deletion_that_nobody_is_in_the_way_of_leaves_nothing(tmp_path: Path) -> None:
    store, name = filled(tmp_path)
    with store:
        assert store.forget([name], tenant="").indexes == "clean"
        assert traces(tmp_path) == []


def test_a_purge_that_somebody_is_in_the_way_of_says_so_and_others_write_meanwhile(
    tmp_path: Path, reader: sqlite3.Connection
) -> None:
    store, name = filled(tmp_path)
    with store:
        read_on(reader)
        store.forget([name], tenant="")
        told: list[str] = []

        def purge() -> None:
            try:
                store.purge()
            except MemoryStoreError as error:
                told.append(error.message)

        purging = threading.Thread(target=purge)
        purging.start()
        store.put([fact("b", "tea")])
        assert purging.is_alive()
        purging.join(20)
        assert "memory.db-wal may still hold what was deleted: another process" in told[0]
        assert "try again" in told[0]
        reader.execute("commit")
        store.purge()
        assert traces(tmp_path) == []


def test_verifying_keeps_no_state_of_the_database_for_all_records(tmp_path: Path) -> None:
    store, name = filled(tmp_path)
    with store:
        store.put([fact(f"n{n}", "tea") for n in range(1_500)])
        seen: list[str] = []

        def between(done: int, total: int | None) -> None:
            if not seen:
                seen.append(store.forget([name], tenant="").indexes)

        assert store.verify(between) == []
        assert seen == ["clean"]


NAMES = {"type": "secrettype", "tenant": "secrettenant", "agent": "secretagent", "scope": "agent"}


def test_a_purge_leaves_no_name_that_nobody_uses(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept = store.put([fact("b", "tea", type="kept", tenant="kept", agent="kept", scope="agent")])[0].id
        name = store.put([fact("a", WORD, **NAMES)])[0].id
        store.catch_up()
        store.forget([name], tenant="secrettenant")
        store.purge()
        for path in filter(Path.is_file, tmp_path.rglob("*")):
            assert b"secret" not in path.read_bytes(), path.name
        filters = Filters(tenant="kept", agent="kept", types=("kept",))
        assert by_words(store, "tea", filters) == {kept}
        assert store.verify() == []


def test_whoever_remembers_a_name_that_was_purged_makes_it_anew(tmp_path: Path) -> None:
    filters = Filters(tenant="secrettenant", agent="secretagent", types=("secrettype",))
    with opened(tmp_path) as one, opened(tmp_path) as other:
        for purging in (one, other):
            name = one.put([fact("a", WORD, **NAMES)])[0].id
            assert by_words(other, WORD, filters) == {name}
            purging.forget([name], tenant="secrettenant")
            purging.purge()
            # Takes the numbers of the names that were deleted.
            another = fact("b", "tea", type="another", tenant="another", agent="another", scope="agent")
            other.put([another])
            again = one.put([fact("c", WORD, **NAMES)])[0].id
            for store in (one, other):
                assert by_words(store, WORD, filters) == {again}
                assert by_words(store, WORD, Filters(tenant="another")) == set()
                assert store.verify() == []
            one.forget([again], tenant="secrettenant")


def test_threads_that_have_ended_leave_no_connection_open(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("open files cannot be counted on this system")
    with opened(tmp_path) as store:
        store.put([fact("a", "tea")])

        def work() -> None:
            assert len(by_words(store, "tea")) == 1

        def one_after_the_other(count: int) -> int:
            for _ in range(count):
                thread = threading.Thread(target=work)
                thread.start()
                thread.join(20)
            return len(list(descriptors.iterdir()))

        before = one_after_the_other(3)
        assert one_after_the_other(30) <= before


def test_a_purge_of_a_server_says_when_an_older_transaction_is_in_the_way(schema: Schema) -> None:
    with schema.open() as store, psycopg.connect(schema.url) as reader:
        name = store.put([fact("a", WORD)])[0].id
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1")
        assert store.forget([name], tenant="").indexes == "purge needed"
        with pytest.raises(MemoryStoreError, match=r"older transaction.*try again"):
            store.purge()
        reader.rollback()
        store.purge()
