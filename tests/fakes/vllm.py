"""A vLLM server: OpenAI's dialect with its own errors, extra parameters, reasoning field and endpoints.

Fields that it does not know are ignored, as vLLM does; `ignored_fields` has their names, so that a constraint that would be
lost silently can be noticed.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from fakes.http_server import Json, Received, Response
from fakes.openai import FakeOpenAI
from fakes.openai_answers import CREATED, Envelope, chunks_of, completion_of
from fakes.openai_checks import KNOWN_FIELDS, ChatModel, Rules
from fakes.openai_messages import Invalid, Kind, typed
from fakes.provider import Refusal, json_response, sse_event
from fakes.script import Answer, Asked, text_of, words

__all__ = ["FakeVllm"]

_MODELS = {
    "Qwen/Qwen3-8B": ChatModel("Qwen/Qwen3-8B", 40_960, 40_960, ("none", "low", "medium", "high"), "medium"),
    "llama-3.1-8b": ChatModel("llama-3.1-8b", 8_192, 8_192),
}
_EXTRA_FIELDS: dict[str, tuple[Kind, ...]] = {
    "top_k": ("integer",),
    "min_p": ("number",),
    "repetition_penalty": ("number",),
    "length_penalty": ("number",),
    "min_tokens": ("integer",),
    "ignore_eos": ("boolean",),
    "stop_token_ids": ("array",),
    "include_stop_str_in_output": ("boolean",),
    "bad_words": ("array",),
    "allowed_token_ids": ("array",),
    "prompt_logprobs": ("integer",),
    "skip_special_tokens": ("boolean",),
    "echo": ("boolean",),
    "add_generation_prompt": ("boolean",),
    "continue_final_message": ("boolean",),
    "chat_template": ("string",),
    "chat_template_kwargs": ("object",),
    "truncate_prompt_tokens": ("integer",),
    "structured_outputs": ("object",),
    "include_reasoning": ("boolean",),
    "thinking_token_budget": ("integer",),
    "priority": ("integer",),
    "request_id": ("string",),
    "cache_salt": ("string",),
    "kv_transfer_params": ("object",),
}
_TYPES = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError", 500: "InternalServerError"}
_TOO_LONG = (
    "This model's maximum context length is {window} tokens. However, you requested {output} output tokens and your prompt "
    "contains at least {prompt} input tokens, for a total of at least {total} tokens. Please reduce the length of the input "
    "prompt or the number of requested output tokens. (parameter=input_tokens, value={prompt})"
)
_FAILURES: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "top_k must be 0 (disable), or at least 1, got -5."),
    "model_not_found": (404, "The model `x` does not exist."),
    "rate_limited": (429, "Too many requests"),
    "context_window_exceeded": (
        400,
        _TOO_LONG.format(window=40_960, output=1_024, prompt=40_961, total=41_985),
    ),
    "overloaded": (503, "The server is overloaded: too many queued requests."),
    "provider_failure": (500, "EngineCore encountered an issue. See stack trace for the root cause."),
}


class FakeVllm(FakeOpenAI):
    """`base_url` is without `/v1`. A server started with `--api-key`, a tool parser and a reasoning parser."""

    failures: ClassVar[frozenset[str]] = frozenset({"authentication", *_FAILURES})

    base_path = ""
    health_paths: ClassVar[frozenset[str]] = frozenset({"/health", "/ping"})

    def __init__(
        self,
        *,
        api_key: str = "vllm-fake-key-1",
        models: Mapping[str, ChatModel] = _MODELS,
        auto_tool_choice: bool = True,
        reasoning_field: str = "reasoning",
        version: str = "0.30.0",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(api_key=api_key, models=models, tls=tls)
        self.auto_tool_choice = auto_tool_choice
        self.reasoning_field = reasoning_field
        self.version = version
        self.ignored_fields: list[str] = []

    @property
    def v1_url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.root_url}/v1"

    # -- errors ----------------------------------------------------------------------------------------------------------

    def error_body(self, message: str, kind: str, param: str | None, code: str | None, status: int) -> Json:
        return {"error": {"message": message, "type": _TYPES.get(status, kind), "param": param, "code": status}}

    def response_headers(self) -> dict[str, str]:
        return {"server": "uvicorn"}

    def failure(self, name: str, message: str | None = None) -> tuple[int, Json, dict[str, str]]:
        if name == "authentication":
            return 401, {"error": "Unauthorized"}, {}
        status, text = _FAILURES[name]
        return status, self.error_body(message or text, "InternalServerError", None, None, status), {}

    def stream_failure(self, name: str, message: str | None) -> list[bytes]:
        return [*super().stream_failure(name, message), sse_event("[DONE]")]

    # -- routes ----------------------------------------------------------------------------------------------------------

    def route(self, request: Received) -> Response:
        if request.segments[0] == "v1":
            return super().route(request)
        if request.path in self.health_paths:
            return self.scripted(request, Response)
        match request.method, request.path:
            case "GET", "/version":
                return self.scripted(request, lambda: json_response({"version": self.version}))
            case "POST", "/tokenize":
                return self.scripted(request, lambda: self._tokenize(self.body_of(request)))
        raise Refusal(json_response({"detail": "Not Found"}, status=404))

    def authorize(self, request: Received) -> None:
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            raise Refusal(json_response({"error": "Unauthorized"}, status=401))

    def body_of(self, request: Received) -> Json:
        if not request.headers.get("content-type", "").startswith("application/json"):
            text = "Unsupported Media Type: Only 'application/json' is allowed"
            raise Refusal(json_response({"detail": text}, status=415))
        return super().body_of(request)

    def model_body(self, name: str) -> Json:
        body = {"id": name, "object": "model", "created": CREATED, "owned_by": "vllm", "root": name, "parent": None}
        return {**body, "max_model_len": self.models[name].window, "permission": []}

    def _tokenize(self, body: Json) -> Response:
        model = self.models.get(body.get("model") or next(iter(self.models)))
        if model is None:
            raise self.refusal(404, f"The model `{body['model']}` does not exist.")
        tokens = words(body["prompt"] if "prompt" in body else text_of(body["messages"]))
        count = len(tokens)
        answer = {"count": count, "max_model_len": model.window, "tokens": list(range(count)), "token_strs": None}
        return json_response(answer)

    # -- chat ------------------------------------------------------------------------------------------------------------

    def rules(self) -> Rules:
        return Rules(models=self.models, unknown_fields="ignored", model_rules=False)

    def checked(self, body: Json) -> ChatModel:
        model = super().checked(body)
        try:
            self._check_extras(body)
            self._check_length(body, model)
        except Invalid as error:
            raise self.refusal(error.status, error.message, param=error.param) from None
        return model

    def _check_extras(self, body: Mapping[str, Json]) -> None:
        for name, value in body.items():
            if name in _EXTRA_FIELDS:
                typed(value, name, *_EXTRA_FIELDS[name])
            elif name not in KNOWN_FIELDS:
                self.ignored_fields.append(name)
        if (body.get("top_k") or 0) < -1:
            raise Invalid(f"top_k must be 0 (disable), or at least 1, got {body['top_k']}.", "top_k")
        if body.get("tools") and body.get("tool_choice") in (None, "auto") and not self.auto_tool_choice:
            text = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            raise Invalid(text, "tool_choice")

    def _check_length(self, body: Mapping[str, Json], model: ChatModel) -> None:
        prompt = len(words("\n".join(text_of(message) for message in body["messages"])))
        output = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        if prompt + output > model.window:
            text = _TOO_LONG.format(window=model.window, output=output, prompt=prompt, total=prompt + output)
            raise Invalid(text, "input_tokens")

    def shows_reasoning(self, body: Json, model: ChatModel) -> bool:
        options = body.get("chat_template_kwargs") or {}
        return super().shows_reasoning(body, model) and options.get("enable_thinking") is not False

    def asked(self, body: Json, model: ChatModel) -> Asked:
        asked = super().asked(body, model)
        schema = (body.get("structured_outputs") or {}).get("json")
        if schema is not None:
            return replace(asked, schema=json.loads(schema) if isinstance(schema, str) else schema)
        return asked

    def envelope(self, body: Json, answer: Answer, model: ChatModel) -> Envelope:
        shown = body.get("include_reasoning") is not False
        return replace(
            super().envelope(body, answer, model),
            call_ids=[call.id or self.new_id("chatcmpl-tool-") for call in answer.tool_calls],
            reasoning_field=self.reasoning_field if shown else None,
            details=answer.usage.cached > 0,
            obfuscation=False,
            extra={},
        )

    def completion(self, answer: Answer, envelope: Envelope) -> dict[str, Json]:
        body = completion_of(answer, envelope)
        for choice in body["choices"]:
            choice["stop_reason"] = answer.stop_sequence
            choice["message"].setdefault("tool_calls", [])
        body["usage"].setdefault("prompt_tokens_details", None)
        return {**body, "prompt_logprobs": None, "kv_transfer_params": None}

    def chunks(self, answer: Answer, envelope: Envelope, pieces: int | None) -> Iterator[dict[str, Json]]:
        for chunk in chunks_of(answer, envelope, pieces):
            for choice in chunk["choices"]:
                if choice["finish_reason"]:
                    choice["stop_reason"] = answer.stop_sequence
            yield chunk
