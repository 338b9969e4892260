"""Ollama's NDJSON streams: whole, byte by byte, cut at every position, and with errors inside."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import LlmError, MalformedResponse, ProviderFailure, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatChunk, Delta, Json, ToolCallDelta
from caxton_llm.wire import ollama_chat
from caxton_llm.wire.ollama_chat.decode import OllamaStreamDecoder
from caxton_llm.wire.ollama_chat.encode import OllamaRestore


def line(content: str = "", *, done: bool = False, fields: dict[str, Json] | None = None, **message: Json) -> bytes:
    value: dict[str, Json] = {
        "model": "m",
        "created_at": "2026-08-21T10:00:00.123456789Z",
        "message": {"role": "assistant", "content": content, **message},
        "done": done,
        **(fields or {}),
    }
    return msgspec.json.encode(value) + b"\n"


def call(name: str, **arguments: Json) -> dict[str, Json]:
    return {"function": {"name": name, "arguments": arguments}}


END = line(done=True, fields={"done_reason": "stop", "total_duration": 1, "prompt_eval_count": 26, "eval_count": 9})
TEXT = line(thinking="Hm") + line(thinking=" so") + line("Hel") + line("lo é 語") + END
TOOLS = line(tool_calls=[call("f", a=1)]) + line(tool_calls=[call("f", a=2), call("g")]) + END


class Told:
    """Everything that one stream told."""

    def __init__(self, chunks: list[ChatChunk], decoder: OllamaStreamDecoder) -> None:
        self.chunks = chunks
        self.failure: LlmError | None = decoder.failure
        self.done = decoder.done
        self.finished = decoder.finished
        self.warnings = decoder.warnings

    @property
    def deltas(self) -> list[Delta]:
        return [choice.delta for chunk in self.chunks for choice in chunk.choices]

    @property
    def text(self) -> str:
        return "".join(delta.content or "" for delta in self.deltas)

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning_content or "" for delta in self.deltas)

    @property
    def calls(self) -> list[ToolCallDelta]:
        return [call for delta in self.deltas for call in delta.tool_calls or ()]

    @property
    def reasons(self) -> list[str]:
        return [choice.finish_reason for chunk in self.chunks for choice in chunk.choices if choice.finish_reason]


def told(*parts: bytes, restore: Restore | None = None) -> Told:
    decoder = ollama_chat.stream_decoder(restore or Restore())
    chunks = [chunk for part in parts for chunk in decoder.feed(part)]
    return Told(chunks + decoder.close(), decoder)


def split(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(body) + 1) for cut in cuts} | {0, len(body)})
    return [body[begin:end] for begin, end in pairwise(places)]


def test_text_and_reasoning_arrive_in_pieces() -> None:
    stream = told(TEXT)
    assert (stream.text, stream.reasoning) == ("Hello é 語", "Hm so")
    assert stream.reasons == ["stop"]
    assert stream.failure is None
    assert stream.done
    usage = stream.chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (26, 9, 35)
    assert stream.chunks[-1].choices == []


def test_the_first_chunk_names_the_role_and_all_chunks_the_same_answer() -> None:
    stream = told(TEXT)
    assert [delta.role for delta in stream.deltas] == ["assistant", None, None, None, None]
    assert {(chunk.id, chunk.model, chunk.created) for chunk in stream.chunks} == {
        (stream.chunks[0].id, "m", 1787306400)
    }
    assert stream.chunks[0].id.startswith("chatcmpl-")


def test_tool_calls_are_counted_over_the_whole_stream() -> None:
    stream = told(TOOLS)
    heads = [
        (part.index, part.type, part.function.name, part.function.arguments) for part in stream.calls if part.function
    ]
    assert heads == [(0, "function", "f", '{"a":1}'), (1, "function", "f", '{"a":2}'), (2, "function", "g", "{}")]
    ids = [part.id for part in stream.calls]
    assert all(ids)
    assert len(set(ids)) == 3
    assert stream.reasons == ["tool_calls"]


def test_given_ids_of_calls_are_kept() -> None:
    stream = told(line(tool_calls=[{"id": "call_9", **call("f")}]) + END)
    assert [part.id for part in stream.calls] == ["call_9"]


def test_a_last_line_with_content_and_no_newline_is_read() -> None:
    stream = told(line("Hel"), line("lo", done=True, fields={"done_reason": "length"}).rstrip(b"\n"))
    assert stream.text == "Hello"
    assert stream.reasons == ["length"]
    assert stream.failure is None
    assert stream.done


def test_blank_lines_and_whatever_follows_the_end_are_ignored() -> None:
    stream = told(b"\r\n\n" + TEXT + b"garbage\n")
    assert stream.text == "Hello é 語"
    assert stream.failure is None


@pytest.mark.parametrize("body", [TEXT, TOOLS])
def test_one_byte_at_a_time_tells_the_same(body: bytes) -> None:
    assert told(*(body[place : place + 1] for place in range(len(body)))).chunks == told(body).chunks


@pytest.mark.parametrize("body", [TEXT, TOOLS])
def test_a_stream_cut_anywhere_before_its_end_is_an_error(body: bytes) -> None:
    whole = told(body).chunks
    for length in range(len(body) - 1):  # without its newline the last line is still whole
        stream = told(body[:length])
        assert type(stream.failure) is StreamInterrupted, length
        assert not stream.done
        assert not stream.finished
        assert stream.chunks == whole[: len(stream.chunks)]
        assert stream.reasons == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5), st.integers(0, 2)), max_size=6),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.booleans(),
)
def test_cuts_between_bytes_never_change_a_stream(
    pieces: list[tuple[str, str, int]], cuts: list[int], think_tags: bool
) -> None:
    body = b"".join(
        line(text, thinking=thought, tool_calls=[call("f", n=number) for number in range(calls)])
        for text, thought, calls in pieces
    )
    restore = OllamaRestore(think_tags=think_tags)
    whole, parts = told(body + END, restore=restore), told(*split(body + END, cuts), restore=restore)
    assert parts.chunks == whole.chunks
    assert parts.failure is None
    if not think_tags:
        assert whole.text == "".join(text for text, _, _ in pieces)


def test_think_tags_are_found_wherever_they_are_cut() -> None:
    body = b"".join(line(letter) for letter in "<think>Hm.</think>Hello <b>") + END
    stream = told(body, restore=OllamaRestore(think_tags=True))
    assert (stream.reasoning, stream.text) == ("Hm.", "Hello <b>")


def test_a_tag_that_only_began_is_text_at_the_end() -> None:
    stream = told(line("a <thi") + END, restore=OllamaRestore(think_tags=True))
    assert stream.text == "a <thi"


# -- errors -------------------------------------------------------------------------------------------------------------


def test_an_error_line_ends_the_stream_after_what_came_before() -> None:
    stream = told(line("Hel") + b'{"error":"an error was encountered while running the model"}\n' + line("lo") + END)
    assert stream.text == "Hel"
    assert type(stream.failure) is ProviderFailure
    assert not stream.done


def test_an_error_line_without_a_newline_is_an_error_too() -> None:
    assert type(told(b'{"error":"unexpected EOF"}').failure) is ProviderFailure


def test_an_empty_body_is_an_interrupted_stream() -> None:
    assert type(told(b"").failure) is StreamInterrupted


@pytest.mark.parametrize(
    "body", [b"<html>\n<p>proxy</p>", b"<html>proxy</html>", b"[]\n", b'{"detail":"nope"}\n', b"\xff\xfe\n"]
)
def test_garbage_from_the_start_is_malformed(body: bytes) -> None:
    stream = told(body)
    assert type(stream.failure) is MalformedResponse
    assert stream.chunks == []


def test_a_single_unreadable_line_is_left_out_and_told_about() -> None:
    stream = told(line("Hel") + b"garbage\n" + line("lo") + END)
    assert stream.text == "Hello"
    assert stream.failure is None
    assert len(stream.warnings) == 1


@pytest.mark.parametrize("between", [b"", line("lo")])
def test_two_unreadable_lines_end_the_stream(between: bytes) -> None:
    stream = told(line("Hel") + b"garbage\n" + between + b"garbage\n" + END)
    assert stream.text == "Hel" + ("lo" if between else "")
    assert type(stream.failure) is MalformedResponse


def test_a_line_beyond_all_measure_is_malformed() -> None:
    decoder = ollama_chat.stream_decoder(Restore())
    piece = b"x" * (8 * 1024 * 1024)
    for _ in range(5):
        decoder.feed(piece)
    assert type(decoder.failure) is MalformedResponse


def test_nothing_is_read_after_a_failure() -> None:
    decoder = ollama_chat.stream_decoder(Restore())
    decoder.feed(b'{"error":"boom"}\n')
    assert decoder.feed(TEXT) == []
    assert decoder.close() == []
    assert type(decoder.failure) is ProviderFailure


def test_a_prompt_that_was_cut_is_told_about_at_the_end() -> None:
    stream = told(TEXT, restore=OllamaRestore(context_window=30))
    assert len(stream.warnings) == 1
    assert "context_window" in stream.warnings[0]
    assert told(TEXT, restore=OllamaRestore(context_window=4096)).warnings == []
