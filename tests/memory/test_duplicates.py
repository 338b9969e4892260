"""Which texts say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.memory.duplicates import difference, duplicate_key, is_duplicate, statement

LONG = (
    "The quarterly report starts with an executive summary on the first page and goes on with detailed charts of revenue and "
    "margin by region and by product line so that readers see trends before they look at tables which follow at the end "
    "together with notes about the methods and the sources of all figures in it"
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("User prefers dark mode", "the user prefers dark mode."),
        ("User doesn't like Java", "User does not like Java!"),
        ("It\u2019s a caf\u00e9", "it's a cafe\u0301"),
        ("Uses  Vim,\nalways", "uses vim always"),
        ("Really just uses Vim", "Uses Vim"),
        ("\uff35ser prefers Vim", "User prefers Vim"),
        ("I won't go", "I will not go"),
    ],
)
def test_texts_that_differ_in_spelling_only_are_duplicates(one: str, other: str) -> None:
    assert is_duplicate(one, other)
    assert duplicate_key(one) == duplicate_key(other)


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("The budget is 1000 USD", "The budget is 1001 USD", "number"),
        ("It takes two days", "It takes three days", "number"),
        ("Met on 2024-05-01", "Met on 2024-05-02", "number"),
        ("Born in May 1990", "Born in June 1990", "name"),
        ("Meets on Monday", "Meets on Tuesday", "number"),
        ("User likes tea", "User does not like tea", "negation"),
        ("User never drinks tea", "User drinks tea", "negation"),
        ("User can drive", "User can't drive", "negation"),
        ("Reports to Alice", "Reports to Bob", "name"),
        ("Alice owes Bob money", "Bob owes Alice money", "name"),
        ("likes tea", "likes coffee", "words"),
        ("alice likes tea", "bob likes tea", "words"),
        ("Adams likes tea", "Adam likes tea", "name"),
        ("is at work", "was at work", "words"),
        ("temperature is -5", "temperature is 5", "words"),
        ("version 1.2", "version 12", "number"),
    ],
)
def test_texts_that_differ_in_what_matters_are_not(one: str, other: str, why: str) -> None:
    assert difference(statement(one), statement(other)) is not None
    assert difference(statement(one), statement(other)) == why or why in ("name", "number")


def test_long_texts_may_differ_in_a_word_that_is_no_number_no_negation_and_no_name() -> None:
    assert is_duplicate(LONG, LONG.replace("detailed", "thorough"))
    assert not is_duplicate(LONG, LONG.replace("detailed", "7"))
    assert not is_duplicate(LONG, LONG.replace("goes on", "never goes on"))
    assert not is_duplicate(LONG + " for Alice", LONG + " for Bob")


WORDS = st.lists(st.sampled_from(["user", "likes", "tea", "and", "coffee", "in", "London", "at", "night"]), min_size=1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXTS)
def test_a_text_is_a_duplicate_of_itself_whatever_its_spaces(text: str) -> None:
    assert is_duplicate(text, text)
    assert is_duplicate(text, f"  {text}\n")


@given(TEXTS, TEXTS)
def test_being_a_duplicate_goes_both_ways(one: str, other: str) -> None:
    assert is_duplicate(one, other) == is_duplicate(other, one)


@given(
    WORDS,
    st.integers(0, 10**6),
)
def test_another_number_is_never_a_duplicate(words: list[str], number: int) -> None:
    text = " ".join(words)
    assert not is_duplicate(f"{text} {number}", f"{text} {number + 1}")
    assert not is_duplicate(f"{text} {number}", text)


@given(
    WORDS,
    st.data(),
)
def test_a_negation_more_is_never_a_duplicate(words: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(words)))
    negation = data.draw(st.sampled_from(["not", "never", "no", "without"]))
    assert not is_duplicate(" ".join(words), " ".join([*words[:place], negation, *words[place:]]))
