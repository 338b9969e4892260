"""What an agent has done fits what its context leaves, with as much of the results as possible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.render.fence import fenced
from caxton_llm.context.steps import fitted_steps
from caxton_llm.types import FunctionCall, Message, ToolCall


def cost(message: Message) -> int:
    content = message.content if isinstance(message.content, str) else ""
    return 4 + len(content) // 4 + 10 * len(message.tool_calls or ())


def rounds(*sizes: list[int]) -> list[Message]:
    """A call and a result of so many characters for each number, in rounds."""
    steps: list[Message] = []
    for place, results in enumerate(sizes):
        ids = [f"call_{place}_{number}" for number in range(len(results))]
        calls = [ToolCall(id=one, function=FunctionCall(name="look", arguments="{}")) for one in ids]
        steps.append(Message(role="assistant", tool_calls=calls))
        for one, size in zip(ids, results, strict=True):
            steps.append(Message(role="tool", tool_call_id=one, content=fenced("tool", "x" * size)))
    return steps


@given(st.lists(st.lists(st.integers(0, 4_000), min_size=1, max_size=3), min_size=1, max_size=4), st.integers(0, 3_000))
def test_what_is_fitted_fits_and_no_call_loses_its_result(sizes: list[list[int]], room: int) -> None:
    steps = rounds(*sizes)
    fitted = fitted_steps(steps, room, cost)
    if fitted is None:
        return
    messages, notes = fitted
    assert sum(map(cost, messages)) <= room
    assert [(one.role, one.tool_call_id) for one in messages] == [(one.role, one.tool_call_id) for one in steps]
    assert bool(notes) == (messages != steps)
    for one in messages:
        if one.role == "tool":
            assert isinstance(one.content, str)
            assert one.content.count("<data") == one.content.count("</data>") == 1


def test_nothing_changes_where_there_is_room() -> None:
    steps = rounds([100], [200, 300])
    assert fitted_steps(steps, 10_000, cost) == (steps, ())


def test_a_small_result_stays_and_the_large_one_goes() -> None:
    messages, notes = fitted_steps(rounds([1, 4_000], [40]), 150, cost) or ([], ())
    assert messages[1].content == fenced("tool", "x")
    assert "left out" in str(messages[2].content)
    assert messages[4].content == fenced("tool", "x" * 40)
    assert notes == ("1 results of tools were shortened, because the conversation is too long for the model",)


def test_the_last_result_is_cut_and_keeps_its_beginning() -> None:
    messages, _ = fitted_steps(rounds([8_000]), 1_000, cost) or ([], ())
    content = str(messages[1].content)
    assert content.startswith(fenced("tool", "x" * 100).split("</data>")[0].rstrip())
    assert content.endswith("</data>")
    assert 800 <= sum(map(cost, messages)) <= 1_000


@pytest.mark.parametrize("room", [0, 20])
def test_too_little_room_for_the_calls_is_said(room: int) -> None:
    assert fitted_steps(rounds([10], [10]), room, cost) is None
