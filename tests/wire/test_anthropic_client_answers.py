"""Whole answers and errors for clients of Anthropic's Messages API, read by the `anthropic` package."""

from typing import Any

import anthropic
import msgspec
import pytest

from anthropic_vendor import asked, call, client, dumped, read_whole, response
from caxton_llm.errors import (
    AccessDenied,
    AllTargetsFailed,
    Attempt,
    Authentication,
    ContentBlocked,
    ContextWindowExceeded,
    DeadlineExceeded,
    IdleTimeout,
    InvalidRequest,
    LimitExceeded,
    LlmError,
    ModelNotFound,
    Overloaded,
    ProviderFailure,
    RateLimited,
    RequestTooLarge,
    UnknownModel,
    UnsupportedFeature,
)
from caxton_llm.protocols import Restore
from caxton_llm.types import (
    ChatRequest,
    ChatResponse,
    Message,
)
from caxton_llm.wire import anthropic_messages
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client
from recorded import interactions

# -- whole answers ------------------------------------------------------------------------------------------------------


def test_an_answer_of_the_same_dialect_goes_out_as_it_came() -> None:
    recorded = interactions("anthropic__test_multiple_parallel_tool_calls")[0].body
    answer = anthropic_messages.decode_chat(recorded, Restore())
    assert anthropic_messages_client.encode_response(answer, ChatRequest(messages=[])) == recorded


def test_an_answer_of_another_vendor_is_a_message() -> None:
    message = Message(
        role="assistant",
        content="Let me look.",
        reasoning_content="Hm.",
        tool_calls=[call("call_1", "f", '{"b":1, "a":2}'), call("call_2", "g", ""), call("call_3", "h", '{"a":')],
    )
    read = read_whole(response(message, "tool_calls"))
    assert (read.id, read.type, read.role, read.model) == ("msg_chatcmpl-1", "message", "assistant", "gpt-4o")
    assert read.stop_reason == "tool_use"
    assert dumped(read) == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"b": 1, "a": 2}},
        {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
        {"type": "tool_use", "id": "call_3", "name": "h", "input": {"_raw": '{"a":'}},
    ]
    assert read.usage.input_tokens == 113 - 100 - 3
    assert (read.usage.cache_read_input_tokens, read.usage.cache_creation_input_tokens) == (100, 3)
    assert read.usage.output_tokens == 7
    assert read.usage.output_tokens_details is not None
    assert read.usage.output_tokens_details.thinking_tokens == 2


def test_signed_thinking_goes_out_verbatim_in_place_of_its_text() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]
    read = read_whole(response(Message(role="assistant", content="a", reasoning_content="Hm.", thinking_blocks=blocks)))
    assert dumped(read)[:2] == blocks


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("error", None), (None, None)],
)
def test_every_finish_reason_has_its_stop_reason(finish_reason: Any, stop_reason: str | None) -> None:
    assert read_whole(response(Message(role="assistant", content="a"), finish_reason)).stop_reason == stop_reason


def test_a_stop_sequence_is_told() -> None:
    read = read_whole(response(Message(role="assistant", content="a"), stop_sequence="END"))
    assert (read.stop_reason, read.stop_sequence) == ("stop_sequence", "END")


def test_calls_decide_over_the_word_stop() -> None:
    message = Message(role="assistant", tool_calls=[call("c", "f", "{}")])
    assert read_whole(response(message)).stop_reason == "tool_use"


def test_a_refusal_is_one_and_is_seen() -> None:
    read = read_whole(response(Message(role="assistant", refusal="I will not.")))
    assert read.stop_reason == "refusal"
    assert read.stop_details is not None
    assert read.stop_details.explanation == "I will not."
    assert dumped(read) == [{"type": "text", "text": "I will not."}]


def test_what_is_not_known_is_null_which_the_vendors_client_bears() -> None:
    bare = ChatResponse(id="", model="m", choices=[])
    read = read_whole(bare)
    assert read.usage.input_tokens is None
    assert read.usage.output_tokens is None
    assert read.content == []
    assert b'"input_tokens":null' in anthropic_messages_client.encode_response(bare, ChatRequest(messages=[]))


# -- errors -------------------------------------------------------------------------------------------------------------


class Forbidden(AccessDenied):
    http_status = 403


@pytest.mark.parametrize(
    ("error", "type_", "raised"),
    [
        (InvalidRequest("x", param="messages[0].content"), "invalid_request_error", anthropic.BadRequestError),
        (UnsupportedFeature("x"), "invalid_request_error", anthropic.UnprocessableEntityError),
        (ContentBlocked("x"), "invalid_request_error", anthropic.BadRequestError),
        (ContextWindowExceeded("prompt is too long"), "invalid_request_error", anthropic.BadRequestError),
        (AccessDenied("x"), "authentication_error", anthropic.AuthenticationError),
        (Forbidden("x"), "permission_error", anthropic.PermissionDeniedError),
        (UnknownModel("x"), "not_found_error", anthropic.NotFoundError),
        (ModelNotFound("x"), "not_found_error", anthropic.NotFoundError),
        (RequestTooLarge("x"), "request_too_large", anthropic.RequestTooLargeError),
        (RateLimited("x"), "rate_limit_error", anthropic.RateLimitError),
        (LimitExceeded("x"), "rate_limit_error", anthropic.RateLimitError),
        (Overloaded("x"), "overloaded_error", anthropic.ServiceUnavailableError),
        (DeadlineExceeded("x"), "timeout_error", anthropic.DeadlineExceededError),
        (IdleTimeout("x"), "timeout_error", anthropic.InternalServerError),
        (Authentication("x"), "api_error", anthropic.InternalServerError),
        (ProviderFailure("x"), "api_error", anthropic.InternalServerError),
    ],
)
def test_errors_have_the_vendors_types(error: LlmError, type_: str, raised: type[Exception]) -> None:
    with (
        client(anthropic_messages_client.encode_error(error), status=error.http_status) as vendor,
        pytest.raises(raised) as caught,
    ):
        vendor.messages.create(**asked())
    assert isinstance(caught.value, anthropic.APIStatusError)
    assert caught.value.type == type_


def test_an_error_says_who_refused_and_where() -> None:
    error = AllTargetsFailed("nobody answered", request_id="req_1").locate(provider="primary", model="claude")
    error.gateway_request_id = "cax_1"
    error.attempts = [Attempt("primary", "overloaded", 0.0, 1.0), Attempt("backup", "connect_failed", 1.0, 0.1)]
    assert msgspec.json.decode(anthropic_messages_client.encode_error(error)) == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "nobody answered",
            "param": None,
            "code": "all_targets_failed",
            "kind": "all_targets_failed",
            "source": "provider",
            "provider": "primary",
            "model": "claude",
            "provider_request_id": "req_1",
            "attempts": [
                {"target": "primary", "error": "overloaded", "started": 0.0, "seconds": 1.0, "key": None},
                {"target": "backup", "error": "connect_failed", "started": 1.0, "seconds": 0.1, "key": None},
            ],
            "skipped": [],
        },
        "request_id": "cax_1",
    }
