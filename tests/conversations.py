"""Conversations, in the common model and as clients send them, for the tests of what is left out of them and added."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatRequest, FunctionCall, Message, ToolCall
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from caxton_llm.wire.openai_chat import client as openai_client

__all__ = ["call_ids", "calls_of", "conversations", "from_anthropic", "from_openai", "model", "said", "words"]


def model(window: int | None = None, **facts: Any) -> ModelInfo:
    return ModelInfo(id="small", provider="openai", context_window=window, **facts)


def words(text: str) -> int:
    """A vocabulary in which every word is a token."""
    return len(text.split())


def said(*turns: str) -> list[Message]:
    """Messages from `role: text`."""
    return [Message(role=role, content=text) for role, text in (turn.split(": ", 1) for turn in turns)]  # type: ignore[arg-type]


def from_openai(messages: list[dict[str, Any]], **fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": messages, **fields}
    return openai_client.decode_request(msgspec.json.encode(body), {"openai-beta": "x=1"})


def from_anthropic(messages: list[dict[str, Any]], **fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 50, "messages": messages, **fields}
    return anthropic_client.decode_request(msgspec.json.encode(body), {})


def calls_of(number: int, names: list[str]) -> list[ToolCall]:
    return [ToolCall(id=f"c{number}_{name}", function=FunctionCall(name, "{}")) for name in names]


def call_ids(messages: list[Message]) -> set[str]:
    return {call.id for message in messages for call in message.tool_calls or ()}


_TEXTS = st.lists(st.sampled_from(["one", "two", "drei", "四"]), min_size=1, max_size=12).map(" ".join)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Any conversation that a client may send: greetings, system messages anywhere, several calls, users who go on."""
    messages = [Message(role="system", content=draw(_TEXTS)) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        messages.append(Message(role="assistant", content=draw(_TEXTS)))
    for number in range(draw(st.integers(1, 6))):
        messages += [Message(role="user", content=draw(_TEXTS)) for _ in range(draw(st.integers(1, 2)))]
        for step in range(draw(st.integers(0, 2))):
            calls = calls_of(10 * number + step, draw(st.lists(st.sampled_from("fgh"), min_size=1, unique=True)))
            messages.append(Message(role="assistant", tool_calls=calls))
            messages += [Message(role="tool", tool_call_id=call.id, content=draw(_TEXTS)) for call in calls]
        if draw(st.booleans()):
            messages.append(Message(role=draw(st.sampled_from(["system", "developer"])), content=draw(_TEXTS)))
        if draw(st.booleans()):
            messages.append(Message(role="assistant", content=draw(_TEXTS)))
    return messages
