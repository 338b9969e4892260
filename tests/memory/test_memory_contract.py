"""What every store keeps, finds and refuses."""

from functools import partial
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton_llm.errors import InvalidRequest, MemoryStoreError
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Relation, Turn
from caxton_llm.memory.store import Retention
from hashing_embedder import HashingEmbedder, by_words, fact, proposed, said, searched
from in_threads import run_in_threads
from memory_places import Place, Store

HUGE = 10**7


@pytest.mark.parametrize("indexed", [False, True], ids=["from the tail", "from the index"])
def test_what_was_written_is_found_by_its_words_and_by_its_vector(place: Place, indexed: bool) -> None:
    with place.open() as store:
        wanted, *_ = store.put([fact("Tea", "Alice drinks green tea"), *(fact(f"n{n}", f"word{n}") for n in range(30))])
        if indexed:
            assert store.catch_up()
        best = searched(store, "who drinks tea")[0]
        assert best.id == wanted.id
        assert best.lexical is not None
        assert best.dense is not None
        assert best.dense > 0.4
        assert by_words(store, "drinking") == {wanted.id}


def test_an_entity_grows_and_its_versions_can_be_read(place: Place) -> None:
    with place.open() as store:
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


def test_a_record_with_an_id_replaces_the_one_that_has_it_and_the_old_words_find_nothing(place: Place) -> None:
    with place.open() as store:
        name = store.put([fact("a", "zebra")])[0].id
        store.catch_up()
        assert store.put([fact("a", "giraffe", id=name)])[0].action == "updated"
        for _ in range(2):
            assert by_words(store, "zebra") == set()
            assert by_words(store, "giraffe") == {name}
            store.catch_up()


def test_the_same_thing_twice_in_one_call_is_one_record(place: Place) -> None:
    with place.open() as store:
        written = store.put([fact("a", "one"), fact("A", "two"), fact("a", "one")])
        assert len({one.id for one in written}) == 1
        entity = store.get([written[0].id], tenant="")[written[0].id]
        assert isinstance(entity, Entity)
        assert [seen.text for seen in entity.observations] == ["one", "two"]
        assert store.stats().entities == 1


def test_a_tenant_sees_nothing_of_another(place: Place) -> None:
    with place.open() as store:
        mine, other = store.put([fact("a", "secret plan", tenant="one"), fact("a", "secret plan", tenant="two")])
        for _ in range(2):
            assert [c.id for c in searched(store, "secret plan", Filters(tenant="one"))] == [mine.id]
            assert searched(store, "secret plan", Filters(tenant="nobody")) == []
            store.catch_up()
        assert store.get([other.id], tenant="one") == {}
        assert store.history(other.id, tenant="one") == []
        assert store.forget([other.id], tenant="one").records == 0
        assert store.put([fact("b", id=other.id, tenant="one")])[0].action == "created"
        assert len(store.get([other.id], tenant="two")) == 1


def test_a_small_tenant_gets_its_results_beside_a_large_one(place: Place) -> None:
    with place.open() as store:
        store.put([fact(f"n{n}", "green tea every day", tenant="large") for n in range(2000)])
        mine = {one.id for one in store.put([fact(f"n{n}", "green tea", tenant="small") for n in range(5)])}
        store.catch_up()
        assert {c.id for c in searched(store, "green tea", Filters(tenant="small"))} == mine
        assert by_words(store, "green tea", Filters(tenant="small")) == mine


def test_an_agent_sees_what_is_global_its_workspace_and_its_own(place: Place) -> None:
    with place.open() as store:
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


def test_filters_by_kind_type_time_validity_area_and_conversation(place: Place) -> None:
    with place.open() as store:
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


def test_neighbours_of_a_turn_and_relations_of_an_entity(place: Place) -> None:
    with place.open() as store:
        ids = [one.id for one in store.put([said(n, f"turn {n}") for n in range(6)])]
        store.put([said(3, "elsewhere", "other")])
        assert [turn.index for turn in store.turns_near(ids[3], distance=2, tenant="")] == [1, 2, 4, 5]
        a, b = (one.id for one in store.put([fact("a"), fact("b")]))
        link = store.put([Relation(source=a, target=b, type="knows", strength=0.5)])[0]
        assert [one.id for one in store.relations_of([b], tenant="")] == [link.id]


def test_retention_by_age_and_by_count(place: Place) -> None:
    now = [1000.0]
    with place.open(HashingEmbedder(), clock=lambda: now[0]) as store:
        for n in range(5):
            now[0] = 1000.0 + n
            store.put([fact(f"n{n}", "tea")])
        assert store.retain(Retention(max_age_s=2.5), now=1004.0).records == 2
        assert store.retain(Retention(max_records=1), now=1004.0).records == 2
        left = list(store.records())
        assert [record.name for record in left if isinstance(record, Entity)] == ["n4"]


def test_a_changed_embedder_serves_only_when_everything_has_its_vectors(place: Place) -> None:
    old, new = HashingEmbedder(32, "old"), HashingEmbedder(16, "new")
    with place.open(old) as store:
        wanted = store.put([fact("tea", "green tea"), *(fact(f"n{n}", f"word{n}") for n in range(20))])[0].id
        store.catch_up()
    with place.open(new, previous=old) as store:
        assert store.embedder is old
        assert searched(store, "green tea")[0].id == wanted
        while store.embed_missing(6):
            assert store.embedder is old
        assert store.embedder is new
        assert searched(store, "green tea")[0].id == wanted
        assert store.verify() == []
    with place.open(HashingEmbedder(16, "third")) as store:
        assert searched(store, "green tea")[0].dense is None
        assert store.embed_missing() == 0
        assert (searched(store, "green tea")[0].dense or 0) > 0.5


def test_vectors_of_another_embedder_are_refused(place: Place) -> None:
    with place.open() as store:
        store.put([fact("a", "tea")])
        with pytest.raises(InvalidRequest, match="vector"):
            proposed(store, "tea", np.zeros(7, np.float32))


def test_many_threads_write_and_search_at_once(place: Place) -> None:
    failures: list[BaseException] = []
    with place.open(background=True) as store:

        def work(thread: int) -> None:
            try:
                for n in range(15):
                    written = store.put([fact(f"t{thread} n{n}", f"unique{thread}x{n}")])[0]
                    assert by_words(store, f"unique{thread}x{n}") == {written.id}
            except Exception as error:  # noqa: BLE001 - told to the thread of the test
                failures.append(error)

        run_in_threads(partial(work, number) for number in range(4))
        assert failures == []
        assert store.stats().entities == 60
        store.catch_up()
        assert store.verify() == []


def test_a_record_with_many_passages_does_not_crowd_out_the_others(place: Place) -> None:
    with place.open() as store:
        store.put([fact("long", *(f"tea number{n} {'filler ' * 90}" for n in range(60)))])
        others = {one.id for one in store.put([fact(f"n{n}", "tea") for n in range(5)])}
        assert others <= by_words(store, "tea", limit=8)
        store.catch_up()
        assert others <= by_words(store, "tea", limit=8)
        assert others <= {one.id for one in searched(store, "tea", limit=8)}


_runs = count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "forget", "index", "again"]), st.integers(0, 5), st.sampled_from("abcde")),
        max_size=25,
    )
)
def test_whatever_is_done_the_store_stays_whole_and_finds_what_is_there(
    place: Place, steps: list[tuple[str, int, str]]
) -> None:
    place = place / f"run{next(_runs)}"
    there: dict[str, tuple[str, set[str]]] = {}
    store = place.open()
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
            store = place.open()
    for word in "abcde":
        wanted = {name for name, words in there.values() if f"word{word}" in words}
        assert by_words(store, f"word{word}") == wanted
    assert store.verify() == []
    assert store.problems == []
    store.close()


def test_turns_are_written_once_each(place: Place) -> None:
    with place.open() as store:
        assert [one.action for one in store.put([said(0, "hello", at=1.0)])] == ["created"]
        assert [one.action for one in store.put([said(0, "hello", at=1.0)])] == ["unchanged"]
        changed = store.put([said(0, "hello there")])[0]
        turn = store.get([changed.id], tenant="")[changed.id]
        assert isinstance(turn, Turn)
        assert (changed.action, turn.text, turn.at) == ("merged", "hello there", 1.0)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (fact(""), "records[0].name"),
        (fact("  "), "records[0].name"),
        (fact("x" * 1001), "records[0].name"),
        (fact("a", "x" * HUGE), "records[0].observations[0].text"),
        (fact("a", "ok", " "), "records[0].observations[1].text"),
        (fact("a", "half \ud800"), "records[0].observations[0].text"),
        (fact("a\0b"), "records[0].name"),
        (fact("a", scope="galaxy"), "records[0].scope"),
        (fact("a", scope="agent"), "records[0].agent"),
        (fact("a", valid_from=5.0, valid_until=4.0), "records[0].valid_until"),
        (fact("a", metadata={"x": "y" * 17 * 2**20}), "records[0]"),
        (fact("a", metadata={"x": "\udfff"}), "records[0]"),
        (Entity(name="a", observations=(Observation("x", at=1.7e12),)), "records[0].observations[0].at"),
        (Entity(name="a", observations=(Observation("x", at=float("nan")),)), "records[0].observations[0].at"),
        (Entity(name="a", observations=(Observation("x", confidence=1.5),)), "records[0].observations[0].confidence"),
        (Relation(source="a", target="b", type="knows", strength=float("nan")), "records[0].strength"),
        (Relation(source="a", target="b", type="knows"), "records[0].from"),
        (Turn(conversation="c", index=-1, text="x"), "records[0].index"),
        (Turn(conversation="c", index=2**40, text="x"), "records[0].index"),
        (Turn(conversation="", index=0, text="x"), "records[0].conversation"),
    ],
)
def test_a_record_that_cannot_be_is_refused_and_nothing_of_the_call_is_written(
    place: Place, record: Entity | Relation | Turn, field: str
) -> None:
    with place.open() as store:
        with pytest.raises(InvalidRequest) as caught:
            store.put([record, fact("innocent", "x")])
        assert caught.value.param == field
        assert store.stats().entities == 0
        assert store.put([fact("innocent", "x")])[0].action == "created"


def test_a_search_that_cannot_be_is_refused(place: Place) -> None:
    with place.open() as store:
        for text, limit in (("x" * HUGE, 10), ("x", 0), ("x", -1), ("x", HUGE), ("\ud800", 10), ("a\0", 10)):
            with pytest.raises(InvalidRequest):
                proposed(store, text, None, Filters(), limit)
        with pytest.raises(InvalidRequest, match="unknown scope"):
            by_words(store, "x", Filters(scopes=("galaxy",)))  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="unknown kind"):
            by_words(store, "x", Filters(kinds=("planet",)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query", ["the of and", "", "   ", "?!...", "AND OR NOT", '"', "text:*", "a" * 99_999, "x " * 40_000]
)
def test_a_query_without_words_or_with_odd_ones_is_answered(place: Place, query: str) -> None:
    with place.open() as store:
        assert searched(store, query) == []
        wanted = store.put([fact("a", "tea")])[0].id
        for _ in range(2):
            assert by_words(store, query) == set()
            assert {one.id for one in searched(store, query)} <= {wanted}
            store.catch_up()


def test_a_query_of_stop_words_alone_is_answered_by_vectors(place: Place) -> None:
    with place.open() as store:
        wanted = store.put([fact("a", "to be or not to be"), fact("b", "green tea")])[0].id
        best = searched(store, "to be or not to be")[0]
        assert (best.id, best.lexical) == (wanted, None)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("我昨天在北京吃了烤鸭", "烤鸭"),
        ("party 🎉 tonight", "🎉"),
        ("наш дом", "дом"),
        ("Crème brûlée", "creme"),
        ("日", "日"),
    ],
)
def test_other_scripts_and_emoji_are_found(place: Place, text: str, query: str) -> None:
    with place.open() as store:
        wanted = store.put([fact("x1", text), fact("x2", "nothing")])[0].id
        assert by_words(store, query) == {wanted}
        store.catch_up()
        assert by_words(store, query) == {wanted}


def test_an_observation_of_a_megabyte_is_kept_and_each_part_of_it_is_found(place: Place) -> None:
    # Few distinct words: thinking of a direction for each would take longer than all the rest.
    text = " ".join(f"word{n}" if n % 1_000 in (0, 999) else f"filler{n % 100}" for n in range(130_000))
    assert len(text) > 2**20
    with place.open() as store:
        wanted = store.put([fact("long", text)])[0].id
        for query in ("word0", "word55000", "word129999"):
            assert by_words(store, query) == {wanted}
        store.catch_up()
        assert by_words(store, "word55000") == {wanted}
        assert store.verify() == []


def test_a_closed_store_says_so(place: Place) -> None:
    store = place.open()
    store.close()
    store.close()
    for use in (lambda: store.put([fact("a")]), lambda: by_words(store, "x"), store.stats):
        with pytest.raises(MemoryStoreError, match="closed"):
            use()


class Broken(HashingEmbedder):
    """Returns too few rows."""

    def embed(self, texts):  # type: ignore[no-untyped-def]
        return super().embed(texts)[:-1]


def test_an_embedder_that_returns_something_else_is_named_and_nothing_is_written(place: Place) -> None:
    with place.open(Broken()) as store:
        with pytest.raises(MemoryStoreError, match="hashing"):
            store.put([fact("a", "tea")])
        assert store.stats().entities == 0


def test_another_embedder_of_the_same_name_is_refused(place: Place) -> None:
    place.open(HashingEmbedder(32)).close()
    with pytest.raises(MemoryStoreError, match="another name"):
        place.open(HashingEmbedder(16))


def test_two_stores_in_one_place_see_each_other(place: Place) -> None:
    with place.open() as one, place.open() as other:
        first = one.put([fact("a", "tea")])[0].id
        assert by_words(other, "tea") == {first}
        second = other.put([fact("b", "tea"), fact("A", "more tea")])[0].id
        assert by_words(one, "tea more") == {first, second}
        assert [version.version for version in one.history(first, tenant="")] == [2, 1]
        one.catch_up()
        other.forget([first], tenant="")
        assert by_words(one, "tea") == {second}
        assert one.verify() == other.verify() == []


def test_an_empty_place_may_be_opened_by_many_at_once(place: Place) -> None:
    opened: list[Store] = []
    run_in_threads([lambda: opened.append(place.open())] * 4)
    assert len(opened) == 4
    for number, store in enumerate(opened):
        store.put([fact(f"n{number}", "tea")])
    assert [len(by_words(store, "tea")) for store in opened] == [4, 4, 4, 4]
    for store in opened:
        store.close()


def test_deleting_an_entity_deletes_its_versions_and_relations_and_says_what_is_left_to_do(place: Place) -> None:
    with place.open() as store:
        a, b = (one.id for one in store.put([fact("a", "xylophone"), fact("b", "other")]))
        store.put([fact("a", "xylophone twice")])
        store.put([Relation(source=a, target=b, type="knows")])
        store.catch_up()
        gone = store.forget([a, "unknown"], tenant="")
        assert (gone.records, gone.relations, gone.versions, gone.passages) == (2, 1, 1, 1)
        assert gone.indexes == "purge needed"
        assert set(gone.ids) >= {a}
        assert by_words(store, "xylophone") == set()
        assert store.changes(a, tenant="") == []
        store.purge()
        assert store.verify() == []
        stats = store.stats()
        assert (stats.entities, stats.relations, stats.versions, stats.passages) == (1, 0, 0, 1)
        assert store.forget(["unknown"], tenant="").indexes == "clean"


def test_the_longest_names_are_kept_and_found(place: Place) -> None:
    name = "".join(chr(0x4E00 + n % 5000) for n in range(0, 7000, 7))
    filters = Filters(tenant=name, agent=name, workspace=name, types=(name,), focus_areas=(name,))
    with place.open() as store:
        entity = fact(
            name, "tea", type=name, tenant=name, agent=name, scope="agent", metadata={"tags": [name]}, id=name
        )
        store.put([entity, said(0, "hello", name, speaker=name, tenant=name, workspace=name)])
        assert by_words(store, "tea", filters) == {name}
        assert store.find([name], filters=filters) == {name: [name]}
        assert len(by_words(store, "hello", Filters(tenant=name, conversation=name))) == 1
