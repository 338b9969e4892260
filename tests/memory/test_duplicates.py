"""Which texts say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.memory.duplicates import difference, duplicate_key, is_duplicate, statement
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.query_words import name_keys_in

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
        ("The user prefers a dark mode", "the user prefers dark mode"),
        ("She's at home", "She is at home"),
        ("Does he smoke?", "does he smoke??"),
        ("दिन अच्छा है", "दिन  अच्छा है!"),
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
        ("costs .5", "costs 5", "number"),
        ("takes vitamin A", "takes vitamin", "name"),
        ("takes vitamin a", "takes vitamin", "words"),
        ("He is just", "He is", "words"),
        ("Really just uses Vim", "Uses Vim", "name"),
        ("Does he smoke?", "does he smoke.", "name"),
        ("likes Ann's", "likes Ann", "name"),
        ("दिन", "दान", "words"),
        ("नहीं", "नही", "words"),
        ("ثُلث", "ثَلث", "words"),
        ("ใกล", "ไกล", "words"),
        ("x != y", "x = y", "words"),
        ("writes to a.b@x.org", "writes to a_b@x.org", "words"),
        ("!!!", "...", "words"),
    ],
)
def test_texts_that_differ_in_what_matters_are_not(one: str, other: str, why: str) -> None:
    assert difference(statement(one), statement(other)) is not None
    assert difference(statement(one), statement(other)) == why or why in ("name", "number")


def test_long_texts_may_differ_in_words_that_carry_nothing() -> None:
    filled = LONG.replace("detailed", "very detailed").replace("so that readers", "so that the readers also please")
    assert is_duplicate(LONG, filled)
    assert difference(statement(LONG), statement(filled)) is None


@pytest.mark.parametrize(
    "pair",
    [
        "thirteen/fifteen",
        "fourth/fifth",
        "dozen/score",
        "zwei/drei",
        "二/三",
        "-5/5",
        "jan/feb",
        "mon/tue",
        "noon/midnight",
        "next/last",
        "before/after",
        "legal/illegal",
        "allowed/forbidden",
        "has/lacks",
        "didnt/did",
        "nein/ja",
        "true/false",
        "喜欢/不喜欢",
        "bob/eve",
        "user_a/user_b",
        "ii/iv",
        "a@x.org/b@x.org",
        "x.org/y.org",
        "detailed/thorough",
    ],
)
@pytest.mark.parametrize("place", ["detailed", "LONG_END"])
def test_long_texts_that_differ_in_any_other_word_are_no_duplicates(pair: str, place: str) -> None:
    one, other = pair.split("/")
    text = f"{LONG} LONG_END"
    assert not is_duplicate(text.replace(place, one), text.replace(place, other))
    assert not is_duplicate(text.replace(place, one), text.replace(place, ""))
    assert not is_duplicate(LONG, LONG.replace("revenue and margin", "margin and revenue"))


def test_a_filler_after_a_negation_says_something() -> None:
    assert not is_duplicate(f"{LONG} not just for adults", f"{LONG} not for adults")
    assert not is_duplicate(f"{LONG} isn't really safe", f"{LONG} isn't safe")


def test_a_question_is_no_statement_however_long() -> None:
    assert not is_duplicate(f"{LONG}?", f"{LONG}.")


@pytest.mark.parametrize(
    "names",
    [
        ("Vitamin", "Vitamin A"),
        ("Team", "Team A", "the Team", "A Team"),
        ("Just", "That", "So", "Really"),
        ("!!!", "???", "...", "!"),
        ("Ann", "Ann's"),
        ("C", "C++", "C#"),
        ("दिन", "दान"),
        ("can't", "can not"),
    ],
)
def test_names_that_differ_in_a_word_or_in_all_their_signs_are_different_names(names: tuple[str, ...]) -> None:
    assert len({name_key(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["!!!", "Team A", "user_a", "दिन नहीं", "O'Brien", "😀😀", "J. R. Doe", "++"])
def test_a_query_that_says_a_name_names_it(name: str) -> None:
    assert name_key(name) == name_key(f" {name.upper()}  ")
    assert name_key(name) in name_keys_in(f"who met {name} yesterday")


CLOSED = ["the", "a", "an", "really", "very", "just", "also", "please", "actually"]
OPEN = st.sampled_from(
    ["thirteen", "fifteen", "bob", "eve", "ii", "iv", "ja", "nein", "mon", "tue", "दिन", "दान", "二", "5", "-5"]
)


@given(st.lists(st.one_of(OPEN, st.sampled_from(CLOSED)), min_size=45, max_size=60), st.data())
def test_another_word_outside_the_closed_list_is_never_a_duplicate(words: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(words) - 1))
    word = data.draw(OPEN)
    change = data.draw(st.sampled_from(["change", "add", "remove", "swap"]))
    changed = list(words)
    if change == "add":
        changed.insert(place, word)
    elif change == "change":
        changed[place] = word
    elif change == "remove":
        del changed[place]
    else:
        other = data.draw(st.integers(0, len(words) - 1))
        changed[place], changed[other] = changed[other], changed[place]
    carrying = [[one for one in some if one not in CLOSED] for some in (words, changed)]
    if carrying[0] != carrying[1]:
        assert not is_duplicate(" ".join(words), " ".join(changed))


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
