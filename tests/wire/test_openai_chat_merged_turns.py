"""Neighbouring messages of one role joined for templates that demand alternating roles: what is joined, and what is not."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.protocols import Quirks
from caxton_llm.types import ContentPart, FunctionCall, ImageUrl, Message, ToolCall
from openai_chat_requests import encode, from_client, from_elsewhere, sent

MERGES = Quirks(merge_turns=True)
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def joined(*messages: dict[str, Any]) -> Any:
    return sent(from_client(messages=list(messages)), quirks=MERGES)["messages"]


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def test_texts_are_joined_by_a_blank_line_and_parts_one_after_the_other() -> None:
    assert joined(user("a"), user("b"), user("c")) == [user("a\n\nb\n\nc")]
    assert joined(user("a"), user([IMAGE, text("b")])) == [user([text("a"), IMAGE, text("b")])]
    assert joined(user(""), user([IMAGE]), user("b")) == [user([IMAGE, text("b")])]
    assert joined(user("a"), assistant("b", refusal=None), assistant("c")) == [
        user("a"),
        assistant("b\n\nc", refusal=None),
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [user("a"), assistant("b"), user("c")],
        [user("a", name="ann"), user("b", name="bob")],
        [
            user("a"),
            assistant("b"),
            assistant(None, tool_calls=[CALL]),
            {"role": "tool", "tool_call_id": "c1", "content": ""},
        ],
        [user("a"), assistant("b"), assistant("c", refusal="no")],
        [user("a"), assistant("b", vendor_key=1), assistant("c")],
        [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, user("c")],
    ],
)
def test_what_would_say_something_else_when_joined_stays_as_the_client_sent_it(messages: list[Any]) -> None:
    request = from_client(messages=messages)
    assert encode(request, quirks=MERGES).body == encode(request).body
    assert "messages" not in encode(request, quirks=MERGES).report.mapped


def test_the_results_of_parallel_calls_are_never_joined() -> None:
    calls = [{**CALL, "id": "c1"}, {**CALL, "id": "c2"}]
    results = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("c1", "c2")]
    assert joined(user("a"), assistant(None, tool_calls=calls), *results) == [
        user("a"),
        assistant(None, tool_calls=calls),
        *results,
    ]


def test_an_image_out_of_a_result_joins_the_user_message_behind_it() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl(url="data:image/png;base64,AA=="))
    messages = [
        Message(role="user", content="a"),
        Message(role="assistant", tool_calls=[ToolCall(id="c1", function=FunctionCall("f", "{}"))]),
        Message(role="tool", tool_call_id="c1", content=[image]),
        Message(role="user", content="b"),
    ]
    body = sent(from_elsewhere(messages=messages), quirks=MERGES)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "user"]
    assert body["messages"][3]["content"][-1] == text("b")


def test_joining_is_reported_and_changes_neither_the_request_nor_others() -> None:
    request = from_client(messages=[user("a"), user("b")])
    assert encode(request, quirks=MERGES).report.mapped == {
        "messages": "neighbouring messages of one role are sent as one"
    }
    assert len(request.messages) == 2
    assert len(sent(request)["messages"]) == 2


turns = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant"]),
        content=st.text(min_size=1, max_size=5)
        | st.lists(st.builds(ContentPart, type=st.just("text"), text=st.text())),
    ).filter(lambda message: bool(message.content)),
    min_size=1,
    max_size=6,
)


@given(messages=turns)
@settings(max_examples=60, deadline=None)
def test_plain_turns_alternate_afterwards_and_keep_their_words_in_order(messages: list[Message]) -> None:
    request = from_client(messages=json.loads(msgspec.json.encode(messages)))
    after = sent(request, quirks=MERGES)["messages"]
    assert all(first["role"] != second["role"] for first, second in pairwise(after))
    assert [words_of(message) for message in after if words_of(message)] == [
        words for words in grouped(messages) if words
    ]


def words_of(message: Any) -> str:
    content = message["content"]
    return (
        content.replace("\n", "") if isinstance(content, str) else "".join(p["text"] for p in content).replace("\n", "")
    )


def grouped(messages: list[Message]) -> list[str]:
    """The words of neighbours of one role, together."""
    groups: list[tuple[str, str]] = []
    for message in messages:
        words = words_of(msgspec.to_builtins(message))
        if groups and groups[-1][0] == message.role:
            groups[-1] = (message.role, groups[-1][1] + words)
        else:
            groups.append((message.role, words))
    return [words for _, words in groups]
