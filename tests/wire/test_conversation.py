"""Calls and results that belong together."""

import json

import pytest

from caxton_llm.errors import InvalidRequest
from caxton_llm.types import FunctionCall, Message, ToolCall
from caxton_llm.wire.conversation import check_conversation
from caxton_llm.wire.openai_chat.client import decode_request


def user(text: str = "hi") -> Message:
    return Message(role="user", content=text)


def calls(*ids: str) -> Message:
    return Message(role="assistant", tool_calls=[ToolCall(id=name, function=FunctionCall("f", "{}")) for name in ids])


def result(call_id: str | None) -> Message:
    return Message(role="tool", tool_call_id=call_id, content="42")


@pytest.mark.parametrize(
    "messages",
    [
        [user()],
        [user(), calls("a", "b"), result("b"), result("a"), user()],
        [user(), calls("a"), Message(role="system", content="note"), result("a")],
        [Message(role="system", content="only")],
    ],
)
def test_a_sound_conversation_passes(messages: list[Message]) -> None:
    check_conversation(messages)


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([], "messages"),
        ([user(), result("a")], "messages[1].tool_call_id"),
        ([user(), calls("a"), result("b")], "messages[2].tool_call_id"),
        ([user(), calls("a"), result("a"), result("a")], "messages[3].tool_call_id"),
        ([user(), calls("a"), result(None)], "messages[2].tool_call_id"),
        ([user(), calls("a", "b"), result("b"), user()], "messages[1].tool_calls[0].id"),
        ([user(), calls("a"), calls("b"), result("b")], "messages[1].tool_calls[0].id"),
        ([user(), calls("a")], "messages[1].tool_calls[0].id"),
        ([user(), calls("a", "a"), result("a")], "messages[1].tool_calls[1].id"),
        ([Message(role="user", content="x", tool_calls=[ToolCall(id="a")])], "messages[0].tool_calls"),
    ],
)
def test_calls_and_results_that_do_not_match_are_named(messages: list[Message], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_conversation(messages)
    assert caught.value.param == path


def test_what_continues_a_stored_conversation_may_begin_with_results() -> None:
    check_conversation([Message(role="system", content="note"), result("a"), result("b"), user()], continues=True)
    for messages in ([user(), result("a")], [result(None)]):
        with pytest.raises(InvalidRequest):
            check_conversation(messages, continues=True)


@pytest.mark.parametrize(
    ("more", "headers"), [({"conversation_id": "c"}, {}), ({}, {"x-caxton-conversation": "c"})], ids=["body", "header"]
)
def test_a_client_that_names_a_stored_conversation_may_send_results_alone(
    more: dict[str, str], headers: dict[str, str]
) -> None:
    messages = [{"role": "tool", "tool_call_id": "a", "content": "42"}]
    body = json.dumps({"model": "agent:A", "messages": messages, **more}).encode()
    assert decode_request(body, headers).messages[0].tool_call_id == "a"
    with pytest.raises(InvalidRequest, match="has no such open"):
        decode_request(json.dumps({"model": "agent:A", "messages": messages}).encode(), {})
