"""A process that writes is killed at random moments: nothing that it had acknowledged is lost."""

import random
from pathlib import Path

import pytest

from caxton_llm.stores.sqlite_memory import manifest as manifests
from hashing_embedder import by_words, fact, opened
from memory_crashes import Crashes


@pytest.mark.timeout(180)
def test_ten_kills_lose_nothing_and_leave_nothing_wrong(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path, random.Random(5))
    for number in range(10):
        crashes.kill_once(number)
    assert crashes.problems == []
    assert crashes.acknowledged > 10


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("written", [0, 1])
def test_an_index_step_that_is_cut_off_before_its_manifest_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    with opened(tmp_path) as store:
        ids = [one.id for one in store.put([fact(f"n{n}", f"word{n} tea") for n in range(20)])]
        if written:
            store.catch_up()
        ids += [one.id for one in store.put([fact(f"m{n}", f"other{n} tea") for n in range(20)])]
        store.forget(ids[:3], tenant="")

        def killed(*_: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(manifests, "write", killed)
            with pytest.raises(Killed):
                store.catch_up()
    with opened(tmp_path) as store:
        for _ in range(2):
            assert by_words(store, "tea", limit=100) == set(ids[3:])
            store.catch_up()
        assert store.verify() == []
        assert store.stats().waiting == 0


def test_a_write_that_is_cut_off_before_its_commit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        wanted = store.put([fact("a", "tea")])[0].id

        def killed(*_: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr("caxton_llm.stores.sqlite_memory.rows.Rows.write_passages", killed)
            with pytest.raises(Killed):
                store.put([fact("a", "coffee", tenant="new"), fact("b", "tea")])
        assert by_words(store, "tea coffee") == {wanted}
        assert store.put([fact("b", "tea", tenant="new")])[0].action == "created"
        assert store.verify() == []
