"""A budget is filled and never exceeded: counted exactly over what is sent, for generated requests."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.context.compose import Composed, compose
from caxton_llm.errors import InvalidRequest
from caxton_llm.tokens import prompt_parts
from caxton_llm.tokens.meter import TokenMeter
from caxton_llm.types import ChatRequest, Message
from made_up_material import COUNT, PAST, costs_of, exchange, material, offers, view

TEXTS = st.text(st.sampled_from([*"ab A1.-/<'\n\r\t\u00a0\u2028\u4e2d\u00e9"]), max_size=80)


def composed(seed: int, *, kind: str, budget: int, turns: int, memories: int, tools: int, depth: int = 10) -> Composed:
    chance = random.Random(seed)
    messages = [message for place in range(turns) for message in exchange(chance, place)]
    messages.append(Message(role="user", content="What did Ann order for Lisbon, and who repaired the lamps?"))
    gathered = material(messages, depth=depth, memories=memories, tools=offers(tools), chance=chance)
    target = view(kind, budget)
    return compose(gathered, target, costs_of(target), PAST)


def exactly(made: Composed) -> int:
    """What the model's own vocabulary makes of the prompt, with what its vendor adds."""
    request = ChatRequest(model="", messages=list(made.messages), tools=list(made.tools) or None)
    return prompt_parts(request, made.target.kind, COUNT, model=made.target.model).tokens


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["openai", "anthropic", "ollama", "builtin"]),
    st.integers(60, 3_000),
    st.integers(0, 25),
    st.integers(0, 60),
    st.integers(0, 12),
)
def test_no_prompt_is_larger_than_its_budget(
    seed: int, kind: str, budget: int, turns: int, memories: int, tools: int
) -> None:
    try:
        made = composed(seed, kind=kind, budget=budget, turns=turns, memories=memories, tools=tools)
    except InvalidRequest as error:
        assert error.code == "context_budget_too_small"
        # Only the instructions and the request may be too much, never what could be left out.
        assert budget < 2 * composed(seed, kind=kind, budget=3_000, turns=0, memories=0, tools=0).tokens
        return
    assert exactly(made) <= made.tokens <= budget


@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama"])
def test_a_budget_is_used_where_there_is_more_than_fits(kind: str) -> None:
    shares = []
    for seed in range(12):
        budget = 600 + 300 * seed
        made = composed(seed, kind=kind, budget=budget, turns=60, memories=120, tools=seed % 5)
        assert any(not one.kept and one.reason == "no budget left" for one in made.decisions)
        shares.append(made.tokens / (budget - made.reserve))
        assert made.reserve == (budget // 10 if made.tools else 0)
        if kind == "openai":
            assert exactly(made) >= 0.9 * (budget - made.reserve)
    assert sum(shares) / len(shares) >= 0.9


def test_tools_leave_room_for_the_request_they_are_for() -> None:
    made = composed(1, kind="openai", budget=260, turns=0, memories=0, tools=12)
    assert 0 < len(made.tools) < 12
    assert made.messages[-1].role == "user"


@settings(deadline=None)
@given(
    st.lists(TEXTS | st.sampled_from(["word " * 300, "x" * 1_200, ""]), max_size=5), st.sampled_from(["", "\n", "\n\n"])
)
def test_the_tokens_of_a_long_text_are_those_of_its_lines(lines: list[str], end: str) -> None:
    for long in ("\n".join(lines) + end, "\n".join([*lines, "word " * 250, *lines]) + end):
        assert TokenMeter(COUNT).measure(long)[0] == COUNT(long)


def test_excerpts_stand_in_the_order_in_which_they_were_said_and_calls_beside_their_results() -> None:
    made = composed(3, kind="openai", budget=2_500, turns=40, memories=0, tools=3)
    every = [message for place in range(40) for message in exchange_of(3, place)]
    said = [str(message.content) for message in every if message.role in ("user", "assistant")]
    excerpts = [one.text for one in made.prepared.excerpts]
    assert len(excerpts) > 5
    assert is_in_order(excerpts, said)
    called = {call.id for message in made.messages for call in message.tool_calls or ()}
    answered = {message.tool_call_id for message in made.messages if message.role == "tool"}
    assert called == answered
    assert called


def exchange_of(seed: int, place: int) -> list[Message]:
    chance = random.Random(seed)
    return [exchange(chance, number) for number in range(place + 1)][place]


def is_in_order(some: list[str], every: list[str]) -> bool:
    rest = iter(every)
    return all(one in rest for one in some)
