"""Which memories went into answers: counted, used in ranking, deleted with the record."""

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.candidates import StoreQuery
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.scoring import Weights
from caxton_llm.memory.store import MemoryStore
from caxton_llm.memory.transfer import export_lines
from caxton_llm.memory_system import Memory
from caxton_llm.stores.sqlite_memory.schema import SCHEMA
from hashing_embedder import by_words, fact, opened, said
from in_threads import run_in_threads
from memory_places import Place, Schema


def uses_of(store: MemoryStore, word: str, tenant: str = "") -> dict[str, int]:
    """How often what a word finds was used, by id."""
    found = store.candidates(StoreQuery(text=word, filters=Filters(tenant=tenant)))
    records = store.load(found.keys.tolist(), tenant=tenant)
    return {records[key].id: count for key, count in zip(found.keys.tolist(), found.uses.tolist(), strict=True)}


def test_a_use_is_counted_once_a_call_and_seen_by_the_next_search(place: Place) -> None:
    with place.open() as store:
        one, other, turn = (written.id for written in store.put([fact("a", "tea"), fact("b", "tea"), said(0, "tea")]))
        assert uses_of(store, "tea") == {one: 0, other: 0, turn: 0}
        assert store.note_used([one, one, "nobody"], tenant="", at=1.0) == 1
        assert uses_of(store, "tea") == {one: 1, other: 0, turn: 0}
        assert store.note_used([one, turn], tenant="", at=2.0) == 2
        store.put([fact("c", "tea")])
        assert sorted(uses_of(store, "tea").values()) == [0, 0, 1, 2]


def test_uses_are_no_change_of_the_record(place: Place) -> None:
    with place.open() as store:
        (one,) = (written.id for written in store.put([fact("a", "tea")]))
        before = store.get([one], tenant="")[one]
        store.note_used([one], tenant="", at=1.0)
        assert store.get([one], tenant="") == {one: before}
        assert store.history(one, tenant="") == [before]


def test_a_record_keeps_its_uses_when_it_grows_and_every_passage_has_them(place: Place) -> None:
    with place.open() as store:
        (one,) = (written.id for written in store.put([fact("a", "tea")]))
        store.note_used([one], tenant="", at=1.0)
        assert uses_of(store, "tea") == {one: 1}
        store.put([fact("a", *(f"long{n} " * 100 for n in range(3)), "coffee")])
        assert uses_of(store, "coffee") == {one: 1}
        store.note_used([one], tenant="", at=2.0)
        assert [uses_of(store, word) for word in ("tea", "long1", "coffee")] == [{one: 2}] * 3


def test_a_record_is_used_in_its_tenant_alone(place: Place) -> None:
    with place.open() as store:
        store.put([fact("a", "tea", id="x", tenant="one"), fact("a", "tea", id="x", tenant="two")])
        assert store.note_used(["x"], tenant="one", at=1.0) == 1
        assert store.note_used(["x"], tenant="three", at=1.0) == 0
        assert uses_of(store, "tea", "one") == {"x": 1}
        assert uses_of(store, "tea", "two") == {"x": 0}


def test_another_process_sees_the_uses(place: Place) -> None:
    with place.open() as store, place.open() as other:
        one, gone = (written.id for written in store.put([fact("a", "tea"), fact("b", "tea")]))
        store.note_used([one, gone], tenant="", at=1.0)
        assert uses_of(other, "tea") == {one: 1, gone: 1}
        store.forget([gone], tenant="")
        store.note_used([one], tenant="", at=2.0)
        assert uses_of(other, "tea") == {one: 2}
        other.note_used([one], tenant="", at=3.0)
        assert uses_of(store, "tea") == {one: 3}


def test_uses_go_with_the_record_and_do_not_come_back_with_its_name(place: Place) -> None:
    with place.open() as store:
        store.put([fact("a", "tea", id="x")])
        store.note_used(["x"], tenant="", at=1.0)
        store.forget(["x"], tenant="")
        assert store.note_used(["x"], tenant="", at=2.0) == 0
        store.put([fact("a", "tea", id="x")])
        assert uses_of(store, "tea") == {"x": 0}
        assert store.verify() == []


def test_many_who_count_at_once_lose_nothing(place: Place) -> None:
    with place.open() as store:
        ids = [written.id for written in store.put([fact(f"n{n}", "tea") for n in range(5)])]

        def count(names: list[str]) -> None:
            for _ in range(5):
                store.note_used(names, tenant="", at=1.0)

        run_in_threads(partial(count, names) for names in (ids, ids[::-1]))
        assert set(uses_of(store, "tea").values()) == {10}


def test_of_equals_what_went_into_answers_comes_first_and_the_reasons_say_so(place: Place) -> None:
    with place.open() as store:
        memory = Memory(store)
        ids = [written.id for written in memory.add([said(0, "green tea", talk) for talk in ("x", "y", "z")])]
        assert [hit.reasons.used for hit in memory.search("green tea").hits] == [0, 0, 0]
        assert memory.note_used([ids[1]]) == 1
        first, second, _ = memory.search("green tea").hits
        assert first.record.id == ids[1]
        assert 0 < first.reasons.used < 0.1
        assert second.reasons.used == 0
        without = Memory(store, weights=Weights(used=0))
        assert [hit.reasons.used for hit in without.search("green tea").hits] == [0, 0, 0]


def test_an_export_is_the_same_with_and_without_uses(place: Place) -> None:
    with place.open() as store:
        (one,) = (written.id for written in store.put([fact("a", "tea")]))
        before = list(export_lines(store))
        store.note_used([one], tenant="", at=1.0)
        assert list(export_lines(store)) == before


def test_a_folder_of_the_version_before_counts_from_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        (one,) = (written.id for written in store.put([fact("a", "tea")]))
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("drop table uses")
        db.execute("pragma user_version = 7")
    db.close()
    with opened(tmp_path) as store:
        assert store.stats().schema == SCHEMA
        assert uses_of(store, "tea") == {one: 0}
        store.note_used([one], tenant="", at=1.0)
        assert uses_of(store, "tea") == {one: 1}


def test_a_schema_of_the_version_before_counts_from_nothing(schema: Schema) -> None:
    import psycopg

    with schema.open() as store:
        (one,) = (written.id for written in store.put([fact("a", "tea")]))
    with psycopg.connect(schema.url, autocommit=True) as db:
        db.execute(f"drop table {schema.name}.uses")
        db.execute(f"update {schema.name}.store set value = '4' where key = 'schema'")
    with schema.open() as store:
        store.note_used([one], tenant="", at=1.0)
        assert uses_of(store, "tea") == {one: 1}


def test_a_use_without_its_record_is_told_by_verifying(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact("a", "tea")])
        assert by_words(store, "tea")
        with sqlite3.connect(tmp_path / "memory.db") as db:
            db.execute("insert into uses (tenant, record, count, last) values (1, 99, 1, 1.0)")
        db.close()
        assert store.verify() == ["1 uses of records that do not exist"]


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    with pytest.raises(MemoryStoreError):
        store.note_used(["x"], tenant="", at=1.0)
