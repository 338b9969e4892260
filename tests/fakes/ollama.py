"""Ollama's native API: chat as NDJSON (streamed unless told not to), and what it tells about models.

A prompt longer than `num_ctx` is cut silently, as Ollama does: the only trace is `prompt_eval_count`.
"""

import ssl
from collections.abc import Iterator, Mapping
from typing import ClassVar

from fakes.http_server import Json, Received, Response
from fakes.ollama_checks import (
    MODELS,
    Invalid,
    OllamaModel,
    asked_of,
    check_chat,
    find_model,
    ignored_fields,
    prompt_text,
)
from fakes.provider import FakeProvider, Refusal, json_response, ndjson_line
from fakes.script import Answer, Usage, fragments, words

__all__ = ["FakeOllama"]

_CREATED = "2026-08-21T10:00:00.123456789Z"
_DEFAULT_CONTEXT = 4_096
_SIZE = 5_200_000_000
_FAILURES: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "model is required"),
    "authentication": (401, "unauthorized"),
    "permission": (403, "this model requires a subscription, upgrade for access"),
    "model_not_found": (404, "model 'x' not found"),
    "rate_limited": (429, "too many concurrent requests"),
    "quota_exhausted": (402, "you have reached your weekly usage limits"),
    "context_window_exceeded": (400, "the request exceeds the available context size (4096 tokens), try increasing it"),
    "overloaded": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "provider_failure": (500, "model requires more system memory (9.1 GiB) than is available (6.2 GiB)"),
}


class FakeOllama(FakeProvider):
    """`base_url` is the host. No key is needed unless `needs_key`, as at Ollama's cloud."""

    failures: ClassVar[frozenset[str]] = frozenset(_FAILURES)
    garbage: ClassVar[bytes] = b'{"model": "qwen3:8b", "message": {"role" \xff\n'

    def __init__(
        self,
        *,
        api_key: str = "ollama-fake-key-1",
        needs_key: bool = False,
        models: Mapping[str, OllamaModel] = MODELS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(api_key=api_key, tls=tls)
        self.needs_key = needs_key
        self.models = dict(models)
        self.has_gpu = True
        self.version = "0.33.0"
        self.running: dict[str, dict[str, Json]] = {}
        """What `/api/ps` tells, by model."""
        self.ignored_fields: list[str] = []

    # -- errors ----------------------------------------------------------------------------------------------------------

    def failure(self, name: str, message: str | None = None) -> tuple[int, Json, dict[str, str]]:
        status, text = _FAILURES[name]
        body = {"error": message or text}
        if name == "authentication":
            body["signin_url"] = "https://ollama.com/connect"
        return status, body, {}

    def stream_failure(self, name: str, message: str | None) -> list[bytes]:
        return [ndjson_line(self.failure(name, message)[1])]

    def _refuse(self, error: Invalid) -> Refusal:
        return Refusal(json_response({"error": error.message}, status=error.status))

    # -- routes ----------------------------------------------------------------------------------------------------------

    def route(self, request: Received) -> Response:
        if self.needs_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            status, body, _ = self.failure("authentication")
            raise Refusal(json_response(body, status=status))
        match request.method, request.path:
            case "POST", "/api/chat":
                return self._chat(request)
            case "POST", "/api/show":
                return self.scripted(request, lambda: self._show(request))
            case "GET", "/api/tags":
                return self.scripted(
                    request, lambda: json_response({"models": [self._tag(name) for name in self.models]})
                )
            case "GET", "/api/ps":
                return self.scripted(request, lambda: json_response({"models": list(self.running.values())}))
            case "GET", "/api/version":
                return self.scripted(request, lambda: json_response({"version": self.version}))
            case "GET" | "HEAD", "/":
                return Response(headers={"content-type": "text/plain"}, events=[b"Ollama is running"])
        raise Refusal(Response(status=404, headers={"content-type": "text/plain"}, events=[b"404 page not found"]))

    def _body(self, request: Received) -> Json:
        if not request.body:
            raise self._refuse(Invalid("missing request body"))
        try:
            return request.json
        except ValueError:
            raise self._refuse(Invalid("invalid character looking for beginning of value")) from None

    # -- models ----------------------------------------------------------------------------------------------------------

    def _details(self, model: OllamaModel) -> dict[str, Json]:
        return {
            "parent_model": "",
            "format": "gguf",
            "family": model.architecture,
            "families": [model.architecture],
            "parameter_size": "8.2B",
            "quantization_level": "Q4_K_M",
        }

    def _tag(self, name: str) -> dict[str, Json]:
        details = self._details(self.models[name])
        return {
            "name": name,
            "model": name,
            "modified_at": _CREATED,
            "size": _SIZE,
            "digest": "5005",
            "details": details,
        }

    def _show(self, request: Received) -> Response:
        body = self._body(request)
        try:
            _, model = find_model(body.get("model") or "", self.models)
        except Invalid as error:
            raise self._refuse(error) from None
        parameters = "temperature 0.7\n" + (f"num_ctx {model.num_ctx}\n" if model.num_ctx else "")
        info = {"general.architecture": model.architecture, f"{model.architecture}.context_length": model.context}
        answer = {
            "license": "Apache-2.0",
            "modelfile": "FROM x",
            "parameters": parameters,
            "template": "{{ .Prompt }}",
            "details": self._details(model),
            "model_info": info,
            "capabilities": list(model.capabilities),
            "modified_at": _CREATED,
        }
        return json_response(answer)

    def _load(self, name: str, context: int, body: Mapping[str, Json]) -> None:
        if body.get("keep_alive") in (0, "0", "0s"):
            self.running.pop(name, None)
            return
        options = body.get("options") or {}
        in_gpu = self.has_gpu and options.get("num_gpu") != 0
        self.running[name] = {
            **self._tag(name),
            "expires_at": _CREATED,
            "size_vram": _SIZE if in_gpu else 0,
            "context_length": context,
        }

    # -- chat ------------------------------------------------------------------------------------------------------------

    def _chat(self, request: Received) -> Response:
        body = self._body(request)
        try:
            model = check_chat(body, self.models)
            name, _ = find_model(body["model"], self.models)
            context = (body.get("options") or {}).get("num_ctx") or model.num_ctx or _DEFAULT_CONTEXT
            if body.get("truncate") is False and len(words(prompt_text(body))) > context:
                raise Invalid(f"the request exceeds the available context size ({context} tokens), try increasing it")
        except Invalid as error:
            raise self._refuse(error) from None
        self.ignored_fields += ignored_fields(body)
        self._load(name, context, body)
        streams = body.get("stream") is not False
        if not body.get("messages"):
            return json_response(_line(name, {"content": ""}, done_reason="load"))

        def write(answer: Answer, pieces: int | None) -> Response:
            sender = answer.model or name
            end = _ending(answer, context)
            if not streams:
                return json_response(_line(sender, self._message(answer), **end))
            lines = [_line(sender, delta) for delta in self._deltas(answer, pieces)]
            events = [ndjson_line(line) for line in [*lines, _line(sender, {"content": ""}, **end)]]
            return Response(headers={"content-type": "application/x-ndjson"}, events=events, streams=True)

        return self.converse(asked_of(body, model), write)

    def _message(self, answer: Answer) -> dict[str, Json]:
        message: dict[str, Json] = {"content": answer.text}
        if answer.reasoning:
            message["thinking"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = list(self._calls(answer))
        return message

    def _calls(self, answer: Answer) -> Iterator[dict[str, Json]]:
        for index, call in enumerate(answer.tool_calls):
            assert not isinstance(call.arguments, str), "Ollama has parsed the arguments: they cannot be invalid JSON"
            function = {"index": index, "name": call.name, "arguments": call.arguments}
            yield {"id": call.id or self.new_id("call_"), "function": function}

    def _deltas(self, answer: Answer, pieces: int | None) -> Iterator[dict[str, Json]]:
        yield from ({"content": "", "thinking": piece} for piece in fragments(answer.reasoning, pieces))
        yield from ({"content": piece} for piece in fragments(answer.text, pieces))
        yield from ({"content": "", "tool_calls": [call]} for call in self._calls(answer))


def _line(model: str, message: Mapping[str, Json], **end: Json) -> dict[str, Json]:
    line = {"model": model, "created_at": _CREATED, "message": {"role": "assistant", **message}, "done": bool(end)}
    return {**line, **end}


def _ending(answer: Answer, context: int) -> dict[str, Json]:
    """`done_reason` stays `stop` when tools are called; zero counters are left out."""
    usage: Usage = answer.usage
    counters = {"prompt_eval_count": min(usage.prompt, context), "eval_count": usage.completion}
    return {
        "done_reason": "stop" if answer.finish == "tool_calls" else answer.finish,
        "total_duration": 512_000_000,
        "load_duration": 21_000_000,
        "prompt_eval_duration": 130_000_000,
        "eval_duration": 360_000_000,
        **{name: value for name, value in counters.items() if value},
    }
