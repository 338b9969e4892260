"""What the embedded store keeps and finds."""

import sqlite3
from pathlib import Path

import pytest

from caxton_llm.memory.filters import Filters
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.model import Entity, Relation, Turn
from hashing_embedder import by_words, fact, opened, proposed


def test_the_tail_scores_as_the_index_does(tmp_path: Path) -> None:
    records = [fact(f"n{n}", f"word{n % 7} word{n % 5} and more text {n}") for n in range(60)]
    with opened(tmp_path / "one") as one, opened(tmp_path / "other") as other:
        one.put(records)
        other.put(records)
        other.catch_up()
        scores = []
        for store in (one, other):
            found = proposed(store, "word3 word1", None, Filters(), 60)
            names = store.get([c.id for c in found], tenant="")
            scores.append({names[c.id].name: c.lexical for c in found})  # type: ignore[union-attr]
    assert scores[0].keys() == scores[1].keys()
    for name, score in scores[0].items():
        assert score == pytest.approx(scores[1][name], rel=0.15)


def test_a_search_covers_index_and_tail_together(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first = store.put([fact("a", "blue whale")])[0].id
        store.catch_up()
        second = store.put([fact("b", "blue sky")])[0].id
        assert by_words(store, "blue") == {first, second}
        assert store.stats().waiting == 1


def test_deleting_an_entity_deletes_all_of_it_from_every_file(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        a, b = (one.id for one in store.put([fact("a", "xylophonequark"), fact("b", "other")]))
        store.put([fact("a", "xylophonequark twice")])
        store.put([Relation(source=a, target=b, type="knows")])
        store.catch_up()
        gone = store.forget([a, "unknown"], tenant="")
        assert (gone.records, gone.relations, gone.versions, gone.passages) == (2, 1, 1, 1)
        assert gone.indexes == "purge needed"
        assert by_words(store, "xylophonequark") == set()
        store.purge()
        assert store.verify() == []
        assert store.stats().relations == 0
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or b"xylophonequark" not in path.read_bytes(), path.name


def test_two_stores_on_one_folder_see_each_other_and_only_one_indexes_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        first = one.put([fact("a", "tea")])[0].id
        assert by_words(other, "tea") == {first}
        other.catch_up()
        second = other.put([fact("b", "tea")])[0].id
        assert by_words(one, "tea") == {first, second}
        assert one.stats().waiting == 1
        one.catch_up()
        other.forget([first], tenant="")
        assert by_words(one, "tea") == {second}
        assert one.verify() == other.verify() == []


def test_a_store_of_the_version_before_keeps_its_records_under_the_keys_of_today(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        ann = store.put([Entity(name="Ann", type="person"), Turn(conversation="c", index=0, text="hi", speaker="Ann")])[
            0
        ].id
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("update records set identity = cast(key as blob)")
        db.execute("update names set name = x'00'")
        db.execute("update turns set speaker = x'00'")
        db.execute("pragma user_version = 4")
    db.close()
    with opened(tmp_path) as store:
        assert store.find(["ann"], filters=Filters()) == {"ann": [ann]}
        assert store.put([Entity(name="ANN", type="person")])[0].id == ann
    with sqlite3.connect(tmp_path / "memory.db") as db:
        assert db.execute("select speaker from turns").fetchone()[0] == name_key("Ann")
    db.close()
