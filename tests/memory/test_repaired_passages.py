"""Passages that got their vector late: they are as good as those that had it from the start."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caxton_llm.errors import ProviderFailure
from caxton_llm.memory.candidates import StoreQuery
from hashing_embedder import HashingEmbedder, fact, opened
from memory_places import Place


class Fragile(HashingEmbedder):
    """Fails while it is told to."""

    fails = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.fails:
            raise ProviderFailure("the server is down")
        return super().embed(texts)


def test_a_passage_whose_vector_came_late_has_its_tokens(place: Place) -> None:
    now = [1000.0]
    embedder = Fragile()
    with place.open(embedder, clock=lambda: now[0]) as store:
        embedder.fails = True
        store.put([fact("a", "green tea")])
        embedder.fails = False
        now[0] += 100
        assert store.embed_missing() == 0
        tokens = np.unique(store.vocabulary.tokens("tea"))
        found = store.candidates(StoreQuery(text="tea", tokens=tokens))
        assert found.lengths.all()
        assert found.holding.all()
        assert store.verify() == []


def lose_tokens(folder: Path, *, version: int | None = None) -> None:
    with sqlite3.connect(folder / "memory.db") as db:
        db.execute("update passages set tokens = null where ordinal = 0")
        if version is not None:
            db.execute(f"pragma user_version = {version}")
    db.close()


def test_verify_tells_of_passages_without_tokens_and_rebuild_mends_them(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact("a", "green tea"), fact("b", "coffee")])
        assert store.candidates(StoreQuery(text="tea")).lengths.all()
        lose_tokens(tmp_path)
        assert store.verify() == ["2 passages without tokens: rebuild"]
        store.rebuild()
        assert store.verify() == []
        assert store.candidates(StoreQuery(text="tea")).lengths.all()


def test_a_store_that_has_lost_tokens_gets_them_back_when_it_is_brought_up_to_date(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact("a", "green tea"), fact("b", "coffee")])
    lose_tokens(tmp_path, version=4)
    with opened(tmp_path) as store:
        assert store.verify() == []
        assert store.candidates(StoreQuery(text="tea")).lengths.all()
