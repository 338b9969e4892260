"""What PostgreSQL finds: with its graph, under rare filters, and beside what the embedded store finds."""

import random
import threading
from pathlib import Path

import numpy as np
import psycopg
import pytest

from caxton_llm.memory.candidates import StoreQuery
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Relation, Turn
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory_system import Memory
from caxton_llm.stores.postgres_memory import dense, graph
from caxton_llm.stores.postgres_memory import store as store_module
from hashing_embedder import HashingEmbedder, by_words, fact, proposed
from memory_places import Folder, Schema, Store

MANY = 3_000
EMBEDDER = HashingEmbedder(64)


@pytest.fixture
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "GRAPH_FROM", 100)
    monkeypatch.setattr(dense, "EXACT", 100)


def entities(first: int, count: int) -> list[Entity]:
    return [
        fact(f"n{n}", f"word{n} word{n % 40} word{n % 7}", type="rare" if n % 1000 == 0 else ("some", "other")[n % 2])
        for n in range(first, first + count)
    ]


def nearest(store: Store, text: str, filters: Filters, limit: int = 10) -> set[str]:
    found = proposed(store, "", EMBEDDER.embed([text])[0], filters, limit)
    return {one.id for one in found if one.dense is not None}


def recall(store: Store, records: list[Entity], filters: Filters) -> float:
    kept = [one for one in records if not filters.types or one.type in filters.types]
    vectors = EMBEDDER.embed([passages_of(one)[0] for one in kept])
    hits = wanted = 0
    for n in range(0, MANY, 200):
        text = f"word{n} word{n % 40}"
        best = {kept[place].id for place in np.argsort(-(vectors @ EMBEDDER.embed([text])[0]))[:10].tolist()}
        hits += len(best & nearest(store, text, filters))
        wanted += len(best)
    return hits / wanted


@pytest.mark.usefixtures("_few_are_many")
def test_the_graph_finds_what_an_exact_search_finds_and_filters_never_leave_too_few(schema: Schema) -> None:
    with schema.open(EMBEDDER) as store:
        store.put(entities(0, MANY))
        assert store.stats().waiting == MANY
        assert store.catch_up()
        assert store.stats().waiting == 0
        records = [one for one in store.records() if isinstance(one, Entity)]
        assert recall(store, records, Filters()) >= 0.95
        assert recall(store, records, Filters(types=("some",))) >= 0.95
        assert recall(store, records, Filters(types=("rare",))) == 1.0
        rare = {one.id for one in records if one.type == "rare"}
        assert nearest(store, "word5", Filters(types=("rare",)), len(rare)) == rare
        assert len(nearest(store, "word5", Filters(types=("some",)), 700)) == 700
        new = store.put([fact("new", "wordnew wordnew")])[0].id
        assert new in nearest(store, "wordnew", Filters(), 3)
        store.forget([new], tenant="")
        assert new not in nearest(store, "wordnew", Filters(), 3)
        assert store.verify() == []
    with psycopg.connect(schema.url) as db:
        used = (
            "select idx_scan > 0 from pg_stat_user_indexes where schemaname = %s and indexrelname = 'vectors_1_graph'"
        )
        for _ in range(200):
            # The server counts after a connection has ended.
            if counted := db.execute(used, (schema.name,)).fetchone() == (True,):
                break
            threading.Event().wait(0.02)
            db.rollback()
        assert counted


@pytest.mark.usefixtures("_few_are_many")
def test_a_graph_whose_making_was_cut_off_is_made_anew(schema: Schema) -> None:
    with schema.open(EMBEDDER) as store, psycopg.connect(schema.url, autocommit=True) as db:
        store.put(entities(0, 150))
        store.catch_up()
        broken = f"update pg_index set indisvalid = false where indexrelid = '{schema.name}.vectors_1_graph'::regclass"
        db.execute(broken)
        assert store.verify() == ["the index vectors_1_graph is not whole: rebuild"]
        assert store.stats().waiting == 150
        assert store.catch_up()
        assert store.verify() == []
        db.execute(broken)
        store.rebuild()
        assert store.verify() == []


@pytest.mark.usefixtures("_few_are_many")
def test_the_graph_is_made_in_the_background(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_LOOK_S", 0.02)
    with schema.open(EMBEDDER, background=True) as store:
        store.put(entities(0, 150))
        waited = threading.Event()
        for _ in range(600):
            if not store.stats().waiting:
                break
            waited.wait(0.05)
        assert store.stats().waiting == 0
        assert store.problems == []


@pytest.mark.usefixtures("_few_are_many")
def test_closing_gives_up_a_graph_that_is_being_made(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_LOOK_S", 0.02)
    with schema.open(EMBEDDER, background=False) as store:
        store.put(entities(0, 150))
        with psycopg.connect(schema.url) as older:
            # An index is not whole before every transaction has ended that is older, and may still look at what it saw first.
            older.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            older.execute(f"select count(*) from {schema.name}.vectors_1")
            indexing = schema.open(EMBEDDER, background=True)
            table = f"'{schema.name}.vectors_1'::regclass"
            begun = f"select count(*) from pg_stat_progress_create_index where relid = {table}"
            with psycopg.connect(schema.url, autocommit=True) as db:
                for _ in range(1000):
                    if db.execute(begun).fetchone() == (1,):
                        break
                    threading.Event().wait(0.01)
                assert db.execute(begun).fetchone() == (1,)
            indexing.close()
        assert store.stats().waiting == 150
        assert store.catch_up()
        assert store.verify() == []


_THINGS = "garden river violin bread winter train letter doctor market summer painting mountain camera marathon kitchen"
_MORE = "library pottery dance school ocean guitar adoption charity forest museum bicycle concert recipe puppy sunset"
WORDS = f"{_THINGS} {_MORE}".split()
SPEAKERS = ("Caroline", "Melanie", "Jolene")


def conversations() -> list[Turn]:
    made = random.Random(3)

    def text() -> str:
        verb = made.choice(("saw", "loved", "missed", "found"))
        return f"I {verb} the {' '.join(made.choices(WORDS, k=made.randint(2, 9)))}{made.choice('.?!')}"

    return [
        Turn(
            conversation=f"talk {talk}",
            index=index,
            speaker=SPEAKERS[index % 2 + talk % 2],
            text=text(),
            at=1.68e9 + 86_400 * (10 * talk + index // 20),
        )
        for talk in range(6)
        for index in range(60)
    ]


def questions() -> list[str]:
    made = random.Random(4)
    asked = [
        f"What did {made.choice(SPEAKERS)} say about the {' and '.join(made.sample(WORDS, 2))}?" for _ in range(40)
    ]
    return [*asked, "When was the concert in May 2023?", "Who is Caroline?", "dancing painters and bicycles"]


def filled(store: Store) -> None:
    store.put(conversations())
    likes = zip(SPEAKERS, WORDS, strict=False)
    one, other, third = (
        done.id for done in store.put([fact(who, f"likes the {it}", type="person") for who, it in likes])
    )
    knows = Relation(source=one, target=other, type="knows", strength=0.5)
    store.put([knows, Relation(source=third, target=one, type="knows")])


def test_both_stores_find_the_same(tmp_path: Path, schema: Schema) -> None:
    with Folder(tmp_path).open(EMBEDDER) as one, schema.open(EMBEDDER) as other:
        found: list[list[list[str]]] = []
        words: list[list[set[str]]] = []
        for store in (one, other):
            filled(store)
            store.catch_up()
            memory = Memory(store)
            names = {
                record.id: f"{record.conversation} {record.index}" if isinstance(record, Turn) else record.name
                for record in store.records()
                if not isinstance(record, Relation)
            }
            found.append([[names[hit.record.id] for hit in memory.search(query).hits] for query in questions()])
            words.append([{names[one] for one in by_words(store, query, limit=10_000)} for query in questions()])
        assert words[0] == words[1]
        shared = [len(set(here) & set(there)) / len(here) for here, there in zip(*found, strict=True)]
        assert sum(shared) / len(shared) >= 0.97
        assert sum(here[0] == there[0] for here, there in zip(*found, strict=True)) >= 0.9 * len(shared)


def test_both_stores_know_the_same_of_their_candidates(tmp_path: Path, schema: Schema) -> None:
    with Folder(tmp_path).open(EMBEDDER) as one, schema.open(EMBEDDER) as other:
        for store in (one, other):
            filled(store)
            store.catch_up()
        tokens = np.unique(one.vocabulary.tokens("garden river violin"))
        for text in questions()[:10]:
            asked = StoreQuery(
                text=text, vector=EMBEDDER.embed([text])[0], tokens=tokens, limit=500, reach=2, relations=True
            )
            here, there = one.candidates(asked), other.candidates(asked)
            # Both have given their keys in the order of writing.
            for column in ("ordinals", "origins", "tokens", "lengths", "position", "named", "asks", "holding"):
                assert getattr(here, column).tolist() == getattr(there, column).tolist(), column
            assert here.dense == pytest.approx(there.dense, abs=0.01)
            assert here.lexical == pytest.approx(there.lexical, rel=0.1)
            assert sorted(map(tuple, here.related.tolist())) == sorted(map(tuple, there.related.tolist()))
            assert (here.documents, here.searched) == (there.documents, there.searched)


def test_frequent_words_alone_are_found_too_and_rare_ones_come_first(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caxton_llm.stores.postgres_memory.lexical._ENOUGH_MATCHES", 20)
    with schema.open(EMBEDDER) as store:
        frequent = {one.id for one in store.put([fact(f"n{n}", f"tea number{n}") for n in range(60)])}
        rare = store.put([fact("rare", "zebra tea"), *(fact(f"z{n}", "zebra filler") for n in range(3))])
        best = proposed(store, "zebra tea", None, limit=2)
        assert max(best, key=lambda one: one.lexical or 0).id == rare[0].id
        assert by_words(store, "zebra tea", limit=100) == frequent | {one.id for one in rare}
        assert by_words(store, "tea", limit=5) <= frequent | {rare[0].id}
