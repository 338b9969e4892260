"""What is said twice goes once; what differs in a number, a date, a negation or a name never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.redundancy import repetitions
from caxton_llm.memory.embedding.static import StaticEmbedder

EMBEDDER = StaticEmbedder.default()
WORDS = st.sampled_from(["ann", "ben", "tea", "coffee", "likes", "not", "3", "4", "monday", "report", "the", "a"])


def gone(*texts: str) -> dict[int, int]:
    return {one.text: one.by for one in repetitions(texts, EMBEDDER.embed)}


def test_the_same_in_another_spelling_goes() -> None:
    assert gone("Users prefer PDF reports.", "the users prefer  pdf reports", "something else") == {1: 0}


def test_what_is_contained_in_another_goes_wherever_it_stands() -> None:
    long = "In Q3 the users prefer PDF reports with charts"
    assert gone("users prefer PDF reports", long) == {0: 1}
    assert gone(long, "users prefer PDF reports") == {1: 0}
    assert gone("yes", "yes, the users prefer it") == {}


def test_a_paraphrase_goes() -> None:
    assert gone(
        "Quarterly reports include revenue trends and regional breakdowns",
        "The quarterly reports should include the revenue trends and the regional breakdowns",
    ) == {1: 0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The deadline for the quarterly report is the 3rd", "The deadline for the quarterly report is the 4th"),
        ("The meeting on the sales figures is on Monday", "The meeting on the sales figures is on Tuesday"),
        ("Users like pie charts in their reports", "Users do not like pie charts in their reports"),
        ("Revenue grew by 12% in the third quarter", "Revenue grew by 21% in the third quarter"),
        ("the report was written by Alice", "the report was written by Bob"),
        ("Ann likes green tea in the morning", "Ann likes black coffee in the evening"),
    ],
)
def test_another_number_date_negation_name_or_deed_stays(one: str, other: str) -> None:
    assert gone(one, other) == {}
    assert gone(other, one) == {}


def test_of_a_chain_everything_goes_for_what_stays() -> None:
    assert gone(
        "the report has charts", "the report has charts and tables", "the report has charts and tables today"
    ) == {
        0: 2,
        1: 2,
    }


@given(st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=12))
def test_what_goes_is_made_needless_by_something_that_stays(texts: list[str]) -> None:
    found = repetitions(texts, EMBEDDER.embed)
    away = {one.text for one in found}
    assert len(away) == len(found)
    assert not any(one.by in away or one.by == one.text for one in found)
    again = [text for place, text in enumerate(texts) if place not in away]
    assert repetitions(again, EMBEDDER.embed) == []


def test_of_a_long_text_only_the_beginning_is_compared_and_it_never_goes_itself() -> None:
    begins = "Ann ordered nine chairs for Lisbon. " * 60
    one, other = f"{begins} The lamps were green.", f"{begins} The lamps were blue."
    assert gone(one, other) == {}
    assert gone(one, "Ann ordered nine chairs for Lisbon.") == {1: 0}


@given(st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=12), st.integers(0, 6))
def test_what_stands_in_any_case_never_goes_and_makes_others_needless(texts: list[str], standing: int) -> None:
    found = repetitions(texts, EMBEDDER.embed, standing=standing)
    assert all(one.text >= standing for one in found)
    away = {one.text for one in found}
    assert not any(one.by in away for one in found)
    kept = [text for place, text in enumerate(texts) if place not in away]
    assert repetitions(kept, EMBEDDER.embed, standing=min(standing, len(texts))) == []


def test_a_text_that_stands_makes_needless_what_repeats_it_though_it_is_contained_itself() -> None:
    said = "Ann ordered nine chairs"
    texts = [said, f"{said} for Lisbon", "the lamps are green", "ann ordered nine chairs!"]
    assert {one.text: one.by for one in repetitions(texts, EMBEDDER.embed, standing=1)} == {3: 0}


def test_texts_without_a_word_that_says_anything_are_compared_by_all_their_words() -> None:
    assert gone("It is what it is.", "So it is: it is what it is.") == {0: 1}
    assert gone("It is what it is", "it is what it is!") == {1: 0}
    assert gone("It is what it is.", "The reports of Q3 go to Ada.") == {}
