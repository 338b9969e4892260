"""Ranking: laws of the scores, neighbours, boosts, late interaction, words of a question."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.late_interaction import MAX_QUERY_TOKENS, distinct_tokens, inverse_frequency, late_interaction
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.neighbours import Neighbourhood
from caxton_llm.memory.query_words import content_words, is_question, name_keys_in
from caxton_llm.memory.scoring import Features, Weights, score

EMBEDDER = StaticEmbedder.default()
NO_BOOSTS = Weights(named=0, dated=0, question=0, recency=0, confidence=0, used=0)


@st.composite
def candidates(draw: st.DrawFn) -> Features:
    """Distinct turns of up to three conversations, and records that are no turns."""
    places = draw(st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 9)), min_size=1, max_size=12, unique=True))
    count = len(places)
    number = st.floats(0, 20, width=32)
    unit = st.floats(0, 1)

    def column(kind: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(kind, min_size=count, max_size=count))

    return Features(
        lexical=np.array(column(number), np.float32),
        dense=np.array(column(st.floats(0, 1, width=32)), np.float32),
        matches=np.array([column(number) for _ in range(3)], np.float32).T,
        conversation=np.array([place[0] for place in places]),
        position=np.array([place[1] for place in places]),
        named=np.array(column(unit)) > 0.5,
        dated=np.array(column(unit)) > 0.5,
        asks=np.array(column(unit)) > 0.5,
        age_s=np.array(column(st.floats(0, 1e9) | st.just(float("nan")))),
        confidence=np.array(column(unit | st.just(float("nan")))),
        uses=np.array(column(st.integers(0, 2**31 - 1)), np.int64),
    )


def taken(columns: Features, indexes: np.ndarray) -> Features:
    names = [name for name in Features.__struct_fields__ if name not in ("related", "strengths")]
    return Features(**{name: getattr(columns, name)[indexes] for name in names})


def turns(*dense: float, matches: list[list[float]] | None = None) -> Features:
    """Turns of one conversation in order."""
    count = len(dense)
    return Features(
        lexical=np.zeros(count, np.float32),
        dense=np.array(dense, np.float32),
        matches=np.array(matches or [[0.0]] * count, np.float32),
        conversation=np.zeros(count, np.int64),
        position=np.arange(count),
    )


@given(candidates(), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(columns: Features, random: object) -> None:
    shuffled = np.array(random.sample(range(len(columns)), len(columns)))  # type: ignore[attr-defined]
    assert np.allclose(score(columns).total[shuffled], score(taken(columns, shuffled)).total, atol=1e-5)


@given(candidates(), st.data())
def test_a_duplicate_scores_alike(columns: Features, data: st.DataObject) -> None:
    twin = data.draw(st.integers(0, len(columns) - 1))
    total = score(taken(columns, np.append(np.arange(len(columns)), twin))).total
    assert total[-1] == pytest.approx(total[twin], abs=1e-6)


@given(candidates())
def test_the_reasons_add_up_to_the_score(columns: Features) -> None:
    for reason in score(columns):
        parts = (reason.lexical, reason.dense, reason.late, reason.neighbour)
        boosts = (reason.named, reason.dated, reason.question, reason.recency, reason.confidence, reason.used)
        assert sum(parts) + sum(boosts) == pytest.approx(reason.total, abs=1e-6)


@given(candidates())
def test_scores_are_numbers_and_the_order_is_falling(columns: Features) -> None:
    scores = score(columns)
    assert np.isfinite(scores.total).all()
    assert np.all(np.diff(scores.total[scores.order()]) <= 0)


@given(candidates(), st.floats(0.1, 100))
def test_the_scale_of_a_column_does_not_matter(columns: Features, factor: float) -> None:
    scaled = replace(columns, lexical=columns.lexical * np.float32(factor))
    if columns.lexical.std() > 1e-2:
        assert np.allclose(score(columns).total, score(scaled).total, atol=1e-3)


def test_no_candidates_have_no_scores() -> None:
    empty = Features(
        lexical=np.zeros(0, np.float32), dense=np.zeros(0, np.float32), matches=np.zeros((0, 2), np.float32)
    )
    assert len(score(empty).total) == 0
    assert list(score(empty)) == []


def test_candidates_that_are_all_alike_keep_their_order() -> None:
    scores = score(turns(0.5, 0.5, 0.5), NO_BOOSTS)
    assert scores.order().tolist() == [0, 1, 2]
    assert scores.total.tolist() == [0, 0, 0]


STANDING = st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 6)), max_size=8, unique=True)


@given(STANDING | st.integers(0, 5).map(lambda count: [(0, place) for place in range(count)]), st.integers(1, 4))
def test_a_turn_gets_of_each_neighbour_what_its_distance_gives(turns: list[tuple[int, int]], reach: int) -> None:
    conversation = np.array([own for own, _ in turns], np.int64)
    position = np.array([at for _, at in turns], np.int64)
    scores = np.arange(1.0, len(turns) + 1)
    shares = tuple(0.5**distance for distance in range(1, reach + 1))
    beside = Neighbourhood.of(conversation, position, reach)
    expected, best = np.zeros(len(turns)), scores.copy()
    for (mine, (own, at)), (other, (whose, where)) in product(enumerate(turns), repeat=2):
        distance = abs(at - where)
        if own == whose >= 0 and min(at, where) >= 0 and 0 < distance <= reach:
            expected[mine] += shares[distance - 1] * scores[other]
            best[mine] = max(best[mine], shares[distance - 1] * scores[other])
    assert np.allclose(beside.shared(scores, shares), expected)
    assert np.allclose(beside.best(scores[:, None].astype(np.float32), shares)[:, 0], best)


def test_a_turn_shares_in_its_neighbours_by_distance() -> None:
    weights = replace(NO_BOOSTS, dense=1, neighbours=(0.4, 0.2))
    scores = score(turns(1, 0, 0, 0, 0), weights)
    best = scores.dense[0]
    assert scores.neighbour[1] == pytest.approx(0.4 * (best + scores.dense[2]) + 0.2 * scores.dense[3])
    assert scores.neighbour[2] == pytest.approx(0.4 * 2 * scores.dense[1] + 0.2 * (best + scores.dense[4]))
    assert scores.total[1] > scores.total[4]


def test_turns_of_another_conversation_and_records_that_are_no_turns_share_nothing() -> None:
    columns = replace(turns(1, 0, 0, 0), conversation=np.array([0, 1, -1, -1]))
    assert score(columns).neighbour.tolist() == [0, 0, 0, 0]


def test_the_last_turn_of_one_conversation_is_not_beside_the_first_of_the_next() -> None:
    columns = replace(turns(1, 0, 0), conversation=np.array([0, 1, 0]), position=np.array([2**31 - 1, 0, 5]))
    assert score(columns).neighbour.tolist() == [0, 0, 0]


def test_a_question_and_the_answer_beside_it_match_together() -> None:
    # The query's two tokens: one stands in the first turn, one in the second; the third turn holds the second one too.
    columns = turns(0, 0, 0, 0, 0, matches=[[2, 0], [0, 2], [0, 0], [0, 0], [0, 2]])
    scores = score(columns, replace(NO_BOOSTS, lexical=0, dense=0))
    assert scores.order()[:2].tolist() in ([0, 1], [1, 0])
    assert scores.total[1] > scores.total[4]


def test_boosts_are_what_the_weights_say() -> None:
    columns = replace(
        turns(0.5, 0.5, 0.5),
        named=np.array([True, False, False]),
        dated=np.array([False, True, False]),
        asks=np.array([False, True, False]),
        age_s=np.array([0.0, 100.0, float("nan")]),
        confidence=np.array([1.0, 0.0, float("nan")]),
        uses=np.array([32, 1, 0]),
    )
    weights = Weights(
        named=0.7, dated=0.5, question=0.3, recency=0.2, recency_half_life_s=100, confidence=0.1, used=0.2
    )
    first, second, third = score(columns, weights)
    assert (first.named, first.question, first.recency, first.confidence) == pytest.approx((0.7, 0, 0.2, 0.1))
    assert (second.named, second.question, second.recency, second.confidence) == pytest.approx((0, -0.3, 0.1, -0.1))
    assert (first.dated, second.dated) == (0, 0.5)
    assert first.used == pytest.approx(0.2)
    assert 0.03 < second.used < 0.05
    assert third.total == 0


def test_each_further_use_counts_less_and_in_the_end_nothing() -> None:
    uses = [0, 1, 2, 3, 31, 32, 33, 10**9]
    gained = np.diff(score(replace(turns(*[0.5] * len(uses)), uses=np.array(uses))).used)
    assert gained[0] > gained[1] > gained[2] > 0 < gained[4]
    assert gained[5:].tolist() == [0, 0]


def test_a_time_in_the_future_counts_as_now() -> None:
    columns = replace(turns(0.5, 0.5), age_s=np.array([-1e12, 0.0]))
    assert len(set(score(columns).total.tolist())) == 1


# -- token by token -----------------------------------------------------------------------------------------------------


def matches(query: str, *texts: str) -> np.ndarray:
    tokens = distinct_tokens(query, EMBEDDER)
    return compared(tokens, np.ones(len(tokens), np.float32), *texts)


def compared(tokens: np.ndarray, rarity: np.ndarray, *texts: str) -> np.ndarray:
    rows = [EMBEDDER.tokens(text) for text in texts]
    flat = np.concatenate([np.empty(0, np.int32), *rows])
    return late_interaction(tokens, rarity, flat, np.array([len(row) for row in rows], np.int64), EMBEDDER)


def test_the_same_word_matches_wholly_a_related_one_partly_another_not() -> None:
    same, related, other = matches("doctor", "see a doctor", "see a physician", "the train departs")[:, 0]
    assert same == pytest.approx(1, abs=1e-4)
    assert 0.1 < related < 0.9
    assert other == 0


def test_repetitions_and_order_of_a_texts_tokens_do_not_matter() -> None:
    once, thrice = matches("red train", "the red train", "train train red the the red")
    assert np.array_equal(once, thrice)


def test_a_repeated_token_of_the_query_counts_once() -> None:
    assert np.array_equal(matches("train train", "a train"), matches("train", "a train"))


def test_rarity_weights_a_match() -> None:
    tokens = EMBEDDER.tokens("train")
    row = compared(tokens, np.array([2.5], np.float32), "train")
    assert row[0, 0] == pytest.approx(2.5, abs=1e-3)


@pytest.mark.parametrize("query", ["", "\U0001f600", "   "])
def test_an_empty_query_matches_nothing(query: str) -> None:
    assert matches(query, "some text", "").shape == (2, 0)


def test_empty_texts_between_others_match_nothing() -> None:
    rows = matches("train", "", "a train", "", "train", "")
    assert (rows[:, 0] > 0).tolist() == [False, True, False, True, False]
    assert matches("train").shape == (0, 1)
    assert matches("train", "", "").tolist() == [[0], [0]]


def test_chinese_matches_by_character() -> None:
    same, other = matches("中国", "中国人", "the train").sum(axis=1)
    assert same > other


def test_of_a_query_of_a_megabyte_the_rarest_tokens_count() -> None:
    tokens = EMBEDDER.tokens(" ".join(f"word{number} train" for number in range(60_000)))
    rarity = np.linspace(0, 1, len(tokens), dtype=np.float32)
    assert compared(tokens, rarity, "train").shape == (1, MAX_QUERY_TOKENS)


def test_the_rarer_a_token_the_more_it_counts() -> None:
    rarity = inverse_frequency(np.array([0, 1, 50, 100]), 100)
    assert np.all(np.diff(rarity) < 0)
    assert np.all(rarity > 0)
    assert np.isfinite(inverse_frequency(np.array([0, 7]), 0)).all()


# -- words of a question ------------------------------------------------------------------------------------------------


def test_only_the_words_that_say_something_are_left() -> None:
    assert content_words("What did Ann's brother buy in Paris?") == "Ann brother buy Paris"
    assert content_words("Where\u2019s the key? I don\u2019t know") == "key know"


@pytest.mark.parametrize("query", ["", "what is it?", "\U0001f600", "???"])
def test_a_query_of_only_function_words_stays_as_it_is(query: str) -> None:
    assert content_words(query) == query


def test_names_are_found_as_whole_words_in_any_case() -> None:
    keys = set(name_keys_in("did ann's dog meet MARY JANE?"))
    assert {name_key("Ann"), name_key("mary jane"), name_key("dog")} <= keys
    assert name_key("Annabel") not in keys
    assert name_key("did") not in keys
    assert name_keys_in("what is it?") == ()


def test_a_text_that_ends_with_a_question_mark_asks() -> None:
    assert is_question("Really? ")
    assert is_question("真的吗\uff1f")
    assert not is_question("Really? Yes.")
