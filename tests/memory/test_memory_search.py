"""A search as a user sees it: what is found, why, and what is left out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from caxton_llm.errors import InvalidRequest, ProviderFailure
from caxton_llm.memory.candidates import NEIGHBOUR, RELATED, Candidates, StoreQuery
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.hits import Found, Hit
from caxton_llm.memory.model import Entity, Observation, Record, Relation, Turn
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory.scoring import Weights
from caxton_llm.memory_system import Memory
from caxton_llm.stores.sqlite_memory import SqliteMemory
from hashing_embedder import HashingEmbedder, fact, opened, said

DAY_S = 86_400.0
FIRST = ["Standard quarterly reports include revenue trends and year over year comparisons"]
FACTS = [
    fact("Quarterly report pattern", *FIRST, type="report_templates"),
    fact("PDF preferences", "Users prefer an executive summary on page 1", type="user_preferences"),
    fact("Office cat", "The cat sleeps on the printer all day"),
]


@pytest.fixture(params=[False, True], ids=["from the tail", "from the index"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory") as memory:
        memory.add(FACTS)
        if request.param:
            memory.rebuild()
        yield memory


def names(found: Found) -> list[str]:
    return [hit.record.name for hit in found.hits if isinstance(hit.record, Entity)]


def texts(found: Found) -> list[str]:
    return [hit.record.text for hit in found.hits if isinstance(hit.record, Turn)]


def only(found: Found, name: str) -> Hit:
    return next(hit for hit in found.hits if isinstance(hit.record, Entity) and hit.record.name == name)


def test_the_best_comes_first_with_its_passage_similarity_and_reasons(memory: Memory) -> None:
    found = memory.search("what belongs into a quarterly revenue report?")
    best = found.hits[0]
    assert names(found)[0] == "Quarterly report pattern"
    assert best.passage == f"Quarterly report pattern (report_templates): {FIRST[0]}"
    assert best.similarity is not None
    assert best.similarity > 0.8
    assert best.found_by == ("lexical", "dense")
    parts = [getattr(best.reasons, name) for name in best.reasons.__struct_fields__ if name != "total"]
    assert best.reasons.total == pytest.approx(sum(parts))
    assert best.score == best.reasons.total
    assert (found.searched, found.candidates, found.above_threshold) == (3, 3, 3)


def test_a_word_that_stands_nowhere_finds_what_is_meant(memory: Memory) -> None:
    best = memory.search("kitten napping").hits[0]
    assert isinstance(best.record, Entity)
    assert (best.record.name, best.found_by) == ("Office cat", ("dense",))


def test_results_below_the_asked_similarity_are_left_out_and_counted(memory: Memory) -> None:
    found = memory.search("quarterly revenue reports", min_similarity=0.7)
    assert names(found) == ["Quarterly report pattern"]
    assert (found.above_threshold, found.candidates) == (1, 3)
    assert memory.search("submarine volcanoes", min_similarity=0.8).hits == ()


def test_not_more_results_than_asked_for(memory: Memory) -> None:
    assert len(memory.search("report", max_results=1).hits) == 1


def test_focus_areas_are_types_and_tags_however_they_are_written(memory: Memory) -> None:
    found = memory.search("report", Filters(focus_areas=("User Preferences",)))
    assert (names(found), found.searched) == (["PDF preferences"], 1)


@pytest.mark.parametrize("query", ["", "the of and", "?!", "\U0001f600", "\u4f1a\u8bae\u8bb0\u5f55", "x" * 50_000])
def test_any_query_gets_an_answer(memory: Memory, query: str) -> None:
    assert memory.search(query).searched == 3


def test_an_empty_memory_finds_nothing(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        found = memory.search("anything")
        assert (found.hits, found.searched, found.candidates) == ((), 0, 0)


@pytest.mark.parametrize("similarity", [-0.1, 1.1, float("nan")])
def test_a_similarity_out_of_range_is_refused(memory: Memory, similarity: float) -> None:
    with pytest.raises(InvalidRequest, match="between 0 and 1"):
        memory.search("report", min_similarity=similarity)


@pytest.mark.parametrize("results", [0, -1, 1_000_000])
def test_a_number_of_results_out_of_range_is_refused(memory: Memory, results: int) -> None:
    with pytest.raises(InvalidRequest, match="between"):
        memory.search("report", max_results=results)


def test_the_answer_beside_a_question_is_found_for_the_words_of_the_question(tmp_path: Path) -> None:
    turns: list[Record] = [
        said(0, "Which restaurant did you book for the anniversary?", speaker="Ann"),
        said(1, "Giovanni, at eight", speaker="Ben"),
        *(said(n, f"Unrelated remark number {n} on gardening", speaker="Ann") for n in range(2, 40)),
    ]
    with Memory.open(tmp_path) as memory:
        memory.add(turns)
        found = memory.search("restaurant booked for the anniversary", max_results=2)
        assert texts(found) == ["Which restaurant did you book for the anniversary?", "Giovanni, at eight"]
        assert found.hits[0].reasons.question < 0
        assert found.hits[1].reasons.neighbour > 0


def nearer(count: int = 60) -> list[Record]:
    """What the index proposes before anything that has no word of the query."""
    return [fact(f"n{n}", f"zebra crossing zebra crossing n{n}") for n in range(count)]


def came_along(store: SqliteMemory, origin: int) -> dict[str, Record]:
    """What a search that proposes few brings along, by its passage."""
    text = "zebra crossing"
    vector = store.embedder.embed([text])[0]
    found = store.candidates(StoreQuery(text=text, vector=vector, limit=5, reach=2, relations=True))
    records = store.load(found.keys[found.origins == origin].tolist(), tenant="")
    return {passages_of(record)[0]: record for record in records.values()}


def test_turns_beside_a_found_one_come_with_it_but_only_of_its_conversation_and_tenant(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put(
            [
                *nearer(),
                *(said(n, f"filler{n}", "mine") for n in range(8)),
                said(8, "zebra crossing", "mine"),
                said(9, "after", "mine"),
                said(9, "elsewhere", "yours"),
                said(9, "other agent", "mine", scope="agent", agent="a"),
                said(9, "other tenant", "mine", tenant="t"),
            ]
        )
        assert set(came_along(store, NEIGHBOUR)) == {"filler6", "filler7", "after"}


def test_an_entity_comes_along_with_one_that_it_is_related_to(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        everything = [fact("a", "zebra crossing " * 5), fact("b", "x1"), fact("c", "y1"), fact("d", "z1"), *nearer()]
        first, second, third, *_ = (one.id for one in store.put(everything))
        store.put(
            [Relation(source=first, target=second, type="owns"), Relation(source=third, target=second, type="is")]
        )
        assert set(came_along(store, RELATED)) == {"b (note): x1"}
        found = Memory(store).search("zebra crossing", max_results=100)
        assert only(found, "b").reasons.relation > 0
        without = Memory(store, weights=Weights(relations=0)).search("zebra crossing", max_results=100)
        assert only(without, "b").reasons.relation == 0


def test_a_strong_relation_counts_more_than_a_weak_or_doubtful_one(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        memory = Memory(store)
        ids = [one.id for one in memory.add([fact("a", "zebra"), fact("b", "b1"), fact("c", "c1"), fact("d", "d1")])]
        for target, strength, confidence in ((1, 0.2, None), (2, None, None), (3, 1.0, 0.5)):
            memory.add(
                [Relation(source=ids[0], target=ids[target], type="r", strength=strength, confidence=confidence)]
            )
        found = memory.search("zebra")
        gained = [only(found, name).reasons.relation for name in "bcd"]
        assert gained[1] > gained[2] > gained[0] > 0


def test_a_related_entity_that_the_filter_hides_stays_hidden(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        memory = Memory(store)
        one, other = (
            one.id
            for one in memory.add([fact("a", "zebra", scope="global"), fact("b", "x", scope="agent", agent="you")])
        )
        memory.add([Relation(source=one, target=other, type="knows", scope="global")])
        assert names(memory.search("zebra", Filters(agent="me"))) == ["a"]
        assert names(memory.search("zebra", Filters(agent="you"))) == ["a", "b"]


def test_what_the_query_calls_by_its_name_is_found_and_preferred(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        memory = Memory(store)
        memory.add([fact("Project Falcon", "due in may"), fact("budget", "the status of money: status status")])
        found = memory.search("status of the project  FALCON?")
        named = only(found, "Project Falcon")
        assert "name" in named.found_by
        assert named.reasons.named > 0
        assert names(found)[0] == "Project Falcon"


def test_the_turns_of_a_speaker_who_is_named_are_preferred(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        memory = Memory(store)
        memory.add([said(0, "likes tea", "one", speaker="Ann"), said(0, "likes tea", "two", speaker="Ben")])
        found = memory.search("what does Ben like to drink, tea?")
        assert [hit.record.speaker for hit in found.hits if isinstance(hit.record, Turn)] == ["Ben", "Ann"]


def test_of_equals_the_newer_and_the_more_certain_come_first(tmp_path: Path) -> None:
    def seen(name: str, at: float | None = None, confidence: float | None = None) -> Entity:
        return Entity(name=name, type="t", observations=(Observation("green tea", at=at, confidence=confidence),))

    with SqliteMemory(tmp_path, HashingEmbedder(), background=False, clock=lambda: 100 * DAY_S) as store:
        memory = Memory(store, clock=lambda: 100 * DAY_S)
        memory.add([seen("a", at=1.0), seen("b", at=99 * DAY_S), seen("c", 1.0, 1.0), seen("d", 1.0, 0.0)])
        found = memory.search("green tea")
        assert only(found, "b").reasons.recency > only(found, "a").reasons.recency
        assert only(found, "c").reasons.confidence > 0 > only(found, "d").reasons.confidence
        assert only(found, "a").reasons.confidence == 0


def test_what_is_forgotten_is_not_found_again(memory: Memory) -> None:
    cat = only(memory.search("cat"), "Office cat").record.id
    assert memory.forget([cat]).records == 1
    assert "Office cat" not in names(memory.search("cat sleeps on the printer"))


class Fragile(HashingEmbedder):
    """Fails while it is told to."""

    fails = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.fails:
            raise ProviderFailure("the server is down")
        return super().embed(texts)


def test_while_the_embedder_fails_words_alone_find_and_the_answer_says_so(tmp_path: Path) -> None:
    embedder = Fragile()
    with opened(tmp_path, embedder) as store:
        memory = Memory(store)
        memory.add([fact("a", "green tea"), fact("b", "black coffee")])
        assert memory.search("tea").problem is None
        embedder.fails = True
        found = memory.search("green tea", min_similarity=0.7)
        assert names(found) == ["a"]
        assert found.hits[0].similarity is None
        assert found.hits[0].found_by == ("lexical",)
        assert found.problem is not None
        assert "the server is down" in found.problem
        embedder.fails = False
        assert memory.search("tea").hits[0].similarity is not None


def test_while_the_scale_of_an_embedder_is_not_known_similarities_are_not_either(tmp_path: Path) -> None:
    embedder = Fragile()
    with opened(tmp_path, embedder) as store:
        store.put([fact("a", "green tea")])
        embedder.fails = True
        found = Memory(store).search("green tea", min_similarity=0.9)
        assert names(found) == ["a"]
        assert found.problem is not None


def test_nothing_of_a_query_or_a_record_stands_in_a_repr(memory: Memory) -> None:
    shown = repr(memory.search("cat on the printer"))
    assert "printer" not in shown
    assert "Office" not in shown


def test_what_was_compared_is_told_of_records_that_have_one_passage(tmp_path: Path) -> None:
    """For whoever compares the hits with something else."""
    many = fact(
        "Long list", *(f"Number {number} of the reports is kept in the drawer of the desk" for number in range(60))
    )
    store = SqliteMemory(tmp_path / "memory", StaticEmbedder.default())
    with Memory(store, clock=lambda: 1.8e9) as memory:
        memory.add([*FACTS, many])
        query = "Which reports does the office cat sleep on?"
        searched = memory.searched(query)
        embedder = memory.store.embedder
        assert searched.embedder == embedder.name
        assert searched.found == memory.search(query)
        vector = embedder.embed([query])[0]
        known = dict(zip(names(searched.found), zip(searched.found.hits, searched.compared, strict=True), strict=True))
        assert known.pop("Long list")[1] is None
        assert len(known) == 3
        for hit, compared in known.values():
            assert compared is not None
            assert compared.tokens.tolist() == np.unique(memory.store.vocabulary.tokens(hit.passage)).tolist()
            assert compared.cosine == pytest.approx(float(embedder.embed([hit.passage])[0] @ vector), abs=1e-3)


def test_of_another_embedder_nothing_can_be_compared_with_what_was(tmp_path: Path) -> None:
    with Memory(SqliteMemory(tmp_path, HashingEmbedder())) as memory:
        memory.add(FACTS)
        assert memory.searched("office cat").embedder is None


@pytest.mark.parametrize("copies", [3, 150])
def test_what_is_said_again_and_again_leaves_room_for_what_answers_it(memory: Memory, copies: int) -> None:
    query = "What colour should the title page of reports have?"
    memory.add([said(0, query, f"asked {number}", speaker="Ann") for number in range(copies)])
    memory.add([said(1, "I do not know  that yet", f"asked {number}") for number in range(copies)])
    memory.add([said(1, "i do not know that yet", f"also asked {number}") for number in range(copies)])
    memory.add([said(0, "I prefer reports with a blue title page", "another")])
    assert texts(memory.search(query, max_results=3)).count(query) > 1
    found = memory.searched(query, max_results=3, distinct=True).found
    told = [" ".join(text.casefold().split()) for text in texts(found)]
    assert len(set(told)) == len(told)
    assert "i prefer reports with a blue title page" in told
    assert sum(one != query.casefold() for one in told) + len(names(found)) == 3


def test_few_results_above_a_threshold_are_searched_for_once(tmp_path: Path) -> None:
    asked = []

    class Watched(SqliteMemory):
        def candidates(self, query: StoreQuery) -> Candidates:
            asked.append(query.limit)
            return super().candidates(query)

    with Memory(Watched(tmp_path / "memory", StaticEmbedder.default())) as memory:
        memory.add([said(0, f"Number {number} is kept in the drawer", f"{number}") for number in range(200)])
        memory.searched("cat on the printer", max_results=5, min_similarity=0.9, distinct=True)
    assert len(asked) == 1
