"""What a client of Anthropic's Messages API gets from us: whole answers, errors, counts, and what its streams share.

An answer that came in this dialect goes out as its bytes. Any other becomes a message; what is not known in it is null, also
where Anthropic itself always has a number.
"""

from dataclasses import asdict

import msgspec
from msgspec import Raw

from caxton_llm.errors import (
    AccessDenied,
    ConnectTimeout,
    DeadlineExceeded,
    FirstByteTimeout,
    IdleTimeout,
    InvalidRequest,
    LimitExceeded,
    LlmError,
    ModelNotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    RequestTooLarge,
    UnknownModel,
)
from caxton_llm.types import ChatRequest, ChatResponse, FinishReason, Json, Message, ToolCall, Usage
from caxton_llm.wire.anthropic_messages.response import DIALECT

__all__ = [
    "encode_count",
    "encode_error",
    "encode_response",
    "error_object",
    "message_id",
    "stop_fields",
    "usage_object",
]

_encode = msgspec.json.Encoder().encode
_arguments_decoder = msgspec.json.Decoder(dict[str, Raw])

_STOP_REASONS: dict[FinishReason | None, str | None] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    # Neither is a natural end, and Anthropic has no word for it.
    "error": None,
    None: None,
}

_ERROR_TYPES: tuple[tuple[tuple[type[LlmError], ...], str], ...] = (
    ((UnknownModel, ModelNotFound), "not_found_error"),
    ((RequestTooLarge,), "request_too_large"),
    ((RateLimited, LimitExceeded, QuotaExhausted), "rate_limit_error"),
    ((Overloaded,), "overloaded_error"),
    ((DeadlineExceeded, FirstByteTimeout, IdleTimeout, ConnectTimeout), "timeout_error"),
    ((InvalidRequest,), "invalid_request_error"),
)


def encode_response(response: ChatResponse, request: ChatRequest) -> bytes:  # noqa: ARG001 - part of the contract
    """A whole answer; of several choices the first, because a client of this dialect cannot ask for more."""
    if response.dialect == DIALECT and response.wire is not None:
        return response.wire
    choice = response.choices[0] if response.choices else None
    message = choice.message if choice is not None else Message(role="assistant")
    reason = choice.finish_reason if choice is not None else None
    if message.tool_calls and reason == "stop":
        reason = "tool_calls"
    return _encode(
        {
            "id": message_id(response.id),
            "type": "message",
            "role": "assistant",
            "model": response.model,
            "content": _blocks(message),
            **stop_fields(reason, choice.stop_sequence if choice is not None else None, message.refusal),
            "usage": usage_object(response.usage),
        }
    )


def encode_count(tokens: int) -> bytes:
    """The answer of `POST /v1/messages/count_tokens`."""
    return _encode({"input_tokens": tokens})


def encode_error(error: LlmError) -> bytes:
    """The body of an answer outside 2xx."""
    return _encode(error_object(error))


def error_object(error: LlmError) -> dict[str, Json]:
    """An error in Anthropic's shape, with what is known of its place beside it."""
    details = {
        "type": _error_type(error),
        "message": error.message,
        "param": error.param,
        "code": error.code or error.kind,
        "kind": error.kind,
        "source": error.source,
        "provider": error.provider,
        "model": error.model,
        "provider_request_id": error.request_id,
        "attempts": [asdict(attempt) for attempt in error.attempts],
        "skipped": [asdict(skip) for skip in error.skipped],
    }
    return {"type": "error", "error": details, "request_id": error.gateway_request_id}


def _error_type(error: LlmError) -> str:
    if isinstance(error, AccessDenied):
        return "permission_error" if error.http_status == 403 else "authentication_error"
    for classes, name in _ERROR_TYPES:
        if isinstance(error, classes):
            return name
    return "invalid_request_error" if error.http_status == 400 else "api_error"


def message_id(response_id: str) -> str:
    """The id of an answer, with the prefix that clients may look for."""
    return response_id if response_id.startswith("msg_") else f"msg_{response_id}"


def stop_fields(reason: FinishReason | None, stop_sequence: str | None, refusal: str | None) -> dict[str, Json]:
    """Why the answer ended."""
    stop_reason = "stop_sequence" if reason == "stop" and stop_sequence else _STOP_REASONS[reason]
    if refusal:
        stop_reason = "refusal"
    details = {"type": "refusal", "category": None, "explanation": refusal} if stop_reason == "refusal" else None
    return {"stop_reason": stop_reason, "stop_sequence": stop_sequence, "stop_details": details}


def usage_object(usage: Usage | None) -> dict[str, Json]:
    """`input_tokens` is what the prompt has beyond what the cache read and wrote."""
    usage = usage or Usage()
    fresh = usage.prompt_tokens
    if fresh is not None:
        fresh = max(0, fresh - (usage.cached_tokens or 0) - (usage.cache_write_tokens or 0))
    told: dict[str, Json] = {
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens is not None:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def _blocks(message: Message) -> list[Json]:
    blocks: list[Json] = list(message.thinking_blocks or ())
    if not blocks and message.reasoning_content:
        blocks.append({"type": "thinking", "thinking": message.reasoning_content, "signature": ""})
    content = message.content
    texts = [content] if isinstance(content, str) else [part.text for part in content or ()]
    blocks += [{"type": "text", "text": text} for text in texts if text]
    if message.refusal and not any(texts):
        blocks.append({"type": "text", "text": message.refusal})
    blocks += [_tool_use(call) for call in message.tool_calls or () if call.function is not None]
    return blocks


def _tool_use(call: ToolCall) -> dict[str, Json]:
    function = call.function
    return {
        "type": "tool_use",
        "id": call.id,
        "name": function.name if function is not None else "",
        "input": _input(function.arguments if function is not None else ""),
    }


def _input(arguments: str) -> Raw:
    """What is no object travels under `_raw`: what the model wrote is never corrected."""
    text = arguments.strip() or "{}"
    encoded = text.encode("utf-8", "replace")
    try:
        _arguments_decoder.decode(encoded)
    except (msgspec.DecodeError, RecursionError):
        return Raw(_encode({"_raw": arguments}))
    return Raw(encoded)
