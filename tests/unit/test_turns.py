"""Callers take turns, whatever the order in which they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.routing.turns import Turns


def taken(turns: Turns[str]) -> list[str]:
    order = []
    while (item := turns.next()) is not None:
        turns.advance()
        order.append(item)
    return order


def joined(*items: str) -> Turns[str]:
    turns: Turns[str] = Turns()
    for item in items:
        turns.join(item[0], item)
    return turns


def test_turns_go_round_and_each_caller_keeps_its_order() -> None:
    assert taken(joined("a1", "a2", "a3", "b1", "b2", "c1")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_what_is_taken_out_leaves_the_turns_as_they_are() -> None:
    turns = joined("a1", "a2", "b1", "c1")
    turns.remove("a", "a1")
    turns.remove("b", "b1")
    assert taken(turns) == ["a2", "c1"]
    assert turns.count == 0


def test_nobody_waiting_has_no_turn() -> None:
    turns = joined()
    assert turns.next() is None
    assert turns.last_of_longest("a") is None
    with pytest.raises(IndexError):
        turns.advance()


def test_the_longest_gives_up_its_last_only_to_who_has_less() -> None:
    turns = joined("a1", "a2", "b1")
    assert turns.last_of_longest("c") == "a2"
    assert turns.last_of_longest("b") is None
    assert turns.last_of_longest("a") is None


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.sampled_from("abcde"), st.integers(0, 30))
def test_who_joins_has_at_most_one_of_each_other_caller_before_each_of_its_own(
    others: list[str], caller: str, advances: int
) -> None:
    turns = joined(*(f"{name}{number}" for number, name in enumerate(others)))
    for _ in range(min(advances, turns.count)):
        turns.advance()
    own = sum(item[0] == caller for item in turns)
    ahead = turns.ahead(caller)
    turns.join(caller, f"{caller}-new")
    assert turns.count == len(list(turns))
    before = taken(turns).index(f"{caller}-new")
    assert before <= ahead
    assert ahead <= own + (own + 1) * 4
