"""A trimmed request as the real encoders send it: what is left out, and nothing else, is missing from the bytes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from caxton_llm.context.conversation.exchanges import exchanges_of
from caxton_llm.context.fit import DoesNotFit, Fitted, fit
from caxton_llm.context.source import without_messages
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import ChatRequest, RequestSource
from caxton_llm.wire import anthropic_messages, ollama_chat, openai_chat
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from conversations import call_ids, from_anthropic, from_openai, words

LONG = "word " * 300
DIALECTS: dict[str, Any] = {"openai": openai_chat, "anthropic": anthropic_messages, "ollama": ollama_chat}


def trimmed(request: ChatRequest, provider: str, window: int = 300) -> ChatRequest:
    info = ModelInfo(id="small", provider=provider, context_window=window)
    outcome = fit(request, info, words, calibration=1)
    assert isinstance(outcome, Fitted), outcome
    assert outcome.request is not request
    return outcome.request


def sent(request: ChatRequest, provider: str, **capabilities: Any) -> dict[str, Any]:
    info = ModelInfo(id="small", provider=provider, capabilities=Capabilities(**capabilities))
    options = EncodeOptions(model=info, send_model="small")
    body: dict[str, Any] = msgspec.json.decode(DIALECTS[provider].encode_chat(request, options, stream=False).body)
    return body


# -- one dialect on both sides ------------------------------------------------------------------------------------------


def test_an_openai_client_and_server_see_only_the_messages_change() -> None:
    stays: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "hologram", "x": 1}, {"type": "text", "text": "q"}], "x_mine": True},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "now"},
    ]
    system: dict[str, Any] = {"role": "system", "content": "s", "x_mine": 1}
    old: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "hologram"}]},
        {"role": "assistant", "content": LONG},
    ]
    request = from_openai([system, *old, *stays], max_tokens=20, x_top={"b": 1}, temperature=0.5)
    body = sent(trimmed(request, "openai"), "openai")
    assert body == {
        "model": "small",
        "messages": [system, *stays],
        "max_tokens": 20,
        "x_top": {"b": 1},
        "temperature": 0.5,
    }
    assert sent(request, "openai")["messages"] == [system, *old, *stays]


def test_kept_messages_keep_their_bytes_and_the_headers_travel_on() -> None:
    raw = b'{"content" : "\\u00e9 now", "role":"user"}'
    source = from_openai([{"role": "user", "content": LONG}, {"role": "assistant", "content": "a"}]).source
    assert source is not None
    messages = bytes(source.fields["messages"])[:-1] + b", " + raw + b"]"
    request = from_openai(msgspec.json.decode(messages), max_tokens=20)
    assert request.source is not None
    fields = {**request.source.fields, "messages": Raw(messages)}
    request = replace(request, source=replace(request.source, fields=fields))
    short = trimmed(request, "openai").source
    assert short is not None
    assert bytes(short.fields["messages"]) == b"[" + raw + b"]"
    assert short.headers == {"openai-beta": "x=1"}
    assert list(short.fields) == list(fields)


def test_an_anthropic_client_and_server_see_only_the_messages_change() -> None:
    stays: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "hologram", "x": 1}, {"type": "text", "text": "look"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}, "x_mine": 1}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "r"},
                {"type": "text", "text": "and hurry", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    old: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "hologram"}, {"type": "text", "text": LONG}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t0", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t0", "content": "r"}]},
        {"role": "assistant", "content": "one "},
        {"role": "assistant", "content": "answer"},
    ]
    system = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    fields: dict[str, Any] = {"system": system, "x_top": 1, "top_k": 5, "stop_sequences": ["."]}
    fields["tools"] = [{"name": "f", "input_schema": {"type": "object"}}, {"type": "web_search_1", "name": "w"}]
    request = from_anthropic([*old, *stays], **fields)
    short = trimmed(request, "anthropic")
    assert sent(short, "anthropic") == {"model": "small", "max_tokens": 50, "messages": stays, **fields}
    assert [message.role for message in short.messages] == ["system", "user", "assistant", "tool", "user"]


def test_errors_of_a_trimmed_request_are_named_by_what_is_left_of_it() -> None:
    request = from_anthropic(
        [
            {"role": "user", "content": LONG},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "hologram"}]},
        ],
        system="s",
    )
    short = trimmed(request, "openai")
    assert anthropic_client.client_path("messages[1].content[1]", short) == "messages[0].content[1]"


@pytest.mark.parametrize("system", [None, "s", [{"type": "text", "text": "s"}]])
def test_system_turns_that_would_begin_the_conversation_move_into_the_system_prompt(system: Any) -> None:
    inline: dict[str, Any] = {"role": "system", "content": [{"type": "text", "text": "speak French", "x_mine": 1}]}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": LONG},
        inline,
        {"role": "assistant", "content": "oui"},
        {"role": "user", "content": "q"},
        {"role": "system", "content": "politely"},
    ]
    request = from_anthropic(turns, **({"system": system} if system else {}))
    short = trimmed(request, "anthropic")
    body = sent(short, "anthropic", inline_system=True)
    assert body["messages"] == turns[3:]
    assert body["system"] == [*([{"type": "text", "text": "s"}] if system else []), *inline["content"]]
    again = fit(short, ModelInfo(id="x", provider="anthropic", context_window=62), words, calibration=1)
    assert isinstance(again, DoesNotFit)
    assert "alone are about" in again.reason


# -- across dialects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", DIALECTS)
@pytest.mark.parametrize("client", [from_openai, from_anthropic])
def test_any_server_gets_the_messages_that_stay(client: Any, provider: str) -> None:
    turns = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "now"},
    ]
    told = [
        (turn["role"], turn["content"] if isinstance(turn["content"], str) else turn["content"][0]["text"])
        for turn in sent(trimmed(client(turns, max_tokens=20), provider), provider)["messages"]
    ]
    assert told == [("user", "q"), ("assistant", "b"), ("user", "now")]


@pytest.mark.parametrize(("client", "provider"), [(from_openai, "anthropic"), (from_anthropic, "openai")])
def test_content_that_nobody_else_knows_vanishes_with_its_message(client: Any, provider: str) -> None:
    unknown = {"role": "user", "content": [{"type": "hologram"}, {"type": "text", "text": LONG}]}
    turns = [unknown, {"role": "assistant", "content": "a"}, {"role": "user", "content": "now"}]
    assert len(sent(trimmed(client(turns, max_tokens=20), provider), provider)["messages"]) == 1


def test_a_lowered_limit_is_sent_in_the_clients_dialect() -> None:
    request = from_openai([{"role": "user", "content": LONG * 10}], temperature=0.5)
    body = sent(trimmed(request, "openai", 3500), "openai")
    assert body["max_completion_tokens"] == 3500 - 3007


@pytest.mark.parametrize("provider", DIALECTS)
def test_the_deprecated_functions_are_cut_as_they_came(provider: str) -> None:
    old = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "a"}]
    stays: list[dict[str, Any]] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "found"},
    ]
    request = from_openai([*old, *stays], functions=[{"name": "f", "parameters": {"type": "object"}}], max_tokens=20)
    messages = sent(trimmed(request, provider), provider)["messages"]
    assert len(messages) == 3
    assert provider != "openai" or messages == stays


# -- what cannot be cut -------------------------------------------------------------------------------------------------


def test_a_dialect_that_nobody_knows_here_is_not_cut() -> None:
    request = from_openai(
        [{"role": "user", "content": LONG}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "now"}],
        max_tokens=20,
    )
    foreign = replace(request, source=RequestSource("smoke_signals", {}))
    outcome = fit(foreign, ModelInfo(id="small", provider="x", context_window=300), words)
    assert outcome == DoesNotFit(
        "the conversation must be shortened for small, and its messages are not found in the bytes of the request"
    )


@pytest.mark.parametrize("client", [from_openai, from_anthropic])
def test_messages_that_are_not_those_of_the_bytes_are_not_cut(client: Any) -> None:
    request = client([{"role": "user", "content": "q"}], max_tokens=20)
    longer = replace(request, messages=[*request.messages, *request.messages])
    assert without_messages(longer, {0}) is None


def test_a_turn_is_never_split() -> None:
    request = from_anthropic(
        [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}, {"type": "text", "text": "go"}]},
        ]
    )
    assert len(request.messages) == 4
    assert without_messages(request, {0, 1, 2}) is None


# -- laws ---------------------------------------------------------------------------------------------------------------


@st.composite
def anthropic_turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns whose numbers are not those of their messages."""
    turns: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 5))):
        turns += [{"role": "user", "content": f"q{number}.{i}"} for i in range(draw(st.integers(1, 2)))]
        for step in range(draw(st.integers(0, 2))):
            ids = [f"t{number}_{step}_{i}" for i in range(draw(st.integers(1, 2)))]
            turns.append(
                {"role": "assistant", "content": [{"type": "tool_use", "id": i, "name": "f", "input": {}} for i in ids]}
            )
            results: list[dict[str, Any]] = [{"type": "tool_result", "tool_use_id": i, "content": "r"} for i in ids]
            extra = [{"type": draw(st.sampled_from(["text", "hologram"])), "text": "more"}] * draw(st.integers(0, 1))
            turns.append({"role": "user", "content": [*results, *extra]})
        if draw(st.booleans()):
            turns.append({"role": "system", "content": f"s{number}"})
        turns += [{"role": "assistant", "content": f"a{number}.{i}"} for i in range(draw(st.integers(1, 2)))]
    return turns


@given(anthropic_turns(), st.booleans(), st.integers(1, 5))
def test_bytes_and_messages_say_the_same_whatever_is_left_out(
    turns: list[dict[str, Any]], has_system: bool, number: int
) -> None:
    request = from_anthropic(turns, **({"system": "s"} if has_system else {}))
    exchanges = exchanges_of(request.messages)
    left_out = {index for exchange in exchanges[: min(number, len(exchanges) - 1)] for index in exchange}
    short = without_messages(request, left_out)
    assert short is not None
    assert short.source is not None
    body = msgspec.json.encode({**short.source.fields, "model": "m"})
    assert anthropic_client.decode_request(body, {}).messages == short.messages
    spoken = [message for message in short.messages if message.role != "system"]
    assert spoken == [
        message for index, message in enumerate(request.messages) if index not in left_out and message.role != "system"
    ]
    assert call_ids(spoken) == {message.tool_call_id for message in spoken if message.role == "tool"}
    kept = msgspec.json.decode(short.source.fields["messages"])
    assert kept == turns[len(turns) - len(kept) :]
