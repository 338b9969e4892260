"""What a provider's error means, for every provider: one procedure over (status, headers, body).

Status first, machine code second, the provider's words last, and only where providers say the same thing in words alone
(a prompt that is too long, a spent account, no capacity). The order of the rules matters and is the order of `_RULES`.

Timeouts that a provider or a proxy in front of it reports (408, 504, 524) become `FirstByteTimeout`: to a caller and to
`retry_on_errors` they are the same thing as our own limit running out.

A message here is the provider's own, cut to 500 characters with everything that looks like a key masked; HTML is summarised.
"""

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from caxton_llm.errors import (
    Authentication,
    ContentFiltered,
    ContextWindowExceeded,
    FirstByteTimeout,
    InvalidRequest,
    LlmError,
    MalformedResponse,
    ModelNotFound,
    Overloaded,
    Permission,
    ProviderFailure,
    QuotaExhausted,
    RateLimited,
    RequestTooLarge,
    UnsupportedFeature,
)
from caxton_llm.protocols import WireResponse
from caxton_llm.types import Json
from caxton_llm.wire.error_body import ErrorBody, read_error, read_error_body, shown_message
from caxton_llm.wire.retry_after import retry_after_s

__all__ = ["classify_error_value", "classify_failure"]

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-ms-request-id")


class _Case(Struct):
    """What the rules look at: `status` is the HTTP status, or the one that an error inside a 200 stands for."""

    status: int
    in_band: bool
    body: ErrorBody

    def is_one_of(self, *statuses: int) -> bool:
        return self.in_band or self.status in statuses

    def has_code(self, codes: frozenset[str]) -> bool:
        return not codes.isdisjoint(self.body.codes)

    def says(self, pattern: re.Pattern[str]) -> bool:
        return pattern.search(self.body.text) is not None


def classify_failure(response: WireResponse) -> LlmError:
    """The error that an answer outside 2xx is, with kind, request id and the wait that the provider asks for."""
    headers = response.headers
    body = read_error_body(response.body, headers.get("content-type", ""))
    error = _error(_Case(status=response.status, in_band=False, body=body), status=response.status)
    error.request_id = _request_id(headers) or body.request_id
    error.retry_after_s = retry_after_s(headers, body.text, status=response.status)
    asked = headers.get("x-should-retry", "").strip().lower()
    if asked in ("true", "false"):
        error.should_retry = asked == "true"
    return error


def classify_error_value(error: Json, *, status: int | None = None) -> LlmError:
    """The error that an error object inside a 200 answer or a stream is: the value of its `error` field, or the whole event.

    `status` is the HTTP status that belongs to it, where there is one besides 200.
    """
    body = read_error(error)
    meant = status if status is not None and status >= 400 else _meant_status(body)
    found = _error(_Case(status=meant, in_band=True, body=body), status=status)
    found.request_id = body.request_id
    found.retry_after_s = retry_after_s({}, body.text, status=meant)
    return found


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((value for name in _REQUEST_ID_HEADERS if (value := headers.get(name))), None)


def _error(case: _Case, *, status: int | None) -> LlmError:
    kind = next((found for rule in _RULES if (found := rule(case)) is not None), ProviderFailure)
    body = case.body
    meaning = _REDIRECTS if 300 <= case.status < 400 else _MEANING[kind]
    said = shown_message(body)
    error = kind(
        f"{meaning}: {said}" if said else f"{meaning}, and it gave no reason",
        source="provider",
        param=body.param,
        code=body.codes[0] if body.codes else None,
        status=status,
    )
    if (kind is RateLimited and case.says(_TOO_LARGE)) or (kind is ProviderFailure and case.status < 400):
        error.should_retry = False
    return error


# -- the rules; each answers with a class or leaves it to the next ------------------------------------------------------

_Rule = Callable[[_Case], type[LlmError] | None]


def _any_case(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "ResponsibleAIPolicyViolation",
        "invalid_prompt",
        "moderation_blocked",
    }
)
_FILTER_WORDS = _any_case("content management policy|content filtering policy|usage policy|content_policy")

_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "model_context_window_exceeded"})
_CONTEXT_WORDS = _any_case(
    r"maximum context length|context length is only|context_length|context window"
    r"|exceed(s|ed)? (the )?(model'?s )?(maximum )?(available )?context|exceeds? (the )?context (limit|length|size)"
    r"|prompt is too long|input is too long|input tokens exceed the configured limit"
    r"|longer than the (model'?s )?(context|maximum model) length|longer than the context length"
    r"|greater than max_model_len|too many (input )?tokens|reduce the length of (the|your) (messages|prompt|input)"
    r"|maximum input length is \d+"
)
_NOT_CONTEXT_WORDS = _any_case(r"max_tokens: \d+ > \d+|supports at most \d+ completion tokens")
_TOO_LONG_STRING = frozenset({"string_above_max_length"})

_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
    }
)
_QUOTA_WORDS = _any_case("credit balance is too low|exceeded your current quota|spend(ing)? limit|usage limits")

_MODEL_CODES = frozenset({"model_not_found", "DeploymentNotFound", "not_found_error", "NotFoundError"})
_MODEL_WORDS = _any_case("does not exist or you do not have access")
_VERSION_CODES = frozenset({"MissingApiVersionParameter"})
_VERSION_WORDS = _any_case("api[- ]version.{0,80}not supported")

_DENIED_CODES = frozenset({"PermissionDenied"})
_DENIED_WORDS = _any_case("lacks the required data action|does not have access to API")
_BAD_KEY_WORDS = _any_case("incorrect api key|invalid api key|api key not valid")

_BUSY_CODES = frozenset({"overloaded_error", "service_unavailable_error", "server_is_overloaded", "no_capacity"})
_BUSY_503_WORDS = _any_case("overloaded|busy|capacity|high demand|maximum pending")
_BUSY_429_WORDS = _any_case("high demand|temporarily unable to process|overloaded|capacity")

_TOO_LARGE = _any_case("request too large")


def _content(case: _Case) -> type[LlmError] | None:
    if not case.is_one_of(400, 403, 422):
        return None
    return ContentFiltered if case.has_code(_FILTER_CODES) or case.says(_FILTER_WORDS) else None


def _context(case: _Case) -> type[LlmError] | None:
    if case.has_code(_CONTEXT_CODES):
        return ContextWindowExceeded
    if case.status not in (400, 413, 422, 500) or case.has_code(_TOO_LONG_STRING) or case.says(_NOT_CONTEXT_WORDS):
        return None
    return ContextWindowExceeded if case.says(_CONTEXT_WORDS) else None


def _quota(case: _Case) -> type[LlmError] | None:
    if case.status == 402 or case.has_code(_QUOTA_CODES):
        return QuotaExhausted
    if any(code.startswith("linked_organization_") for code in case.body.codes):
        return QuotaExhausted
    return QuotaExhausted if case.is_one_of(400, 403, 429) and case.says(_QUOTA_WORDS) else None


def _model(case: _Case) -> type[LlmError] | None:
    if case.has_code(_VERSION_CODES) or (case.is_one_of(400, 404) and case.says(_VERSION_WORDS)):
        return InvalidRequest
    return ModelNotFound if case.has_code(_MODEL_CODES) or case.says(_MODEL_WORDS) else None


def _access(case: _Case) -> type[LlmError] | None:
    if case.status == 401:
        return Permission if case.has_code(_DENIED_CODES) or case.says(_DENIED_WORDS) else Authentication
    if case.status in (400, 403) and case.says(_BAD_KEY_WORDS):
        return Authentication
    return Permission if case.status == 403 else None


def _overload(case: _Case) -> type[LlmError] | None:
    if case.status == 529 or case.has_code(_BUSY_CODES):
        return Overloaded
    words = {503: _BUSY_503_WORDS, 429: _BUSY_429_WORDS}.get(case.status)
    return Overloaded if words is not None and case.says(words) else None


def _by_status(case: _Case) -> type[LlmError] | None:
    status = case.status
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status < 300:
        return MalformedResponse
    return InvalidRequest if 400 <= status < 500 else ProviderFailure


_BY_STATUS: dict[int, type[LlmError]] = {
    404: ModelNotFound,
    408: FirstByteTimeout,
    409: ProviderFailure,
    410: ModelNotFound,
    413: RequestTooLarge,
    424: ProviderFailure,
    425: ProviderFailure,
    429: RateLimited,
    501: UnsupportedFeature,
    504: FirstByteTimeout,
    524: FirstByteTimeout,
}

_RULES: tuple[_Rule, ...] = (_content, _context, _quota, _model, _access, _overload, _by_status)

_MEANING: dict[type[LlmError], str] = {
    Authentication: "the provider refuses the configured credentials (check the key)",
    ContentFiltered: "the provider's content filter refused the request",
    ContextWindowExceeded: "the request does not fit the model's context window",
    FirstByteTimeout: "the provider timed out",
    InvalidRequest: "the provider refused the request",
    MalformedResponse: "the provider's answer cannot be read",
    ModelNotFound: "the provider does not know the model, the deployment or the path (check model and base_url)",
    Overloaded: "the provider has no capacity at the moment",
    Permission: "the configured credentials may not do this",
    ProviderFailure: "the provider failed",
    QuotaExhausted: "the account has no credit left or has reached its limit",
    RateLimited: "the provider's rate limit is reached",
    RequestTooLarge: "the request is larger than the provider accepts",
    UnsupportedFeature: "the provider cannot do what was asked",
}

_REDIRECTS = "the provider redirects, which is not followed (set base_url to the final address)"


# -- errors inside a 200 ------------------------------------------------------------------------------------------------

_MEANT_STATUS = {
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "invalid_argument": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthorized": 401,
    "permission_error": 403,
    "permissiondenied": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "request_too_large": 413,
    "unprocessableentityerror": 422,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimitreached": 429,
    "resource_exhausted": 429,
    "tokens": 429,
    "requests": 429,
    "slow_down": 429,
    "api_error": 500,
    "server_error": 500,
    "internalservererror": 500,
    "timeout_error": 504,
    "timeout": 504,
    "overloaded_error": 529,
}


def _meant_status(body: ErrorBody) -> int:
    """The HTTP status that an error without one stands for: by type and code, then by a numeric code, else 500."""
    for code in body.codes:
        if (meant := _MEANT_STATUS.get(code.lower())) is not None:
            return meant
    for code in body.codes:
        if code.isdecimal() and len(code) == 3 and int(code) >= 400:
            return int(code)
    return 500
