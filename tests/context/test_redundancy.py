"""What is said twice goes once; what differs in a number, a date, a negation or a name never does."""

import random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.redundancy import repetitions
from caxton_llm.context.sameness import reading
from caxton_llm.memory.embedding.static import StaticEmbedder

EMBEDDER = StaticEmbedder.default()
WORDS = st.sampled_from(["ann", "ben", "tea", "coffee", "likes", "not", "3", "4", "monday", "report", "the", "a"])


def gone(*texts: str) -> dict[int, int]:
    return {one.text: one.by for one in repetitions(texts, EMBEDDER.embed)}


def test_the_same_in_another_spelling_goes() -> None:
    assert gone("Users prefer PDF reports.", "the users prefer  pdf reports", "something else") == {1: 0}


def test_what_is_contained_in_another_goes_wherever_it_stands() -> None:
    long = "Remember that users prefer PDF reports and charts"
    assert gone("users prefer PDF reports", long) == {0: 1}
    assert gone(long, "users prefer PDF reports") == {1: 0}
    assert gone("yes", "yes, the users prefer it") == {}


def test_a_paraphrase_goes() -> None:
    assert gone(
        "Quarterly reports include revenue trends and regional breakdowns",
        "The quarterly report also includes the revenue trends and the regional breakdowns",
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
        ("The temperature was -5 degrees at night", "The temperature was 5 degrees at night"),
        ("Wir haben einen Vertrag mit der Firma", "Wir haben keinen Vertrag mit der Firma"),
        ("It is safe to restart the service", "It is unsafe to restart the service"),
        ("Backups are enabled on the production server", "Backups are disabled on the production server"),
        ("The customer accepted the offer of the sales team", "The customer rejected the offer of the sales team"),
        ("use C for the driver code", "use C++ for the driver code"),
        ("use C# for the driver code", "use C++ for the driver code"),
        ("The invoice costs $40 per seat", "The invoice costs \u20ac40 per seat"),
        ("x > 5 is required for the run", "x < 5 is required for the run"),
        ("team a won the match against the others", "team b won the match against the others"),
        ("the report is due next week for the whole team", "the report was due last week for the whole team"),
        ("The reimbursement is at most 50 euros", "The reimbursement is at least 50 euros"),
        ("The build needs Python 3.11 or newer", "The build needs Python 3.11 or older"),
        ("Alice reports to Bob in the finance team", "Bob reports to Alice in the finance team"),
        ("The cat chased the dog across the yard", "The dog chased the cat across the yard"),
        ("Call the doctor before lunch every day", "Call the doctor after lunch every day"),
        ("Is the server running?", "The server is running"),
        ("The deadline is Friday", "Is the deadline Friday"),
        ("The data is being deleted", "The data has been deleted"),
        ("The invoice should be paid", "The invoice is paid"),
        ("The refund is from Acme", "The refund is for Acme"),
        ("Ada is an employer of Acme", "Ada is employed by Acme"),
        ("Ada is the deputy manager of sales", "Ada is the manager of sales"),
        ("Some users may restart the service", "The users may restart the service"),
        ("Prod must move and dev will stay", "Prod will move and dev must stay"),
        ("Der Vertrag l\u00e4uft", "Der Vertrag l\u00e4uft aus"),
    ],
)
def test_another_number_date_negation_name_order_or_deed_stays(one: str, other: str) -> None:
    assert gone(one, other) == {}
    assert gone(other, one) == {}


@pytest.mark.parametrize(
    ("fact", "other"),
    [
        ("We deploy on Fridays.", "Is it still right that we deploy on Fridays?"),
        ("I am allergic to peanuts.", "Did I ever tell you that I am allergic to peanuts?"),
        ("The limit is 500.", "I don't think the limit is 500 any more, or is it?"),
        ("we should deploy on Fridays", "I do not believe that we should deploy on Fridays"),
        ("the customer has accepted the offer", "It is not true that the customer has accepted the offer"),
        ("the customer has accepted the offer", "Perhaps the customer has accepted the offer by then"),
        ("The budget is 500", "The budget is 500 000"),
        ("the budget is 500 euros", "the budget is 500 euros more than we thought"),
        ("the budget is 500 euros", "it was assumed that the budget is 500 euros; whether it is, nobody knows"),
        ("The launch is on Monday.", "Bob said: The launch is on Monday. That is a lie."),
        ("The launch is on Monday.", "The launch is on Monday. No, wait, it is on Tuesday."),
        ("Wir liefern nach Berlin.", "Wir liefern nach Berlin. Das war gelogen."),
        ("The son is five years old", "Ada hopes the son is five years old"),
        ("Ada is five", "The son of Ada is five"),
        ("Acme has 40 employees", "Make sure that Acme has 40 employees"),
        ("Acme has 40 employees", "Acme has 40 employees who left"),
        ("Acme has 40 employees", "In the demo data Acme has 40 employees"),
        ("Acme hat 40 Leute", "Falls es klappt, Acme hat 40 Leute"),
    ],
)
def test_a_fact_stays_beside_what_asks_denies_or_doubts_it_or_makes_something_else_of_it(fact: str, other: str) -> None:
    assert gone(fact, other) == {}
    assert gone(other, fact) == {}


@pytest.mark.parametrize(
    "other",
    [
        "Hello! We deploy on Fridays. Can you change the pipeline?",
        "By the way, we deploy on Fridays, and the pipeline is slow.",
        "As was said before, we deploy on Fridays and that was all there was to it.",
        "Remember that we deploy on Fridays.",
    ],
)
def test_a_fact_goes_beside_what_states_it(other: str) -> None:
    assert gone(other, "We deploy on Fridays.") == {1: 0}


def test_many_long_texts_are_read_once_each() -> None:
    chance = random.Random(1)
    words = [f"word{number}" for number in range(300)]
    texts = [" ".join(chance.choices(words, k=280)) for _ in range(350)]
    with patch("caxton_llm.context.redundancy.reading", wraps=reading) as read:
        assert repetitions(texts, standing=200) == []
    assert read.call_count <= len(texts)


def test_of_a_chain_everything_goes_for_what_stays() -> None:
    assert gone(
        "the report has charts", "the report has charts and tables", "the report has charts and tables and maps"
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
    assert gone("It is what it is.", "Well, it is what it is.") == {0: 1}
    assert gone("It is what it is", "it is what it is!") == {1: 0}
    assert gone("It is what it is.", "The reports of Q3 go to Ada.") == {}
