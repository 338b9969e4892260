"""The two clients of the demonstration, written as anybody would write them without a library: JSON out, JSON in.

They know nothing of this package's own types: what the demonstration shows is what travels.
"""

from typing import Protocol

import msgspec
from msgspec import Struct, field

from caxton_llm.types import Json

__all__ = ["AnthropicClient", "Answer", "Client", "OpenAiClient", "ToolUse"]

_WEATHER: dict[str, Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
_TOOL_NAME = "get_weather"
_TOOL_PURPOSE = "The weather in a city, now"


class ToolUse(Struct):
    """The call that a model asks for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Answer(Struct, kw_only=True):
    """What a client reads out of an answer; a stream fills it in event by event."""

    text: str = ""
    call: ToolUse | None = None
    message: Json = None
    """The model's turn as it must be sent back together with the tool's result."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    caxton: dict[str, Json] = field(default_factory=dict)
    """What the gateway adds to the last event of a stream."""
    ended: bool = False


class Client(Protocol):
    """One API, as its clients use it. Reading an answer of another shape raises `KeyError`, `IndexError` or `TypeError`."""

    title: str
    path: str
    headers: tuple[tuple[str, str], ...]

    def question(self, text: str, max_tokens: int, *, stream: bool = False, tools: bool = False) -> dict[str, Json]: ...

    def with_result(self, asked: dict[str, Json], answer: Answer, result: str) -> dict[str, Json]: ...

    def read(self, body: Json) -> Answer: ...

    def read_event(self, answer: Answer, event: Json) -> str:
        """Takes one event of a stream into `answer`; returns the text that it adds."""


class OpenAiClient:
    """Chat completions."""

    title = "OpenAI"
    path = "/v1/chat/completions"
    headers: tuple[tuple[str, str], ...] = (("authorization", "Bearer unused"),)

    def question(self, text: str, max_tokens: int, *, stream: bool = False, tools: bool = False) -> dict[str, Json]:
        body: dict[str, Json] = {"model": "default", "max_completion_tokens": max_tokens}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if tools:
            function = {"name": _TOOL_NAME, "description": _TOOL_PURPOSE, "parameters": _WEATHER}
            body["tools"] = [{"type": "function", "function": function}]
        return body | {"messages": [{"role": "user", "content": text}]}

    def with_result(self, asked: dict[str, Json], answer: Answer, result: str) -> dict[str, Json]:
        call_id = answer.call.id if answer.call else ""
        turns = [answer.message, {"role": "tool", "tool_call_id": call_id, "content": result}]
        return asked | {"messages": asked["messages"] + turns}

    def read(self, body: Json) -> Answer:
        message = body["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        answer = Answer(text=message["content"] or "", message=message, ended=True)
        if calls:
            function = calls[0]["function"]
            answer.call = ToolUse(calls[0]["id"], function["name"], function["arguments"])
        self._count(answer, body)
        return answer

    def read_event(self, answer: Answer, event: Json) -> str:
        self._count(answer, event)
        answer.caxton |= event.get("caxton") or {}
        added = ""
        for choice in event["choices"]:
            added += choice["delta"].get("content") or ""
            answer.ended = answer.ended or choice["finish_reason"] is not None
        answer.text += added
        return added

    def _count(self, answer: Answer, body: Json) -> None:
        if usage := body.get("usage"):
            answer.prompt_tokens, answer.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]


class AnthropicClient:
    """Messages."""

    title = "Anthropic"
    path = "/v1/messages"
    headers: tuple[tuple[str, str], ...] = (("x-api-key", "unused"), ("anthropic-version", "2023-06-01"))

    def question(self, text: str, max_tokens: int, *, stream: bool = False, tools: bool = False) -> dict[str, Json]:
        body: dict[str, Json] = {"model": "default", "max_tokens": max_tokens}
        if stream:
            body["stream"] = True
        if tools:
            body["tools"] = [{"name": _TOOL_NAME, "description": _TOOL_PURPOSE, "input_schema": _WEATHER}]
        return body | {"messages": [{"role": "user", "content": text}]}

    def with_result(self, asked: dict[str, Json], answer: Answer, result: str) -> dict[str, Json]:
        call_id = answer.call.id if answer.call else ""
        block = {"type": "tool_result", "tool_use_id": call_id, "content": result}
        turns = [answer.message, {"role": "user", "content": [block]}]
        return asked | {"messages": asked["messages"] + turns}

    def read(self, body: Json) -> Answer:
        answer = Answer(message={"role": "assistant", "content": body["content"]}, ended=True)
        for block in body["content"]:
            if block["type"] == "text":
                answer.text += block["text"]
            elif block["type"] == "tool_use" and answer.call is None:
                answer.call = ToolUse(block["id"], block["name"], msgspec.json.encode(block["input"]).decode())
        self._count(answer, body["usage"])
        return answer

    def read_event(self, answer: Answer, event: Json) -> str:
        answer.caxton |= event.get("caxton") or {}
        match event["type"]:
            case "message_start":
                self._count(answer, event["message"]["usage"])
            case "content_block_delta":
                added: str = event["delta"].get("text", "")
                answer.text += added
                return added
            case "message_delta":
                self._count(answer, event["usage"])
            case "message_stop":
                answer.ended = True
        return ""

    def _count(self, answer: Answer, usage: dict[str, Json]) -> None:
        parts = [usage.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
        if parts[0] is not None:
            answer.prompt_tokens = sum(part or 0 for part in parts)
        answer.completion_tokens = usage.get("output_tokens")
