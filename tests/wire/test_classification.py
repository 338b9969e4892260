"""What a provider's error means: kinds, waits, request ids, and what is never repeated of it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from caxton_llm.wire.failures import classify_error_value, classify_failure
from recorded import interactions


def failure(status: int, body: Any = None, **headers: str) -> LlmError:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return classify_failure(
        WireResponse(status=status, headers={key.replace("_", "-"): value for key, value in headers.items()}, body=raw)
    )


def openai_error(message: str, kind: str | None = None, code: Any = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


AZURE_FILTER = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {
                "jailbreak": {"filtered": True, "detected": True},
                "hate": {"filtered": False, "severity": "safe"},
            },
        },
    }
}

TABLE: list[tuple[int, Any, type[LlmError]]] = [
    # OpenAI
    (400, openai_error("too long", "invalid_request_error", "context_length_exceeded"), ContextWindowExceeded),
    (400, openai_error("This model's maximum context length is 128000 tokens. However, ..."), ContextWindowExceeded),
    (400, openai_error("Input tokens exceed the configured limit of 272000 tokens."), ContextWindowExceeded),
    (400, openai_error("Your input exceeds the context window of this model."), ContextWindowExceeded),
    (400, openai_error("string too long", "invalid_request_error", "string_above_max_length"), InvalidRequest),
    (
        400,
        openai_error("max_tokens is too large: 99. This model supports at most 16384 completion tokens"),
        InvalidRequest,
    ),
    (400, openai_error("Invalid prompt: violates our usage policy", None, "invalid_prompt"), ContentFiltered),
    (
        400,
        openai_error("Unsupported parameter: 'max_tokens'", "invalid_request_error", "unsupported_parameter"),
        InvalidRequest,
    ),
    (401, openai_error("Incorrect API key provided", "invalid_request_error", "invalid_api_key"), Authentication),
    (403, openai_error("Country, region, or territory not supported"), Permission),
    (403, openai_error("Invalid API key"), Authentication),
    (404, openai_error("The model `x` does not exist", "invalid_request_error", "model_not_found"), ModelNotFound),
    (400, openai_error("The model `x` does not exist or you do not have access to it."), ModelNotFound),
    (408, None, FirstByteTimeout),
    (409, openai_error("conflict"), ProviderFailure),
    (413, b"", RequestTooLarge),
    (422, openai_error("unprocessable"), InvalidRequest),
    (425, b"", ProviderFailure),
    (429, openai_error("Rate limit reached for gpt-4o", "tokens", "rate_limit_exceeded"), RateLimited),
    (429, openai_error("slow", "requests", "slow_down"), RateLimited),
    (429, openai_error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), QuotaExhausted),
    (429, openai_error("no credit", None, "credit_balance_exhausted"), QuotaExhausted),
    (402, openai_error("payment required"), QuotaExhausted),
    (500, openai_error("The server had an error", "server_error"), ProviderFailure),
    (503, openai_error("The engine is currently overloaded, please try again later"), Overloaded),
    (503, openai_error("x", "service_unavailable_error", "server_is_overloaded"), Overloaded),
    (503, b"", ProviderFailure),
    (504, b"", FirstByteTimeout),
    (520, b"", ProviderFailure),
    (524, b"", FirstByteTimeout),
    # Azure
    (400, AZURE_FILTER, ContentFiltered),
    (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}, Authentication),
    (401, {"statusCode": 401, "message": "Unauthorized. Access token is missing"}, Authentication),
    (401, {"error": {"code": "PermissionDenied", "message": "Principal does not have access"}}, Permission),
    (401, {"error": {"message": "The principal lacks the required data action `x`"}}, Permission),
    (403, {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}, Permission),
    (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}, ModelNotFound),
    (404, {"error": {"code": "404", "message": "Resource not found"}}, ModelNotFound),
    (404, {"error": {"code": "MissingApiVersionParameter", "message": "x"}}, InvalidRequest),
    (400, {"error": {"code": "BadRequest", "message": "api-version 2020-01-01 is not supported"}}, InvalidRequest),
    (424, b"", ProviderFailure),
    (
        429,
        {"error": {"code": "429", "message": "Requests have exceeded token rate limit. Retry after 26 seconds."}},
        RateLimited,
    ),
    (429, {"error": {"code": "429", "message": "System is experiencing high demand"}}, Overloaded),
    (500, {"error": {"code": "no_capacity", "message": "x"}}, Overloaded),
    # Anthropic
    (
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}},
        ContextWindowExceeded,
    ),
    (
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: 9 > 8, the maximum"}},
        InvalidRequest,
    ),
    (
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
        QuotaExhausted,
    ),
    (404, {"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}, ModelNotFound),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Overloaded),
    # vLLM, Ollama, FastAPI, Google, Cloudflare
    (401, {"error": "Unauthorized"}, Authentication),
    (
        400,
        {"error": {"message": "... reduce the length of the input prompt", "type": "BadRequestError", "code": 400}},
        ContextWindowExceeded,
    ),
    (
        400,
        {"object": "error", "message": "max_tokens=9 cannot be greater than max_model_len=8", "code": 400},
        ContextWindowExceeded,
    ),
    (404, {"detail": "Not Found"}, ModelNotFound),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "missing"}]}, InvalidRequest),
    (501, {"error": {"message": "no", "type": "NotImplementedError", "code": 501}}, UnsupportedFeature),
    (500, {"error": "input is too long: exceed_context_size"}, ContextWindowExceeded),
    (404, {"error": "model 'x' not found, try pulling it first"}, ModelNotFound),
    (400, [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}], Authentication),
    (403, {"success": False, "errors": [{"code": 1, "message": "no"}]}, Permission),
    # whatever stands in front
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", ProviderFailure),
    (301, b"", ProviderFailure),
    (200, b"", MalformedResponse),
]


@pytest.mark.parametrize(("status", "body", "kind"), TABLE)
def test_each_error_of_each_provider_has_its_class(status: int, body: Any, kind: type[LlmError]) -> None:
    error = failure(status, body)
    assert type(error) is kind
    assert error.status == status
    assert error.source == "provider"


def test_the_message_param_and_code_of_the_provider_are_kept() -> None:
    error = failure(
        400,
        openai_error("Unsupported value: 'temperature'", "invalid_request_error", "unsupported_value", "temperature"),
    )
    assert "Unsupported value: 'temperature'" in error.message
    assert (error.param, error.code) == ("temperature", "unsupported_value")


def test_recorded_errors_are_classified() -> None:
    (missing,) = interactions("openai__test_model_name_suggestion.openai-chat")
    (system_role,) = interactions("openai__test_openai_o1_mini_system_role.system")
    openrouter = interactions("openrouter__test_openrouter_errors_raised")[0]
    errors = [
        classify_failure(WireResponse(status=item.status, headers=item.headers, body=item.body))
        for item in (missing, system_role, openrouter)
    ]
    assert [type(error) for error in errors] == [ModelNotFound, InvalidRequest, RateLimited]
    assert errors[1].param == "messages[0].role"
    assert "temporarily rate-limited upstream" in errors[2].message


def test_a_content_filter_names_its_categories() -> None:
    assert "[filtered: jailbreak]" in failure(400, AZURE_FILTER).message


def test_an_html_page_is_summarised_not_quoted() -> None:
    page = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>secret stuff</body></html>"
    error = failure(502, page, content_type="text/html")
    assert "HTML page" in error.message
    assert "502 Bad Gateway" in error.message
    assert "secret stuff" not in error.message


@pytest.mark.parametrize(
    "leak",
    [
        "Incorrect API key provided: sk-proj-ab***wxyz. Find it at ...",
        "Bad token: Bearer abcdefghijklmnop given",
        "Invalid key gsk_abcdef123456",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc refused",
        "Incorrect API key provided: mysecretkey123.",
        "key AIzaSyA1234567890abcdef is not valid",
    ],
)
def test_what_looks_like_a_key_is_masked(leak: str) -> None:
    message = failure(401, openai_error(leak)).message
    assert "***" in message
    for part in ("ab***wxyz", "abcdefghijklmnop", "gsk_abcdef", "eyJzdWIi", "mysecretkey", "A1234567890"):
        assert part not in message


def test_the_input_that_fastapi_echoes_is_not_repeated() -> None:
    detail = [{"loc": ["body", "messages", 0], "msg": "wrong type", "input": "my private prompt"}]
    message = failure(422, {"detail": detail}).message
    assert "body.messages.0: wrong type" in message
    assert "private" not in message


def test_a_long_message_is_cut() -> None:
    assert len(failure(400, openai_error("x" * 10_000)).message) < 600


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "apim-request-id", "x-ms-request-id"])
def test_the_request_id_comes_from_any_of_the_headers(name: str) -> None:
    assert failure(500, b"", **{name: "req_1"}).request_id == "req_1"


def test_the_request_id_comes_from_the_body_where_no_header_has_it() -> None:
    assert failure(500, {"type": "error", "error": {"type": "api_error"}, "request_id": "req_2"}).request_id == "req_2"


DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": "2.5"}, "", 2.5),
        ({"retry-after": "86400"}, "", 86400.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": DATE}, "", 30.0),
        ({"retry-after": "Sunday, 22-Nov-26 10:00:30 GMT", "date": DATE}, "", 30.0),
        ({"retry-after": "Sun Nov 22 10:00:30 2026", "date": DATE}, "", 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, "", None),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": DATE}, "", None),
        ({"retry-after": "0"}, "", None),
        ({"retry-after": "-5"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({}, "Please try again in 20s. Visit", 20.0),
        ({}, "Please retry after 26 seconds.", 26.0),
        ({}, "Try again in 6m0.5s", 360.5),
        ({}, "try again in 114h18m0s", 86400.0),
        ({}, "try again in 12ms", 0.012),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-reset-requests": "8ms"}, "", 360.0),
        (
            {
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "77",
                "x-ratelimit-reset-requests": "8ms",
                "x-ratelimit-remaining-requests": "0",
            },
            "",
            0.008,
        ),
        ({"x-ratelimit-reset-tokens": "17"}, "", 17.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-22T10:00:07Z", "date": DATE}, "", 7.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-22T10:00:07Z"}, "", None),
        ({"x-ratelimit-reset": "1795428000000", "date": DATE}, "", 86400.0),
        ({"retry-after": "1e300"}, "", 86400.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 +" + "9" * 20, "date": DATE}, "", None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 -" + "9" * 20}, "", None),
        ({}, "try again in " + "9" * 150 + "." + "9" * 20 + "s", 86400.0),
        ({}, "try again in " + "9" * 400 + "s", None),
        ({}, "try again in " + "9" * 400, None),
        ({"x-ratelimit-reset-tokens": "9" * 50_000 + "x"}, "", None),
        ({}, "", None),
    ],
)
def test_the_wait_is_read_in_every_way_in_which_providers_say_it(
    headers: dict[str, str], message: str, wait: float | None
) -> None:
    error = failure(429, openai_error(message), **headers)
    assert error.retry_after_s == (None if wait is None else pytest.approx(wait))


def test_windows_are_read_only_for_a_rate_limit() -> None:
    assert failure(500, b"", **{"x-ratelimit-reset-tokens": "6m0s"}).retry_after_s is None


def test_a_request_too_large_for_the_rate_limit_is_not_sent_again() -> None:
    error = failure(
        429, openai_error("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41000")
    )
    assert isinstance(error, RateLimited)
    assert error.should_retry is False


@pytest.mark.parametrize(("asked", "retry"), [("true", True), ("false", False), ("maybe", True)])
def test_the_provider_may_say_itself_whether_to_retry(asked: str, retry: bool) -> None:
    assert failure(500, b"", **{"x-should-retry": asked}).should_retry is retry


def test_a_redirect_says_what_to_change_and_is_not_repeated() -> None:
    error = failure(302, b"")
    assert "base_url" in error.message
    assert error.should_retry is False


# -- errors inside a 200 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"message": "x", "type": "invalid_request_error"}, InvalidRequest),
        ({"message": "x", "code": "server_is_overloaded"}, Overloaded),
        ({"type": "overloaded_error", "message": "Overloaded"}, Overloaded),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Overloaded),
        ({"type": "rate_limit_error", "message": "x"}, RateLimited),
        ({"type": "timeout_error", "message": "x"}, FirstByteTimeout),
        ({"type": "authentication_error", "message": "x"}, Authentication),
        ({"type": "api_error", "message": "x"}, ProviderFailure),
        ({"message": "x", "code": 400, "type": "BadRequestError"}, InvalidRequest),
        ({"message": "x", "code": 429}, RateLimited),
        ({"message": "x", "code": "429"}, RateLimited),
        ({"code": 502, "message": "Network connection lost."}, ProviderFailure),
        ({"message": "x", "status_code": 503, "code": "weird"}, ProviderFailure),
        ({"message": "This model's maximum context length is 8"}, ContextWindowExceeded),
        ({"message": "x", "code": "content_filter"}, ContentFiltered),
        ("something broke", ProviderFailure),
        ("", ProviderFailure),
        (None, ProviderFailure),
        (17, ProviderFailure),
        ([], ProviderFailure),
    ],
)
def test_an_error_inside_a_200_is_told_by_type_code_and_words(value: Any, kind: type[LlmError]) -> None:
    assert type(classify_error_value(value)) is kind


def test_groqs_failed_generation_is_not_repeated() -> None:
    error = classify_error_value(
        {
            "message": "Failed to call a function",
            "code": "tool_use_failed",
            "status_code": 400,
            "failed_generation": "the answer",
        }
    )
    assert type(error) is InvalidRequest
    assert "the answer" not in error.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "detail", "errors", "innererror", "loc", "msg", "metadata", "raw"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=json_values, status=st.integers(100, 599))
@settings(max_examples=150, deadline=None)
def test_any_value_is_classified_without_an_exception(value: Any, status: int) -> None:
    assert isinstance(failure(status, value), LlmError)
    assert isinstance(classify_error_value(value), LlmError)


@given(body=st.binary(max_size=80), status=st.integers(300, 599))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_classified_without_an_exception(body: bytes, status: int) -> None:
    assert isinstance(failure(status, body), LlmError)
