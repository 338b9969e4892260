"""Headers that sign a request: fixed ones, and OAuth 2 client credentials with a cached token. Pure: time is an argument.

Secrets enter through constructors and leave only as header values or in the body of a token request. No `repr`, message or
exception contains one. A secret with a line break or another control character is refused when it is given, because it
would end up as a header of its own.
"""

import base64
import math
from collections.abc import Generator, Mapping
from typing import Literal
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from caxton_llm.errors import (
    Authentication,
    ConfigurationError,
    ConfigurationProblem,
    LlmError,
    MalformedResponse,
)
from caxton_llm.protocols import Origin, WireRequest, WireResponse
from caxton_llm.types import Json
from caxton_llm.wire.failures import classify_failure
from caxton_llm.wire.quotes import secret_forms

__all__ = ["OAuth2ClientCredentials", "StaticCredentials", "bearer"]

_UNKNOWN_LIFETIME_S = 300.0
_EARLY_S = 60.0
_EARLY_SHARE = 0.1
_QUOTED_MESSAGE_LIMIT = 300


def bearer(token: str, path: str = "api_key") -> "StaticCredentials":
    """`Authorization: Bearer <token>`; `path` is the configuration key that an error names."""
    return StaticCredentials((("authorization", f"Bearer {token}"),), path)


class StaticCredentials:
    """The same headers for every request. Raises `ConfigurationError` for what cannot be a header; `path` is the
    configuration key of the values, `name_path` that of their names."""

    __slots__ = ("_headers",)

    refreshable = False

    def __init__(
        self, headers: tuple[tuple[str, str], ...], path: str = "api_key", *, name_path: str | None = None
    ) -> None:
        for name, value in headers:
            _require_name(name, name_path or path)
            _require_text(path, value)
        self._headers = tuple((name.lower(), value) for name, value in headers)

    def headers(self, now: float) -> tuple[tuple[str, str], ...]:  # noqa: ARG002 - they never grow old
        return self._headers

    def refresh(self, now: float) -> Generator[WireRequest, WireResponse, None]:  # noqa: ARG002
        """There is nothing to fetch."""
        yield from ()

    def invalidate(self) -> None:
        """There is nothing to forget."""

    def __repr__(self) -> str:
        return f"StaticCredentials({[name for name, _ in self._headers]})"


class OAuth2ClientCredentials:
    """A bearer token from a token endpoint (RFC 6749, section 4.4), kept until shortly before it expires.

    A token that lives `expires_in` seconds is replaced max(60 s, 10 %) earlier, but never before half of its life; a
    lifetime that the endpoint does not tell counts as 300 s. `client_auth` sends id and secret by HTTP Basic or in the
    body. `params` are further fields of the token request (`audience`, `resource`).
    """

    __slots__ = ("_client_auth", "_client_id", "_fields", "_fresh_until", "_headers", "_origin", "_path", "_secret")

    refreshable = True

    def __init__(
        self,
        *,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        params: Mapping[str, str] = {},
        client_auth: Literal["basic", "post"] = "basic",
    ) -> None:
        self._origin, self._path = _token_endpoint(token_url)
        _require_text("client_id", client_id)
        _require_text("client_secret", client_secret)
        self._client_id = client_id
        self._secret = client_secret
        self._client_auth = client_auth
        self._fields = {"grant_type": "client_credentials", **({"scope": scope} if scope else {}), **params}
        self._headers: tuple[tuple[str, str], ...] | None = None
        self._fresh_until = -math.inf

    def headers(self, now: float) -> tuple[tuple[str, str], ...] | None:
        return self._headers if now < self._fresh_until else None

    def refresh(self, now: float) -> Generator[WireRequest, WireResponse, None]:
        """One request for a new token. Its life is counted from `now`, the moment before the request: never too long.

        Raises `Authentication` when the endpoint refuses the client, `MalformedResponse` for an answer without a token, and
        what the status says for 408, 429 and 5xx.
        """
        response = yield self._token_request()
        if not 200 <= response.status < 300:
            raise self._failure(response)
        token, lifetime = self._read_token(response)
        self._headers = (("authorization", f"Bearer {token}"),)
        self._fresh_until = now + _fresh_for_s(lifetime)

    def invalidate(self) -> None:
        self._headers = None
        self._fresh_until = -math.inf

    def _token_request(self) -> WireRequest:
        fields = dict(self._fields)
        headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")]
        if self._client_auth == "basic":
            headers.append(("authorization", f"Basic {self._basic_pair()}"))
        else:
            fields |= {"client_id": self._client_id, "client_secret": self._secret}
        return WireRequest(
            method="POST",
            origin=self._origin,
            path=self._path,
            headers=tuple(headers),
            body=urlencode(fields).encode(),
        )

    def _basic_pair(self) -> str:
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret)}"
        return base64.b64encode(pair.encode()).decode()

    def _without_secret(self, text: str) -> str:
        """What the endpoint wrote, without the secret in any form in which it was sent."""
        for form in sorted({*secret_forms(self._secret), self._basic_pair()}, key=len, reverse=True):
            text = text.replace(form, "***")
        return text

    def _read_token(self, response: WireResponse) -> tuple[str, float]:
        answer = _json_object(response.body)
        token = answer.get("access_token")
        if not isinstance(token, str) or not _is_token(token):
            raise MalformedResponse(
                f"the token endpoint {self._origin} answered without a usable access_token", status=response.status
            )
        kind = answer.get("token_type")
        if isinstance(kind, str) and kind.lower() != "bearer":
            raise MalformedResponse(
                f"the token endpoint {self._origin} answered with a token that is not of type bearer",
                status=response.status,
            )
        return token, _lifetime_s(answer.get("expires_in"))

    def _failure(self, response: WireResponse) -> LlmError:
        where = f"the token endpoint {self._origin} answered {response.status}"
        failure = classify_failure(response)
        failure.reword(self._without_secret)
        if response.status in (408, 429) or response.status >= 500:
            return type(failure)(where, status=response.status, code=failure.code, retry_after_s=failure.retry_after_s)
        if response.status < 400:
            return Authentication(f"{where}; redirects are not followed, so token_url must be the final address")
        return Authentication(where + self._quoted_reason(response), status=response.status, code=failure.code)

    def _quoted_reason(self, response: WireResponse) -> str:
        answer = _json_object(response.body)
        reasons = [text for key in ("error", "error_description") if isinstance(text := answer.get(key), str)]
        quoted = self._without_secret(": ".join(reasons))[:_QUOTED_MESSAGE_LIMIT]
        return f": {quoted}" if quoted else ""

    def __repr__(self) -> str:
        return f"OAuth2ClientCredentials({self._origin})"


def _token_endpoint(url: str) -> tuple[Origin, str]:
    problem = ConfigurationProblem(
        "is not an http or https address", path="token_url", hint="write it as https://login.example.com/oauth2/token"
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError([problem]) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not _is_header_text(url):
        raise ConfigurationError([problem])
    origin = Origin(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80))
    return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _require_name(name: str, path: str) -> None:
    if not name or not name.isascii() or any(character in '()<>@,;:\\"/[]?={} \t\r\n' for character in name):
        raise ConfigurationError([ConfigurationProblem(f"{name!r} is not the name of a header", path=path)])


def _require_text(path: str, secret: str) -> None:
    if not secret.strip():
        raise ConfigurationError([ConfigurationProblem("is empty", path=path)])
    if not _is_header_text(secret):
        raise ConfigurationError(
            [
                ConfigurationProblem(
                    "contains a line break or another character that no header may contain (the value is not shown)",
                    path=path,
                    hint="often a newline at the end of the file that the secret was read from",
                )
            ]
        )


def _is_header_text(text: str) -> bool:
    return all(" " <= character <= "~" for character in text)


def _is_token(text: str) -> bool:
    return bool(text) and all("!" <= character <= "~" for character in text)


def _json_object(body: bytes) -> dict[str, Json]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _lifetime_s(expires_in: Json) -> float:
    """`expires_in` as the endpoint wrote it, a number or a string of one; zero and anything else is "not said"."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return _UNKNOWN_LIFETIME_S
    return seconds if 0.0 < seconds < math.inf else _UNKNOWN_LIFETIME_S


def _fresh_for_s(lifetime_s: float) -> float:
    early = max(_EARLY_S, lifetime_s * _EARLY_SHARE)
    return lifetime_s - min(early, lifetime_s / 2)
