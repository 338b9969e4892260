"""Which pieces go into a request under a budget: laws that hold for any pieces, and the order of importance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.pieces import Piece, Source, Tier
from caxton_llm.context.selection import Limits, Selection, select
from caxton_llm.errors import InvalidRequest

SOURCES: dict[Tier, Source] = {
    "always": "instructions",
    "recent": "conversation",
    "memory": "memory",
    "tools": "tools",
    "capabilities": "capabilities",
    "older": "conversation",
}


def piece(id_: str, tier: Tier, tokens: int, score: float = 0.5, order: float = 0.0) -> Piece:
    return Piece(id=id_, source=SOURCES[tier], tier=tier, text=id_, tokens=tokens, score=score, order=order)


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    tiers = draw(st.lists(st.sampled_from(list(SOURCES)), max_size=30))
    return [
        piece(f"p{n}", tier, draw(st.integers(1, 50)), draw(st.floats(0, 1)), float(n)) for n, tier in enumerate(tiers)
    ]


def kept(selection: Selection) -> set[str]:
    return {one.piece.id for one in selection.decisions if one.kept}


@given(pieces(), st.integers(0, 600))
def test_the_budget_is_never_exceeded_and_every_piece_is_decided_on(every: list[Piece], budget: int) -> None:
    limits = Limits(budget=budget)
    if sum(one.tokens for one in every if one.tier == "always") > budget:
        with pytest.raises(InvalidRequest, match="the budget for the whole context is"):
            select(every, limits)
        return
    selection = select(every, limits)
    assert [one.piece for one in selection.decisions] == every
    assert selection.tokens == sum(one.tokens for one in every if one.id in selection.taken) <= budget
    assert all(one.kept for one in selection.decisions if one.piece.tier == "always")


@given(pieces(), st.integers(1500, 2000))
def test_with_room_for_all_everything_that_is_asked_for_is_kept(every: list[Piece], budget: int) -> None:
    selection = select(every, Limits(budget=budget))
    assert kept(selection) == {one.id for one in every}


@given(pieces(), st.integers(0, 600), st.randoms(use_true_random=False))
def test_the_order_in_which_pieces_come_does_not_matter(every: list[Piece], budget: int, random: object) -> None:
    shuffled = list(every)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    limits = Limits(budget=budget + sum(one.tokens for one in every if one.tier == "always"))
    assert kept(select(shuffled, limits)) == kept(select(every, limits))


@given(pieces(), st.integers(0, 600))
def test_the_last_turns_have_no_holes(every: list[Piece], budget: int) -> None:
    limits = Limits(budget=budget + sum(one.tokens for one in every if one.tier == "always"))
    taken = kept(select(every, limits))
    recent = sorted((one for one in every if one.tier == "recent"), key=lambda one: one.order, reverse=True)
    flags = [one.id in taken for one in recent]
    assert flags == sorted(flags, reverse=True)


@given(pieces(), st.integers(0, 600))
def test_nothing_that_was_left_out_would_still_fit(every: list[Piece], budget: int) -> None:
    limits = Limits(budget=budget + sum(one.tokens for one in every if one.tier == "always"))
    selection = select(every, limits)
    left = limits.budget - selection.tokens
    outside = [one.piece for one in selection.decisions if not one.kept]
    assert all(one.tokens > left for one in outside if one.tier not in ("recent", "always"))


def test_more_important_kinds_come_first() -> None:
    every = [
        piece("system", "always", 10),
        piece("turn", "recent", 10),
        piece("memory", "memory", 10),
        piece("data", "tools", 10),
        piece("card", "capabilities", 10),
        piece("old", "older", 10),
    ]
    names = [one.id for one in every]
    for count in range(1, 7):
        assert kept(select(every, Limits(budget=10 * count))) == set(names[:count])


def test_the_most_relevant_of_a_kind_come_first_and_a_smaller_one_fills_what_is_left() -> None:
    every = [piece("good", "memory", 60, 0.9), piece("large", "memory", 60, 0.8), piece("small", "memory", 30, 0.1)]
    selection = select(every, Limits(budget=100))
    assert kept(selection) == {"good", "small"}
    reasons = {one.piece.id: one.reason for one in selection.decisions}
    assert reasons == {"good": "relevant", "large": "no budget left", "small": "relevant"}


def test_the_error_for_a_small_budget_names_it_and_what_takes_how_much() -> None:
    every = [piece("system", "always", 40), piece("turn", "recent", 10)]
    with pytest.raises(InvalidRequest, match=r"take 40 tokens, .* is 30 \(instructions 40\)"):
        select(every, Limits(budget=30))


def test_a_kind_takes_no_more_than_its_share_before_the_others_have_had_theirs() -> None:
    every = [*(piece(f"m{n}", "memory", 10, 0.9) for n in range(10)), piece("d", "tools", 40, 0.1)]
    assert "d" not in kept(select(every, Limits(budget=100)))
    shared = kept(select(every, Limits(budget=100, share={"memory": 0.5})))
    assert "d" in shared
    assert len(shared) == 7
