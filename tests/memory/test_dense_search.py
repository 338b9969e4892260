"""The vector side where a tenant has so many passages that a graph proposes and not all are compared."""

from pathlib import Path

import numpy as np
import pytest

from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity
from caxton_llm.memory.passages import passages_of
from caxton_llm.stores.sqlite_memory import SqliteMemory, dense, indexer
from hashing_embedder import HashingEmbedder, fact, opened, proposed

MANY = 1500
EMBEDDER = HashingEmbedder(64)


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "EXACT", 300)
    monkeypatch.setattr(indexer, "EXACT", 300)
    monkeypatch.setattr(indexer, "GRAPH_LAG", 50)


def entities(first: int, count: int) -> list[Entity]:
    kinds = ("common", "common", "common", "rare")
    return [
        fact(f"n{n}", f"word{n} word{n % 40} word{n % 7}", type=kinds[0 if n % 50 else 3])
        for n in range(first, first + count)
    ]


def nearest(store: SqliteMemory, text: str, filters: Filters, limit: int = 10) -> list[str]:
    query = EMBEDDER.embed([text])[0]
    found = proposed(store, "", query, filters, limit)
    return [one.id for one in found if one.dense is not None][:limit]


def exactly(store: SqliteMemory, text: str, filters: Filters, limit: int = 10) -> list[str]:
    records = [
        one for one in store.records() if isinstance(one, Entity) and (not filters.types or one.type in filters.types)
    ]
    near = EMBEDDER.embed([passages_of(one)[0] for one in records]) @ EMBEDDER.embed([text])[0]
    return [records[place].id for place in np.argsort(-near)[:limit].tolist()]


def recall(store: SqliteMemory, filters: Filters) -> float:
    texts = [f"word{n} word{n % 40}" for n in range(0, MANY, 60)]
    hits = sum(len(set(nearest(store, text, filters)) & set(exactly(store, text, filters))) for text in texts)
    return hits / (10 * len(texts))


def graphs(folder: Path) -> list[Path]:
    return list((folder / "index").glob("dense-*"))


def test_the_graph_finds_what_an_exact_search_finds_also_with_a_filter(tmp_path: Path) -> None:
    with opened(tmp_path, EMBEDDER) as store:
        store.put(entities(0, MANY))
        store.catch_up()
        assert len(graphs(tmp_path)) == 1
        assert recall(store, Filters()) >= 0.95
        assert recall(store, Filters(types=("rare",))) >= 0.95
        assert recall(store, Filters(types=("common",))) >= 0.95


def test_what_the_graph_does_not_have_yet_is_found_and_what_is_deleted_is_not(tmp_path: Path) -> None:
    with opened(tmp_path, EMBEDDER) as store:
        store.put(entities(0, MANY))
        store.catch_up()
        new = store.put([fact("new", "wordnew wordnew wordnew")])[0].id
        assert nearest(store, "wordnew", Filters(), 3)[0] == new
        old = nearest(store, "word77 word37", Filters(), 3)[0]
        store.forget([old], tenant="")
        assert old not in nearest(store, "word77 word37", Filters(), 20)
        assert len(nearest(store, "word77 word37", Filters(), 20)) == 20
        store.catch_up()
        assert nearest(store, "wordnew", Filters(), 3)[0] == new


def test_the_graph_grows_with_what_is_written_and_old_files_go(tmp_path: Path) -> None:
    with opened(tmp_path, EMBEDDER) as store:
        store.put(entities(0, MANY))
        store.catch_up()
        first = graphs(tmp_path)
        store.put(entities(MANY, MANY // 2))
        store.catch_up()
        assert len(graphs(tmp_path)) == 1
        assert graphs(tmp_path) != first
        assert recall(store, Filters()) >= 0.95
    with opened(tmp_path, EMBEDDER) as store:
        assert recall(store, Filters()) >= 0.95
        assert store.problems == []


def test_purging_takes_deleted_vectors_out_of_the_graph(tmp_path: Path) -> None:
    with opened(tmp_path, EMBEDDER) as store:
        ids = [one.id for one in store.put(entities(0, MANY))]
        store.catch_up()
        before = graphs(tmp_path)[0].stat().st_size
        assert store.forget(ids[: MANY // 2], tenant="").indexes == "purge needed"
        store.purge()
        assert graphs(tmp_path)[0].stat().st_size < 0.7 * before
        assert recall(store, Filters()) >= 0.95
        assert store.forget(["unknown"], tenant="").indexes == "clean"


def test_a_damaged_graph_is_not_used_and_made_anew(tmp_path: Path) -> None:
    with opened(tmp_path, EMBEDDER) as store:
        store.put(entities(0, MANY))
        store.catch_up()
    path = graphs(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-100])
    with opened(tmp_path, EMBEDDER) as store:
        assert recall(store, Filters()) == 1.0
        assert "damaged" in store.problems[0]
        store.catch_up()
        assert graphs(tmp_path) != [path]
        assert recall(store, Filters()) >= 0.95
        assert store.verify() == []
