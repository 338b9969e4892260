"""What a streamed answer of an OpenAI chat server means, event by event, wherever the bytes are cut."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import (
    InvalidRequest,
    LlmError,
    MalformedResponse,
    Overloaded,
    ProviderFailure,
    RateLimited,
    StreamInterrupted,
)
from caxton_llm.protocols import Restore
from caxton_llm.types import Billing
from openai_chat_streams import DONE, bytewise, calls_of, chunk, event, finishes, run, text_of, tool
from recorded import interactions

# -- recordings ---------------------------------------------------------------------------------------------------------


def test_recorded_streams_are_read_whole_and_byte_by_byte() -> None:
    with_tool, with_text = interactions("openai__test_run_stream_sync_streams_real_model")
    chunks, decoder = run(with_tool.body)
    assert (decoder.failure, decoder.done, decoder.finished, decoder.warnings) == (None, True, True, [])
    assert calls_of(chunks) == {0: ["call_ZR5UUuTt3pf61kjwAJIYdVMj", "get_capital", '{"country":"UK"}']}
    assert finishes(chunks) == ["tool_calls"]
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (53, 15)
    assert {made.id for made in chunks} == {"chatcmpl-Dx0XpqH8w09uBXwq1zFGYdETjtnEl"}
    assert {made.model for made in chunks} == {"gpt-4o-mini-2024-07-18"}
    text, _ = run(with_text.body)
    assert "London" in text_of(text)
    for item in (with_tool, with_text):
        assert run(*bytewise(item.body))[0] == run(item.body)[0]


def test_recorded_streams_keep_their_payloads() -> None:
    for item in interactions("openai__test_run_stream_sync_streams_real_model"):
        chunks, _ = run(item.body)
        forwarded = b"".join(b"data: " + (made.wire or b"") + b"\n\n" for made in chunks) + DONE
        assert forwarded == item.body


def test_a_recorded_stream_cut_before_its_finish_is_an_error_and_never_a_quiet_end() -> None:
    for item in interactions("openai__test_run_stream_sync_streams_real_model"):
        end_of_finish = item.body.index(b"\n\n", item.body.rindex(b'"finish_reason":"')) + 2
        whole, _ = run(item.body)
        for length in range(len(item.body)):
            chunks, decoder = run(item.body[:length])
            assert chunks == whole[: len(chunks)]
            if length < end_of_finish:
                assert isinstance(decoder.failure, StreamInterrupted)
            else:  # the answer is whole, only usage or the end marker is missing
                assert decoder.failure is None
                assert decoder.finished


# -- the end of a stream ------------------------------------------------------------------------------------------------


def test_the_end_marker_ends_the_stream_and_nothing_behind_it_counts() -> None:
    chunks, decoder = run(chunk({"content": "a"}), chunk({}, finish="stop"), DONE + chunk({"content": "b"}), b"garbage")
    assert text_of(chunks) == "a"
    assert (decoder.done, decoder.failure) == (True, None)


def test_a_missing_end_marker_is_no_error_once_every_choice_has_finished() -> None:
    chunks, decoder = run(chunk({"content": "a"}), chunk({}, finish="stop"))
    assert (text_of(chunks), decoder.failure, decoder.finished, decoder.done) == ("a", None, True, False)


def test_a_stream_without_a_finish_reason_is_interrupted() -> None:
    chunks, decoder = run(chunk({"content": "a"}))
    assert text_of(chunks) == "a"
    assert isinstance(decoder.failure, StreamInterrupted)


def test_every_started_choice_must_finish() -> None:
    two = [chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, finish="stop")]
    assert isinstance(run(*two)[1].failure, StreamInterrupted)
    chunks, decoder = run(*two, chunk({}, index=1, finish="length"))
    assert decoder.failure is None
    assert finishes(chunks) == ["stop", "length"]


@pytest.mark.parametrize("last", [None, {"content": "b"}])
def test_an_end_marker_without_a_finish_reason_ends_an_interrupted_stream(last: dict[str, Any] | None) -> None:
    chunks, decoder = run(chunk({"content": "a"}), *([chunk(last)] if last else []), DONE)
    assert isinstance(decoder.failure, StreamInterrupted)
    assert (decoder.done, finishes(chunks)) == (True, [])


def test_the_end_marker_does_not_excuse_one_of_several_choices() -> None:
    _, decoder = run(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, finish="stop"), DONE)
    assert isinstance(decoder.failure, StreamInterrupted)


@pytest.mark.parametrize("end", [(DONE,), ()])
def test_an_empty_finish_reason_at_the_end_is_a_stop(end: tuple[bytes, ...]) -> None:
    chunks, decoder = run(chunk({"content": "a"}), chunk({}, finish=""), *end)
    assert (finishes(chunks), decoder.failure) == (["stop"], None)
    made = json.loads(chunks[-1].wire or b"")
    assert (made["id"], made["choices"]) == ("chatcmpl-1", [{"index": 0, "delta": {}, "finish_reason": "stop"}])


def test_an_empty_finish_reason_behind_calls_is_the_calls() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chunks, decoder = run(chunk({"tool_calls": [call]}), chunk({}, finish=""), DONE)
    assert (finishes(chunks), decoder.failure) == (["tool_calls"], None)


def test_empty_finish_reasons_all_along_end_nothing_before_the_end_marker() -> None:
    stream = (chunk({"content": "a"}, finish=""), chunk({"content": "b"}, finish=""))
    chunks, decoder = run(*stream, DONE)
    assert (text_of(chunks), finishes(chunks), decoder.failure) == ("ab", ["stop"], None)
    chunks, decoder = run(*stream)
    assert (text_of(chunks), finishes(chunks)) == ("ab", [])
    assert isinstance(decoder.failure, StreamInterrupted)


@pytest.mark.parametrize("end", [(DONE,), (), (event({"error": {"message": "x", "code": 500}}),)])
def test_text_that_might_have_been_a_tag_is_not_lost_when_the_stream_ends(end: tuple[bytes, ...]) -> None:
    chunks, decoder = run(chunk({"content": "a <thi"}), *end, restore=Restore(think_tags=True))
    assert text_of(chunks) == "a <thi"
    assert decoder.failure is not None
    chunks, decoder = run(chunk({"content": "a <thi"}), chunk({}, finish=""), DONE, restore=Restore(think_tags=True))
    assert (text_of(chunks), finishes(chunks), decoder.failure) == ("a <thi", ["stop"], None)


@pytest.mark.parametrize("given", ["", None])
def test_a_stream_without_an_id_gets_one_of_its_own_everywhere(given: str | None) -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    stream = (
        chunk({"tool_calls": [call]}, id=given),
        chunk({}, finish="stop", id=given),
        event({"id": given, "choices": [], "usage": {"prompt_tokens": 1}}),
        DONE,
    )
    first, decoder = run(*stream)
    second, _ = run(*stream)
    assert decoder.failure is None
    assert {made.id for made in first} == {json.loads(made.wire or b"")["id"] for made in first}
    assert first[0].id.startswith("chatcmpl-")
    assert first[0].id != second[0].id
    assert calls_of(first)[0][0] != calls_of(second)[0][0]


def test_an_id_that_comes_late_does_not_change_the_streams_own() -> None:
    chunks, _ = run(chunk({"content": "a"}, id=""), chunk({}, finish="stop", id="late"), DONE)
    assert {json.loads(made.wire or b"")["id"] for made in chunks} == {chunks[0].id}


def test_an_event_that_the_end_cuts_off_does_not_count() -> None:
    cut = chunk({}, finish="stop")[:-2]
    assert isinstance(run(chunk({"content": "a"}), cut)[1].failure, StreamInterrupted)


def test_an_empty_stream_is_an_error() -> None:
    assert isinstance(run()[1].failure, StreamInterrupted)
    assert isinstance(run(DONE)[1].failure, MalformedResponse)


# -- errors in the stream -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (event({"error": {"message": "x", "type": "server_error", "code": None}}), ProviderFailure),
        (event({"error": {"message": "x", "code": "server_is_overloaded"}}) + DONE, Overloaded),
        (
            event({"error": {"message": "x", "type": "BadRequestError", "param": None, "code": 400}}) + DONE,
            InvalidRequest,
        ),
        (event({"error": {"message": "x", "status_code": 429, "failed_generation": "y"}}, "error"), RateLimited),
        (event({"message": "x", "type": "rate_limit_error"}, "error"), RateLimited),
        (event("not json", "error"), ProviderFailure),
        (event({"error": "plain words"}), ProviderFailure),
        (
            event(
                {
                    "id": "1",
                    "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
                    "error": {"code": 502, "message": "x"},
                }
            )
            + DONE,
            ProviderFailure,
        ),
        (event({"object": "error", "message": "x", "code": 429}), RateLimited),
    ],
)
def test_an_error_inside_the_stream_ends_it_after_the_chunks_before_it(broken: bytes, kind: type[LlmError]) -> None:
    chunks, decoder = run(chunk({"content": "a"}) + broken + chunk({"content": "b"}))
    assert text_of(chunks) == "a"
    assert type(decoder.failure) is kind
    assert decoder.feed(chunk({"content": "c"})) == []


def test_one_unreadable_event_inside_a_good_stream_is_skipped_with_a_warning() -> None:
    chunks, decoder = run(
        chunk({"content": "a"}), event("{oops"), chunk({"content": "b"}), chunk({}, finish="stop"), DONE
    )
    assert (text_of(chunks), len(decoder.warnings), decoder.failure) == ("ab", 1, None)


@pytest.mark.parametrize(
    "stream",
    [
        (event("{oops"), chunk({"content": "a"})),
        (chunk({"content": "a"}), event("{oops"), chunk({"content": "b"}), event('{"choices": 5}')),
        (
            chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]}),
            event("{oops"),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
        ),
    ],
)
def test_garbage_from_the_start_amid_calls_or_twice_ends_the_stream(stream: tuple[bytes, ...]) -> None:
    _, decoder = run(*stream, chunk({}, finish="stop"), DONE)
    assert isinstance(decoder.failure, MalformedResponse)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html><head><title>Login</title></head></html>", MalformedResponse),
        (b'{"error":{"message":"x","code":429}}', RateLimited),
        (b'{"choices":[{"message":{"content":"whole"}}]}', MalformedResponse),
        (b"garbage", StreamInterrupted),
    ],
)
def test_a_body_that_is_no_stream_is_the_right_error(body: bytes, kind: type[LlmError]) -> None:
    for pieces in ((body,), tuple(bytewise(body))):
        chunks, decoder = run(*pieces)
        assert chunks == []
        assert type(decoder.failure) is kind


# -- usage --------------------------------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@pytest.mark.parametrize("choices", [[], [{"index": 0, "delta": {}}]])
def test_usage_comes_with_and_without_an_empty_choice(choices: list[Any]) -> None:
    chunks, decoder = run(
        chunk({"content": "a"}),
        chunk({}, finish="stop"),
        event({"id": "chatcmpl-1", "choices": choices, "usage": USAGE}),
        DONE,
    )
    assert decoder.failure is None
    assert [made.usage.prompt_tokens for made in chunks if made.usage] == [5]


@pytest.mark.parametrize(("tier", "billing"), [("flex", Billing(tier="flex")), ("default", None), (7, None)])
def test_the_service_tier_of_any_event_is_the_one_that_is_billed(tier: Any, billing: Billing | None) -> None:
    chunks, _ = run(
        chunk({"content": "a"}, service_tier=tier),
        chunk({}, finish="stop"),
        event({"id": "chatcmpl-1", "choices": [], "usage": USAGE}),
        DONE,
    )
    assert [made.usage.billing for made in chunks if made.usage] == [billing]


def test_usage_null_after_the_usage_does_not_erase_it() -> None:
    moderation = event({"id": "chatcmpl-1", "choices": [], "usage": None, "moderation": {"input": []}})
    chunks, _ = run(chunk({}, finish="stop"), event({"choices": [], "usage": USAGE}), moderation, DONE)
    assert [made.usage is None for made in chunks] == [True, False, True]
    assert b"moderation" in (chunks[-1].wire or b"")


def test_usage_on_the_finish_chunk_and_groqs_own_field_count() -> None:
    assert run(chunk({}, finish="stop", usage=USAGE))[0][0].usage is not None
    assert run(chunk({}, finish="stop", x_groq={"usage": USAGE}))[0][0].usage is not None


# -- Azure --------------------------------------------------------------------------------------------------------------

AZURE_FIRST = event(
    {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0}],
        "usage": None,
    }
)


def test_azures_first_chunk_is_no_content_and_its_verdict_survives_in_the_next() -> None:
    chunks, decoder = run(
        AZURE_FIRST,
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "a"}),
        chunk({}, finish="stop"),
        DONE,
    )
    assert decoder.failure is None
    assert {made.id for made in chunks} == {"chatcmpl-1"}
    first = json.loads(chunks[0].wire or b"")
    assert first["prompt_filter_results"] == [{"prompt_index": 0}]
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert b"prompt_filter_results" not in (chunks[1].wire or b"")


def test_azures_chunks_without_a_delta_become_empty_ones_of_the_same_stream() -> None:
    annotation = event(
        {
            "id": "",
            "model": "",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": None,
                    "content_filter_results": {},
                    "content_filter_offsets": {"check_offset": 4},
                }
            ],
        }
    )
    chunks, decoder = run(chunk({"content": "a"}), chunk({}, finish="stop"), annotation, DONE)
    assert decoder.failure is None
    wire = json.loads(chunks[-1].wire or b"")
    assert (wire["id"], wire["model"], wire["choices"][0]["delta"]) == ("chatcmpl-1", "m-2", {})
    assert wire["choices"][0]["content_filter_offsets"] == {"check_offset": 4}
    assert not chunks[-1].choices[0].delta.has_content


def test_a_blocked_answer_ends_with_content_filter() -> None:
    assert finishes(run(chunk({"content": "a"}), chunk(None, finish="content_filter"), DONE)[0]) == ["content_filter"]


# -- content ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_streams_under_either_name(field: str) -> None:
    chunks, _ = run(chunk({field: "why", "content": None}), chunk({"content": "a"}))
    assert chunks[0].choices[0].delta.reasoning_content == "why"
    assert chunks[0].commits


def test_reasoning_and_text_in_one_chunk_are_both_kept() -> None:
    delta = run(chunk({"reasoning": "why", "content": "a"}))[0][0].choices[0].delta
    assert (delta.reasoning_content, delta.content) == ("why", "a")


def test_reasoning_details_beside_text_are_kept() -> None:
    details = [{"type": "reasoning.text", "text": "hm"}]
    chunks, _ = run(chunk({"content": "a", "reasoning_details": details}), chunk({}, finish="stop"), DONE)
    assert (text_of(chunks), chunks[0].choices[0].delta.reasoning_content) == ("a", "hm")


def test_audio_and_the_deprecated_call_beside_text_are_kept() -> None:
    chunks, _ = run(
        chunk({"content": "a", "audio": {"id": "x"}}),
        chunk({"content": "b", "function_call": {"name": "f", "arguments": "{}"}}),
        chunk({}, finish="function_call"),
        DONE,
    )
    assert chunks[0].choices[0].delta.audio == {"id": "x"}
    assert calls_of(chunks) == {0: ["", "f", "{}"]}


def test_refusals_audio_and_parts_are_content() -> None:
    chunks, _ = run(
        chunk({"refusal": "no"}),
        chunk({"audio": {"data": "AAAA"}}),
        chunk({"content": [{"type": "text", "text": "a"}]}),
    )
    assert [made.choices[0].delta.has_content for made in chunks] == [True, True, True]
    assert text_of(chunks) == "a"


def test_a_role_alone_does_not_commit() -> None:
    assert not run(chunk({"role": "assistant", "content": ""}))[0][0].commits


def test_think_tags_are_taken_out_across_chunks() -> None:
    pieces = ["<thi", "nk>w", "hy</th", "ink>be", "cause <"]
    chunks, decoder = run(
        *[chunk({"content": piece}) for piece in pieces],
        chunk({}, finish="stop"),
        DONE,
        restore=Restore(think_tags=True),
    )
    assert decoder.failure is None
    assert text_of(chunks) == "because <"
    assert "".join(made.choices[0].delta.reasoning_content or "" for made in chunks) == "why"
    assert (
        "".join(json.loads(made.wire or b"")["choices"][0]["delta"].get("content") or "" for made in chunks)
        == "because <"
    )


def test_a_payload_over_several_lines_is_forwarded_on_one() -> None:
    stream = b'data: {"id":"1","choices":[{"index":0,\ndata: "delta":{"content":"a"}}]}\n\n'
    (made,) = run(stream)[0]
    assert text_of([made]) == "a"
    assert b"\n" not in (made.wire or b"")
    assert json.loads(made.wire or b"")["id"] == "1"


# -- laws ---------------------------------------------------------------------------------------------------------------

pieces = st.sampled_from(
    [
        chunk({"content": "é"}),
        chunk({"content": "b"}).replace(b"\n", b"\r\n"),
        chunk({"reasoning": "r"}),
        tool(index=0, id="a", type="function", function={"name": "f", "arguments": ""}),
        tool(index=0, function={"arguments": "{}"}),
        tool(id="", function={"name": "g", "arguments": "{}"}),
        AZURE_FIRST,
        b": comment\n\n",
        event("{oops"),
        chunk(None),
        chunk({}, finish="stop"),
        event({"choices": [], "usage": USAGE}),
        event({"error": {"message": "x"}}),
        DONE,
    ]
)


@given(parts=st.lists(pieces, max_size=8), cuts=st.lists(st.integers(0, 1500), max_size=6), mended=st.booleans())
@settings(max_examples=150, deadline=None)
def test_where_the_bytes_are_cut_never_changes_the_stream(parts: list[bytes], cuts: list[int], mended: bool) -> None:
    stream = b"".join(parts)
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    split = [stream[start:end] for start, end in pairwise(places)]
    restore = Restore(think_tags=True, tool_names={"f": "F"}) if mended else Restore()
    expected, whole = run(stream, restore=restore)
    for cut in (split, list(bytewise(stream))):
        chunks, decoder = run(*cut, restore=restore)
        assert chunks == expected
        assert (type(decoder.failure), decoder.done, decoder.finished, decoder.warnings) == (
            type(whole.failure),
            whole.done,
            whole.finished,
            whole.warnings,
        )
