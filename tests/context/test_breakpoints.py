"""Anthropic takes four breakpoints at most: the caller's own come first, ours go where places are free."""

import re

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from caxton_llm.context.prepared import Prepared
from caxton_llm.context.render.breakpoints import marked_steps, marks_of
from caxton_llm.context.render.provider import CACHED_FROM, rendered
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import (
    ChatRequest,
    ContentPart,
    FunctionCall,
    FunctionDefinition,
    Json,
    Message,
    Role,
    Tool,
    ToolCall,
)
from caxton_llm.wire import anthropic_messages

MARK: Json = {"type": "ephemeral"}
OPTIONS = EncodeOptions(model=ModelInfo(id="claude", provider="anthropic"), send_model="claude")


def said(role: Role, text: str, *, marked: bool = False) -> Message:
    if not marked:
        return Message(role=role, content=text)
    return Message(role=role, content=[ContentPart(type="text", text=text, cache_control=MARK)])


def tool(*, marked: bool = False) -> Tool:
    definition = FunctionDefinition(name="f", parameters={"type": "object", "properties": {}})
    return Tool(type="function", function=definition, cache_control=MARK if marked else None)


def call(number: int) -> list[Message]:
    asked = ToolCall(id=f"toolu_{number}", function=FunctionCall(name="f", arguments="{}"))
    return [
        Message(role="assistant", tool_calls=[asked]),
        Message(role="tool", tool_call_id=asked.id, content=f"result {number}"),
    ]


def breakpoints(request: ChatRequest) -> int:
    return anthropic_messages.encode_chat(request, OPTIONS, stream=False).body.count(b'"cache_control"')


def sent(
    history: list[bool], current: list[bool], tools: list[bool], steps: int, *, whole: bool = False
) -> ChatRequest:
    """What Anthropic is sent: past turns and messages now, each marked by the caller or not, the caller's tools, calls."""
    turns = [(said("user", "q"), said("assistant", "a", marked=marked)) for marked in history]
    request = ChatRequest(
        messages=[said("user", "now", marked=marked) for marked in current],
        tools=[tool(marked=marked) for marked in tools] or None,
        extra={"cache_control": MARK} if whole else {},
    )
    marks = marks_of(request)
    prepared = Prepared(
        instructions="Be brief.", history=tuple(one for turn in turns for one in turn), current=tuple(request.messages)
    )
    messages, _ = rendered(prepared, "anthropic", stable_tokens=CACHED_FROM, marks=marks)
    made = [message for number in range(steps) for message in call(number)]
    return replace(request, messages=[*messages, *marked_steps(messages, made, elsewhere=marks.elsewhere)])


FLAGS = st.lists(st.booleans(), max_size=6)


@given(FLAGS, st.lists(st.booleans(), min_size=1, max_size=3), st.lists(st.booleans(), max_size=3), st.integers(0, 3))
def test_there_are_never_more_than_four(
    history: list[bool], current: list[bool], tools: list[bool], steps: int
) -> None:
    assert breakpoints(sent(history, current, tools, steps)) <= 4


def test_a_request_with_four_of_its_own_keeps_them_and_gets_no_more() -> None:
    request = sent([False, True], [True], [True, True], 1)
    assert breakpoints(request) == 4
    assert [message.role for message in request.messages if message.cache_control is not None] == []
    assert breakpoints(sent([False], [True, True, True], [], 1, whole=True)) == 4


def test_without_any_the_instructions_the_past_turns_and_the_newest_result_are_marked() -> None:
    request = sent([False, False], [False], [False], 2)
    marked = [
        place
        for place, message in enumerate(request.messages)
        if message.cache_control is not None
        or (isinstance(message.content, list) and any(part.cache_control for part in message.content))
    ]
    assert marked == [0, 4, len(request.messages) - 1]
    assert breakpoints(request) == 3


def test_the_past_turns_come_before_the_instructions_where_one_place_is_free() -> None:
    request = sent([False], [True, True], [], 0)
    assert isinstance(request.messages[0].content, str)
    assert isinstance(request.messages[2].content, list)


def test_a_stored_conversation_keeps_the_latest_of_its_marks() -> None:
    request = sent([True] * 6, [True], [], 0)
    marked = [place for place, message in enumerate(request.messages) if isinstance(message.content, list)]
    assert breakpoints(request) == 4
    assert [place for place in marked if request.messages[place].content[0].cache_control] == [8, 10, 12, 13]  # type: ignore[index, union-attr]


def test_what_is_marked_changes_no_text() -> None:
    plain, marked = sent([False], [False], [], 1), sent([True], [True], [True], 1)

    def texts(request: ChatRequest) -> list[str | None]:
        return [
            one.content if isinstance(one.content, str) else "".join(part.text or "" for part in one.content or ())
            for one in request.messages
        ]

    assert texts(plain) == texts(marked)


HOUR: Json = {"type": "ephemeral", "ttl": "1h"}
LIVES = st.sampled_from([None, MARK, HOUR])


def lasting(text: str, mark: Json) -> Message:
    return Message(role="user", content=[ContentPart(type="text", text=text, cache_control=mark)])


@given(LIVES, st.lists(LIVES, max_size=4), st.lists(LIVES, min_size=1, max_size=3), st.sampled_from([0, CACHED_FROM]))
def test_nothing_is_kept_for_an_hour_behind_what_is_kept_for_less(
    instructions: Json, history: list[Json], current: list[Json], stable: int
) -> None:
    asked = [lasting("now", mark) for mark in current]
    system = Message(role="system", content=[ContentPart(type="text", text="Be brief.", cache_control=instructions)])
    marks = marks_of(ChatRequest(messages=[system, *asked]))
    prepared = Prepared(
        instructions="Be brief.", history=tuple(lasting("before", mark) for mark in history), current=tuple(asked)
    )
    messages, _ = rendered(prepared, "anthropic", stable_tokens=stable, marks=marks)
    body = anthropic_messages.encode_chat(ChatRequest(messages=messages), OPTIONS, stream=False).body
    lives = [
        found == b',"ttl":"1h"' for found in re.findall(rb'"cache_control":{"type":"ephemeral"(,"ttl":"1h")?}', body)
    ]
    assert lives == sorted(lives, reverse=True)
    if HOUR in current:
        assert any(lives)
    if instructions == HOUR and not any([*history, *current]):
        assert lives[:1] == [True]
