"""Streams for clients of Anthropic's Messages API, forwarded and made, read by the `anthropic` package."""

import itertools
from collections.abc import Iterator
from typing import Any

import anthropic
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anthropic_vendor import USAGE, call, dumped, read_stream, read_whole, response
from caxton_llm.errors import (
    StreamInterrupted,
)
from caxton_llm.protocols import Restore
from caxton_llm.types import (
    ChatChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    Message,
    ToolCallDelta,
    Usage,
)
from caxton_llm.wire import anthropic_messages
from caxton_llm.wire.anthropic_messages.client.stream import AnthropicStreamEncoder
from caxton_llm.wire.sse import SseDecoder
from caxton_llm.wire.whole import chunk_of
from recorded import interactions

# -- streams of the same dialect ----------------------------------------------------------------------------------------


def forwarded(body: bytes, trailer: dict[str, Any] | None = None, *, size: int = 100_000) -> bytes:
    decoder = anthropic_messages.stream_decoder(Restore())
    encoder = AnthropicStreamEncoder(verbatim=True, model="m")
    out = b"".join(encoder.encode(decoder.feed(body[i : i + size])) for i in range(0, len(body), size))
    assert decoder.failure is None
    return out + encoder.finish(trailer or {})


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(
    "name",
    [
        "anthropic__test_anthropic_model_thinking_part_stream",
        "anthropic__test_request_stream_fallback_for_high_max_tokens",
    ],
)
def test_a_stream_of_the_same_dialect_is_forwarded_byte_by_byte(name: str, size: int) -> None:
    body = interactions(name)[-1].body
    assert forwarded(body, size=size) == body


def test_what_is_known_at_the_end_is_added_to_the_last_event_and_nothing_else_changes() -> None:
    body = interactions("anthropic__test_request_stream_fallback_for_high_max_tokens")[-1].body
    sent = forwarded(body, {"cost_usd": 0.5, "warnings": []})
    before, after = body.split(b"event: message_delta\n"), sent.split(b"event: message_delta\n")
    assert before[0] == after[0]
    recorded, changed = (msgspec.json.decode(SseDecoder().feed(part[1])[0][1]) for part in (before, after))
    assert changed == recorded | {"caxton": {"cost_usd": 0.5, "warnings": []}}
    assert read_stream(sent).stop_reason == "end_turn"


def test_the_end_is_held_back_until_the_stream_is_complete() -> None:
    body = interactions("anthropic__test_request_stream_fallback_for_high_max_tokens")[-1].body
    decoder = anthropic_messages.stream_decoder(Restore())
    encoder = AnthropicStreamEncoder(verbatim=True, model="m")
    out = encoder.encode(decoder.feed(body)) + encoder.fail(StreamInterrupted("cut"))
    assert b"message_stop" not in out
    assert b'stop_reason":"end_turn' not in out
    with pytest.raises(anthropic.APIStatusError):
        read_stream(out)


def test_an_earlier_message_delta_is_not_held_for_ever() -> None:
    def event(name: str, **fields: Any) -> ChatChunk:
        return ChatChunk(event=name, wire=msgspec.json.encode({"type": name, **fields}))

    encoder = AnthropicStreamEncoder(verbatim=True, model="m")
    out = encoder.encode([event("message_start"), event("message_delta", n=1), event("ping")])
    assert b"message_delta" not in out
    out += encoder.encode([event("message_delta", n=2), event("message_stop")])
    assert b'"n":1' in out
    assert b"ping" in out
    assert b'"n":2' not in out
    end = encoder.finish({"x": 1})
    assert b'"n":2,"caxton":{"x":1}' in end
    assert end.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_a_payload_of_several_lines_stays_one_event() -> None:
    encoder = AnthropicStreamEncoder(verbatim=True, model="m")
    out = encoder.encode([ChatChunk(event="ping", wire=b'{\n"type":"ping"\n}'), ChatChunk(wire=b'{"no":"name"}')])
    assert SseDecoder().feed(out) == [("ping", b'{\n"type":"ping"\n}'), (None, b'{"no":"name"}')]


# -- streams that are made ----------------------------------------------------------------------------------------------


def chunk(finish_reason: Any = None, usage: Usage | None = None, **delta: Any) -> ChatChunk:
    choice = ChunkChoice(index=0, delta=Delta(**delta), finish_reason=finish_reason)
    return ChatChunk(id="chatcmpl-1", model="gpt-4o", choices=[choice], usage=usage)


def calling(index: int, call_id: str | None = None, name: str | None = None, arguments: str | None = None) -> ChatChunk:
    function = FunctionCallDelta(name, arguments)
    return chunk(tool_calls=[ToolCallDelta(index=index, id=call_id, type="function", function=function)])


def made(*chunks: ChatChunk, trailer: dict[str, Any] | None = None, together: bool = False) -> bytes:
    encoder = AnthropicStreamEncoder(verbatim=False, model="asked-for")
    groups = [list(chunks)] if together else [[each] for each in chunks]
    return b"".join([encoder.encode(group) for group in groups]) + encoder.finish(trailer or {})


def events(body: bytes) -> list[dict[str, Any]]:
    found = []
    for name, data in SseDecoder().feed(body):
        decoded = msgspec.json.decode(data)
        assert decoded["type"] == name
        found.append(decoded)
    return found


def check_grammar(sent: list[dict[str, Any]]) -> None:
    """message_start, blocks strictly one after the other with contiguous indices, message_delta, message_stop."""
    sent = [event for event in sent if event["type"] != "ping"]
    kinds = [event["type"] for event in sent]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    open_index: int | None = None
    following: Iterator[int] = itertools.count()
    for event in sent[1:-2]:
        if event["type"] == "content_block_start":
            assert open_index is None
            open_index = event["index"]
            assert open_index == next(following)
        elif event["type"] == "content_block_delta":
            assert event["index"] == open_index
        else:
            assert event["type"] == "content_block_stop"
            assert event["index"] == open_index
            open_index = None
    assert open_index is None


def test_a_stream_of_text_is_read_by_the_vendors_client() -> None:
    body = made(
        chunk(role="assistant", content=""),
        chunk(content="Grüße"),
        chunk(content=" 🙂"),
        chunk("stop"),
        ChatChunk(usage=USAGE),
        trailer={"cost_usd": None},
    )
    check_grammar(events(body))
    read = read_stream(body)
    assert dumped(read) == [{"type": "text", "text": "Grüße 🙂"}]
    assert (read.id, read.model, read.stop_reason) == ("msg_chatcmpl-1", "gpt-4o", "end_turn")
    assert (read.usage.input_tokens, read.usage.output_tokens) == (10, 7)
    assert read.usage.cache_read_input_tokens == 100
    assert events(body)[-2]["caxton"] == {"cost_usd": None}


def test_text_after_a_tool_is_a_new_block() -> None:
    body = made(
        chunk(content="Let me look."),
        calling(0, "c0", "f", ""),
        calling(0, arguments='{"a":'),
        calling(0, arguments="1}"),
        chunk(content="And now."),
        chunk("tool_calls"),
    )
    check_grammar(events(body))
    read = read_stream(body)
    assert [block.type for block in read.content] == ["text", "tool_use", "text"]
    assert read.stop_reason == "tool_use"


def test_tools_that_come_one_after_the_other_are_not_held_back() -> None:
    encoder = AnthropicStreamEncoder(verbatim=False, model="m")
    encoder.encode([chunk(reasoning_content="r"), chunk(content="t")])
    assert b'"id":"c0"' in encoder.encode([calling(0, "c0", "f", '{"a":1}')])
    out = encoder.encode([calling(1, "c1", "g", "")])
    assert b'"id":"c1"' in out
    assert b'"partial_json":"{\\"b' in encoder.encode([calling(1, arguments='{"b')])


def test_tools_that_interleave_come_out_one_after_the_other() -> None:
    body = made(
        calling(0, "c0", "f", ""),
        calling(1, "c1", "g", ""),
        calling(0, arguments='{"a":'),
        calling(1, arguments='{"b":'),
        chunk(content="text in between"),
        calling(1, arguments="2}"),
        calling(0, arguments="1}"),
        calling(2, "c2", "h"),
        chunk("tool_calls"),
    )
    check_grammar(events(body))
    assert [block for block in dumped(read_stream(body)) if block["type"] == "tool_use"] == [
        {"type": "tool_use", "id": "c0", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "c1", "name": "g", "input": {"b": 2}},
        {"type": "tool_use", "id": "c2", "name": "h", "input": {}},
    ]


def test_a_call_without_an_id_gets_one() -> None:
    (block,) = dumped(read_stream(made(calling(0, None, "f", "{}"), chunk("stop"))))
    assert block["id"]
    assert block["name"] == "f"


def test_reasoning_is_a_thinking_block_before_the_text() -> None:
    read = read_stream(
        made(chunk(reasoning_content="Hm"), chunk(reasoning_content="."), chunk(content="a"), chunk("stop"))
    )
    assert dumped(read) == [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "a"}]


def test_a_signature_closes_the_thinking_that_was_streamed() -> None:
    blocks = [
        {"type": "thinking", "thinking": "One.", "signature": "s1"},
        {"type": "thinking", "thinking": "Two.", "signature": "s2"},
        {"type": "thinking", "thinking": "", "signature": "s3"},
        {"type": "redacted_thinking", "data": "x"},
    ]
    body = made(
        chunk(reasoning_content="One."),
        chunk(thinking_blocks=blocks[:1]),
        chunk(reasoning_content="Two."),
        chunk(thinking_blocks=blocks[1:2]),
        chunk(thinking_blocks=blocks[2:3]),
        chunk(thinking_blocks=blocks[3:]),
        chunk("stop", content="a"),
    )
    check_grammar(events(body))
    assert dumped(read_stream(body)) == [*blocks, {"type": "text", "text": "a"}]


def test_a_whole_answer_as_one_chunk_is_a_stream() -> None:
    message = Message(
        role="assistant",
        content="a",
        reasoning_content="One.Two.",
        thinking_blocks=[
            {"type": "thinking", "thinking": "One.", "signature": "s1"},
            {"type": "thinking", "thinking": "Two.", "signature": "s2"},
        ],
        tool_calls=[call("c0", "f", '{"a":1}'), call("c1", "g", "{}")],
    )
    whole = response(message, "tool_calls")
    body = made(chunk_of(whole))
    check_grammar(events(body))
    streamed, read = read_stream(body), read_whole(whole)
    assert dumped(streamed) == dumped(read)
    assert streamed.stop_reason == read.stop_reason
    assert streamed.usage.model_dump(exclude_none=True) == read.usage.model_dump(exclude_none=True)


def test_a_refusal_streams_as_text_and_ends_as_one() -> None:
    read = read_stream(made(chunk(refusal="I will"), chunk(refusal=" not."), chunk("stop")))
    assert read.stop_reason == "refusal"
    assert dumped(read) == [{"type": "text", "text": "I will not."}]
    cut = read_stream(made(chunk(content="The bomb"), chunk("content_filter", refusal="No.")))
    assert dumped(cut) == [{"type": "text", "text": "The bomb"}]
    assert cut.stop_details is not None
    assert cut.stop_details.explanation == "No."


def test_chunks_that_show_nothing_keep_the_connection_alive() -> None:
    encoder = AnthropicStreamEncoder(verbatim=False, model="m")
    assert encoder.encode([]) == b""
    encoder.encode([chunk(role="assistant")])
    assert events(encoder.encode([ChatChunk()])) == [{"type": "ping"}]
    assert encoder.encode([]) == b""


def test_an_empty_stream_is_an_empty_message() -> None:
    body = made()
    check_grammar(events(body))
    read = read_stream(body)
    assert (read.content, read.model, read.stop_reason) == ([], "asked-for", None)
    assert read.usage.input_tokens is None


def test_other_choices_are_not_mixed_in() -> None:
    other = ChatChunk(choices=[ChunkChoice(index=1, delta=Delta(content="other"))])
    assert dumped(read_stream(made(chunk(content="a"), other, chunk("stop")))) == [{"type": "text", "text": "a"}]


def test_a_stream_whose_names_were_changed_is_forwarded_with_the_callers_names() -> None:
    source = (
        b'data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"c",'
        b'"content":[],"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
        b'data: {"type":"content_block_start","index":0,"content_block":'
        b'{"type":"tool_use","id":"t","name":"a_1","input":{}}}\n\n'
        b'data: {"type":"content_block_stop","index":0}\n\n'
        b'data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}\n\n'
        b'data: {"type":"message_stop"}\n\n'
    )
    decoder = anthropic_messages.stream_decoder(Restore(tool_names={"a_1": "a/1"}))
    encoder = AnthropicStreamEncoder(verbatim=True, model="m")
    read = read_stream(encoder.encode(decoder.feed(source)) + encoder.finish({}))
    assert dumped(read) == [{"type": "tool_use", "id": "t", "name": "a/1", "input": {}}]
    assert (read.usage.input_tokens, read.usage.output_tokens) == (3, 2)


ARGUMENTS = st.sampled_from(["", "{}", '{"a":{"b":"}"}}', '{"x":[1,2]}'])


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[ChatChunk], dict[int, str]]:
    """Calls whose fragments come in any order among each other, with text and reasoning anywhere."""
    arguments = draw(st.lists(ARGUMENTS, max_size=3))
    fragments = {index: [text[i : i + 3] for i in range(0, len(text), 3)] for index, text in enumerate(arguments)}
    order = draw(st.permutations([index for index, parts in fragments.items() for _ in [None, *parts]]))
    chunks: list[ChatChunk] = []
    begun: set[int] = set()
    for index in order:
        if draw(st.integers(0, 4)) == 0:
            chunks.append(draw(st.sampled_from([chunk(content="t"), chunk(reasoning_content="r"), ChatChunk()])))
        if index not in begun:
            begun.add(index)
            chunks.append(calling(index, f"c{index}", "f", ""))
        else:
            chunks.append(calling(index, arguments=fragments[index].pop(0)))
    return [*chunks, chunk("tool_calls" if arguments else "stop")], dict(enumerate(arguments))


@given(interleaved(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_however_pieces_interleave_the_blocks_do_not(
    stream: tuple[list[ChatChunk], dict[int, str]], together: bool
) -> None:
    chunks, arguments = stream
    sent = events(made(*chunks, together=together))
    check_grammar(sent)
    written: dict[str, str] = {}
    ids: dict[int, str] = {}
    for event in sent:
        if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
            ids[event["index"]] = event["content_block"]["id"]
            written[event["content_block"]["id"]] = ""
        elif event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            written[ids[event["index"]]] += event["delta"]["partial_json"]
    assert written == {f"c{index}": text for index, text in arguments.items()}
    for kind, count in (("text", "content"), ("thinking", "reasoning_content")):
        expected = sum(len(getattr(c.delta, count) or "") for each in chunks for c in each.choices)
        got = [event["delta"].get(kind, "") for event in sent if event["type"] == "content_block_delta"]
        assert sum(map(len, got)) == expected


def test_a_broken_stream_raises_in_the_vendors_client() -> None:
    encoder = AnthropicStreamEncoder(verbatim=False, model="m")
    body = encoder.encode([chunk(content="Hal")]) + encoder.fail(StreamInterrupted("the provider hung up"))
    with pytest.raises(anthropic.APIStatusError, match="the provider hung up"):
        read_stream(body)
