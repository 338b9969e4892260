"""What all fake providers share: a queue of scripted replies, faults by name, and refusals in the vendor's shape.

A request is checked first, then the script is asked: a scripted reply does not excuse a wrong request. Each vendor's module
adds its routes, its checks and its way of writing an answer.
"""

import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import ClassVar

from fakes.http_server import HttpServer, Json, Received, Response
from fakes.script import (
    Answer,
    Asked,
    Part,
    Reasoning,
    Redacted,
    Refused,
    Reply,
    Text,
    ToolCall,
    Usage,
    default_answer,
    words,
)

__all__ = ["FakeProvider", "Refusal", "json_response", "ndjson_line", "sse_event"]


class Refusal(Exception):
    """The request is not what the vendor takes; `response` says so in its words."""

    def __init__(self, response: Response) -> None:
        super().__init__(b"".join(response.events).decode())
        self.response = response


def json_response(body: Json, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON body, in two halves so that `cut_after(1)` and `stall_after(1)` mean something."""
    data = json.dumps(body, ensure_ascii=False, indent=2).encode()
    half = len(data) // 2
    return Response(
        status=status,
        headers={"content-type": "application/json", **(headers or {})},
        events=[data[:half], data[half:]],
    )


def sse_event(data: Json, name: str | None = None, padding: str = "") -> bytes:
    """One server-sent event; text is sent as it stands, anything else as JSON, with `padding` before its last brace."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if padding:
        text = f"{text[:-1]}{padding}{text[-1]}"
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {text}\n\n".encode()


def ndjson_line(data: Json) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class FakeProvider(HttpServer):
    """A provider whose answers are scripted with `reply`, `fail` and `reply_raw`, one per request in turn.

    When nothing is scripted it answers from the request: see `fakes.script.default_answer`.
    """

    garbage: ClassVar[bytes] = b'data: {"choices": [}\xff\n\n'
    """What `garbage_after` puts into a stream."""
    failures: ClassVar[frozenset[str]]
    """Names that `fail` and `Reply.error_after` take: those that the vendor really has."""
    failure_names: ClassVar[Mapping[int, str]] = {
        400: "invalid_request",
        401: "authentication",
        403: "permission",
        404: "model_not_found",
        429: "rate_limited",
        503: "overloaded",
    }

    def __init__(self, *, api_key: str = "sk-fake-key-1", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.api_key = api_key
        self._script: list[Reply] = []
        self._numbers = count(1)

    # -- scripting -------------------------------------------------------------------------------------------------------

    def start_over(self) -> None:
        """Forget the requests that came, and the replies that nobody asked for."""
        self.requests.clear()
        self._script.clear()

    def reply(
        self,
        text: str | None = None,
        *parts: Part,
        tools: Sequence[ToolCall] = (),
        reasoning: str | None = None,
        signature: str | None = None,
        redacted: str | None = None,
        refusal: str | None = None,
        data: Json = None,
        finish: str | None = None,
        usage: Usage | None = None,
        model: str | None = None,
        chunks: int | None = None,
        headers: Mapping[str, str] | None = None,
        times: int | None = 1,
    ) -> Reply:
        """Queue an answer: reasoning, then text (or `data` as JSON text), further `parts`, tool calls.

        With no content at all the answer is made from the request, changed by `finish`, `usage` and `model`. `chunks` is the
        number of pieces in which a streamed text (and each call's arguments) comes; `None` sends word by word.
        """
        if data is not None:
            text = json.dumps(data, ensure_ascii=False)
        content: list[Part] = []
        if reasoning is not None:
            content.append(Reasoning(reasoning, signature))
        if redacted is not None:
            content.append(Redacted(redacted))
        if text is not None:
            content.append(Text(text))
        if refusal is not None:
            content.append(Refused(refusal))
        reply = Reply(
            parts=(*content, *parts, *tools),
            finish=finish,
            usage=usage,
            model=model,
            chunks=chunks,
            headers=dict(headers or {}),
            times=times,
        )
        self._script.append(reply)
        return reply

    def fail(
        self,
        what: int | str,
        message: str | None = None,
        *,
        body: Json = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
        times: int | None = 1,
    ) -> Reply:
        """Queue an error in the vendor's own words: a status, or one of the names in `failures`.

        Names: `invalid_request`, `authentication`, `permission`, `model_not_found`, `rate_limited`, `quota_exhausted`,
        `context_window_exceeded`, `content_filtered`, `overloaded`, `provider_failure`. `body` replaces the vendor's body.
        `path` names the endpoint (`/health`); without it the chat endpoint fails.
        """
        name = self.failure_names.get(what, "provider_failure") if isinstance(what, int) else what
        if isinstance(what, int) and name not in self.failures:
            name = "provider_failure"
        if name not in self.failures:
            raise ValueError(f"{type(self).__name__} has no failure {name!r}; it has {sorted(self.failures)}")
        status, own_body, own_headers = self.failure(name, message)
        raw = json.dumps(own_body if body is None else body).encode()
        reply = Reply(
            path=path,
            times=times,
            status=what if isinstance(what, int) else status,
            body=raw,
            headers={"content-type": "application/json", **own_headers, **(headers or {})},
        )
        self._script.append(reply)
        return reply

    def reply_raw(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "text/html; charset=utf-8",
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
        times: int | None = 1,
    ) -> Reply:
        """Queue bytes as they stand. With a streaming content type each blank-line-ended block (line, for NDJSON) is one
        event of a chunked body."""
        reply = Reply(
            path=path, times=times, status=status, body=body, headers={"content-type": content_type, **(headers or {})}
        )
        self._script.append(reply)
        return reply

    # -- what a vendor adds ----------------------------------------------------------------------------------------------

    def route(self, request: Received) -> Response:
        """Answer or raise `Refusal`."""
        raise NotImplementedError

    def failure(self, name: str, message: str | None = None) -> tuple[int, Json, dict[str, str]]:
        """Status, body and headers of a failure in the vendor's own words."""
        raise NotImplementedError

    def stream_failure(self, name: str, message: str | None) -> list[bytes]:
        """The events that end a stream when this failure happens in its middle."""
        return [sse_event(self.failure(name, message)[1])]

    def new_id(self, prefix: str) -> str:
        """An id that no other answer of this server has."""
        return f"{prefix}{next(self._numbers):06}"

    # -- answering -------------------------------------------------------------------------------------------------------

    def respond(self, request: Received) -> Response:
        try:
            return self.route(request)
        except Refusal as refusal:
            return refusal.response

    def scripted(self, request: Received, otherwise: Callable[[], Response]) -> Response:
        """The scripted failure of an endpoint beside chat, else its own answer."""
        reply = self._take(request.path)
        response = otherwise() if reply is None or reply.status is None else _raw_response(reply)
        return self._delivered(response, reply)

    def converse(self, asked: Asked, write: Callable[[Answer, int | None], Response]) -> Response:
        """The next scripted reply, or an answer from the request, written by `write(answer, chunks)`."""
        reply = self._take(None)
        if reply is not None and reply.status is not None:
            return self._delivered(_raw_response(reply), reply)
        answer = default_answer(asked)
        if reply is None:
            return write(answer, None)
        response = write(_scripted_answer(reply, answer), reply.chunks)
        response.headers.update(reply.headers)
        return self._delivered(response, reply)

    def _take(self, path: str | None) -> Reply | None:
        reply = next((reply for reply in self._script if reply.path == path), None)
        if reply is not None and reply.times is not None:
            reply.times -= 1
            if reply.times <= 0:
                self._script.remove(reply)
        return reply

    def _delivered(self, response: Response, reply: Reply | None) -> Response:
        if reply is None:
            return response
        events = response.events
        if reply.loses_end:
            events = events[:-1]
        if reply.errors_at is not None:
            position, name, message = reply.errors_at
            events = [*events[:position], *self.stream_failure(name, message)]
        for position, event in sorted(reply.inserted, key=lambda item: -item[0]):
            events = [*events[:position], self.garbage if event is None else event, *events[position:]]
        if reply.has_crlf and response.streams:
            events = [event.replace(b"\n", b"\r\n") for event in events]
        response.events = events
        response.delivery = reply
        return response


def _scripted_answer(reply: Reply, default: Answer) -> Answer:
    answer = replace(
        default, model=reply.model, usage=reply.usage or default.usage, finish=reply.finish or default.finish
    )
    if not reply.parts:
        return answer
    text = " ".join(getattr(part, "text", "") or getattr(part, "arguments_text", "") for part in reply.parts)
    reasoning = sum(len(words(part.text)) for part in reply.parts if isinstance(part, Reasoning))
    usage = replace(default.usage, completion=len(words(text)), reasoning=reasoning)
    finish = "tool_calls" if any(isinstance(part, ToolCall) for part in reply.parts) else "stop"
    if any(isinstance(part, Refused) for part in reply.parts):
        finish = "refusal"
    return replace(
        answer, parts=reply.parts, usage=reply.usage or usage, finish=reply.finish or finish, stop_sequence=None
    )


def _raw_response(reply: Reply) -> Response:
    content_type = reply.headers.get("content-type", "")
    streams = True
    if content_type.startswith("text/event-stream"):
        events = re.findall(rb".+?(?:\r?\n\r?\n|\Z)", reply.body, re.DOTALL)
    elif content_type.startswith("application/x-ndjson"):
        events = reply.body.splitlines(keepends=True)
    else:
        half, streams = len(reply.body) // 2, False
        events = [reply.body[:half], reply.body[half:]]
    assert reply.status is not None
    return Response(status=reply.status, headers=dict(reply.headers), events=events, streams=streams)
