"""What is a server's own: schemas, permissions, restarts, writers in other processes, the graph and its filters."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg import errors

from caxton_llm.config.memory_configuration import EmbedderSettings, MemoryConfiguration
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.errors import ConfigurationError, InvalidRequest, MemoryStoreError
from caxton_llm.memory.candidates import EMBEDDER_CHANGED, StoreQuery
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.model import Entity, Relation, Turn
from caxton_llm.memory_system import Memory
from caxton_llm.stores.postgres_memory import PostgresMemory
from caxton_llm.stores.postgres_memory.failures import explained
from caxton_llm.stores.postgres_memory.schema import SCHEMA
from hashing_embedder import HashingEmbedder, by_words, fact, said, searched
from memory_places import Schema
from postgres_server import GUARDED, PostgresServer

_databases = count()


def connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url, autocommit=True)


def opened(place: Schema, **more: Any) -> PostgresMemory:
    return PostgresMemory(place.url, HashingEmbedder(), background=False, schema=place.name, **more)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """A database of its own, without pgvector."""
    name = f"own_{next(_databases)}"
    with connected(postgres.url()) as db:
        db.execute(f"create database {name}")
        yield name
        db.execute(f"drop database {name} with (force)")


# -- without the extra --------------------------------------------------------------------------------------------------

WITHOUT = """
import sys
sys.modules[{module!r}] = None
from caxton_llm.config.memory_configuration import EmbedderSettings, MemoryConfiguration
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.errors import ConfigurationError
try:
    import caxton_llm.stores.postgres_memory
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize("module", ["psycopg", "psycopg_pool"])
def test_a_missing_driver_says_what_to_install(module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'caxton-llm[postgres]'" in ran.stdout


def test_nothing_else_loads_the_driver() -> None:
    code = (
        "import sys, caxton_llm, caxton_llm.memory_system; print([n for n in sys.modules if n.startswith('psycopg')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_example_of_the_documentation_runs(postgres: PostgresServer, database: str) -> None:
    page = (Path(__file__).parents[2] / "docs/memory-postgres.md").read_text(encoding="utf-8")
    example = page.split("```py\n")[1].split("```")[0]
    url = "postgresql://caxton:secret@db.example/memory"
    assert url in example
    exec(compile(example.replace(url, postgres.url(database)), "example", "exec"), {"__name__": "example"})


# -- what goes wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@[host/db", "http://u:hunter2@host", "u:hunter2"])
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="it looks like postgresql://") as caught:
        PostgresMemory(url, HashingEmbedder())
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    with pytest.raises(MemoryStoreError, match=r"the database d on 127.0.0.1:1 cannot be reached") as caught:
        PostgresMemory("postgresql://u:hunter2@127.0.0.1:1/d", HashingEmbedder())
    assert "hunter2" not in str(caught.value)


def test_a_wrong_password_and_a_missing_database_are_told(postgres: PostgresServer) -> None:
    with connected(postgres.url()) as db:
        db.execute(f"create role {GUARDED} login password 'right'")
    with pytest.raises(MemoryStoreError, match="refuses the user or the password") as caught:
        PostgresMemory(postgres.url(user=f"{GUARDED}:hunter2"), HashingEmbedder())
    assert "hunter2" not in str(caught.value)
    with pytest.raises(MemoryStoreError, match="create it, or correct the URL"):
        PostgresMemory(postgres.url("nowhere"), HashingEmbedder())


def test_a_user_who_must_not_install_pgvector_is_told_who_may_and_after_that_it_works(
    postgres: PostgresServer, database: str
) -> None:
    user = f"user_{database}"
    url = postgres.url(database, user)
    with connected(postgres.url(database)) as db:
        db.execute(f"create role {user} login")
        with pytest.raises(MemoryStoreError, match=r"a superuser run `create extension vector`"):
            PostgresMemory(url, HashingEmbedder())
        db.execute("create extension vector")
        with pytest.raises(MemoryStoreError, match="must not do this"):
            PostgresMemory(url, HashingEmbedder())
        db.execute(f"create schema caxton_memory authorization {user}")
    with PostgresMemory(url, HashingEmbedder(), background=False) as store:
        assert store.put([fact("a", "tea")])[0].action == "created"


def test_the_extension_may_lie_in_any_schema(postgres: PostgresServer, database: str) -> None:
    with connected(postgres.url(database)) as db:
        db.execute('create schema "Extra things"')
        db.execute('create extension vector schema "Extra things"')
    with PostgresMemory(postgres.url(database), HashingEmbedder(), background=False) as store:
        wanted = store.put([fact("a", "green tea")])[0].id
        assert searched(store, "green tea")[0].id == wanted


def test_memories_of_one_database_do_not_touch_each_other_also_where_the_extension_is(
    postgres: PostgresServer, database: str
) -> None:
    with connected(postgres.url(database)) as db:
        db.execute("create extension vector")
    places = [Schema(postgres.url(database), name) for name in ("public", 'od"d', "third")]
    for place in places:
        with place.open() as store:
            store.put([fact(place.name, "tea")])
            store.rebuild()
    for place in places:
        with place.open() as store:
            assert [record.name for record in store.records() if isinstance(record, Entity)] == [place.name]
            assert store.verify() == []
    with connected(postgres.url(database)) as db:
        db.execute("create schema other create table precious (x text)")
    with pytest.raises(MemoryStoreError, match="something else"):
        Schema(postgres.url(database), "other").open()


def test_a_schema_of_something_else_is_told_and_left_alone(schema: Schema) -> None:
    with connected(schema.url) as db:
        db.execute(f"create schema {schema.name} create table store (precious text)")
        with pytest.raises(MemoryStoreError, match="something else"):
            schema.open()
        assert db.execute(f"select count(*) from {schema.name}.store").fetchone() == (0,)


def test_a_store_of_a_newer_version_is_refused(schema: Schema) -> None:
    schema.open().close()
    with connected(schema.url) as db:
        db.execute(f"update {schema.name}.store set value = '{SCHEMA + 1}' where key = 'schema'")
    with pytest.raises(MemoryStoreError, match="newer version"):
        schema.open()


def test_a_database_in_another_encoding_is_refused(postgres: PostgresServer) -> None:
    with connected(postgres.url()) as db:
        db.execute("create database latin encoding 'LATIN1' template template0")
    with pytest.raises(MemoryStoreError, match=r"LATIN1.*UTF8"):
        PostgresMemory(postgres.url("latin"), HashingEmbedder())


def test_a_database_that_is_read_only_is_told(postgres: PostgresServer, database: str) -> None:
    PostgresMemory(postgres.url(database), HashingEmbedder(), background=False).close()
    with connected(postgres.url()) as db:
        db.execute(f"alter database {database} set default_transaction_read_only = on")
        with pytest.raises(MemoryStoreError, match="read-only"):
            PostgresMemory(postgres.url(database), HashingEmbedder(), background=False)


def test_a_full_disk_is_told() -> None:
    assert "no space is left for here; nothing of this write was kept" in explained(errors.DiskFull(), "here")


def test_a_connection_that_breaks_off_in_the_middle_is_told_and_the_write_may_be_repeated(schema: Schema) -> None:
    with opened(schema) as store, connected(schema.url) as db:

        def cut(_done: int, _total: int | None) -> None:
            db.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'caxton-memory'"
            )

        store.put([fact("a", "tea"), fact("b", "tea")])
        with pytest.raises(MemoryStoreError, match=r"broke off .*; try again"):
            store.rebuild(cut)
        assert store.put([fact("a", "tea")])[0].action == "unchanged"
        store.rebuild()
        assert store.verify() == []


def test_more_users_than_connections_are_told_so(schema: Schema) -> None:
    with opened(schema, connections=1, timeout_s=0.2) as store:
        store.put([fact("a", "tea")])

        def at_once(_done: int, _total: int | None) -> None:
            store.stats()

        with pytest.raises(MemoryStoreError, match=r"all 1 connections .* were in use"):
            store.verify(at_once)
        assert store.stats().entities == 1


# -- a server that restarts ---------------------------------------------------------------------------------------------


def test_after_a_restart_of_the_server_the_next_call_works(postgres: PostgresServer, schema: Schema) -> None:
    with opened(schema, timeout_s=0.5) as store:
        first = store.put([fact("a", "tea")])[0].id
        postgres.stop()
        try:
            with pytest.raises(MemoryStoreError, match="cannot be reached"):
                store.put([fact("b", "tea")])
        finally:
            postgres.start()
        assert by_words(store, "tea") == {first}
        assert store.put([fact("b", "tea")])[0].action == "created"


def test_connections_that_were_ended_are_replaced(schema: Schema) -> None:
    with opened(schema) as store, connected(schema.url) as db:
        store.put([fact("a", "tea")])
        for _ in range(2):
            db.execute(
                """select pg_terminate_backend(pid, 5000) from pg_stat_activity
                where pid <> pg_backend_pid() and datname is not null"""
            )
            assert store.put([fact("a", "tea")])[0].action == "unchanged"


# -- several processes --------------------------------------------------------------------------------------------------

WRITES = """
import sys
sys.path.insert(0, {tests!r})
from caxton_llm.memory.model import Relation
from hashing_embedder import fact
from memory_places import Schema
with Schema({url!r}, {name!r}).open() as store:
    print("ready", flush=True)
    sys.stdin.readline()
    hub = store.put([fact("hub", "centre")])[0].id
    for n in range(40):
        one = store.put([fact(f"n{{n}}", f"seen by {who}"), fact("shared", f"number {{n}} of {who}")])[0]
        store.put([Relation(source=hub, target=one.id, type="has")])
"""


def test_two_processes_that_write_the_same_things_at_once_lose_nothing_and_make_nothing_twice(schema: Schema) -> None:
    schema.open().close()
    writers = []
    for who in ("Ann", "Bob"):
        code = WRITES.format(tests=str(Path(__file__).parents[1]), url=schema.url, name=schema.name, who=who)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        writers.append(subprocess.Popen([sys.executable, "-c", code], text=True, **pipes))  # type: ignore[call-overload]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, failed = writer.communicate(timeout=60)
        assert writer.returncode == 0, failed
    with schema.open() as store:
        entities = {one.name: one for one in store.records(kinds=("entity",)) if isinstance(one, Entity)}
        assert len(entities) == 42
        assert {seen.text for seen in entities["n7"].observations} == {"seen by Ann", "seen by Bob"}
        shared = entities["shared"]
        assert len(shared.observations) == 80
        versions = store.history(shared.id, tenant="")
        assert [one.version for one in versions] == list(range(80, 0, -1))
        assert store.stats().relations == 40
        assert store.verify() == []


def test_a_change_of_the_embedder_that_another_process_has_ended_is_noticed(schema: Schema) -> None:
    old, new = HashingEmbedder(32, "old"), HashingEmbedder(16, "new")
    with schema.open(old) as store:
        wanted = store.put([fact("tea", "green tea"), fact("b", "other")])[0].id
    with schema.open(new, previous=old) as one, schema.open(new, previous=old) as other:
        assert other.embedder is old
        assert one.embed_missing() == 0
        with pytest.raises(InvalidRequest, match="embed the text again") as caught:
            searched(other, "green tea")
        assert caught.value.code == EMBEDDER_CHANGED
        assert other.embedder is new
        assert searched(other, "green tea")[0].id == wanted
    with schema.open(new, previous=old) as other:
        assert other.embedder is new
        assert other.put([fact("c", "more")])[0].action == "created"


def test_a_writer_goes_on_when_another_process_has_ended_the_change_of_the_embedder(schema: Schema) -> None:
    old, new = HashingEmbedder(32, "old"), HashingEmbedder(16, "new")
    with schema.open(old) as store:
        store.put([fact("tea", "green tea")])
    with schema.open(new, previous=old) as one, schema.open(new, previous=old) as other:
        one.embed_missing()
        wanted = other.put([fact("c", "plum jam")])[0].id
        assert searched(other, "plum jam")[0].id == wanted
        assert other.verify() == []


class _WhileItEmbeds(HashingEmbedder):
    """Calls `meanwhile` whenever it embeds."""

    meanwhile: Callable[[], None] | None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.meanwhile is not None:
            self.meanwhile()
        return super().embed(texts)


def test_a_store_to_which_somebody_always_writes_becomes_complete_too(schema: Schema) -> None:
    old, new = HashingEmbedder(32, "old"), _WhileItEmbeds(16, "new")
    numbers, waiting = count(), []
    with schema.open(old) as writer, schema.open(new, previous=old) as store, connected(schema.url) as db:
        writer.put([fact(f"n{n}", f"word{n}") for n in range(20)])
        locked = "select count(*) from pg_locks where mode = 'ShareLock' and relation = %s::regclass"

        def write() -> None:
            writer.put([fact(f"late{next(numbers)}", "green tea")])

        def meanwhile() -> None:
            if db.execute(locked, (f"{schema.name}.passages",)).fetchone() == (0,):
                write()
                return
            # From now on it is complete with the next batch, so who writes has to wait.
            waiting.append(threading.Thread(target=write))
            waiting[-1].start()

        new.meanwhile = meanwhile
        done = any(store.embed_missing(8) == 0 for _ in range(12))
        new.meanwhile = None
        for thread in waiting:
            thread.join(60)
        assert done
        assert len(waiting) == 1
        assert store.embedder is new
        assert writer.owes_vectors
        assert store.embed_missing() == 0
        assert store.verify() == []
        assert store.stats().entities == 20 + next(numbers)


def test_the_table_of_an_embedder_that_serves_no_more_goes_when_nobody_uses_it(schema: Schema) -> None:
    def tables() -> list[Any]:
        found = "select tablename from pg_tables where schemaname = %s and tablename like 'vectors%%' order by 1"
        return [name for (name,) in db.execute(found, (schema.name,))]

    old, new = HashingEmbedder(32, "old"), HashingEmbedder(16, "new")
    with schema.open(old) as store:
        store.put([fact("tea", "green tea")])
    with connected(schema.url) as db, schema.open(new, previous=old) as store:
        with psycopg.connect(schema.url) as reader:
            reader.execute(f"select count(*) from {schema.name}.vectors_1")
            assert store.embed_missing() == 0
            assert store.embedder is new
            assert tables() == ["vectors_1", "vectors_2"]
        assert store.catch_up()
        assert tables() == ["vectors_2"]
        assert store.verify() == []


def test_a_store_of_the_first_version_is_brought_up_to_date_with_its_vectors(schema: Schema) -> None:
    with schema.open() as store:
        wanted = store.put([fact("tea", "green tea")])[0].id
    with connected(schema.url) as db:
        db.execute(f"set search_path = {schema.name}")
        db.execute("alter table spaces drop column settings, drop column calibration")
        db.execute("delete from store where key = 'wanted space'")
        db.execute("update store set value = '1' where key = 'schema'")
    with schema.open() as store:
        assert (searched(store, "green tea")[0].dense or 0) > 0.5
        store.remember_embedder("hashing", settings="{}")
        assert store.embed_missing() == 0
        assert store.get([wanted], tenant="")[wanted].version == 1
    assert schema.to_open().kept_embedders() == ([("hashing", 32, "{}", None, 1)], 1)


def _configured(url: str, embedder: EmbedderSettings) -> MemoryConfiguration:
    return MemoryConfiguration(store="postgres", folder="", url=url, embedder=embedder)


def test_a_configured_memory_changes_its_embedder_while_the_previous_one_serves(
    postgres: PostgresServer, database: str
) -> None:
    url = postgres.url(database)
    with Memory.from_configuration(_configured(url, EmbedderSettings()), background=False) as memory:
        memory.add([fact("tea", "green tea")])
        assert memory.embedding is not None
        before = memory.embedding.serving
    server = ProviderEntry(provider="openai", base_url="http://127.0.0.1:9", api_key="planted-key-2")
    other = EmbedderSettings(type="openai", server=server, model="m", dimensions=8)
    with Memory.from_configuration(_configured(url, other), background=False) as memory:
        assert memory.embedding is not None
        assert (memory.embedding.serving, memory.embedding.wanted) == (before, "m@openai:127.0.0.1:9#8")
        assert "refused the connection" in memory.problems[0]
        found = memory.search("green tea")
        assert found.problem is None
        assert found.hits[0].similarity is not None
    with connected(url) as db:
        (kept,) = db.execute("select settings from caxton_memory.spaces where dimensions = 8").fetchone() or ("",)
    assert kept == '{"type":"openai","base_url":"http://127.0.0.1:9","model":"m","dimensions":8}'


# -- care ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("delete from vectors_1", "without a vector: embed them"),
        ("update passages set words = ''", "not found by all of its words: rebuild"),
        ("drop index passages_by_word", "passages_by_word is missing: rebuild"),
        (
            "update pg_index set indisvalid = false where indexrelid = 'passages_by_time'::regclass",
            "is not whole: rebuild",
        ),
        ("delete from passages", "has 0 passages instead of 1"),
        ("update records set payload = '{}'", "cannot be read"),
        ("delete from relations", "relations whose entities do not exist"),
    ],
)
def test_verifying_tells_what_is_wrong(schema: Schema, damage: str, told: str) -> None:
    with schema.open() as store:
        one, other = (one.id for one in store.put([fact("a", "tea"), fact("b", "coffee")]))
        store.put([Relation(source=one, target=other, type="near")])
        assert store.verify() == []
        with connected(schema.url) as db:
            db.execute(f"set search_path = {schema.name}, public")
            db.execute(damage)
        assert any(told in problem for problem in store.verify())
        if "embed" in told or "rebuild" in told:
            store.embed_missing()
            store.rebuild()
            assert store.verify() == []
            assert by_words(store, "tea") == {one}


def test_a_store_of_another_vocabulary_gets_its_tokens_anew(schema: Schema) -> None:
    with schema.open() as store:
        store.put([fact("a", "green tea"), said(0, "hello")])
        asked = StoreQuery(text="tea")
        before = store.candidates(asked).tokens.tolist()
    with connected(schema.url) as db:
        db.execute(f"update {schema.name}.passages set tokens = ''")
        db.execute(f"update {schema.name}.store set value = 'another' where key = 'vocabulary'")
    with schema.open() as store:
        assert store.candidates(asked).tokens.tolist() == before != []


def test_filters_that_name_what_nobody_has_written_find_nothing(schema: Schema) -> None:
    with schema.open() as store:
        store.put([fact("a", "tea")])
        for filters in (
            Filters(types=("x",)),
            Filters(focus_areas=("x",)),
            Filters(conversation="x"),
            Filters(kinds=()),
            Filters(scopes=()),
            Filters(types=()),
            Filters(agent="x", scopes=("agent",)),
        ):
            assert by_words(store, "tea", filters) == set()


def test_a_store_of_the_version_before_keeps_its_records_under_the_keys_of_today(schema: Schema) -> None:
    with schema.open() as store:
        turn = Turn(conversation="c", index=0, text="hi", speaker="Ann")
        ann = store.put([Entity(name="Ann", type="person"), turn])[0].id
    with connected(schema.url) as db:
        db.execute(f"update {schema.name}.records set identity = int8send(-key), name = null")
        db.execute(f"update {schema.name}.passages set speaker = null")
        db.execute(f"update {schema.name}.store set value = '2' where key = 'schema'")
    with schema.open() as store:
        assert store.find(["ann"], filters=Filters()) == {"ann": [ann]}
        assert store.put([Entity(name="ANN", type="person")])[0].id == ann
    with connected(schema.url) as db:
        speakers = f"select speaker from {schema.name}.passages where speaker is not null"
        assert db.execute(speakers).fetchall() == [(name_key("Ann"),)]
