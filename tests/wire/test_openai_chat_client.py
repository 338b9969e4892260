"""What an OpenAI client may send and what it gets back: requests, whole answers, errors."""

import contextlib
import json
from typing import Any

import openai.types.chat as openai_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm import errors
from caxton_llm.errors import InvalidRequest, LlmError
from caxton_llm.protocols import Restore
from caxton_llm.types import (
    ChatRequest,
    ChatResponse,
    Choice,
    CompletionTokensDetails,
    FunctionCall,
    Message,
    PromptTokensDetails,
    ToolCall,
    Usage,
)
from caxton_llm.wire import openai_chat
from caxton_llm.wire.openai_chat import client as openai_chat_client
from caxton_llm.wire.openai_chat.client.encoder import ONE_CALL
from recorded import interactions

USER = {"role": "user", "content": "hi"}


def decode(body: Any) -> ChatRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return openai_chat_client.decode_request(raw, {})


def refusal(body: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    return caught.value


# -- requests -----------------------------------------------------------------------------------------------------------


def test_a_request_is_read_into_the_common_model_and_remembers_its_source() -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":0,"top_k":5,"seed":null}'
    request = decode(body)
    assert (request.model, request.temperature, request.seed) == ("gpt-4o", 0, None)
    assert request.extra_value("top_k") == 5
    assert request.source is not None
    assert request.source.dialect == "openai_chat"
    assert set(request.source.fields) == {"model", "messages", "temperature", "top_k"}


def test_a_request_without_a_model_asks_for_the_default() -> None:
    assert decode({"messages": [USER]}).model == "default"


def test_content_of_an_unknown_type_is_accepted() -> None:
    request = decode({"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "u"}}]}]})
    content = request.messages[0].content
    assert isinstance(content, list)
    assert content[0].type == "video_url"


def test_a_client_cannot_set_the_fields_of_this_process() -> None:
    request = decode({"messages": [USER], "#extra": {"evil": 1}, "#source": {"dialect": "x", "fields": {}}})
    assert "evil" not in request.extra
    assert request.source is not None
    assert request.source.dialect == "openai_chat"


def test_functions_are_seen_as_tools() -> None:
    request = decode({"messages": [USER], "functions": [{"name": "f"}], "function_call": {"name": "f"}})
    assert [tool.function.name for tool in request.tools or () if tool.function] == ["f"]
    assert request.tool_choice == {"type": "function", "function": {"name": "f"}}


def test_recorded_requests_are_accepted() -> None:
    for name in ("openai__test_openai_native_output", "openai__test_run_stream_sync_streams_real_model"):
        for item in interactions(name):
            assert decode(item.request).model == item.request["model"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b'{"messages": [', "ends too early (at byte 14)"),
        (b'{"messages": [}', "at byte 14"),
        (b"hello", "not valid JSON"),
        (b'{"messages": []} x', "trailing characters"),
        (b"[]", "expected object, got array"),
        (b"17", "expected object, got int"),
        (b'{"model":"\xff"}', "not valid UTF-8 (byte 10)"),
        (b'{"unknown":"\xc3\x28","messages":[]}', "not valid UTF-8 (byte 12)"),
        (b'{"messages":' + b"[" * 100_000, ""),
    ],
)
def test_a_body_that_is_no_json_object_says_where_it_goes_wrong(body: bytes, words: str) -> None:
    assert words in refusal(body).message


def test_deep_nesting_is_refused_not_a_crash() -> None:
    assert "nested too deeply" in refusal(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}").message


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [USER, {"role": 5, "content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]},
            "messages[0].content[0].image_url",
        ),
        ({"messages": [USER, {"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages[1].tool_call_id"),
        (
            {
                "messages": [
                    USER,
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                    },
                ]
            },
            "messages[1].tool_calls[0].id",
        ),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"type": "function"}]}]},
            "messages[1].tool_calls[0].id",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "100"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stop": [1]}, "stop[0]"),
        ({"tools": {"f": 1}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            "tools[0].function.parameters",
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {}}, "response_format.type"),
        ({"model": 5}, "model"),
    ],
)
def test_a_field_at_fault_is_named_by_its_path(fields: dict[str, Any], path: str) -> None:
    error = refusal({"messages": [USER], **fields})
    assert error.param == path
    assert error.source == "gateway"
    assert error.http_status == 400


def test_missing_messages_are_named() -> None:
    assert refusal({"model": "m"}).param == "messages"


def test_a_wrong_value_is_not_repeated() -> None:
    assert "private" not in refusal({"messages": [{"role": "private words", "content": "x"}]}).message


@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_request_or_the_callers_mistake(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        assert decode(body).messages


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "function", "name", "id", "tool_calls"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.sampled_from(ChatRequest.__struct_encode_fields__), json_values, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_fields_are_a_request_or_the_callers_mistake(fields: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRequest):
        assert decode({"messages": [USER], **fields}).messages


# -- answers ------------------------------------------------------------------------------------------------------------


def response(**fields: Any) -> ChatResponse:
    message = fields.pop("message", Message(role="assistant", content="hi"))
    choice = Choice(index=0, message=message, finish_reason=fields.pop("finish_reason", "stop"))
    return ChatResponse(
        id="msg_1", model="claude", choices=[choice], created=5, dialect="anthropic_messages", wire=b"{}", **fields
    )


def encoded(answer: ChatResponse, request: ChatRequest | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(openai_chat_client.encode_response(answer, request or ChatRequest(messages=[])))
    openai_types.ChatCompletion.model_validate(body)
    return body


def test_an_answer_of_the_same_dialect_goes_out_as_it_came() -> None:
    body = interactions("azure__test_azure_provider_call")[0].body
    assert (
        openai_chat_client.encode_response(openai_chat.decode_chat(body, Restore()), ChatRequest(messages=[])) == body
    )


def test_an_answer_of_another_dialect_has_the_whole_openai_shape() -> None:
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=4,
        total_tokens=14,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=6),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=1),
    )
    assert encoded(response(usage=usage)) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 5,
        "model": "claude",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 4,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 6},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def test_unknown_usage_is_null_never_zero() -> None:
    assert encoded(response())["usage"] is None


def test_content_is_null_beside_tool_calls_with_the_key_present() -> None:
    message = Message(role="assistant", tool_calls=[ToolCall(id="c", function=FunctionCall("f", '{"a":1}'))])
    choice = encoded(response(message=message, finish_reason="tool_calls"))["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]


def test_reasoning_and_its_blocks_travel_as_extensions() -> None:
    blocks = [{"type": "thinking", "thinking": "", "signature": "s"}]
    message = Message(role="assistant", content="x", reasoning_content="why", thinking_blocks=blocks)
    sent = encoded(response(message=message))["choices"][0]["message"]
    assert (sent["reasoning_content"], sent["thinking_blocks"]) == ("why", blocks)


def test_a_client_of_functions_gets_a_function_call_back() -> None:
    request = decode({"messages": [USER], "functions": [{"name": "f"}]})
    message = Message(role="assistant", tool_calls=[ToolCall(id="c", function=FunctionCall("f", "{}"))])
    choice = encoded(response(message=message, finish_reason="tool_calls"), request)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert choice["finish_reason"] == "function_call"
    assert "tool_calls" not in choice["message"]


def test_a_second_call_that_a_client_of_functions_cannot_take_is_told_about() -> None:
    request = decode({"messages": [USER], "functions": [{"name": "f"}]})
    calls = [ToolCall(id=name, function=FunctionCall(name, "{}")) for name in ("f", "g")]
    answer = response(message=Message(role="assistant", tool_calls=calls), finish_reason="tool_calls")
    assert encoded(answer, request)["choices"][0]["message"]["function_call"]["name"] == "f"
    assert answer.warnings == [ONE_CALL]


texts = st.text(max_size=8)
messages = st.builds(
    Message,
    role=st.just("assistant"),
    content=st.none() | texts,
    refusal=st.none() | texts.filter(bool),
    reasoning_content=st.none() | texts.filter(bool),
    tool_calls=st.none()
    | st.lists(
        st.builds(
            ToolCall,
            id=texts.filter(bool),
            function=st.builds(FunctionCall, name=texts.filter(bool), arguments=texts.filter(bool)),
        ),
        min_size=1,
        max_size=2,
    ),
)


@given(message=messages, finish=st.sampled_from(["length", "content_filter"]))
@settings(max_examples=80, deadline=None)
def test_a_written_answer_is_read_back_as_the_same(message: Message, finish: str) -> None:
    answer = response(
        message=message, finish_reason=finish, usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    )
    read = openai_chat.decode_chat(openai_chat_client.encode_response(answer, ChatRequest(messages=[])), Restore())
    assert (read.id, read.model, read.created, read.choices, read.usage) == (
        answer.id,
        answer.model,
        answer.created,
        answer.choices,
        answer.usage,
    )


# -- errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.InvalidRequest("x", param="messages[0].content"), "invalid_request_error", "invalid_request"),
        (errors.UnsupportedFeature("x"), "invalid_request_error", "unsupported_feature"),
        (errors.UnknownModel("x", code="model_not_found"), "invalid_request_error", "model_not_found"),
        (errors.RequestTooLarge("x"), "invalid_request_error", "request_too_large"),
        (errors.AccessDenied("x"), "authentication_error", "access_denied"),
        (errors.LimitExceeded("x"), "rate_limit_error", "limit_exceeded"),
        (errors.ContentBlocked("x"), "invalid_request_error", "content_blocked"),
        (errors.Authentication("x"), "server_error", "authentication"),
        (errors.ModelNotFound("x", code="DeploymentNotFound"), "invalid_request_error", "model_not_found"),
        (errors.RateLimited("x", code="429"), "rate_limit_error", "rate_limit_exceeded"),
        (errors.QuotaExhausted("x"), "insufficient_quota", "insufficient_quota"),
        (errors.ContextWindowExceeded("x"), "invalid_request_error", "context_length_exceeded"),
        (errors.ContentFiltered("x"), "invalid_request_error", "content_filter"),
        (errors.Overloaded("x"), "service_unavailable_error", "overloaded"),
        (errors.ProviderFailure("x", code="server_error"), "server_error", "server_error"),
        (errors.StreamInterrupted("x"), "server_error", "stream_interrupted"),
        (errors.DeadlineExceeded("x"), "server_error", "deadline_exceeded"),
        (errors.AllTargetsFailed("x"), "server_error", "all_targets_failed"),
    ],
)
def test_errors_have_the_types_and_codes_that_clients_branch_on(error: LlmError, kind: str, code: str) -> None:
    error.locate(provider="primary", model="m", request_id="theirs")
    error.gateway_request_id = "ours"
    body = json.loads(openai_chat_client.encode_error(error))
    assert body == {
        "error": {
            "message": "x",
            "type": kind,
            "param": error.param,
            "code": code,
            "kind": error.kind,
            "source": error.source,
            "provider": "primary",
            "model": "m",
            "request_id": "ours",
            "provider_request_id": "theirs",
            "attempts": [],
            "skipped": [],
        }
    }
