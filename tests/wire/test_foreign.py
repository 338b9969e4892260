"""What a client of Anthropic's says that no other provider understands: it is reported, never lost in silence."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from caxton_llm.errors import UnsupportedFeature
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.protocols import EncodedChat, EncodeOptions, Quirks
from caxton_llm.types import ChatRequest, ContentPart, Message
from caxton_llm.wire import ollama_chat, openai_chat
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from caxton_llm.wire.openai_chat import client as openai_client
from caxton_llm.wire.text import TextApi, TextDialect

Encode = Callable[..., EncodedChat]
TEXT = TextDialect(TextApi())
EVERYWHERE = pytest.mark.parametrize(
    "encode", [openai_chat.encode_chat, ollama_chat.encode_chat, TEXT.encode_chat], ids=["openai", "ollama", "text"]
)
WITH_TOOLS = pytest.mark.parametrize(
    "encode", [openai_chat.encode_chat, ollama_chat.encode_chat], ids=["openai", "ollama"]
)
HINT = {"type": "ephemeral"}


def from_anthropic(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}], **fields}
    return anthropic_client.decode_request(msgspec.json.encode(body), {})


def encoded(encode: Encode, request: ChatRequest, *, strict: bool = False, **capabilities: bool) -> EncodedChat:
    model = ModelInfo(id="m", provider="p", capabilities=Capabilities(**capabilities))
    return encode(request, EncodeOptions(model=model, send_model="m", strict=strict, quirks=Quirks()), stream=False)


@EVERYWHERE
def test_metadata_and_budgets_of_anthropics_are_dropped_and_reported(encode: Encode) -> None:
    config = {"task_budget": {"type": "tokens", "total": 9}}
    request = from_anthropic(metadata={"user_id": "u", "team": "t"}, output_config=config)
    dropped = encoded(encode, request).report.dropped
    assert dropped.keys() >= {"metadata.team", "output_config.task_budget"}
    assert "output_config" not in dropped
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(encode, from_anthropic(output_config=config), strict=True)
    assert caught.value.param == "output_config.task_budget"


@WITH_TOOLS
def test_settings_of_a_tool_that_only_anthropic_knows_are_dropped_and_reported(encode: Encode) -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True, "input_examples": [{}], "x": None}
    assert set(encoded(encode, from_anthropic(tools=[tool])).report.dropped) == {
        "tools[].defer_loading",
        "tools[].input_examples",
    }


@EVERYWHERE
def test_cache_hints_and_citations_are_reported_wherever_they_stand(encode: Encode) -> None:
    cited = {"type": "text", "text": "a", "citations": [{"type": "char_location"}]}
    history = [{"role": "user", "content": "q"}, {"role": "assistant", "content": [cited]}]
    request = from_anthropic(messages=[*history, {"role": "user", "content": "and?"}])
    assert "citations" in encoded(encode, request).report.dropped
    hinted = [{"role": "user", "content": [{"type": "text", "text": "q", "cache_control": HINT}]}]
    assert "cache_control" in encoded(encode, from_anthropic(messages=hinted)).report.dropped
    part = ContentPart(type="text", text="q", cache_control=HINT)
    library = ChatRequest(messages=[Message(role="user", content=[part])])
    assert list(encoded(encode, library, strict=True).report.dropped) == ["cache_control"]
    whole = ChatRequest(messages=[Message(role="user", content="q", cache_control=HINT)])
    assert list(encoded(encode, whole, strict=True).report.dropped) == ["cache_control"]


@WITH_TOOLS
def test_the_hint_of_a_call_or_of_a_tool_is_reported_too(encode: Encode) -> None:
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}, "cache_control": HINT}
    result = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "1"}]}
    history = [{"role": "user", "content": "q"}, {"role": "assistant", "content": [call]}]
    request = from_anthropic(messages=[*history, {"role": "user", "content": [result]}])
    assert list(encoded(encode, request, strict=True).report.dropped) == ["cache_control"]
    tool = {"name": "f", "input_schema": {"type": "object"}, "cache_control": HINT}
    assert list(encoded(encode, from_anthropic(tools=[tool]), strict=True).report.dropped) == ["cache_control"]


@EVERYWHERE
def test_numbers_that_nobody_can_read_stay_unread(encode: Encode) -> None:
    turn = {"role": "user", "content": [{"type": "text", "text": "q", "citations": None, "x": "HUGE"}]}
    body = msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": [turn], "cache_control": HINT})
    request = anthropic_client.decode_request(body.replace(b'"HUGE"', b"1e999"), {})
    assert "citations" not in encoded(encode, request).report.dropped
    assert "cache_control" in encoded(encode, request).report.dropped


def test_the_hint_of_a_whole_message_is_taken_out_of_a_clients_own_bytes() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "q", "cache_control": HINT}]}
    answer = encoded(openai_chat.encode_chat, openai_client.decode_request(msgspec.json.encode(body), {}))
    assert msgspec.json.decode(answer.body)["messages"] == [{"role": "user", "content": "q"}]
    assert list(answer.report.dropped) == ["cache_control"]


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"output_config": {"effort": "high"}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ],
)
def test_ollama_is_not_asked_to_think_with_a_model_that_cannot(fields: dict[str, Any]) -> None:
    answer = encoded(ollama_chat.encode_chat, from_anthropic(**fields), reasoning=False)
    assert "think" not in msgspec.json.decode(answer.body)
    assert "reasoning_effort" in answer.report.dropped
    library = ChatRequest(messages=[Message(role="user", content="q")], extra={"thinking": {"type": "enabled"}})
    assert list(encoded(ollama_chat.encode_chat, library, reasoning=False).report.dropped) == ["thinking"]


@WITH_TOOLS
def test_strict_accepts_an_effort_that_was_mapped(encode: Encode) -> None:
    request = from_anthropic(thinking={"type": "adaptive"}, output_config={"effort": "high"})
    report = encoded(encode, request, strict=True).report
    assert report.dropped == {}
    assert report.mapped.keys() >= {"thinking", "output_config"}
