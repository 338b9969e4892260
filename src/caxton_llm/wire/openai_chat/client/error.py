"""Errors as OpenAI's clients know them: the body `{"error": {...}}`, with types and codes that they branch on."""

from dataclasses import asdict

import msgspec

from caxton_llm.errors import (
    AccessDenied,
    ContentBlocked,
    ContentFiltered,
    ContextWindowExceeded,
    InvalidRequest,
    LimitExceeded,
    LlmError,
    ModelNotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
)
from caxton_llm.types import Json

__all__ = ["encode_error", "error_value"]

_TYPES: tuple[tuple[type[LlmError], str], ...] = (
    (AccessDenied, "authentication_error"),
    (LimitExceeded, "rate_limit_error"),
    (RateLimited, "rate_limit_error"),
    (QuotaExhausted, "insufficient_quota"),
    (Overloaded, "service_unavailable_error"),
    (InvalidRequest, "invalid_request_error"),
    (ContentBlocked, "invalid_request_error"),
    (ContentFiltered, "invalid_request_error"),
    (ContextWindowExceeded, "invalid_request_error"),
    (ModelNotFound, "invalid_request_error"),
)

_CODES: tuple[tuple[type[LlmError], str], ...] = (
    (ContextWindowExceeded, "context_length_exceeded"),
    (ContentFiltered, "content_filter"),
    (ModelNotFound, "model_not_found"),
    (QuotaExhausted, "insufficient_quota"),
    (RateLimited, "rate_limit_exceeded"),
)
"""Codes that clients look for, whichever provider's error it was."""


def encode_error(error: LlmError) -> bytes:
    """The body of an error response. `source` says who refused, `kind` is this package's name for what happened."""
    return msgspec.json.encode({"error": error_value(error)})


def error_value(error: LlmError) -> dict[str, Json]:
    """The value of `error` in a body or an event."""
    return {
        "message": error.message,
        "type": next((name for kind, name in _TYPES if isinstance(error, kind)), "server_error"),
        "param": error.param,
        "code": next((code for kind, code in _CODES if isinstance(error, kind)), error.code or error.kind),
        "kind": error.kind,
        "source": error.source,
        "provider": error.provider,
        "model": error.model,
        "request_id": error.gateway_request_id,
        "provider_request_id": error.request_id,
        "attempts": [asdict(attempt) for attempt in error.attempts],
        "skipped": [asdict(skip) for skip in error.skipped],
    }
