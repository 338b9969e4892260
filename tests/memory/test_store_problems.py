"""What a store tells of its troubles, and that they do not end its work."""

import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.memory.problems import Problems
from caxton_llm.memory.store import Progress
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.stores.sqlite_memory.schema import connect
from caxton_llm.stores.sqlite_memory.tail import Tail
from hashing_embedder import HashingEmbedder, fact, opened


@given(st.lists(st.integers(0, 60).map(str)))
def test_the_last_distinct_problems_are_kept(added: list[str]) -> None:
    problems = Problems()
    for text in added:
        problems.add(text)
    newest_first = list(dict.fromkeys(reversed(added)))
    assert problems.texts == newest_first[:20][::-1]
    problems.mended()
    assert problems.texts == []


class Stumbling(SqliteMemory):
    """Fails at first in a way that nobody has thought of."""

    def catch_up(self, progress: Progress | None = None) -> bool:
        if not self.has_stumbled.is_set():
            self.has_stumbled.set()
            raise KeyError("unexpected")
        done = super().catch_up(progress)
        self.has_caught_up.set()
        return done

    has_stumbled = threading.Event()
    has_caught_up = threading.Event()


def test_the_indexing_thread_survives_what_nobody_expects_and_forgets_it_when_it_is_mended(tmp_path: Path) -> None:
    with Stumbling(tmp_path, HashingEmbedder()) as store:
        store.put([fact("a", "tea")])
        assert store.has_stumbled.wait(20)
        store.put([fact("b", "tea")])
        assert store.has_caught_up.wait(30)
        assert store.stats().waiting == 0
        assert store.problems == []


def test_an_index_that_cannot_be_written_is_told_once_and_forgotten_when_it_can(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact("a", "tea")])
        store.catch_up()
    manifest = tmp_path / "index/manifest.json"
    folder = next(path for path in (tmp_path / "index").iterdir() if path.is_dir())
    next(path for path in folder.iterdir() if path.suffix == ".store").write_bytes(b"damaged")
    with opened(tmp_path) as store:
        for _ in range(3):
            manifest.write_bytes(manifest.read_bytes())
            store.stats()
        assert len(store.problems) == 1
        assert "damaged" in store.problems[0]
        store.catch_up()
        assert store.problems == []


def test_searches_of_different_states_of_the_index_find_each_what_it_lacks(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact(f"n{n}", "tea") for n in range(20)])
    db = connect(tmp_path / "memory.db")
    tail = Tail(1)
    for indexed in (0, 10, 5, 20, 0):
        found = tail.search(db, ["tea"], indexed=indexed, newest=20, count=indexed, average=3.0, frequency=lambda _: 0)
        assert sorted(found.passages.tolist()) == list(range(indexed + 1, 21))
    db.close()
