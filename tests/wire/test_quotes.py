"""A provider's message without what it repeats of the request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.types import ChatRequest, ContentPart, FunctionCall, ImageUrl, Message, ToolCall
from caxton_llm.wire.quotes import without_quotes

LONG = "The quick brown fox jumps over the lazy dog, twice."


def asked(*contents: str) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=content) for content in contents])


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"bad: {LONG}", "bad: [...]"),
        (f"bad: {LONG} and {LONG}!", "bad: [...] and [...]!"),
        ("bad: quick brown fox jumps over", "bad:[...]"),
        ("bad: The quick brown fox", "bad: The quick brown fox"),
        ("bad: THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG", "bad: THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"),
        ("short", "short"),
        ("", ""),
    ],
)
def test_a_run_of_the_callers_text_is_cut_out(message: str, shown: str) -> None:
    assert without_quotes(message, asked("Hi", LONG)) == shown


def test_a_short_prompt_is_cut_out_when_it_is_no_single_word() -> None:
    assert without_quotes("cannot do 'My PIN is 4711'", asked("My PIN is 4711")) == "cannot do '[...]'"
    assert without_quotes("`messages` is required", asked("messages")) == "`messages` is required"


def test_every_kind_of_text_counts() -> None:
    call = ToolCall(id="c", function=FunctionCall("f", LONG))
    image = ContentPart(type="image_url", image_url=ImageUrl(url=LONG))
    for message in (
        Message(role="assistant", tool_calls=[call]),
        Message(role="user", content=[image]),
        Message(role="assistant", reasoning_content=LONG),
        Message(role="user", content=[ContentPart(type="text", text=LONG)]),
    ):
        assert without_quotes(f"x {LONG}", ChatRequest(messages=[message])) == "x [...]"


@given(st.text(), st.text(min_size=24), st.text())
def test_no_run_is_left_wherever_it_stands(before: str, prompt: str, after: str) -> None:
    left = without_quotes(before + prompt + after, asked(prompt))
    assert not any(prompt[start : start + 24] in left for start in range(len(prompt) - 23))
