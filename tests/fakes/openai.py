"""OpenAI: chat completions and the list of models.

Sources: OpenAI's API reference and recorded traffic. Stricter than the original in one way: a message may carry no field that
the API does not document, so that another vendor's extension (`thinking_blocks`, `reasoning_content`) is noticed.
"""

import ssl
from collections.abc import Iterator, Mapping
from typing import ClassVar

from fakes.http_server import Json, Received, Response
from fakes.openai_answers import CREATED, Envelope, chunks_of, completion_of
from fakes.openai_checks import MODELS, ChatModel, Rules, check_chat
from fakes.openai_messages import Invalid, asked_of
from fakes.provider import FakeProvider, Refusal, json_response, sse_event
from fakes.script import Answer, Asked

__all__ = ["FakeOpenAI"]

_FAILURES: dict[str, tuple[int, str, str, str | None, str | None]] = {
    "invalid_request": (400, "Invalid value for 'messages'.", "invalid_request_error", "messages", "invalid_value"),
    "authentication": (
        401,
        "Incorrect API key provided: sk-****. You can find your API key at https://platform.openai.com/account/api-keys.",
        "invalid_request_error",
        None,
        "invalid_api_key",
    ),
    "permission": (
        403,
        "Country, region, or territory not supported",
        "request_forbidden",
        None,
        "unsupported_country_region_territory",
    ),
    "model_not_found": (
        404,
        "The model `gpt-x` does not exist or you do not have access to it.",
        "invalid_request_error",
        None,
        "model_not_found",
    ),
    "rate_limited": (
        429,
        "Rate limit reached for gpt-4o on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.",
        "requests",
        None,
        "rate_limit_exceeded",
    ),
    "quota_exhausted": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        None,
        "insufficient_quota",
    ),
    "context_window_exceeded": (
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130012 tokens.",
        "invalid_request_error",
        "messages",
        "context_length_exceeded",
    ),
    "content_filtered": (
        400,
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
        "invalid_request_error",
        None,
        "invalid_prompt",
    ),
    "overloaded": (
        503,
        "The engine is currently overloaded, please try again later",
        "service_unavailable_error",
        None,
        "server_is_overloaded",
    ),
    "provider_failure": (
        500,
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
        None,
        None,
    ),
}


class FakeOpenAI(FakeProvider):
    """`base_url` ends with `/v1`, as the `openai` package takes it; a test may change `models`."""

    failures: ClassVar[frozenset[str]] = frozenset(_FAILURES)

    base_path = "/v1"

    def __init__(
        self,
        *,
        api_key: str = "sk-fake-openai-1",
        models: Mapping[str, ChatModel] = MODELS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(api_key=api_key, tls=tls)
        self.models = dict(models)

    # -- errors ----------------------------------------------------------------------------------------------------------

    def error_body(self, message: str, kind: str, param: str | None, code: str | None, status: int) -> Json:
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response_headers(self) -> dict[str, str]:
        return {
            "x-request-id": self.new_id("req_"),
            "openai-version": "2020-10-01",
            "openai-processing-ms": "12",
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-remaining-requests": "499",
            "x-ratelimit-reset-requests": "120ms",
        }

    def failure(self, name: str, message: str | None = None) -> tuple[int, Json, dict[str, str]]:
        status, text, kind, param, code = _FAILURES[name]
        return status, self.error_body(message or text, kind, param, code, status), self.response_headers()

    def refusal(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> Refusal:
        body = self.error_body(message, kind, param, code, status)
        return Refusal(json_response(body, status=status, headers=self.response_headers()))

    # -- routes ----------------------------------------------------------------------------------------------------------

    def route(self, request: Received) -> Response:
        self.authorize(request)
        match request.method, request.segments:
            case "POST", ["v1", "chat", "completions"]:
                return self.chat(self.body_of(request))
            case "GET", ["v1", "models"]:
                listing = {"object": "list", "data": [self.model_body(name) for name in self.models]}
                return self.scripted(request, lambda: json_response(listing, headers=self.response_headers()))
            case "GET", ["v1", "models", name]:
                return self.scripted(request, lambda: self._one_model(name))
        raise self.refusal(404, f"Invalid URL ({request.method} {request.path})")

    def authorize(self, request: Received) -> None:
        given = request.headers.get("authorization")
        if given is None:
            raise self.refusal(401, "You didn't provide an API key. Provide it as Authorization: Bearer YOUR_KEY.")
        if given != f"Bearer {self.api_key}":
            raise self.refusal(401, "Incorrect API key provided: ****.", code="invalid_api_key")

    def body_of(self, request: Received) -> Json:
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise self.refusal(400, "you must provide a model parameter")
        try:
            return request.json
        except ValueError:
            raise self.refusal(400, "We could not parse the JSON body of your request.") from None

    def model_body(self, name: str) -> Json:
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "system", "shutdown_date": None}

    def _one_model(self, name: str) -> Response:
        if name not in self.models:
            raise self.refusal(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
        return json_response(self.model_body(name), headers=self.response_headers())

    # -- chat ------------------------------------------------------------------------------------------------------------

    def rules(self) -> Rules:
        return Rules(models=self.models)

    def checked(self, body: Json) -> ChatModel:
        """The model of a valid request."""
        try:
            return check_chat(body, self.rules())
        except Invalid as error:
            raise self.refusal(error.status, error.message, param=error.param, code=error.code) from None

    def chat(self, body: Json) -> Response:
        model = self.checked(body)

        def write(answer: Answer, pieces: int | None) -> Response:
            envelope = self.envelope(body, answer, model)
            if not body.get("stream"):
                return json_response(self.completion(answer, envelope), headers=self.response_headers())
            chunks = [sse_event(chunk) for chunk in self.chunks(answer, envelope, pieces)]
            headers = {"content-type": "text/event-stream; charset=utf-8", **self.response_headers()}
            return Response(headers=headers, events=[*chunks, sse_event("[DONE]")], streams=True)

        return self.converse(self.asked(body, model), write)

    def asked(self, body: Json, model: ChatModel) -> Asked:
        return asked_of(body, reasons=self.shows_reasoning(body, model))

    def completion(self, answer: Answer, envelope: Envelope) -> dict[str, Json]:
        return completion_of(answer, envelope)

    def chunks(self, answer: Answer, envelope: Envelope, pieces: int | None) -> Iterator[dict[str, Json]]:
        return chunks_of(answer, envelope, pieces)

    def shows_reasoning(self, body: Json, model: ChatModel) -> bool:
        """Reasoning is billed and counted here, and never shown."""
        return model.reasons and (body.get("reasoning_effort") or model.default_effort) != "none"

    def envelope(self, body: Json, answer: Answer, model: ChatModel) -> Envelope:
        options = body.get("stream_options") or {}
        return Envelope(
            id=self.new_id("chatcmpl-"),
            model=answer.model or model.snapshot,
            call_ids=[call.id or self.new_id("call_") for call in answer.tool_calls],
            choices=body.get("n") or 1,
            logprobs=None if model.reasons else bool(body.get("logprobs")),
            obfuscation=options.get("include_obfuscation") is not False,
            usage=bool(options.get("include_usage")),
            extra={"service_tier": _tier(body), "system_fingerprint": "fp_fake"},
        )


def _tier(body: Json) -> str:
    """The tier that answers, which is what was asked for here."""
    asked = body.get("service_tier")
    return asked if asked in ("flex", "priority") else "default"
