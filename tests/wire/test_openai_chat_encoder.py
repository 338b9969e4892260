"""What an OpenAI client sees of a stream: forwarded as it came, or written from the common model."""

import json
from typing import Any

import openai.types.chat as openai_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState

from caxton_llm.errors import Overloaded, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import (
    ChatChunk,
    ChatRequest,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    Message,
    StreamOptions,
    ToolCallDelta,
    Usage,
)
from caxton_llm.wire import openai_chat
from caxton_llm.wire.openai_chat import client as openai_chat_client
from caxton_llm.wire.openai_chat.client.encoder import ONE_CALL, OpenAIStreamEncoder
from recorded import interactions

DONE = b"data: [DONE]\n\n"
USAGE = Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)


def encoder(*, usage: bool = False, dialect: str = "anthropic_messages") -> OpenAIStreamEncoder:
    request = ChatRequest(
        messages=[Message(role="user", content="hi")],
        stream=True,
        stream_options=StreamOptions(include_usage=True) if usage else None,
    )
    return openai_chat_client.encoder(request, stream_dialect=dialect, stream_model="asked")


def chunk(
    delta: Delta | None = None, *, finish: Any = None, usage: Usage | None = None, index: int = 0, **top: Any
) -> ChatChunk:
    choices = [] if delta is None else [ChunkChoice(index=index, delta=delta, finish_reason=finish)]
    return ChatChunk(choices=choices, id="msg_1", model="claude", created=9, usage=usage, **top)


def payloads(stream: bytes) -> list[Any]:
    """The events, each proved to be what OpenAI's own client reads."""
    events = [block.removeprefix("data: ") for block in stream.decode().split("\n\n") if block.startswith("data: ")]
    read = [json.loads(event) for event in events if event != "[DONE]"]
    for payload in read:
        if "error" not in payload:
            openai_types.ChatCompletionChunk.model_validate(payload)
    return read


# -- the same dialect ---------------------------------------------------------------------------------------------------


def test_a_recorded_stream_goes_out_byte_for_byte() -> None:
    for item in interactions("openai__test_run_stream_sync_streams_real_model"):
        decoder = openai_chat.stream_decoder(Restore())
        chunks = decoder.feed(item.body)
        asked = encoder(usage=True, dialect="openai_chat")
        assert asked.encode(chunks) + asked.finish({}) == item.body
        silent = encoder(dialect="openai_chat")
        sent = silent.encode(chunks) + silent.finish({"cost_usd": 1})
        assert sent == item.body.replace(b"data: " + (chunks[-1].wire or b"") + b"\n\n", b"")


def test_the_usage_event_takes_what_is_known_at_the_end() -> None:
    item = interactions("openai__test_run_stream_sync_streams_real_model")[0]
    made = encoder(usage=True, dialect="openai_chat")
    made.encode(openai_chat.stream_decoder(Restore()).feed(item.body))
    end = made.finish({"cost_usd": 0.5, "attempts": 2})
    assert end.endswith(DONE)
    (usage,) = payloads(end)
    assert usage["caxton"] == {"cost_usd": 0.5, "attempts": 2}
    assert usage["usage"]["prompt_tokens"] == 53
    assert usage["choices"] == []


def wire_chunk(payload: dict[str, Any]) -> ChatChunk:
    stream = (
        b"data: "
        + json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"} | payload).encode()
        + b"\n\n"
    )
    (made,) = openai_chat.stream_decoder(Restore()).feed(stream)
    return made


WIRE_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_usage_beside_an_empty_choice_is_usage_all_the_same() -> None:
    made = wire_chunk({"choices": [{"index": 0, "delta": {}}], "usage": WIRE_USAGE})
    assert encoder(dialect="openai_chat").encode([made]) == b""
    asked = encoder(usage=True, dialect="openai_chat")
    assert asked.encode([made]) == b""
    assert payloads(asked.finish({"a": 1}).replace(b'"choices": [{"index": 0, "delta": {}}]', b'"choices": []'))[0][
        "caxton"
    ] == {"a": 1}


def test_usage_on_the_finish_chunk_is_repeated_in_an_event_of_its_own_for_clients_that_asked() -> None:
    made = wire_chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": WIRE_USAGE})
    asked = encoder(usage=True, dialect="openai_chat")
    assert asked.encode([made]) == b"data: " + (made.wire or b"") + b"\n\n"
    (usage,) = payloads(asked.finish({"a": 1}))
    assert (usage["choices"], usage["usage"], usage["caxton"], usage["id"]) == ([], WIRE_USAGE, {"a": 1}, "1")


def test_a_chunk_without_bytes_in_a_forwarded_stream_is_written() -> None:
    made = encoder(dialect="openai_chat")
    stream = made.encode([chunk(Delta(content="a"), wire=b'{"own":1}'), chunk(Delta(content="b"))])
    assert stream.startswith(b'data: {"own":1}\n\n')
    assert b'"content":"b"' in stream


def test_nothing_to_send_is_no_bytes() -> None:
    assert encoder(dialect="openai_chat").encode([]) == b""
    assert encoder().encode([]) == b""


# -- another dialect ----------------------------------------------------------------------------------------------------


def test_the_first_chunk_has_the_role_and_all_have_the_same_id_time_and_model() -> None:
    made = encoder()
    second = ChatChunk(choices=[ChunkChoice(index=0, delta=Delta(content="b"))], id="other", model="other", created=77)
    events = payloads(made.encode([chunk(Delta(content="a"))]) + made.encode([second, chunk(Delta(), finish="stop")]))
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert events[1]["choices"][0]["delta"] == {"content": "b"}
    assert {(event["id"], event["created"], event["model"], event["object"]) for event in events} == {
        ("msg_1", 9, "claude", "chat.completion.chunk")
    }


def test_the_finish_reason_comes_in_a_chunk_of_its_own() -> None:
    events = payloads(encoder().encode([chunk(Delta(content="a"), finish="length")]))
    assert [
        (event["choices"][0]["delta"].get("content"), event["choices"][0]["finish_reason"]) for event in events
    ] == [
        ("a", None),
        (None, "length"),
    ]


def test_each_choice_begins_with_its_role() -> None:
    events = payloads(encoder().encode([chunk(Delta(content="a")), chunk(Delta(content="b"), index=1)]))
    assert [event["choices"][0]["delta"]["role"] for event in events] == ["assistant", "assistant"]


def test_tool_calls_begin_with_a_head_whose_arguments_can_be_appended_to() -> None:
    head = ToolCallDelta(index=1, id="c", type="function", function=FunctionCallDelta("f"))
    more = ToolCallDelta(index=1, function=FunctionCallDelta(None, "{}"))
    events = payloads(
        encoder().encode(
            [chunk(Delta(tool_calls=[head])), chunk(Delta(tool_calls=[more])), chunk(Delta(), finish="tool_calls")]
        )
    )
    deltas = [event["choices"][0]["delta"] for event in events]
    assert deltas[0]["tool_calls"] == [
        {"index": 1, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    ]
    assert deltas[1] == {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_reasoning_and_its_blocks_stream_as_extensions() -> None:
    blocks = [{"type": "thinking", "thinking": "why", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]
    chunks = [
        chunk(Delta(reasoning_content="why")),
        *(chunk(Delta(thinking_blocks=[block])) for block in blocks),
        chunk(Delta(content="so")),
        chunk(Delta(), finish="stop"),
    ]
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for event in payloads(encoder().encode(chunks)):
        state.handle_chunk(openai_types.ChatCompletionChunk.model_validate(event))
    message = state.get_final_completion().choices[0].message
    assert message.content == "so"
    assert message.model_extra == {"reasoning_content": "why", "thinking_blocks": blocks}


def test_usage_is_shown_only_to_clients_that_asked_and_only_at_the_end() -> None:
    silent = encoder()
    assert b"usage" not in silent.encode([chunk(Delta(content="a"), usage=USAGE)]) + silent.finish({"a": 1})
    asked = encoder(usage=True)
    body = payloads(asked.encode([chunk(Delta(content="a"), finish="stop", usage=USAGE), chunk(usage=USAGE)]))
    assert [event["usage"] for event in body] == [None, None]
    end = asked.finish({"cost_usd": None})
    (usage,) = payloads(end)
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert usage["caxton"] == {"cost_usd": None}
    assert end.endswith(DONE)


def test_unknown_usage_is_null() -> None:
    asked = encoder(usage=True)
    asked.encode([chunk(Delta(content="a"), finish="stop")])
    (usage,) = payloads(asked.finish({"a": 1}))
    assert usage["usage"] is None


def test_a_chunk_without_content_keeps_the_connection_alive() -> None:
    assert encoder().encode([ChatChunk(event="ping", wire=b'{"type":"ping"}')]) == b": keep-alive\n\n"


def test_a_client_of_functions_gets_function_call_deltas() -> None:
    request = openai_chat_client.decode_request(
        b'{"messages":[{"role":"user","content":"a"}],"functions":[{"name":"f"}],"stream":true}', {}
    )
    made = openai_chat_client.encoder(request, stream_dialect="anthropic_messages", stream_model="m")
    head = ToolCallDelta(index=0, id="c", type="function", function=FunctionCallDelta("f", "{}"))
    events = payloads(made.encode([chunk(Delta(tool_calls=[head])), chunk(Delta(), finish="tool_calls")]))
    assert events[0]["choices"][0]["delta"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert events[1]["choices"][0]["finish_reason"] == "function_call"


@pytest.mark.parametrize("usage", [True, False])
def test_a_client_of_functions_gets_the_first_of_several_calls_and_is_told(usage: bool) -> None:
    options = b',"stream_options":{"include_usage":true}' if usage else b""
    request = openai_chat_client.decode_request(
        b'{"messages":[{"role":"user","content":"a"}],"functions":[{"name":"f"}],"stream":true' + options + b"}", {}
    )
    made = openai_chat_client.encoder(request, stream_dialect="anthropic_messages", stream_model="m")
    fragments = [
        ToolCallDelta(index=0, id="c", type="function", function=FunctionCallDelta("f", '{"x"')),
        ToolCallDelta(index=1, id="d", type="function", function=FunctionCallDelta("g", '{"y"')),
        ToolCallDelta(index=0, function=FunctionCallDelta(None, ": 1}")),
        ToolCallDelta(index=1, function=FunctionCallDelta(None, ": 2}")),
    ]
    deltas = [Delta(tool_calls=fragments[:2]), *(Delta(tool_calls=[fragment]) for fragment in fragments[2:])]
    sent = made.encode([*(chunk(delta) for delta in deltas), chunk(Delta(), finish="tool_calls")])
    pieces = [event["choices"][0]["delta"].get("function_call") or {} for event in payloads(sent)]
    assert "".join(piece.get("name") or "" for piece in pieces) == "f"
    assert "".join(piece.get("arguments") or "" for piece in pieces) == '{"x": 1}'
    end = made.finish({"warnings": ["earlier"]})
    assert end.endswith(DONE)
    if usage:
        assert payloads(end)[0]["caxton"]["warnings"] == ["earlier", ONE_CALL]
    else:
        assert end == b": earlier\n\n: " + ONE_CALL.encode() + b"\n\n" + DONE


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
def test_a_broken_stream_ends_with_an_error_and_without_the_end_marker(dialect: str) -> None:
    made = encoder(usage=True, dialect=dialect)
    made.encode([chunk(Delta(content="a"), usage=USAGE)])
    end = made.fail(StreamInterrupted("broke off", provider="primary"))
    assert b"[DONE]" not in end
    (event,) = payloads(end)
    assert (event["error"]["code"], event["error"]["provider"]) == ("stream_interrupted", "primary")


def test_the_models_name_is_the_asked_one_until_the_provider_tells_its_own() -> None:
    made = ChatChunk(choices=[ChunkChoice(index=0, delta=Delta(content="a"))])
    assert payloads(encoder().encode([made]))[0]["model"] == "asked"
    assert encoder().fail(Overloaded("busy")).startswith(b'data: {"error"')


deltas = st.builds(
    Delta,
    content=st.none() | st.text(max_size=4),
    reasoning_content=st.none() | st.text(min_size=1, max_size=4),
    refusal=st.none() | st.text(min_size=1, max_size=4),
    tool_calls=st.none()
    | st.just([ToolCallDelta(index=0, id="c", type="function", function=FunctionCallDelta("f", '{"a"'))]),
)


@given(parts=st.lists(deltas, min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_a_written_stream_is_read_back_as_the_same(parts: list[Delta]) -> None:
    made = encoder(usage=True)
    stream = (
        made.encode([chunk(part) for part in parts])
        + made.encode([chunk(Delta(), finish="length", usage=USAGE)])
        + made.finish({})
    )
    decoder = openai_chat.stream_decoder(Restore())
    read = decoder.feed(stream)
    assert (decoder.failure, decoder.done, decoder.finished) == (None, True, True)

    def joined(field: str, sides: list[Delta]) -> str:
        return "".join(getattr(side, field) or "" for side in sides)

    got = [choice.delta for one in read for choice in one.choices]
    for field in ("content", "reasoning_content", "refusal"):
        assert joined(field, got) == joined(field, parts)
    assert sum(len(delta.tool_calls or ()) for delta in got) == sum(len(delta.tool_calls or ()) for delta in parts)
    assert [one.usage for one in read if one.usage] == [USAGE]
