"""What a whole answer of an OpenAI chat server means, in every variant that servers send."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import InvalidRequest, LlmError, MalformedResponse, Overloaded, RateLimited
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatResponse
from caxton_llm.wire import openai_chat
from recorded import interactions


def answer(message: dict[str, Any] | None = None, *, finish: Any = "stop", **top: Any) -> dict[str, Any]:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-2",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **(message or {"content": "hi"})}, "finish_reason": finish}
        ],
    }
    return body | top


def decode(body: Any, restore: Restore | None = None) -> ChatResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return openai_chat.decode_chat(raw, restore or Restore())


def call(name: str = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


# -- recordings ---------------------------------------------------------------------------------------------------------

OPENAI_RECORDINGS = [
    "azure__test_azure_provider_call",
    "ollama__test_ollama_cloud_tool_output",
    "ollama__test_ollama_local_native_output_uses_json_schema",
    "openai__test_compatible_api_with_tool_calls_without_id",
    "openai__test_max_completion_tokens.o3-mini",
    "openai__test_openai_chat_prompt_cache_e2e",
    "openai__test_openai_native_output",
    "openai__test_tool_choice_matrix.list_single-openai",
    "openai__test_valid_response",
]


@pytest.mark.parametrize("name", OPENAI_RECORDINGS)
def test_recorded_answers_are_read_and_cut_ones_refused(name: str) -> None:
    for item in interactions(name):
        raw = json.loads(item.body)
        response = decode(item.body)
        message = raw["choices"][0]["message"]
        assert (response.id, response.model, response.created) == (raw["id"], raw["model"], raw["created"])
        assert response.text == (message.get("content") or "")
        assert [made.function.name for made in response.tool_calls if made.function] == [
            made["function"]["name"] for made in message.get("tool_calls") or ()
        ]
        assert response.choices[0].finish_reason == raw["choices"][0]["finish_reason"]
        assert response.usage is not None
        assert response.usage.prompt_tokens == raw["usage"]["prompt_tokens"]
        assert response.usage.completion_tokens == raw["usage"]["completion_tokens"]
        for length in range(0, len(item.body), 7):
            with pytest.raises(MalformedResponse):
                decode(item.body[:length])


def test_cached_and_cache_written_tokens_are_parts_of_the_prompt() -> None:
    written, cached = [decode(item.body).usage for item in interactions("openai__test_openai_chat_prompt_cache_e2e")]
    assert written is not None
    assert cached is not None
    assert written.prompt_tokens == cached.prompt_tokens == 4020
    assert (written.cached_tokens or 0) + (written.cache_write_tokens or 0) + (cached.cached_tokens or 0) > 4000


def test_ollamas_compatible_reasoning_field_is_read() -> None:
    response = decode(interactions("ollama__test_ollama_cloud_tool_output")[0].body)
    assert (response.choices[0].message.reasoning_content or "").startswith("We need to answer")


# -- shapes -------------------------------------------------------------------------------------------------------------


def test_the_bytes_of_a_usable_answer_stay_as_they_came() -> None:
    body = b'{ "id":"x","choices":[{"message":{"content":"hi","unknown":[1]}}],"own":{"a":1.50} }'
    response = decode(body)
    assert response.wire == body
    assert response.dialect == "openai_chat"


def test_missing_id_index_and_time_are_no_obstacle() -> None:
    response = decode({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]})
    assert [choice.index for choice in response.choices] == [0, 1]
    assert response.id.startswith("chatcmpl-")
    assert response.usage is None


def test_content_as_a_list_of_parts_is_text() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    response = decode(answer({"content": parts}))
    assert (response.text, response.choices[0].message.reasoning_content) == ("ab", "why")


@pytest.mark.parametrize(
    "extra",
    [
        {"reasoning_content": "why"},
        {"reasoning": "why"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "why"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "why"}]},
    ],
)
def test_reasoning_is_read_under_all_its_names(extra: dict[str, Any]) -> None:
    assert decode(answer({"content": "x", **extra})).choices[0].message.reasoning_content == "why"


def test_a_refusal_is_kept_as_such() -> None:
    response = decode(answer({"content": None, "refusal": "I will not"}))
    assert response.choices[0].message.refusal == "I will not"
    assert response.choices[0].message.content is None
    parts = decode(answer({"content": [{"type": "refusal", "refusal": "no"}]}))
    assert parts.choices[0].message.refusal == "no"


def test_audio_annotations_and_logprobs_are_kept() -> None:
    body = answer({"content": None, "audio": {"id": "a"}, "annotations": [{"type": "url_citation"}]})
    body["choices"][0]["logprobs"] = {"content": []}
    choice = decode(body).choices[0]
    assert choice.message.audio == {"id": "a"}
    assert choice.message.annotations == [{"type": "url_citation"}]
    assert choice.logprobs == {"content": []}


def test_the_matched_stop_string_is_told_where_the_server_tells_it() -> None:
    body = answer()
    body["choices"][0]["stop_reason"] = "END"
    assert decode(body).choices[0].stop_sequence == "END"
    body["choices"][0]["stop_reason"] = 128009
    assert decode(body).choices[0].stop_sequence is None


@pytest.mark.parametrize(
    ("reason", "common"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("tool_use", "tool_calls"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("STOP", "stop"),
        ("eos", "stop"),
        ("end_turn", "stop"),
        ("repetition", "stop"),
        ("", "stop"),
        (None, "stop"),
        ("abort", "error"),
        ("error", "error"),
        ("something new", "stop"),
    ],
)
def test_every_finish_reason_has_a_common_meaning(reason: str | None, common: str) -> None:
    assert decode(answer(finish=reason)).choices[0].finish_reason == common


def test_the_presence_of_tool_calls_decides_not_the_word() -> None:
    assert decode(answer({"tool_calls": [call()]}, finish="stop")).choices[0].finish_reason == "tool_calls"
    assert decode(answer({"tool_calls": [call()]}, finish="length")).choices[0].finish_reason == "length"
    assert decode(answer({"content": "x", "tool_calls": []}, finish="stop")).choices[0].finish_reason == "stop"


# -- tool calls ---------------------------------------------------------------------------------------------------------


def test_a_call_without_an_id_gets_one_that_stays_the_same() -> None:
    item = interactions("openai__test_compatible_api_with_tool_calls_without_id")[0]
    first, second = decode(item.body), decode(item.body)
    (made,) = first.tool_calls
    assert made.id.startswith("call_")
    assert [made.id] == [again.id for again in second.tool_calls]
    wire = json.loads(first.wire or b"")
    assert wire["choices"][0]["message"]["tool_calls"][0]["id"] == made.id
    assert wire["choices"][0]["message"]["thought_signature"]


def test_calls_without_ids_in_one_answer_get_different_ones() -> None:
    made = decode(answer({"tool_calls": [call(id=""), call(id=None), call(name="g", id="")]})).tool_calls
    assert len({item.id for item in made}) == 3


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": 1}, '{"a":1}'), ("", "{}"), (None, "{}"), ('{"a": 1', '{"a": 1')]
)
def test_arguments_are_text_and_broken_ones_are_left_alone(arguments: Any, text: str) -> None:
    response = decode(answer({"tool_calls": [call(arguments=arguments)]}))
    (made,) = response.tool_calls
    assert made.function is not None
    assert made.function.arguments == text
    assert json.loads(response.wire or b"")["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == text


def test_custom_tool_calls_are_kept() -> None:
    made = decode(
        answer({"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}]})
    ).tool_calls
    assert (made[0].type, made[0].custom) == ("custom", {"name": "g", "input": "x"})


def test_a_tool_call_without_a_name_is_malformed() -> None:
    with pytest.raises(MalformedResponse):
        decode(answer({"tool_calls": [{"id": "c", "type": "function", "function": {"arguments": "{}"}}]}))


def test_the_callers_tool_names_come_back_in_value_and_bytes() -> None:
    response = decode(
        answer({"tool_calls": [call(name="mcp_read_1", own=1)]}), Restore(tool_names={"mcp_read_1": "mcp/read"})
    )
    assert response.tool_calls[0].function is not None
    assert response.tool_calls[0].function.name == "mcp/read"
    wire = json.loads(response.wire or b"")["choices"][0]["message"]["tool_calls"][0]
    assert (wire["function"]["name"], wire["own"]) == ("mcp/read", 1)


def test_the_deprecated_function_call_is_kept() -> None:
    choice = decode(
        answer({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, finish="function_call")
    ).choices[0]
    assert choice.message.function_call is not None
    assert choice.message.function_call.name == "f"
    assert choice.finish_reason == "tool_calls"


def test_reasoning_between_tags_is_taken_out_of_value_and_bytes() -> None:
    response = decode(answer({"content": "<think>why</think>because"}), Restore(think_tags=True))
    assert (response.text, response.choices[0].message.reasoning_content) == ("because", "why")
    message = json.loads(response.wire or b"")["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("because", "why")
    assert decode(answer({"content": "plain"}), Restore(think_tags=True)).text == "plain"


# -- usage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, (3, 4, 7, None, None)),
        ({"prompt_tokens": 35.0, "completion_tokens": 12.0, "total_tokens": 109}, (35, 12, 47, None, None)),
        ({"prompt_tokens": 3, "completion_tokens": 0}, (3, 0, 3, None, None)),
        ({"total_tokens": 9}, (None, None, 9, None, None)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}, (3, 4, 7, None, None)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            (9, 4, 13, 5, 2),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4},
            (9, 4, 13, 5, None),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 5}, (9, 4, 13, 5, None)),
    ],
)
def test_usage_is_read_in_all_its_variants_and_unknown_is_none(wire: Any, expected: Any) -> None:
    usage = decode(answer(usage=wire)).usage
    if expected is None:
        assert usage is None
        return
    assert usage is not None
    assert (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
    ) == expected


# -- answers that are none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "x", "code": 429}}, RateLimited),
        (
            {"error": {"message": "x", "type": "overloaded_error"}, "choices": [{"message": {"content": "half"}}]},
            Overloaded,
        ),
        ({"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, InvalidRequest),
        ([{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}], InvalidRequest),
        ({"choices": []}, MalformedResponse),
        ({"choices": None}, MalformedResponse),
        ({}, MalformedResponse),
        ([], MalformedResponse),
        ("text", MalformedResponse),
        ({"choices": [{"message": {"content": 5}}]}, MalformedResponse),
        (b"", MalformedResponse),
        (b"garbage", MalformedResponse),
        (b'{"id": "\xff"}', MalformedResponse),
        (b"[" * 100_000, MalformedResponse),
        (b"data: {}\n\n", MalformedResponse),
        (b"<html><head><title>Sign in</title></head></html>", MalformedResponse),
    ],
)
def test_a_200_that_is_no_answer_is_the_right_error(body: Any, kind: type[LlmError]) -> None:
    with pytest.raises(LlmError) as caught:
        decode(body)
    assert type(caught.value) is kind


def test_a_page_is_named_by_its_title() -> None:
    with pytest.raises(MalformedResponse, match="Sign in"):
        decode(b"<html><head><title>Sign in</title></head><body>...</body></html>")


def test_an_unreadable_answer_is_not_quoted() -> None:
    for body in (b'{"choices":[{"message":{"content":{"private":1}}}]}', b"private words"):
        with pytest.raises(MalformedResponse) as caught:
            decode(body)
        assert "private" not in str(caught.value)


garbage = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "choices",
                    "message",
                    "delta",
                    "content",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "error",
                    "usage",
                    "index",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=14,
)


@given(value=garbage, restore=st.sampled_from([Restore(), Restore(tool_names={"a": "b"}, think_tags=True)]))
@settings(max_examples=150, deadline=None)
def test_any_json_is_an_answer_or_one_of_our_errors(value: Any, restore: Restore) -> None:
    with contextlib.suppress(LlmError):
        assert decode(msgspec.json.encode(value), restore).choices
