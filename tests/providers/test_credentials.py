"""Credentials: cached tokens, refused secrets, nothing secret in any text."""

import base64
from urllib.parse import parse_qs, quote, quote_plus

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import (
    Authentication,
    ConfigurationError,
    LlmError,
    MalformedResponse,
    Overloaded,
    ProviderFailure,
    RateLimited,
)
from caxton_llm.protocols import Origin, WireRequest, WireResponse
from caxton_llm.providers.credentials import OAuth2ClientCredentials, StaticCredentials, bearer
from caxton_llm.types import Json

TOKEN_URL = "https://login.example.com/oauth2/token?tenant=a"
SECRET = "s3cr&t +very/secret="


def oauth(**changes: Json) -> OAuth2ClientCredentials:
    fields: dict[str, Json] = {"token_url": TOKEN_URL, "client_id": "caxton id", "client_secret": SECRET}
    return OAuth2ClientCredentials(**(fields | changes))


def answered(status: int = 200, headers: dict[str, str] | None = None, **fields: Json) -> WireResponse:
    return WireResponse(status=status, headers=headers or {}, body=msgspec.json.encode(fields))


def token(expires_in: Json = 3600, **fields: Json) -> WireResponse:
    lifetime = {} if expires_in is None else {"expires_in": expires_in}
    return answered(access_token="t-1", token_type="Bearer", **lifetime, **fields)


def refresh(credentials: OAuth2ClientCredentials, response: WireResponse, now: float = 0.0) -> WireRequest:
    """Drives one refresh and returns the request that it made."""
    flow = credentials.refresh(now)
    request = next(flow)
    with pytest.raises(StopIteration):
        flow.send(response)
    return request


def refused(credentials: OAuth2ClientCredentials, response: WireResponse) -> LlmError:
    flow = credentials.refresh(0.0)
    next(flow)
    with pytest.raises(LlmError) as caught:
        flow.send(response)
    return caught.value


# -- fixed headers ------------------------------------------------------------------------------------------------------


def test_a_bearer_token_becomes_a_header_in_lower_case() -> None:
    assert bearer("abc").headers(0.0) == (("authorization", "Bearer abc"),)
    assert StaticCredentials((("X-API-Key", "abc"),)).headers(5.0) == (("x-api-key", "abc"),)


def test_fixed_credentials_have_nothing_to_refresh() -> None:
    credentials = bearer("abc")
    assert credentials.refreshable is False
    assert list(credentials.refresh(0.0)) == []
    credentials.invalidate()
    assert credentials.headers(0.0) == (("authorization", "Bearer abc"),)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\nX-Evil: 1", "\x00", "\x7f", "é"])
def test_a_secret_that_cannot_be_a_header_is_refused_without_being_shown(ending: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        bearer(f"sk-hidden{ending}", "provider_config.auth_token")
    assert "provider_config.auth_token" in str(caught.value)
    assert "hidden" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        oauth(client_secret=f"sk-hidden{ending}")
    assert "hidden" not in str(caught.value)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="client_secret: is empty"):
        oauth(client_secret=" ")


@pytest.mark.parametrize("name", ["", "x key", "x\r\ny", "x:y", "schlüssel"])
def test_what_is_no_name_of_a_header_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not the name of a header"):
        StaticCredentials(((name, "abc"),))


def test_no_repr_shows_a_secret() -> None:
    credentials = oauth()
    refresh(credentials, token())
    shown = repr((bearer("sk-hidden"), credentials, next(oauth(client_auth="post").refresh(0.0))))
    assert "hidden" not in shown
    assert "s3cr" not in shown
    assert "t-1" not in shown


# -- the token request --------------------------------------------------------------------------------------------------


def test_basic_authentication_form_encodes_id_and_secret() -> None:
    request = refresh(oauth(scope="a b"), token())
    assert request.method == "POST"
    assert request.origin == Origin("https", "login.example.com", 443)
    assert request.path == "/oauth2/token?tenant=a"
    headers = dict(request.headers)
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["accept"] == "application/json"
    pair = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == "caxton+id:s3cr%26t+%2Bvery%2Fsecret%3D"
    assert parse_qs(request.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}


def test_id_and_secret_can_travel_in_the_body_with_further_fields() -> None:
    request = refresh(oauth(client_auth="post", params={"audience": "https://api"}), token())
    assert "authorization" not in dict(request.headers)
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "audience": ["https://api"],
        "client_id": ["caxton id"],
        "client_secret": [SECRET],
    }


@pytest.mark.parametrize(
    "url", ["login.example.com", "ftp://x/y", "https://", "https://u:p@x/t", "http://x:99999/", "http://x/a b\n"]
)
def test_what_is_no_token_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="token_url"):
        oauth(token_url=url)


# -- the life of a token ------------------------------------------------------------------------------------------------


def test_a_token_must_be_fetched_first_and_is_kept_until_shortly_before_its_end() -> None:
    credentials = oauth()
    assert credentials.headers(0.0) is None
    refresh(credentials, token(3600), now=1000.0)
    assert credentials.headers(1000.0) == (("authorization", "Bearer t-1"),)
    assert credentials.headers(1000.0 + 3239.9) is not None  # 10 % of an hour early
    assert credentials.headers(1000.0 + 3240.0) is None


def test_a_token_of_some_minutes_is_replaced_a_minute_early() -> None:
    credentials = oauth()
    refresh(credentials, token(300))
    assert credentials.headers(239.9) is not None
    assert credentials.headers(240.0) is None


def test_a_short_token_is_still_used_for_half_of_its_life() -> None:
    credentials = oauth()
    refresh(credentials, token(30))
    assert credentials.headers(14.9) is not None
    assert credentials.headers(15.0) is None


@pytest.mark.parametrize("expires_in", [None, "", "soon", 0, -5, "NaN", [], 10**400])
def test_an_unknown_life_counts_as_five_minutes(expires_in: Json) -> None:
    credentials = oauth()
    body = (
        b'{"access_token":"t-1"' + (b"" if expires_in is None else f',"expires_in":{_json(expires_in)}'.encode()) + b"}"
    )
    refresh(credentials, WireResponse(status=200, headers={}, body=body))
    assert credentials.headers(239.9) is not None
    assert credentials.headers(240.0) is None


def test_a_life_written_as_text_is_understood() -> None:
    credentials = oauth()
    refresh(credentials, token("3600"))
    assert credentials.headers(3000.0) is not None


@settings(max_examples=60, deadline=None)
@given(st.floats(min_value=1e-3, max_value=1e9), st.floats(min_value=0, max_value=1e6))
def test_a_fresh_token_is_usable_at_once_and_never_after_its_end(lifetime: float, now: float) -> None:
    credentials = oauth()
    refresh(credentials, token(lifetime), now=now)
    assert credentials.headers(now) is not None or lifetime < 1e-6 * now
    assert credentials.headers(now + lifetime) is None


def test_a_refused_token_is_forgotten() -> None:
    credentials = oauth()
    refresh(credentials, token())
    assert credentials.refreshable
    credentials.invalidate()
    assert credentials.headers(0.0) is None


# -- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(400, "invalid_scope"), (401, "invalid_client"), (403, "unauthorized_client")]
)
def test_a_refused_client_is_an_authentication_error_with_the_reason(status: int, code: str) -> None:
    error = refused(oauth(), answered(status, error=code, error_description="Wrong audience."))
    assert type(error) is Authentication
    assert not error.should_retry
    assert error.status == status
    assert code in error.message
    assert "Wrong audience." in error.message
    assert "login.example.com" in error.message


PAIR = f"{quote_plus('caxton id')}:{quote_plus(SECRET)}"


@pytest.mark.parametrize(
    "form",
    [SECRET, quote(SECRET, safe=""), quote_plus(SECRET), PAIR, base64.b64encode(PAIR.encode()).decode()],
    ids=["as it is", "in an address", "in a form", "the pair", "the pair as it is sent"],
)
@pytest.mark.parametrize("status", [401, 429])
def test_an_echoed_secret_does_not_reach_the_message(form: str, status: int) -> None:
    error = refused(oauth(), answered(status, error=f"bad_{form}", error_description=f"bad secret {form}"))
    for secret in (SECRET, quote(SECRET, safe=""), quote_plus(SECRET), form):
        assert secret not in f"{error} {vars(error)}"
    assert ("***" in error.message) is (status == 401)  # the other tells no reason


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (500, ProviderFailure), (502, ProviderFailure)])
def test_a_busy_or_broken_token_endpoint_may_be_asked_again(status: int, kind: type[LlmError]) -> None:
    error = refused(oauth(), answered(status, {"retry-after": "7"}, error="temporarily_unavailable"))
    assert type(error) is kind
    assert error.should_retry
    assert error.retry_after_s == 7.0


def test_an_overloaded_token_endpoint_says_so() -> None:
    assert type(refused(oauth(), answered(503, error="server busy"))) is Overloaded


def test_a_redirecting_token_endpoint_is_not_followed() -> None:
    error = refused(oauth(), WireResponse(status=302, headers={"location": "https://evil.example"}, body=b""))
    assert type(error) is Authentication
    assert "token_url" in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"<html>login</html>",
        b"[]",
        b"{}",
        b'{"access_token":""}',
        b'{"access_token":7}',
        b'{"access_token":"a\\nb"}',
        b"\xff",
    ],
)
def test_an_answer_without_a_token_is_malformed(body: bytes) -> None:
    error = refused(oauth(), WireResponse(status=200, headers={}, body=body))
    assert type(error) is MalformedResponse
    assert "access_token" in error.message


def test_a_token_of_another_type_is_not_used() -> None:
    credentials = oauth()
    assert type(refused(credentials, answered(access_token="t", token_type="mac"))) is MalformedResponse
    assert credentials.headers(0.0) is None


def _json(value: Json) -> str:
    return str(value) if isinstance(value, int) else msgspec.json.encode(value).decode()
