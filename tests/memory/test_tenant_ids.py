"""An id is that of one record of a tenant: what another tenant calls its records is nobody's business."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Record, Relation
from caxton_llm.memory.transfer import export_lines, import_lines
from hashing_embedder import by_words, fact, opened, said
from memory_places import Place, Schema


def team(tenant: str, word: str) -> Sequence[Record]:
    return [
        fact("Alice", word, id="alice", tenant=tenant),
        fact("Bob", word, id="bob", tenant=tenant),
        Relation(source="alice", target="bob", type="knows", id="link", tenant=tenant),
        said(0, f"{word} first", id="first", tenant=tenant),
        said(1, f"{word} second", id="second", tenant=tenant),
    ]


@pytest.mark.parametrize("at_once", [True, False], ids=["in one call", "one call each"])
def test_tenants_may_use_the_same_ids(place: Place, at_once: bool) -> None:
    with place.open() as store:
        one, two = team("one", "tea"), team("two", "coffee")
        for records in [[*one, *two]] if at_once else [one, two]:
            assert {written.action for written in store.put(records)} == {"created"}
        assert store.put([fact("Alice", "tea", "cake", id="alice", tenant="one")])[0].action == "updated"
        assert store.forget(["bob"], tenant="two").records == 2
        found = store.get(["alice", "bob", "link"], tenant="one")
        assert set(found) == {"alice", "bob", "link"}
        assert set(store.get(["alice", "bob", "link"], tenant="two")) == {"alice"}
        assert [turn.tenant for turn in store.turns_near("first", distance=1, tenant="two")] == ["two"]
        assert [link.tenant for link in store.relations_of(["alice"], tenant="one")] == ["one"]
        assert [record.version for record in store.history("alice", tenant="one")] == [2, 1]
        assert len(store.history("alice", tenant="two")) == 1
        assert by_words(store, "cake", Filters(tenant="one")) == {"alice"}
        assert by_words(store, "cake", Filters(tenant="two")) == set()
        assert store.verify() == []


def test_a_relation_does_not_reach_into_another_tenant(place: Place) -> None:
    with place.open() as store:
        store.put([fact("a", id="alice", tenant="one"), fact("b", id="bob", tenant="two")])
        with pytest.raises(InvalidRequest, match="no entity with the id 'bob'"):
            store.put([Relation(source="alice", target="bob", type="knows", tenant="one")])


def test_an_export_can_be_imported_for_another_tenant_into_the_same_store(place: Place) -> None:
    with place.open() as store:
        store.put(team("one", "tea"))
        lines = list(export_lines(store, tenant="one"))
        imported = import_lines(store, lines, tenant="two")
        assert (imported.created, imported.problems) == (5, ())
        assert store.relations_of(["alice"], tenant="two")[0].id == "link"
        assert store.verify() == []


def test_an_older_store_lets_tenants_choose_ids_once_it_is_brought_up_to_date(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([*team("one", "tea"), fact("last", id="last", tenant="one")])
        store.forget(["last"], tenant="one")
    with sqlite3.connect(tmp_path / "memory.db") as db:
        schema = db.execute("select sql from sqlite_schema where name = 'records'").fetchone()[0]
        older = schema.replace("unique (tenant, id)", "unique (id)").replace('"records"', "older")
        db.execute(older)
        db.execute("insert into older select * from records")
        db.execute("update sqlite_sequence set seq = 6 where name = 'older'")
        db.execute("drop table records")
        db.execute("alter table older rename to records")
        db.execute("pragma user_version = 5")
    db.close()
    with opened(tmp_path) as store:
        assert {one.action for one in store.put(team("two", "coffee"))} == {"created"}
        with sqlite3.connect(tmp_path / "memory.db") as db:
            assert (
                db.execute("select min(key) from records where cast(payload as text) like '%coffee%'").fetchone()[0]
                == 7
            )
        db.close()
        assert len(store.relations_of(["alice"], tenant="one")) == 1
        assert store.verify() == []


def test_an_older_schema_lets_tenants_choose_ids_once_it_is_brought_up_to_date(schema: Schema) -> None:
    with schema.open() as store:
        store.put(team("one", "tea"))
    with psycopg.connect(schema.url, autocommit=True) as db:
        db.execute(f"set search_path to {schema.name}")
        db.execute("alter table records drop constraint records_by_id")
        db.execute("alter table records add constraint records_id_key_key unique (id_key)")
        db.execute("update store set value = '2' where key = 'schema'")
    with schema.open() as store:
        assert {one.action for one in store.put(team("two", "coffee"))} == {"created"}
        assert isinstance(store.get(["alice"], tenant="one")["alice"], Entity)
        assert store.verify() == []
