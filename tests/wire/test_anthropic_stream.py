"""Streamed answers of Anthropic's Messages API, recorded and made, in whatever pieces they arrive."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import LlmError, MalformedResponse, Overloaded, ProviderFailure, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatChunk, Usage
from caxton_llm.wire import anthropic_messages
from caxton_llm.wire.anthropic_messages.response import ANSWERED_TWICE, TEXT_BESIDE_ANSWER
from recorded import cuts, interactions

THINKING = "anthropic__test_anthropic_model_thinking_part_stream"
SHORT = "anthropic__test_request_stream_fallback_for_high_max_tokens"


def event(type_: str, **fields: Any) -> bytes:
    data = msgspec.json.encode({"type": type_, **fields})
    return b"event: " + type_.encode() + b"\ndata: " + data + b"  \n\n"


def start(**usage: Any) -> bytes:
    usage = usage or {"input_tokens": 10, "output_tokens": 1}
    return event("message_start", message={"id": "msg_1", "model": "claude", "content": [], "usage": usage})


def block_start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta=fields)


def block_stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def end(stop_reason: str = "end_turn", usage: dict[str, Any] | None = None, **fields: Any) -> bytes:
    stop = {"stop_reason": stop_reason, "stop_sequence": None, **fields}
    return event("message_delta", delta=stop, usage=usage or {"output_tokens": 7}) + event("message_stop")


def text(index: int, *pieces: str) -> bytes:
    deltas = b"".join(delta(index, type="text_delta", text=piece) for piece in pieces)
    return block_start(index, type="text", text="") + deltas + block_stop(index)


class Read:
    """A stream decoded to its end."""

    def __init__(self, body: bytes, restore: Restore | None = None, pieces: list[bytes] | None = None) -> None:
        decoder = anthropic_messages.stream_decoder(restore or Restore())
        self.chunks: list[ChatChunk] = []
        for piece in pieces if pieces is not None else [body]:
            self.chunks += decoder.feed(piece)
        self.chunks += decoder.close()
        self.failure: LlmError | None = decoder.failure
        self.done = decoder.done
        self.finished = decoder.finished
        self.warnings = decoder.warnings

    def joined(self, part: Callable[[Any], str | None]) -> str:
        return "".join(part(choice.delta) or "" for chunk in self.chunks for choice in chunk.choices)

    @property
    def text(self) -> str:
        return self.joined(lambda d: d.content)

    @property
    def thinking_blocks(self) -> list[Any]:
        return [
            block for chunk in self.chunks for choice in chunk.choices for block in choice.delta.thinking_blocks or ()
        ]

    @property
    def calls(self) -> dict[int, tuple[str, str, str]]:
        """Index -> id, name, arguments, put together as a client does it."""
        calls: dict[int, tuple[str, str, str]] = {}
        for chunk in self.chunks:
            for choice in chunk.choices:
                for call in choice.delta.tool_calls or ():
                    call_id, name, arguments = calls.get(call.index, ("", "", ""))
                    assert call.function is not None
                    assert not (call_id and call.id), "the id comes once"
                    calls[call.index] = (
                        call_id or call.id or "",
                        name or call.function.name or "",
                        arguments + (call.function.arguments or ""),
                    )
        return calls

    @property
    def finish_reasons(self) -> list[str]:
        return [choice.finish_reason for chunk in self.chunks for choice in chunk.choices if choice.finish_reason]

    @property
    def usage(self) -> Usage | None:
        return next((chunk.usage for chunk in reversed(self.chunks) if chunk.usage is not None), None)


@pytest.mark.parametrize("name", [THINKING, SHORT])
def test_a_recorded_stream_reads_the_same_byte_by_byte(name: str) -> None:
    body = interactions(name)[-1].body
    whole = Read(body)
    single = Read(body, pieces=[body[i : i + 1] for i in range(len(body))])
    assert whole.failure is None
    assert whole.done
    assert msgspec.json.encode(single.chunks) == msgspec.json.encode(whole.chunks)


@pytest.mark.parametrize("name", [THINKING, SHORT])
def test_a_recorded_stream_cut_anywhere_before_its_end_marker_is_an_error(name: str) -> None:
    body = interactions(name)[-1].body
    for cut in cuts(body, before=b"event: message_stop"):
        read = Read(cut)
        assert isinstance(read.failure, StreamInterrupted)
        assert not read.done
        assert not read.finished


def test_the_end_marker_cut_in_its_midst_is_no_end_marker() -> None:
    body = start() + text(0, "Hi") + end()
    for length in range(body.rindex(b"event: message_stop"), len(body) - 1):
        assert isinstance(Read(body[:length]).failure, StreamInterrupted)


def test_a_recorded_stream_has_its_thinking_and_its_text() -> None:
    read = Read(interactions(THINKING)[-1].body)
    assert read.chunks[0].choices[0].delta.role == "assistant"
    assert read.joined(lambda d: d.reasoning_content).startswith("This is a straightforward question")
    (block,) = read.thinking_blocks
    assert block["thinking"] == read.joined(lambda d: d.reasoning_content)
    assert block["signature"]
    assert read.text
    assert read.finish_reasons == ["stop"]
    assert {chunk.id for chunk in read.chunks} == {read.chunks[0].id}
    assert read.usage is not None
    assert read.usage.prompt_tokens is not None


def test_every_event_is_handed_on_as_it_came() -> None:
    body = interactions(SHORT)[-1].body
    chunks = Read(body).chunks
    assert b"".join(b"event: %s\ndata: %s\n\n" % (str(c.event).encode(), c.wire) for c in chunks) == body


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_cuts_between_the_bytes_never_change_a_stream(data: st.DataObject) -> None:
    body = (
        start()
        + event("ping")
        + block_start(0, type="thinking", thinking="", signature="")
        + delta(0, type="thinking_delta", thinking="Hmm, ünïcode 🙂")
        + delta(0, type="signature_delta", signature="sig")
        + block_stop(0)
        + text(1, "Grüße", " 🙂", "!")
        + block_start(2, type="tool_use", id="t", name="f", input={})
        + delta(2, type="input_json_delta", partial_json='{"ä":')
        + delta(2, type="input_json_delta", partial_json="1}")
        + block_stop(2)
        + end("tool_use")
    )
    if data.draw(st.booleans()):
        body = body.replace(b"\n", b"\r\n")
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    bounds = [0, *places, len(body)]
    pieces = [body[a:b] for a, b in itertools.pairwise(bounds)]
    assert msgspec.json.encode(Read(body, pieces=pieces).chunks) == msgspec.json.encode(Read(body).chunks)


def test_tool_calls_are_counted_over_the_tool_blocks_also_when_they_interleave() -> None:
    read = Read(
        start()
        + text(0, "Let me look.")
        + block_start(1, type="tool_use", id="toolu_a", name="f", input={})
        + block_start(2, type="tool_use", id="toolu_b", name="g", input={})
        + delta(1, type="input_json_delta", partial_json="")
        + delta(1, type="input_json_delta", partial_json='{"a"')
        + delta(2, type="input_json_delta", partial_json='{"b"')
        + delta(1, type="input_json_delta", partial_json=":1}")
        + delta(2, type="input_json_delta", partial_json=":2}")
        + block_stop(2)
        + block_stop(1)
        + end("tool_use")
    )
    assert read.calls == {0: ("toolu_a", "f", '{"a":1}'), 1: ("toolu_b", "g", '{"b":2}')}
    assert read.finish_reasons == ["tool_calls"]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    read = Read(
        start()
        + block_start(0, type="tool_use", id="a", name="f", input={})
        + block_stop(0)
        + block_start(1, type="tool_use", id="b", name="g", input={})
        + delta(1, type="input_json_delta", partial_json="")
        + block_stop(1)
        + end("tool_use")
    )
    assert [arguments for _, _, arguments in read.calls.values()] == ["{}", "{}"]


def test_the_empty_input_of_the_start_is_never_glued_to_the_arguments() -> None:
    read = Read(
        start()
        + block_start(0, type="tool_use", id="a", name="f", input={})
        + delta(0, type="input_json_delta", partial_json='{"a":1}')
        + block_stop(0)
        + end("tool_use")
    )
    assert read.calls[0][2] == '{"a":1}'


def test_arguments_that_come_whole_with_the_start_are_kept() -> None:
    read = Read(
        start()
        + block_start(0, type="tool_use", id="a", name="f", input={"x": [1, 2]})
        + block_stop(0)
        + end("tool_use")
    )
    assert read.calls[0][2] == '{"x":[1,2]}'


def test_every_thinking_block_keeps_its_own_signature() -> None:
    read = Read(
        start()
        + block_start(0, type="thinking", thinking="", signature="")
        + delta(0, type="thinking_delta", thinking="One.")
        + delta(0, type="signature_delta", signature="sig-1")
        + block_stop(0)
        + block_start(1, type="redacted_thinking", data="opaque")
        + block_stop(1)
        + block_start(2, type="thinking", thinking="", signature="", later_field=True)
        + delta(2, type="signature_delta", signature="sig-2")
        + block_stop(2)
        + text(3, "Done.")
        + end()
    )
    assert read.thinking_blocks == [
        {"type": "thinking", "thinking": "One.", "signature": "sig-1"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "thinking", "thinking": "", "signature": "sig-2", "later_field": True},
    ]
    assert read.joined(lambda d: d.reasoning_content) == "One."


def test_tools_that_the_provider_runs_itself_are_no_tool_calls() -> None:
    read = Read(
        start()
        + block_start(0, type="server_tool_use", id="srv", name="web_search", input={})
        + delta(0, type="input_json_delta", partial_json='{"query":"x"}')
        + block_stop(0)
        + block_start(1, type="web_search_tool_result", tool_use_id="srv", content=[{"type": "web_search_result"}])
        + block_stop(1)
        + text(2, "Found.")
        + end()
    )
    assert read.failure is None
    assert read.calls == {}
    assert read.text == "Found."


def test_events_and_deltas_of_later_times_are_passed_over() -> None:
    read = Read(
        start()
        + event("weather_report", delta="sunny", index="none", usage=[1])
        + block_start(0, type="text", text="")
        + delta(0, type="hologram_delta", text={"x": 1})
        + delta(0, type="text_delta", text="Hi")
        + delta(0, type="citations_delta", citation={"type": "page_location"})
        + block_stop(0)
        + end()
    )
    assert read.failure is None
    assert read.text == "Hi"
    assert [chunk.event for chunk in read.chunks].count("content_block_delta") == 3


# -- usage: the three shapes, and who replaces whom ---------------------------------------------------------------------


def test_usage_with_the_input_at_the_start_only() -> None:
    usage = Read(
        start(input_tokens=10, cache_creation_input_tokens=3, cache_read_input_tokens=100, output_tokens=1)
        + text(0, "x")
        + end(usage={"output_tokens": 7})
    ).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.cache_write_tokens) == (113, 100, 3)
    assert (usage.completion_tokens, usage.total_tokens) == (7, 120)


def test_usage_that_repeats_the_input_at_the_end_is_not_added() -> None:
    usage = Read(
        start(input_tokens=10, cache_read_input_tokens=100, output_tokens=1)
        + text(0, "x")
        + end(usage={"input_tokens": 12, "cache_read_input_tokens": 100, "output_tokens": 7})
    ).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (112, 100, 7)


def test_usage_whose_end_splits_the_input_of_its_start_replaces_it_whole() -> None:
    usage = Read(
        start(input_tokens=1100, output_tokens=0)
        + text(0, "x")
        + end(usage={"input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 7})
    ).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens) == (1100, 1000)


def test_usage_and_finish_reason_come_in_one_chunk() -> None:
    read = Read(
        start() + text(0, "x") + end(usage={"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}})
    )
    (last,) = [chunk for chunk in read.chunks if chunk.usage is not None]
    assert last.choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.reasoning_tokens == 3


# -- ends and failures --------------------------------------------------------------------------------------------------


def test_a_refusal_ends_as_filtered_with_its_explanation() -> None:
    read = Read(start() + end("refusal", stop_details={"type": "refusal", "explanation": "No."}))
    assert read.finish_reasons == ["content_filter"]
    assert read.joined(lambda d: d.refusal) == "No."


def test_the_matched_stop_sequence_is_told() -> None:
    read = Read(start() + text(0, "x") + end("stop_sequence", stop_sequence="END"))
    assert [c.stop_sequence for chunk in read.chunks for c in chunk.choices if c.finish_reason] == ["END"]


def test_a_paused_turn_is_warned_about() -> None:
    assert "pause_turn" in Read(start() + text(0, "x") + end("pause_turn")).warnings[0]


def test_an_error_event_is_the_failure_after_the_chunks_before_it() -> None:
    read = Read(
        start()
        + block_start(0, type="text", text="")
        + delta(0, type="text_delta", text="Hal")
        + event("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_9")
        + delta(0, type="text_delta", text="never read")
    )
    assert read.text == "Hal"
    assert isinstance(read.failure, Overloaded)
    assert read.failure.request_id == "req_9"
    assert not read.done


def test_an_error_event_without_an_error_is_a_failure_too() -> None:
    assert isinstance(Read(start() + event("error")).failure, ProviderFailure)


def test_an_error_that_its_event_does_not_name_is_one() -> None:
    body = start() + b'data: {"error":{"type":"overloaded_error","message":"busy"}}\n\n'
    assert isinstance(Read(body).failure, Overloaded)


def test_what_follows_the_end_marker_is_ignored() -> None:
    read = Read(start() + text(0, "x") + end() + event("error", error={"type": "api_error"}))
    assert read.failure is None
    assert read.done


def test_one_event_that_is_not_json_is_skipped_with_a_warning() -> None:
    read = Read(
        start()
        + block_start(0, type="text", text="")
        + delta(0, type="text_delta", text="a")
        + b'event: content_block_delta\ndata: {"type": \xff\n\n'
        + delta(0, type="text_delta", text="c")
        + block_stop(0)
        + end()
    )
    assert read.failure is None
    assert read.text == "ac"
    assert len(read.warnings) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"data: {garbage\n\n",
        start() + b"data: {\n\n" + b"data: {\n\n",
        start() + block_start(0, type="tool_use", id="t", name="f", input={}) + b"data: {\n\n",
        start() + delta(3, type="input_json_delta", partial_json="{}"),
        start() + block_start(0, type="text"),
        start() + event("content_block_start", index=0),
        start() + delta(0, type="text_delta", text=5),
        start() + event("message_delta", delta={"stop_reason": 3}),
    ],
    ids=["from the start", "twice", "in a call", "orphan", "no text", "no block", "wrong type", "wrong reason"],
)
def test_garbage_is_malformed(body: bytes) -> None:
    read = Read(body)
    assert isinstance(read.failure, MalformedResponse)


def test_an_empty_body_was_interrupted() -> None:
    assert isinstance(Read(b"").failure, StreamInterrupted)


@pytest.mark.parametrize("last", [b"", event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 2})])
def test_a_message_that_never_said_why_it_stopped_was_interrupted(last: bytes) -> None:
    read = Read(start() + text(0, "Hi") + last + event("message_stop"))
    assert read.text == "Hi"
    assert isinstance(read.failure, StreamInterrupted)
    assert not read.finished
    assert read.finish_reasons == []


def test_a_stop_reason_that_nobody_knows_is_told_at_the_end() -> None:
    read = Read(start() + text(0, "Hi") + end("coffee_break"))
    assert read.finish_reasons == ["stop"]
    assert ["'coffee_break'" in warning for warning in read.warnings] == [True]
    assert Read(start() + end("")).finish_reasons == ["stop"]


def test_events_without_names_are_read_by_their_type() -> None:
    body = (start() + text(0, "Hi") + end()).replace(b"event: ", b": ")
    read = Read(body)
    assert read.failure is None
    assert read.text == "Hi"
    assert read.chunks[0].event == "message_start"


# -- what encoding has changed ------------------------------------------------------------------------------------------


def test_the_tool_that_stands_for_the_answer_streams_as_text() -> None:
    read = Read(
        start()
        + block_start(0, type="tool_use", id="t", name="answer", input={})
        + delta(0, type="input_json_delta", partial_json='{"city":')
        + delta(0, type="input_json_delta", partial_json='"Oslo"}')
        + block_stop(0)
        + end("tool_use"),
        Restore(unwrap_tool="answer"),
    )
    assert read.text == '{"city":"Oslo"}'
    assert read.calls == {}
    assert read.finish_reasons == ["stop"]
    assert all(chunk.wire is None for chunk in read.chunks)


def called(index: int, name: str, arguments: str) -> bytes:
    opened = block_start(index, type="tool_use", id=f"t{index}", name=name, input={})
    return opened + delta(index, type="input_json_delta", partial_json=arguments) + block_stop(index)


def test_what_stands_beside_the_answer_of_a_tool_is_left_out_of_the_stream_too() -> None:
    blocks = text(0, "Su", "re:") + called(1, "answer", '{"a":1}') + called(2, "answer", '{"a":2}')
    read = Read(start() + blocks + end("tool_use"), Restore(unwrap_tool="answer"))
    assert (read.text, read.calls, read.finish_reasons) == ('{"a":1}', {}, ["stop"])
    assert sorted(read.warnings) == sorted([TEXT_BESIDE_ANSWER, ANSWERED_TWICE])


def test_text_without_the_answer_of_a_tool_is_the_content() -> None:
    restore = Restore(unwrap_tool="answer")
    read = Read(start() + text(0, "I ", "will not.") + end(), restore)
    assert (read.text, read.finish_reasons, read.warnings) == ("I will not.", ["stop"], [])
    searching = Read(start() + text(0, "Let me see.") + called(1, "search", "{}") + end("tool_use"), restore)
    assert searching.text == "Let me see."
    assert searching.calls == {0: ("t1", "search", "{}")}
    assert searching.finish_reasons == ["tool_calls"]


def test_renamed_tools_get_their_names_back_in_the_bytes_too() -> None:
    opened = block_start(0, type="tool_use", id="t", name="a_1", input={}, x=1)
    read = Read(start() + opened + block_stop(0) + end("tool_use"), Restore(tool_names={"a_1": "a/1"}))
    assert read.calls == {0: ("t", "a/1", "{}")}
    payloads = [msgspec.json.decode(chunk.wire or b"") for chunk in read.chunks]
    assert payloads[1]["content_block"] == {"type": "tool_use", "id": "t", "name": "a/1", "input": {}, "x": 1}
    unchanged = Read(start() + opened + block_stop(0) + end("tool_use"))
    assert [chunk.wire for chunk in read.chunks[2:]] == [chunk.wire for chunk in unchanged.chunks[2:]]
