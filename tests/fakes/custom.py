"""A text API of somebody's own: where the fields stand, how it is signed and how it streams is configured.

It takes only the fields that it was told of; anything else, or a wrong type, is refused with a problem document (RFC 7807).
"""

import base64
import ssl
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Literal
from urllib.parse import unquote_plus

from fakes.http_server import Json, Received, Response
from fakes.provider import FakeProvider, Refusal, json_response, ndjson_line, sse_event
from fakes.script import Answer, Asked, fragments, text_of

__all__ = ["FakeCustom"]

_FAILURES: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "prompt is missing"),
    "authentication": (401, "token unknown"),
    "permission": (403, "not yours"),
    "model_not_found": (404, "no such model"),
    "rate_limited": (429, "slow down"),
    "overloaded": (503, "overloaded, come back later"),
    "provider_failure": (500, "something broke"),
}


class FakeCustom(FakeProvider):
    """Answers `POST path`. `*_field` are dotted paths, as in the `custom` provider's configuration; `None` leaves a field
    out. With `auth="oauth2"` the token endpoint is `token_url` and tokens are in `tokens`."""

    failures: ClassVar[frozenset[str]] = frozenset(_FAILURES)

    def __init__(
        self,
        *,
        auth: Literal["bearer", "api_key", "oauth2", "none"] = "bearer",
        auth_header: str = "X-API-Key",
        client_auth: Literal["basic", "post"] = "basic",
        scope: str | None = None,
        path: str = "/generate",
        model_field: str = "model",
        prompt_field: str = "prompt",
        system_field: str | None = None,
        max_tokens_field: str | None = "max_tokens",
        temperature_field: str | None = "temperature",
        stop_field: str | None = None,
        response_field: str = "text",
        finish_field: str | None = None,
        prompt_tokens_field: str | None = None,
        completion_tokens_field: str | None = None,
        stream_field: str | None = None,
        stream_format: Literal["sse", "ndjson"] = "sse",
        stream_mode: Literal["delta", "cumulative"] = "delta",
        stream_flag_field: str = "stream",
        stream_end: str | None = "[DONE]",
        stream_end_field: str | None = None,
        token_seconds: int | str | None = 3600,
        api_key: str = "custom-fake-key-1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(api_key=api_key, tls=tls)
        self.auth, self.auth_header, self.client_auth, self.scope = auth, auth_header, client_auth, scope
        self.path = path
        self.request_fields = {
            model_field: (str,),
            prompt_field: (str, list),
            system_field: (str,),
            max_tokens_field: (int,),
            temperature_field: (int, float),
            stop_field: (str, list),
            stream_flag_field: (bool,),
        }
        self.prompt_field, self.system_field, self.max_tokens_field = prompt_field, system_field, max_tokens_field
        self.model_field, self.stop_field = model_field, stop_field
        self.response_field, self.finish_field = response_field, finish_field
        self.prompt_tokens_field, self.completion_tokens_field = prompt_tokens_field, completion_tokens_field
        self.stream_field, self.stream_format, self.stream_mode = stream_field, stream_format, stream_mode
        self.stream_flag_field, self.stream_end, self.stream_end_field = stream_flag_field, stream_end, stream_end_field
        self.client_id, self.client_secret, self.token_seconds = "client 1", "secret:1/+", token_seconds
        self.tokens: set[str] = set()

    @property
    def token_url(self) -> str:
        return f"{self.root_url}/oauth/token"

    def expire_tokens(self) -> None:
        """No token that was issued is accepted any more."""
        self.tokens.clear()

    # -- errors ----------------------------------------------------------------------------------------------------------

    def failure(self, name: str, message: str | None = None) -> tuple[int, Json, dict[str, str]]:
        status, text = _FAILURES[name]
        return status, _problem(status, message or text), {"content-type": "application/problem+json"}

    def stream_failure(self, name: str, message: str | None) -> list[bytes]:
        event = {"error": {"message": message or _FAILURES[name][1], "code": name}}
        return [sse_event(event) if self.stream_format == "sse" else ndjson_line(event)]

    def _refuse(self, status: int, detail: str) -> Refusal:
        headers = {"content-type": "application/problem+json"}
        return Refusal(json_response(_problem(status, detail), status=status, headers=headers))

    # -- routes ----------------------------------------------------------------------------------------------------------

    def route(self, request: Received) -> Response:
        match request.method, request.path:
            case "POST", "/oauth/token":
                return self.scripted(request, lambda: self._issue_token(request))
            case "GET", "/health":
                return self.scripted(request, lambda: json_response({"status": "up"}))
            case "POST", self.path:
                self._authorize(request)
                return self._generate(request)
        raise self._refuse(404, f"no {request.method} {request.path}")

    def _authorize(self, request: Received) -> None:
        given = request.headers.get("authorization")
        if self.auth == "bearer":
            is_known = given == f"Bearer {self.api_key}"
        elif self.auth == "oauth2":
            is_known = given is not None and given.removeprefix("Bearer ") in self.tokens
        elif self.auth == "api_key":
            is_known = request.headers.get(self.auth_header.lower()) == self.api_key
        else:
            is_known = given is None
        if not is_known:
            raise self._refuse(401, "token unknown")

    def _issue_token(self, request: Received) -> Response:
        form = request.form
        client, secret = form.get("client_id"), form.get("client_secret")
        if self.client_auth == "basic":
            client, secret = _basic(request.headers.get("authorization", ""))
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise _oauth_error(400, "invalid_request")
        if form.get("grant_type") != "client_credentials":
            raise _oauth_error(400, "unsupported_grant_type")
        if (client, secret) != (self.client_id, self.client_secret):
            raise _oauth_error(401, "invalid_client")
        if form.get("scope") != self.scope:
            raise _oauth_error(400, "invalid_scope")
        token = self.new_id("token-")
        self.tokens.add(token)
        body: dict[str, Json] = {"access_token": token, "token_type": "Bearer"}
        return json_response(body if self.token_seconds is None else {**body, "expires_in": self.token_seconds})

    # -- generation ------------------------------------------------------------------------------------------------------

    def _generate(self, request: Received) -> Response:
        try:
            body = request.json
        except ValueError:
            raise self._refuse(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise self._refuse(400, "the body is not an object")
        self._check(body)
        asked = self._asked(body)
        streams = self.stream_field is not None and _get(body, self.stream_flag_field) is True

        def write(answer: Answer, pieces: int | None) -> Response:
            if not streams:
                return json_response(self._plain(answer))
            content_type = "text/event-stream" if self.stream_format == "sse" else "application/x-ndjson"
            return Response(
                headers={"content-type": content_type}, events=list(self._events(answer, pieces)), streams=True
            )

        return self.converse(asked, write)

    def _check(self, body: dict[str, Json]) -> None:
        known = {field: types for field, types in self.request_fields.items() if field is not None}
        for path, value in _leaves(body):
            within = next((field for field in known if path == field or path.startswith(f"{field}.")), None)
            if within is None:
                raise self._refuse(400, f"{path}: unknown field")
            if path == within and (
                not isinstance(value, known[path]) or (isinstance(value, bool) and bool not in known[path])
            ):
                raise self._refuse(400, f"{path}: wrong type")
        for path in (self.model_field, self.prompt_field):
            if not _get(body, path):
                raise self._refuse(400, f"{path} is missing")

    def _asked(self, body: dict[str, Json]) -> Asked:
        prompt = _get(body, self.prompt_field)
        text = prompt if isinstance(prompt, str) else text_of(prompt[-1])
        system = _get(body, self.system_field) or ""
        stop = _get(body, self.stop_field) or ()
        return Asked(
            user_text=text,
            prompt_text=f"{system}\n{text_of(prompt)}",
            stop=[stop] if isinstance(stop, str) else stop,
            limit=_get(body, self.max_tokens_field),
        )

    def _plain(self, answer: Answer) -> dict[str, Json]:
        body: dict[str, Json] = {}
        _set(body, self.response_field, answer.text)
        _set(body, self.finish_field, answer.finish)
        _set(body, self.prompt_tokens_field, answer.usage.prompt)
        _set(body, self.completion_tokens_field, answer.usage.completion)
        return body

    def _events(self, answer: Answer, pieces: int | None) -> Iterator[bytes]:
        frame = sse_event if self.stream_format == "sse" else ndjson_line
        sent = ""
        for piece in fragments(answer.text, pieces):
            sent += piece
            event: dict[str, Json] = {}
            _set(event, self.stream_field, sent if self.stream_mode == "cumulative" else piece)
            yield frame(event)
        last: dict[str, Json] = {}
        _set(last, self.finish_field, answer.finish)
        _set(last, self.prompt_tokens_field, answer.usage.prompt)
        _set(last, self.completion_tokens_field, answer.usage.completion)
        _set(last, self.stream_end_field, True)
        if last:
            yield frame(last)
        if self.stream_end is not None and self.stream_format == "sse":
            yield sse_event(self.stream_end)


def _problem(status: int, detail: str) -> dict[str, Json]:
    return {"type": "about:blank", "title": "Problem", "status": status, "detail": detail}


def _oauth_error(status: int, error: str) -> Refusal:
    return Refusal(json_response({"error": error, "error_description": f"it is {error}"}, status=status))


def _basic(header: str) -> tuple[str, str]:
    """Client id and secret of HTTP Basic, which OAuth form-encodes first (RFC 6749, 2.3.1)."""
    decoded = base64.b64decode(header.removeprefix("Basic ")).decode()
    client, _, secret = decoded.partition(":")
    return unquote_plus(client), unquote_plus(secret)


def _fits(value: Json, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def _leaves(value: dict[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def _get(body: dict[str, Json], path: str | None) -> Json:
    value: Json = body
    for key in path.split(".") if path else ():
        value = value.get(key) if isinstance(value, dict) else None
    return value if path else None


def _set(body: dict[str, Json], path: str | None, value: Json) -> None:
    """Numbers in the path are positions in a list: `choices.0.text`."""
    if path is None:
        return
    keys: list[str | int] = [int(key) if key.isdigit() else key for key in path.split(".")]
    target: Json = body
    for key, following in pairwise(keys):
        target = _entered(target, key, [] if isinstance(following, int) else {})
    _entered(target, keys[-1], None)
    target[keys[-1]] = value


def _entered(target: Json, key: str | int, empty: Json) -> Json:
    if isinstance(key, str):
        return target.setdefault(key, empty)
    target.extend([empty] * (key + 1 - len(target)))
    return target[key]
