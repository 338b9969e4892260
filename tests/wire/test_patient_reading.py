"""Answers that are not quite as promised: what was paid for is read, and what would lie is refused."""

import json
from typing import Any

import pytest

from caxton_llm.errors import MalformedResponse
from caxton_llm.protocols import ProviderDialect, Restore
from caxton_llm.types import ChatChunk, ChatResponse, Usage
from caxton_llm.wire import anthropic_messages, ollama_chat, openai_chat
from caxton_llm.wire.half_characters import HALVED, without_halves
from caxton_llm.wire.merge import merged_wire
from caxton_llm.wire.text import TextApi, TextDialect
from caxton_llm.wire.text.answer import TextAnswers
from caxton_llm.wire.text.stream import TextStreamShape

TEXT = TextDialect(TextApi(answers=TextAnswers(), stream=TextStreamShape(text="token", end_field="last", end="")))


def openai_answer(message: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message or {"content": "hi"}, "finish_reason": "stop"}
    return {"id": "a", "model": "m", "choices": [choice], **top}


def read(body: Any, dialect: ProviderDialect = openai_chat, restore: Restore | None = None) -> ChatResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return dialect.decode_chat(raw, restore or Restore())


def sse(*payloads: Any) -> bytes:
    return b"".join(
        b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"
        for payload in payloads
    )


def openai_chunk(delta: dict[str, Any], finish: Any = None, **top: Any) -> dict[str, Any]:
    return {"id": "a", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **top}


class Streamed:
    """A stream read to its end."""

    def __init__(self, body: bytes, dialect: ProviderDialect = openai_chat, restore: Restore | None = None) -> None:
        decoder = dialect.stream_decoder(restore or Restore())
        self.chunks: list[ChatChunk] = [*decoder.feed(body), *decoder.close()]
        self.failure = decoder.failure
        self.warnings: list[str] = getattr(decoder, "warnings", [])
        self.text = "".join(chunk.text for chunk in self.chunks)
        self.usage: list[Usage] = [chunk.usage for chunk in self.chunks if chunk.usage is not None]
        self.calls = [
            call for chunk in self.chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()
        ]


# -- fields beside the content ------------------------------------------------------------------------------------------


BESIDE = [
    {"service_tier": 1},
    {"usage": []},
    {"usage": "many"},
    {"usage": {"prompt_tokens": "many", "prompt_tokens_details": []}},
    {"system_fingerprint": 5},
    {"created": []},
    {"model": ["m"]},
    {"id": ["a"]},
    {"x_groq": 1},
    {"service_tier": 1, "usage": [], "system_fingerprint": {}, "object": 7},
]


@pytest.mark.parametrize("top", BESIDE)
def test_a_field_beside_the_content_costs_neither_the_answer_nor_the_stream(top: dict[str, Any]) -> None:
    response = read(openai_answer(**top))
    assert (response.text, response.usage, response.service_tier) == ("hi", None, None)
    stream = Streamed(sse(openai_chunk({"content": "hi"}, **top), openai_chunk({}, "stop", **top), b"[DONE]"))
    assert (stream.text, stream.failure, stream.usage) == ("hi", None, [])


def test_what_is_right_beside_a_wrong_field_stays() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": []}
    told = read(openai_answer(usage=usage)).usage
    assert told is not None
    assert (told.prompt_tokens, told.completion_tokens, told.cached_tokens) == (3, 4, None)


@pytest.mark.parametrize("message", [{"refusal": False}, {"tool_calls": False}, {"function_call": []}, {"role": 5}])
def test_a_value_that_says_nothing_is_not_said(message: dict[str, Any]) -> None:
    assert read(openai_answer({"content": "hi", **message})).text == "hi"
    stream = Streamed(sse(openai_chunk({"content": "hi", **message}), openai_chunk({}, "stop"), b"[DONE]"))
    assert (stream.text, stream.failure) == ("hi", None)


@pytest.mark.parametrize("message", [{"content": 5}, {"content": {"text": "hi"}}, {"tool_calls": "f"}])
def test_content_that_cannot_be_understood_is_refused_and_never_skipped(message: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponse):
        read(openai_answer(message))
    stream = Streamed(sse(openai_chunk({"content": "a"}), openai_chunk(message), openai_chunk({}, "stop"), b"[DONE]"))
    assert isinstance(stream.failure, MalformedResponse)


def test_counts_written_as_floats_are_counts_in_anthropics_dialect() -> None:
    usage = {"input_tokens": 1.0, "output_tokens": "2", "cache_read_input_tokens": {}}
    whole = {"id": "msg_1", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": usage}
    told = read(whole, anthropic_messages)
    assert told.text == "hi"
    assert told.usage is not None
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (1, 2)
    stream = Streamed(
        sse(
            {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1.0}}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2.0}},
            {"type": "message_stop"},
        ),
        anthropic_messages,
    )
    assert stream.failure is None
    assert (stream.usage[-1].prompt_tokens, stream.usage[-1].completion_tokens) == (1, 2)


def test_an_anthropic_answer_with_unreadable_usage_is_an_answer_of_unknown_usage() -> None:
    body = {"id": "msg_1", "content": [], "usage": {"input_tokens": "many"}}
    usage = read(body, anthropic_messages).usage
    assert usage is not None
    assert usage.prompt_tokens is None


def test_an_ollama_answer_does_not_depend_on_its_models_name() -> None:
    body = {"model": 7, "message": {"content": "hi"}, "done": True, "eval_count": 2.0}
    response = read(body, ollama_chat)
    assert (response.text, response.model) == ("hi", "7")
    assert response.usage is not None
    assert response.usage.completion_tokens == 2


# -- tool calls ---------------------------------------------------------------------------------------------------------


def test_a_tool_call_with_a_number_as_its_id_is_a_tool_call() -> None:
    call = {"index": 0, "id": 17, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    response = read(openai_answer({"content": None, "tool_calls": [call]}))
    assert [known.id for known in response.tool_calls] == ["17"]
    assert json.loads(response.wire or b"")["choices"][0]["message"]["tool_calls"][0]["id"] == "17"
    stream = Streamed(sse(openai_chunk({"tool_calls": [call]}), openai_chunk({}, "tool_calls"), b"[DONE]"))
    assert ([known.id for known in stream.calls], stream.warnings, stream.failure) == (["17"], [], None)
    assert json.loads(stream.chunks[0].wire or b"")["choices"][0]["delta"]["tool_calls"][0]["id"] == "17"


def test_a_renamed_tool_gets_its_name_back_beside_a_wrong_field() -> None:
    call = {"index": 0, "id": 17, "type": "function", "function": {"name": "f_1", "arguments": "{}"}}
    restore = Restore(tool_names={"f_1": "a.b"})
    stream = Streamed(sse(openai_chunk({"tool_calls": [call]}), openai_chunk({}, "stop"), b"[DONE]"), restore=restore)
    assert [known.function.name for known in stream.calls if known.function] == ["a.b"]


@pytest.mark.parametrize("number", [b"1e999", b"1" * 5000])
def test_a_number_out_of_range_in_an_unknown_field_is_no_crash(number: bytes) -> None:
    call = b'{"function":{"name":"f","arguments":{}}}'  # has to be mended, so that all of the answer is looked at
    body = b'{"choices":[{"message":{"tool_calls":[' + call + b']}}],"odd":' + number + b"}"
    with pytest.raises(MalformedResponse):
        read(body)
    event = b'{"choices":[{"delta":{"tool_calls":[' + call + b']}}],"odd":' + number + b"}"
    assert isinstance(Streamed(sse(event)).failure, MalformedResponse)


def test_an_event_that_cannot_be_joined_with_others_is_no_crash() -> None:
    with pytest.raises(MalformedResponse):
        merged_wire("openai_chat", b'{"choices":[{"delta":{"content":"a"}}],"odd":1e999}', "ab")


# -- halves of characters -----------------------------------------------------------------------------------------------

HIGH, LOW = b"\\ud83d", b"\\uDE00"
MENDED = "a\ufffdb"


@pytest.mark.parametrize(
    ("data", "mended"),
    [
        (HIGH, b"\\ufffd"),
        (LOW, b"\\ufffd"),
        (HIGH + LOW, None),
        (HIGH + HIGH + LOW, b"\\ufffd" + HIGH + LOW),
        (LOW + HIGH, b"\\ufffd\\ufffd"),
        (b"\\" + HIGH, None),
        (b"\\\\" + HIGH, b"\\\\\\ufffd"),
        (b"plain", None),
    ],
)
def test_only_halves_are_replaced(data: bytes, mended: bytes | None) -> None:
    assert without_halves(data) == mended


@pytest.mark.parametrize("half", [HIGH, LOW])
@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (openai_chat, b'{"choices":[{"message":{"content":"a%sb"},"finish_reason":"stop"}]}'),
        (anthropic_messages, b'{"content":[{"type":"text","text":"a%sb"}]}'),
        (ollama_chat, b'{"message":{"content":"a%sb"},"done":true}'),
        (TEXT, b'{"text":"a%sb"}'),
    ],
    ids=["openai", "anthropic", "ollama", "text"],
)
def test_half_a_character_costs_a_character_and_not_the_answer(
    dialect: ProviderDialect, body: bytes, half: bytes
) -> None:
    response = read(body % half, dialect)
    assert (response.text, response.warnings) == (MENDED, [HALVED])


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (
            openai_chat,
            sse(
                b'{"id":"a","choices":[{"delta":{"content":"a%s"}}]}',
                b'{"id":"a","choices":[{"delta":{"content":"%sb"},"finish_reason":"stop"}]}',
                b"[DONE]",
            ),
        ),
        (
            anthropic_messages,
            sse(
                {"type": "message_start", "message": {"id": "msg_1"}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a%s"}}',
                b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%sb"}}',
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
                {"type": "message_stop"},
            ),
        ),
        (ollama_chat, b'{"message":{"content":"a%s"}}\n{"message":{"content":"%sb"},"done":true}\n'),
        (TEXT, sse(b'{"token":"a%s"}', b'{"token":"%sb","last":true}')),
    ],
    ids=["openai", "anthropic", "ollama", "text"],
)
def test_a_character_cut_in_two_by_a_stream_is_told_once(dialect: ProviderDialect, body: bytes) -> None:
    stream = Streamed(body % (HIGH, LOW), dialect)
    assert (stream.text, stream.failure, stream.warnings) == ("a\ufffd\ufffdb", None, [HALVED])
    assert not any(HIGH in (chunk.wire or b"") for chunk in stream.chunks)


def test_half_a_character_between_think_tags_is_reasoning() -> None:
    stream = Streamed(
        sse(b'{"id":"a","choices":[{"delta":{"content":"<think>a%s</think>b"},"finish_reason":"stop"}]}' % HIGH),
        restore=Restore(think_tags=True),
    )
    assert (stream.text, stream.failure) == ("b", None)
