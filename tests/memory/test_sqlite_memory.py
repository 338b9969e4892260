"""What the embedded store keeps and finds."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Relation, Turn
from caxton_llm.memory.store import Retention
from caxton_llm.stores.sqlite_memory import SqliteMemory
from hashing_embedder import HashingEmbedder, by_words, fact, opened, proposed, said, searched


@pytest.mark.parametrize("indexed", [False, True], ids=["from the tail", "from the index"])
def test_what_was_written_is_found_by_its_words_and_by_its_vector(tmp_path: Path, indexed: bool) -> None:
    with opened(tmp_path) as store:
        wanted, *_ = store.put([fact("Tea", "Alice drinks green tea"), *(fact(f"n{n}", f"word{n}") for n in range(30))])
        if indexed:
            assert store.catch_up()
        best = searched(store, "who drinks tea")[0]
        assert best.id == wanted.id
        assert best.lexical is not None
        assert best.dense is not None
        assert best.dense > 0.4
        assert by_words(store, "drinking") == {wanted.id}


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


def test_an_entity_grows_and_its_versions_can_be_read(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first = store.put([fact("Vim", "User prefers Vim", type="editor")])[0]
        again = store.put([fact("vim", "the user prefers vim.", type="editor")])[0]
        grown = store.put([fact("vim", "User has Vim 9", type="editor")])[0]
        assert (again.id, again.action, again.duplicates) == (first.id, "unchanged", 1)
        assert (grown.id, grown.action, grown.version) == (first.id, "merged", 2)
        now, before = store.history(first.id, tenant="")
        assert isinstance(now, Entity)
        assert isinstance(before, Entity)
        assert [seen.text for seen in now.observations] == ["User prefers Vim", "User has Vim 9"]
        assert now.observations[:1] == before.observations
        assert (now.version, before.version) == (2, 1)


def test_a_record_with_an_id_replaces_the_one_that_has_it_and_the_old_words_find_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        name = store.put([fact("a", "zebra")])[0].id
        store.catch_up()
        assert store.put([fact("a", "giraffe", id=name)])[0].action == "updated"
        for _ in range(2):
            assert by_words(store, "zebra") == set()
            assert by_words(store, "giraffe") == {name}
            store.catch_up()


def test_the_same_thing_twice_in_one_call_is_one_record(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        written = store.put([fact("a", "one"), fact("A", "two"), fact("a", "one")])
        assert len({one.id for one in written}) == 1
        entity = store.get([written[0].id], tenant="")[written[0].id]
        assert isinstance(entity, Entity)
        assert [seen.text for seen in entity.observations] == ["one", "two"]
        assert store.stats().entities == 1


def test_a_tenant_sees_nothing_of_another(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        mine, other = store.put([fact("a", "secret plan", tenant="one"), fact("a", "secret plan", tenant="two")])
        for _ in range(2):
            assert [c.id for c in searched(store, "secret plan", Filters(tenant="one"))] == [mine.id]
            assert searched(store, "secret plan", Filters(tenant="nobody")) == []
            store.catch_up()
        assert store.get([other.id], tenant="one") == {}
        assert store.history(other.id, tenant="one") == []
        assert store.forget([other.id], tenant="one").records == 0
        with pytest.raises(InvalidRequest, match="taken"):
            store.put([fact("b", id=other.id, tenant="one")])


def test_a_small_tenant_gets_its_results_beside_a_large_one(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact(f"n{n}", "green tea every day", tenant="large") for n in range(2000)])
        mine = {one.id for one in store.put([fact(f"n{n}", "green tea", tenant="small") for n in range(5)])}
        store.catch_up()
        assert {c.id for c in searched(store, "green tea", Filters(tenant="small"))} == mine
        assert by_words(store, "green tea", Filters(tenant="small")) == mine


def test_an_agent_sees_what_is_global_its_workspace_and_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        everything = [
            fact("a", "tea", scope="global"),
            fact("b", "tea", workspace="w"),
            fact("c", "tea", scope="agent", agent="me"),
            fact("d", "tea", scope="agent", agent="you"),
            fact("e", "tea", workspace="v"),
        ]
        ids = [one.id for one in store.put(everything)]
        for _ in range(2):
            assert by_words(store, "tea", Filters(agent="me", workspace="w")) == set(ids[:3])
            assert by_words(store, "tea", Filters(agent="me", scopes=("agent",))) == {ids[2]}
            assert by_words(store, "tea") == set(ids)
            store.catch_up()


def test_filters_by_kind_type_time_validity_area_and_conversation(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        a = fact("a", "tea", type="drink", valid_until=50.0, metadata={"tags": ["hot things"]})
        b, c = said(0, "tea at noon", at=100.0), said(1, "tea again", "other", at=200.0)
        ids = [one.id for one in store.put([a, b, c])]
        for _ in range(2):
            assert by_words(store, "tea", Filters(kinds=("entity",))) == {ids[0]}
            assert by_words(store, "tea", Filters(types=("drink",))) == {ids[0]}
            assert by_words(store, "tea", Filters(types=("user",))) == set()
            assert by_words(store, "tea", Filters(since=150.0, until=250.0)) == {ids[2]}
            assert by_words(store, "tea", Filters(valid_at=60.0)) == {ids[1], ids[2]}
            assert by_words(store, "tea", Filters(focus_areas=("Hot_Things",))) == {ids[0]}
            assert by_words(store, "tea", Filters(conversation="other")) == {ids[2]}
            store.catch_up()


def test_neighbours_of_a_turn_and_relations_of_an_entity(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        ids = [one.id for one in store.put([said(n, f"turn {n}") for n in range(6)])]
        store.put([said(3, "elsewhere", "other")])
        assert [turn.index for turn in store.turns_near(ids[3], distance=2, tenant="")] == [1, 2, 4, 5]
        a, b = (one.id for one in store.put([fact("a"), fact("b")]))
        link = store.put([Relation(source=a, target=b, type="knows", strength=0.5)])[0]
        assert [one.id for one in store.relations_of([b], tenant="")] == [link.id]


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


def test_retention_by_age_and_by_count(tmp_path: Path) -> None:
    now = [1000.0]
    with SqliteMemory(tmp_path, HashingEmbedder(), background=False, clock=lambda: now[0]) as store:
        for n in range(5):
            now[0] = 1000.0 + n
            store.put([fact(f"n{n}", "tea")])
        assert store.retain(Retention(max_age_s=2.5), now=1004.0).records == 2
        assert store.retain(Retention(max_records=1), now=1004.0).records == 2
        left = list(store.records())
        assert [record.name for record in left if isinstance(record, Entity)] == ["n4"]


def test_a_changed_embedder_serves_only_when_everything_has_its_vectors(tmp_path: Path) -> None:
    old, new = HashingEmbedder(32, "old"), HashingEmbedder(16, "new")
    with opened(tmp_path, old) as store:
        wanted = store.put([fact("tea", "green tea"), *(fact(f"n{n}", f"word{n}") for n in range(20))])[0].id
        store.catch_up()
    with SqliteMemory(tmp_path, new, previous=old, background=False) as store:
        assert store.embedder is old
        assert searched(store, "green tea")[0].id == wanted
        while store.embed_missing(6):
            assert store.embedder is old
        assert store.embedder is new
        assert searched(store, "green tea")[0].id == wanted
        assert store.verify() == []
    with SqliteMemory(tmp_path, HashingEmbedder(16, "third"), background=False) as store:
        assert searched(store, "green tea")[0].dense is None
        assert store.embed_missing() == 0
        assert (searched(store, "green tea")[0].dense or 0) > 0.5


def test_vectors_of_another_embedder_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact("a", "tea")])
        with pytest.raises(InvalidRequest, match="vector"):
            proposed(store, "tea", np.zeros(7, np.float32))


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


def test_many_threads_write_and_search_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    with opened(tmp_path, background=True) as store:

        def work(thread: int) -> None:
            try:
                for n in range(15):
                    written = store.put([fact(f"t{thread} n{n}", f"unique{thread}x{n}")])[0]
                    assert by_words(store, f"unique{thread}x{n}") == {written.id}
            except Exception as error:  # noqa: BLE001 - told to the thread of the test
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert store.stats().entities == 60
        store.catch_up()
        assert store.verify() == []


def test_a_record_with_many_passages_does_not_crowd_out_the_others(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put([fact("long", *(f"tea number{n} {'filler ' * 90}" for n in range(60)))])
        others = {one.id for one in store.put([fact(f"n{n}", "tea") for n in range(5)])}
        assert others <= by_words(store, "tea", limit=8)
        store.catch_up()
        assert others <= by_words(store, "tea", limit=8)
        assert others <= {one.id for one in searched(store, "tea", limit=8)}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "forget", "index", "again"]), st.integers(0, 5), st.sampled_from("abcde")),
        max_size=25,
    )
)
def test_whatever_is_done_the_store_stays_whole_and_finds_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    there: dict[str, tuple[str, set[str]]] = {}
    store = opened(folder)
    for what, number, word in steps:
        if what == "put":
            written = store.put([fact(f"n{number}", f"word{word}")])[0]
            there.setdefault(f"n{number}", (written.id, set()))[1].add(f"word{word}")
        elif what == "forget" and f"n{number}" in there:
            store.forget([there.pop(f"n{number}")[0]], tenant="")
        elif what == "index":
            store.catch_up()
        elif what == "again":
            store.close()
            store = opened(folder)
    for word in "abcde":
        wanted = {name for name, words in there.values() if f"word{word}" in words}
        assert by_words(store, f"word{word}") == wanted
    assert store.verify() == []
    assert store.problems == []
    store.close()


def test_turns_are_written_once_each(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert [one.action for one in store.put([said(0, "hello", at=1.0)])] == ["created"]
        assert [one.action for one in store.put([said(0, "hello", at=1.0)])] == ["unchanged"]
        changed = store.put([said(0, "hello there")])[0]
        turn = store.get([changed.id], tenant="")[changed.id]
        assert isinstance(turn, Turn)
        assert (changed.action, turn.text, turn.at) == ("merged", "hello there", 1.0)
