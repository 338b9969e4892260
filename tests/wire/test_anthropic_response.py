"""Whole answers of Anthropic's Messages API, recorded and made."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import MalformedResponse, ModelNotFound, Overloaded
from caxton_llm.protocols import Restore, WireResponse
from caxton_llm.types import Billing, ChatResponse
from caxton_llm.wire import anthropic_messages
from caxton_llm.wire.anthropic_messages.response import ANSWERED_TWICE, TEXT_BESIDE_ANSWER
from recorded import interactions


def body_of(**fields: Any) -> bytes:
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    return msgspec.json.encode(answer | fields)


def decoded(restore: Restore | None = None, **fields: Any) -> ChatResponse:
    return anthropic_messages.decode_chat(body_of(**fields), restore or Restore())


def test_cached_and_written_tokens_are_part_of_the_prompt() -> None:
    first, second = interactions("anthropic__test_anthropic_cache_real_api")
    usage = anthropic_messages.decode_chat(first.body, Restore()).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.cache_write_tokens) == (3 + 1111, 1111, 0)
    assert (usage.completion_tokens, usage.total_tokens) == (406, 3 + 1111 + 406)
    written = anthropic_messages.decode_chat(second.body, Restore()).usage
    assert written is not None
    assert (written.prompt_tokens, written.cache_write_tokens) == (3 + 1111 + 418, 418)


def test_tokens_of_thinking_are_told_only_where_the_provider_tells_them() -> None:
    (recorded,) = interactions("anthropic__test_anthropic_opus_5_features")
    told = anthropic_messages.decode_chat(recorded.body, Restore()).usage
    assert told is not None
    assert (told.completion_tokens, told.reasoning_tokens) == (44, 33)
    untold = decoded().usage
    assert untold is not None
    assert untold.reasoning_tokens is None


def test_unknown_figures_stay_unknown() -> None:
    usage = decoded(usage={"output_tokens": 5}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (None, 5, None)
    assert usage.prompt_tokens_details is None
    assert decoded(usage=None).usage is None


def test_the_iterations_behind_an_answer_are_summed() -> None:
    usage = decoded(
        usage={
            "input_tokens": 181,
            "output_tokens": 20,
            "iterations": [
                {"type": "compaction", "input_tokens": 100, "cache_read_input_tokens": 55096, "output_tokens": 7},
                {"type": "message", "input_tokens": 181, "cache_read_input_tokens": 0, "output_tokens": 20},
            ],
        }
    ).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (281 + 55096, 55096, 27)


def test_what_is_not_billed_at_the_ordinary_rates_is_said() -> None:
    figures = {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 8}
    written = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 6}
    plain = {"service_tier": "standard", "speed": "standard", "inference_geo": "global"}
    tools = {"web_search_requests": 0, "web_fetch_requests": 4}
    ordinary = decoded(usage=figures | plain | {"cache_creation": written, "server_tool_use": tools}).usage
    assert ordinary is not None
    assert (ordinary.cache_write_tokens, ordinary.cache_write_1h_tokens, ordinary.billing) == (8, 6, None)
    special = {"service_tier": "batch", "speed": "fast", "inference_geo": "us"}
    usage = decoded(usage=figures | special | {"server_tool_use": {"web_search_requests": 2}}).usage
    assert usage is not None
    assert usage.cache_write_1h_tokens is None
    assert usage.billing == Billing(tier="batch", speed="fast", region="us", web_searches=2)


def test_parallel_tool_calls_keep_their_ids_and_order() -> None:
    recorded = interactions("anthropic__test_multiple_parallel_tool_calls")[0]
    response = anthropic_messages.decode_chat(recorded.body, Restore())
    assert response.choices[0].finish_reason == "tool_calls"
    assert response.text.startswith("I'll help you find out")
    arguments = [call.function.arguments for call in response.tool_calls if call.function]
    assert arguments == ['{"name":"Alice"}', '{"name":"Bob"}', '{"name":"Charlie"}', '{"name":"Daisy"}']
    assert len({call.id for call in response.tool_calls}) == 4


def test_an_answer_of_tool_calls_alone_has_no_content() -> None:
    (recorded,) = interactions("anthropic__test_tool_choice_matrix.required-anthropic")
    message = anthropic_messages.decode_chat(recorded.body, Restore()).choices[0].message
    assert message.content is None
    assert message.tool_calls is not None


def test_arguments_keep_their_letters_and_lose_their_spaces() -> None:
    raw = (
        b'{"id":"m","model":"c","content":[{"type":"tool_use","id":"t","name":"f","input":{ "b" : "\xc3\xa9", "a" : 1.50 }}],'
        b'"stop_reason":"tool_use","usage":null}'
    )
    (call,) = anthropic_messages.decode_chat(raw, Restore()).tool_calls
    assert call.function is not None
    assert call.function.arguments == '{"b":"é","a":1.50}'


def test_thinking_blocks_are_kept_verbatim_with_their_signatures() -> None:
    blocks = [
        {"type": "thinking", "thinking": "First.", "signature": "sig-1", "later_field": {"x": 1}},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "thinking", "thinking": "", "signature": "sig-2"},
    ]
    message = decoded(content=[*blocks, {"type": "text", "text": "Done."}]).choices[0].message
    assert message.thinking_blocks == blocks
    assert message.reasoning_content == "First."
    assert message.content == "Done."


def test_redacted_thinking_is_carried_through() -> None:
    recorded = interactions("anthropic__test_anthropic_model_thinking_part_redacted")[0]
    message = anthropic_messages.decode_chat(recorded.body, Restore()).choices[0].message
    assert message.thinking_blocks is not None
    assert message.thinking_blocks[0]["type"] == "redacted_thinking"
    assert message.reasoning_content is None


def test_unknown_blocks_are_passed_over_and_stay_in_the_bytes() -> None:
    response = decoded(
        content=[
            {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}},
            {"type": "hologram", "text": {"not": "a string"}, "id": 5},
            {"type": "text", "text": "Found."},
        ]
    )
    assert response.text == "Found."
    assert response.tool_calls == []
    assert response.wire is not None
    assert b"hologram" in response.wire


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("compaction", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("some_later_reason", "stop"),
        (None, "stop"),
    ],
)
def test_every_stop_reason_has_its_finish_reason(stop_reason: str | None, finish_reason: str) -> None:
    assert decoded(stop_reason=stop_reason).choices[0].finish_reason == finish_reason


def test_a_paused_turn_is_warned_about_because_no_finish_reason_says_so() -> None:
    assert "pause_turn" in decoded(stop_reason="pause_turn").warnings[0]
    assert decoded(stop_reason="end_turn").warnings == []


def test_the_matched_stop_sequence_is_told() -> None:
    assert decoded(stop_reason="stop_sequence", stop_sequence="END").choices[0].stop_sequence == "END"


def test_a_refusal_is_a_filtered_answer_with_its_explanation() -> None:
    choice = decoded(
        content=[],
        stop_reason="refusal",
        stop_details={"type": "refusal", "category": "cyber", "explanation": "This could harm."},
    ).choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.message.refusal == "This could harm."
    assert choice.message.content is None
    unexplained = decoded(content=[], stop_reason="refusal", stop_details={"type": "refusal", "category": "bio"})
    assert unexplained.choices[0].message.refusal == "The model refused to answer (bio)."


def test_an_empty_answer_is_an_empty_text() -> None:
    message = decoded(content=[]).choices[0].message
    assert message.content == ""


def test_the_tool_that_stands_for_the_answer_is_unwrapped() -> None:
    restore = Restore(unwrap_tool="answer")
    response = decoded(
        restore,
        content=[{"type": "tool_use", "id": "t", "name": "answer", "input": {"city": "Oslo"}}],
        stop_reason="tool_use",
    )
    assert response.text == '{"city":"Oslo"}'
    assert response.tool_calls == []
    assert response.choices[0].finish_reason == "stop"
    assert response.wire is None


def test_what_stands_beside_the_answer_of_a_tool_is_left_out_with_a_warning() -> None:
    blocks = [
        {"type": "text", "text": "Sure:"},
        {"type": "tool_use", "id": "t", "name": "answer", "input": {"a": 1}},
        {"type": "tool_use", "id": "u", "name": "answer", "input": {"a": 2}},
    ]
    response = decoded(Restore(unwrap_tool="answer"), content=blocks, stop_reason="tool_use")
    assert (response.text, response.tool_calls) == ('{"a":1}', [])
    assert response.warnings == [TEXT_BESIDE_ANSWER, ANSWERED_TWICE]
    clean = decoded(Restore(unwrap_tool="answer"), content=blocks[1:2], stop_reason="tool_use")
    assert clean.warnings == []


def test_a_stop_reason_that_nobody_knows_is_told() -> None:
    response = decoded(content=[], stop_reason="coffee_break")
    assert response.choices[0].finish_reason == "stop"
    (warning,) = response.warnings
    assert "'coffee_break'" in warning
    for known in ("end_turn", "max_tokens", "tool_use", "compaction", None):
        assert decoded(content=[], stop_reason=known).warnings == []


def test_another_tool_beside_the_one_that_stands_for_the_answer_stays_a_call() -> None:
    response = decoded(
        Restore(unwrap_tool="answer"),
        content=[{"type": "tool_use", "id": "t", "name": "search", "input": {}}],
        stop_reason="tool_use",
    )
    assert response.choices[0].finish_reason == "tool_calls"
    (call,) = response.tool_calls
    assert call.function is not None
    assert (call.function.name, call.function.arguments) == ("search", "{}")


def test_renamed_tools_get_their_names_back_in_the_bytes_too() -> None:
    content = [
        {"type": "server_tool_use", "id": "s", "name": "files_read_1234", "input": {}},
        {"type": "tool_use", "id": "t", "name": "files_read_1234", "input": {"a": 1.50}},
    ]
    response = decoded(Restore(tool_names={"files_read_1234": "files/read"}), content=content)
    (call,) = response.tool_calls
    assert call.function is not None
    assert call.function.name == "files/read"
    assert response.wire is not None
    handed_on = msgspec.json.decode(response.wire)
    assert handed_on["content"] == [content[0], {**content[1], "name": "files/read"}]
    untouched = decoded(Restore(tool_names={"a_1": "a/1"}), content=content)
    assert untouched.wire == body_of(content=content)


def test_an_error_inside_a_200_is_raised() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
    with pytest.raises(Overloaded) as caught:
        anthropic_messages.decode_chat(body, Restore())
    assert caught.value.request_id == "req_1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"id":"msg_1"}',
        b'{"content":"text"}',
        b'{"content":[{"type":"text"}]}',
        b'{"content":["text"]}',
        b'{"content":[{"type":"tool_use","id":5}]}',
        b"\xff\xfe",
        b'{"content":' + b"[" * 5000,
    ],
)
def test_what_is_no_message_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedResponse):
        anthropic_messages.decode_chat(body, Restore())


def test_an_html_page_is_named_as_one() -> None:
    with pytest.raises(MalformedResponse, match="HTML"):
        anthropic_messages.decode_chat(b"<!DOCTYPE html><html><title>Sign in</title></html>", Restore())


def test_a_failure_is_classified_with_its_request_id() -> None:
    (recorded,) = interactions("anthropic__test_anthropic_count_tokens_error")
    error = anthropic_messages.classify(
        WireResponse(status=recorded.status, headers=recorded.headers, body=recorded.body)
    )
    assert isinstance(error, ModelNotFound)
    assert error.request_id == "req_011CVEA3SF7rnb3DuBZytqQa"
