"""Anthropic: Messages, token counting and the list of models, for both `anthropic-version`s.

Thinking is signed: a block that comes back must carry the text that its signature was given for, so that a block which was
changed, mixed up or came from another vendor is refused.
"""

import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import ClassVar

from fakes.anthropic_answers import UsageShape, Written, asked_of, events_of, message_of
from fakes.anthropic_checks import MODELS, ClaudeModel, check_count, check_message_request, prompt_text
from fakes.anthropic_messages import Invalid
from fakes.http_server import Json, Received, Response
from fakes.provider import FakeProvider, Refusal, json_response, sse_event
from fakes.script import Answer, Reasoning, Redacted, words

__all__ = ["FakeAnthropic"]

_VERSIONS = ("2023-06-01", "2026-10-21")
_BETAS = frozenset(
    {
        "interleaved-thinking-2025-05-14",
        "fine-grained-tool-streaming-2025-05-14",
        "files-api-2025-04-14",
        "context-management-2025-06-27",
        "fast-mode-2026-02-01",
        "output-300k-2026-03-24",
        "task-budgets-2026-03-13",
    }
)
_LARGEST_BODY = 32 * 1024 * 1024
_FAILURES: dict[str, tuple[int, str, str]] = {
    "invalid_request": (400, "invalid_request_error", "messages: Field required"),
    "authentication": (401, "authentication_error", "invalid x-api-key"),
    "permission": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "model_not_found": (404, "not_found_error", "model: claude-x"),
    "rate_limited": (429, "rate_limit_error", "This request would exceed the rate limit of 50 requests per minute."),
    # Anthropic answers an empty account with 400 and no code.
    "quota_exhausted": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "context_window_exceeded": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "content_filtered": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "provider_failure": (500, "api_error", "Internal server error"),
}


class FakeAnthropic(FakeProvider):
    """`base_url` is without `/v1`, as the `anthropic` package takes it; a test may change `models` and `usage_shape`."""

    failures: ClassVar[frozenset[str]] = frozenset(_FAILURES)

    garbage: ClassVar[bytes] = b'event: content_block_delta\ndata: {"type": "content_block_delta", \xff\n\n'
    failure_names: ClassVar[Mapping[int, str]] = {
        **FakeProvider.failure_names,
        503: "provider_failure",
        529: "overloaded",
    }

    def __init__(
        self,
        *,
        api_key: str = "sk-ant-fake-1",
        models: Mapping[str, ClaudeModel] = MODELS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(api_key=api_key, tls=tls)
        self.models = dict(models)
        self.usage_shape: UsageShape = "repeated"
        self.signatures: dict[str, str] = {}
        """Every signature (and redacted block) that was given, with the thinking it belongs to."""

    def sign(self, thinking: str) -> str:
        """A signature that this server accepts with that thinking."""
        signature = f"{self.new_id('EqMD')}{sha256(thinking.encode()).hexdigest()[:24]}"
        self.signatures[signature] = thinking
        return signature

    # -- errors ----------------------------------------------------------------------------------------------------------

    def failure(self, name: str, message: str | None = None) -> tuple[int, Json, dict[str, str]]:
        status, kind, text = _FAILURES[name]
        request_id = self.new_id("req_")
        body = {"type": "error", "error": {"type": kind, "message": message or text}, "request_id": request_id}
        return status, body, {"request-id": request_id}

    def stream_failure(self, name: str, message: str | None) -> list[bytes]:
        return [sse_event(self.failure(name, message)[1], "error")]

    def _refuse(self, status: int, kind: str, message: str) -> Refusal:
        request_id = self.new_id("req_")
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
        return Refusal(json_response(body, status=status, headers={"request-id": request_id}))

    # -- routes ----------------------------------------------------------------------------------------------------------

    def route(self, request: Received) -> Response:
        self._authorize(request)
        match request.method, request.segments:
            case "POST", ["v1", "messages"]:
                return self._message(request, self._body(request))
            case "POST", ["v1", "messages", "count_tokens"]:
                body = self._body(request)
                return self.scripted(request, lambda: self._count(body))
            case "GET", ["v1", "models"]:
                return self.scripted(request, lambda: self._list(request))
            case "GET", ["v1", "models", name]:
                return self.scripted(request, lambda: self._one_model(name))
        raise self._refuse(404, "not_found_error", "Not Found")

    def _authorize(self, request: Received) -> None:
        headers = request.headers
        key, bearer = headers.get("x-api-key"), headers.get("authorization")
        if key is not None and bearer is not None:
            raise self._refuse(401, "authentication_error", "x-api-key and Authorization must not both be given")
        if key is None and bearer is None:
            raise self._refuse(401, "authentication_error", "x-api-key header is required")
        if (key or (bearer or "").removeprefix("Bearer ")) != self.api_key:
            raise self._refuse(401, "authentication_error", "invalid x-api-key" if key else "invalid bearer token")
        version = headers.get("anthropic-version")
        if version is None:
            raise self._refuse(400, "invalid_request_error", "anthropic-version: header is required")
        if version not in _VERSIONS:
            raise self._refuse(400, "invalid_request_error", f'anthropic-version: "{version}" is not a valid version')
        unknown = [beta for beta in headers.get("anthropic-beta", "").split(",") if beta and beta.strip() not in _BETAS]
        if unknown:
            text = f"Unexpected value(s) `{'`, `'.join(unknown)}` for the `anthropic-beta` header."
            raise self._refuse(400, "invalid_request_error", text)

    def _body(self, request: Received) -> Json:
        if len(request.body) > _LARGEST_BODY:
            raise self._refuse(413, "request_too_large", "Request exceeds the maximum size")
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise self._refuse(400, "invalid_request_error", "content-type: must be application/json")
        try:
            return request.json
        except ValueError:
            raise self._refuse(400, "invalid_request_error", "The request body is not valid JSON") from None

    def _count(self, body: Json) -> Response:
        try:
            check_count(body, models=self.models, signatures=self.signatures)
        except Invalid as error:
            raise self._refuse(error.status, error.kind, error.message) from None
        return json_response({"input_tokens": len(words(prompt_text(body)))}, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {
            "request-id": self.new_id("req_"),
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:00Z",
            # Seen on successful answers too: it means nothing there.
            "retry-after": "7",
        }

    # -- models ----------------------------------------------------------------------------------------------------------

    def _list(self, request: Received) -> Response:
        data = [_model_body(model) for model in self.models.values()]
        ids = [model["id"] for model in data]
        after = request.query.get("after_id")
        start = ids.index(after) + 1 if after in ids else 0
        page = data[start : start + int(request.query.get("limit", "20"))]
        body = {
            "data": page,
            "has_more": start + len(page) < len(data),
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        }
        return json_response(body, headers=self._headers())

    def _one_model(self, name: str) -> Response:
        for alias, model in self.models.items():
            if name in (alias, model.id):
                return json_response(_model_body(model), headers=self._headers())
        raise self._refuse(404, "not_found_error", f"model: {name}")

    # -- messages --------------------------------------------------------------------------------------------------------

    def _message(self, request: Received, body: Json) -> Response:
        try:
            model = check_message_request(
                body,
                models=self.models,
                version=request.headers["anthropic-version"],
                signatures=self.signatures,
            )
        except Invalid as error:
            raise self._refuse(error.status, error.kind, error.message) from None

        def write(answer: Answer, pieces: int | None) -> Response:
            written = self._written(body, answer, model)
            if not body.get("stream"):
                return json_response(message_of(written), headers=self._headers())
            events = [
                sse_event(event, event["type"], padding=" " * (number % 4))
                for number, event in enumerate(events_of(written, pieces, self.usage_shape))
            ]
            headers = {"content-type": "text/event-stream; charset=utf-8", **self._headers()}
            return Response(headers=headers, events=events, streams=True)

        return self.converse(asked_of(body, model), write)

    def _written(self, body: Json, answer: Answer, model: ClaudeModel) -> Written:
        thinking = body.get("thinking") or {}
        omits = thinking.get("display", "omitted" if model.thinks_by_default else "summarized") == "omitted"
        signatures: list[str] = []
        for part in answer.parts:
            if isinstance(part, Reasoning):
                signature = part.signature or self.sign(part.text)
                self.signatures[signature] = "" if omits else part.text
                signatures.append(signature)
            elif isinstance(part, Redacted):
                self.signatures[part.data] = ""
        return Written(
            id=self.new_id("msg_"),
            model=answer.model or model.id,
            answer=answer,
            call_ids=tuple(call.id or self.new_id("toolu_") for call in answer.tool_calls),
            signatures=tuple(signatures),
            omits_thinking=omits,
        )


def _model_body(model: ClaudeModel) -> dict[str, Json]:
    def supported(is_supported: bool) -> Json:
        return {"supported": is_supported}

    efforts = {name: supported(name in model.efforts) for name in ("low", "medium", "high", "max", "xhigh")}
    types = {name: supported(name in model.thinking) for name in ("adaptive", "between_tools", "disabled", "enabled")}
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": model.window,
        "max_tokens": model.max_output,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": model.id.split("-")[1],
        "capabilities": {
            "batch": supported(True),
            "citations": supported(True),
            "code_execution": supported(True),
            "effort": {**supported(bool(model.efforts)), **efforts},
            "image_input": supported(True),
            "pdf_input": supported(True),
            "structured_outputs": supported(True),
            "thinking": {**supported(True), "types": types},
        },
    }
