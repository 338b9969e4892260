"""What is left of a provider's limits is read from every vendor's headers, and garbage is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.wire.rate_limits import RateLimitInfo, Window, read_rate_limits

NOW = 1_795_341_600.0  # 2026-11-22T10:00:00Z
DATE = "Sun, 22 Nov 2026 10:00:00 GMT"

OPENAI = {
    "content-type": "application/json",
    "openai-processing-ms": "304",
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-remaining-tokens": "199985",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-reset-tokens": "6m0s",
    "x-request-id": "req_1",
}
AZURE = {
    "x-ratelimit-limit-requests": "250",
    "x-ratelimit-remaining-requests": "249",
    "x-ratelimit-remaining-tokens": "249978",
    "x-ratelimit-reset-tokens": "12",
    "x-ms-region": "Sweden Central",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-11-22T10:00:01Z",
    "anthropic-ratelimit-tokens-limit": "38000",
    "anthropic-ratelimit-tokens-remaining": "36000",
    "anthropic-ratelimit-tokens-reset": "2026-11-22T10:00:03Z",
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "29000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-22T10:00:02Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "7000",
    "anthropic-ratelimit-output-tokens-reset": "2026-11-22T11:00:00+01:00",
    "anthropic-priority-input-tokens-remaining": "1",
}
LEFT = {"x-ratelimit-remaining-requests": "9"}


def read(headers: dict[str, str]) -> RateLimitInfo | None:
    return read_rate_limits(headers, lambda: NOW)


def unasked() -> float:
    raise AssertionError("the clock was asked")


@pytest.mark.parametrize(
    ("headers", "info"),
    [
        (OPENAI, RateLimitInfo(requests=Window(500, 499, 0.12), tokens=Window(200_000, 199_985, 360.0))),
        (AZURE, RateLimitInfo(requests=Window(250, 249, None), tokens=Window(None, 249_978, 12.0))),
        (
            ANTHROPIC,
            RateLimitInfo(
                requests=Window(50, 49, 1.0),
                tokens=Window(38_000, 36_000, 3.0),
                input_tokens=Window(30_000, 29_000, 2.0),
                output_tokens=Window(8_000, 7_000, 0.0),
            ),
        ),
        (
            {"x-ratelimit-remaining-input-tokens": "0", "x-ratelimit-reset-input-tokens": "1h2m3.5s"},
            RateLimitInfo(input_tokens=Window(None, 0, 3723.5)),
        ),
        (
            {"x-ratelimit-limit-requests": "3", "x-ratelimit-remaining-requests": "0"},
            RateLimitInfo(requests=Window(3, 0)),
        ),
        ({**LEFT, "x-ratelimit-reset-requests": "0s"}, RateLimitInfo(requests=Window(None, 9, 0.0))),
        ({**LEFT, "x-ratelimit-reset-requests": str(NOW + 5)}, RateLimitInfo(requests=Window(None, 9, 5.0))),
        ({**LEFT, "x-ratelimit-reset-requests": "999999h0m0s"}, RateLimitInfo(requests=Window(None, 9, 86400.0))),
        ({**LEFT, "x-ratelimit-reset-requests": "soon"}, RateLimitInfo(requests=Window(None, 9, None))),
    ],
)
def test_every_vendor_s_headers_are_understood(headers: dict[str, str], info: RateLimitInfo) -> None:
    assert read(headers) == info


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json", "date": DATE, "retry-after": "7"},
        {"anthropic-priority-input-tokens-remaining": "0", "x-ratelimit-limit-tokens_usage_based": "5"},
        {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"},
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "0"},
        {"x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-reset-requests": "5s"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "0"},
        {"x-ratelimit-limit-tokens": "many", "x-ratelimit-remaining-tokens": "nan", "x-ratelimit-reset-tokens": "soon"},
        {"anthropic-ratelimit-requests-reset": "2026-13-40T99:00:00Z", "anthropic-ratelimit-requests-limit": ""},
    ],
)
def test_what_is_not_said_or_a_filler_or_garbage_is_unknown(headers: dict[str, str]) -> None:
    assert read(headers) is None


def test_a_reset_that_has_passed_is_now() -> None:
    past = {"anthropic-ratelimit-requests-limit": "5", "anthropic-ratelimit-requests-reset": "2026-11-22T09:59:00Z"}
    assert read(past) == RateLimitInfo(requests=Window(5, None, 0.0))


def test_a_date_without_a_zone_says_nothing() -> None:
    odd = {"anthropic-ratelimit-requests-limit": "5", "anthropic-ratelimit-requests-reset": "2026-11-22T10:00:07"}
    assert read(odd) == RateLimitInfo(requests=Window(5, None, None))


def test_a_date_counts_from_the_provider_s_clock_where_the_answer_tells_it() -> None:
    headers = {
        "date": DATE,
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "2026-11-22T10:00:07Z",
    }
    assert read_rate_limits(headers, unasked) == RateLimitInfo(tokens=Window(None, 0, 7.0))


def test_a_duration_needs_no_clock() -> None:
    assert read_rate_limits(OPENAI, unasked) is not None
    assert read_rate_limits({"content-type": "application/json"}, unasked) is None


@given(
    st.dictionaries(
        st.sampled_from(sorted(OPENAI | ANTHROPIC | {"date": ""})),
        st.one_of(
            st.text("0123456789.-+:TZehms ²"), st.floats().map(str), st.integers().map(str), st.datetimes().map(str)
        ),
    )
)
def test_no_header_makes_it_raise_and_every_number_is_within_its_range(headers: dict[str, str]) -> None:
    info = read(headers)
    for window in (info.requests, info.tokens, info.input_tokens, info.output_tokens) if info is not None else ():
        if window is not None:
            assert window.limit is None or window.limit >= 1
            assert window.remaining is None or window.remaining >= 0
            assert window.reset_s is None or 0 <= window.reset_s <= 86400
