"""The `openai` and the `anthropic` package behind one small interface, so that one test can drive our gateway with both.

Conversations are lists of the package's own messages, made by `user`, `again` and `results`; what comes back is told in the
words of the common model (`Told`), with what the client object was in `raw`.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

__all__ = ["AnthropicClient", "ChatClient", "OpenAIClient", "Told", "ToolUse", "clients_of", "problem_of", "status_of"]

Json = Any

_LIMIT = 2000


@dataclass(frozen=True)
class ToolUse:
    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Told:
    """An answer. `finish` is `stop`, `length`, `tool_calls` or `content_filter`; `stopped_by` the matched stop sequence."""

    text: str
    finish: str | None
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    headers: Mapping[str, str]
    raw: Any
    tools: list[ToolUse] = field(default_factory=list)
    reasoning: str = ""
    stopped_by: str | None = None
    pieces: int = 1
    """Events with text that a stream came in."""
    caxton: Json = None
    """What only the end of a stream knows."""


def status_of(error: Any) -> int:
    """The HTTP status of a package's error."""
    status: int = error.status_code
    return status


def problem_of(error: Any) -> Json:
    """The error object that a package took out of our answer."""
    return error.body.get("error", error.body)


class ChatClient(Protocol):
    """A vendor's package. `streams` asks for a stream; further arguments of `ask` go to the package as they are."""

    name: str
    client: Any
    api_error: type[Exception]
    status_error: type[Exception]

    def user(self, text: str, *images: str) -> Json: ...
    def again(self, told: Told) -> Json: ...
    def results(self, told: Told, *results: str) -> list[Json]: ...
    def tool(self, name: str, schema: Json) -> Json: ...
    def schema(self, schema: Json) -> dict[str, Json]: ...
    def system(self, text: str) -> dict[str, Json]: ...
    async def ask(self, model: str, messages: Sequence[Json] | str, *, streams: bool = False, **more: Json) -> Told: ...


class OpenAIClient:
    """`openai.AsyncOpenAI`."""

    name = "openai"
    api_error: type[Exception] = openai.APIError
    status_error: type[Exception] = openai.APIStatusError

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self.client: Any = client

    def user(self, text: str, *images: str) -> Json:
        if not images:
            return {"role": "user", "content": text}
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in images]
        return {"role": "user", "content": [{"type": "text", "text": text}, *parts]}

    def again(self, told: Told) -> Json:
        message = told.raw.choices[0].message.model_dump(exclude_none=True)
        for call in message.get("tool_calls", []):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        message.pop("parsed", None)
        return message

    def results(self, told: Told, *results: str) -> list[Json]:
        calls = zip(told.tools, results, strict=True)
        return [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in calls]

    def tool(self, name: str, schema: Json) -> Json:
        return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": schema}}

    def schema(self, schema: Json) -> dict[str, Json]:
        described = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": described}}

    def system(self, text: str) -> dict[str, Json]:
        return {"system": text}

    async def ask(self, model: str, messages: Sequence[Json] | str, *, streams: bool = False, **more: Json) -> Told:
        sent: list[Json] = [self.user(messages)] if isinstance(messages, str) else list(messages)
        if "system" in more:
            sent.insert(0, {"role": "system", "content": more.pop("system")})
        if not streams:
            response = await self.client.chat.completions.with_raw_response.create(model=model, messages=sent, **more)
            return self._told(response.parse(), response.headers)
        options = {"stream": True, "stream_options": {"include_usage": True}}
        response = await self.client.chat.completions.with_raw_response.create(
            model=model, messages=sent, **options, **more
        )
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        pieces, caxton = 0, None
        async for chunk in response.parse():
            pieces += any(choice.delta.content for choice in chunk.choices)
            caxton = (chunk.model_extra or {}).get("caxton", caxton)
            state.handle_chunk(chunk)
        try:
            answer: Json = state.get_final_completion()
        except openai.LengthFinishReasonError as cut:  # raised for whoever wanted to parse the answer
            answer = cut.completion
        return self._told(answer, response.headers, pieces=pieces, caxton=caxton)

    def _told(self, answer: Json, headers: Mapping[str, str], **more: Json) -> Told:
        choice, usage = answer.choices[0], answer.usage
        details = usage.prompt_tokens_details if usage else None
        extra = choice.message.model_extra or {}
        return Told(
            text=choice.message.content or "",
            finish=choice.finish_reason,
            model=answer.model,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            cached_tokens=details.cached_tokens if details else None,
            headers=headers,
            raw=answer,
            tools=[
                ToolUse(call.id, call.function.name, json.loads(call.function.arguments))
                for call in choice.message.tool_calls or []
            ],
            reasoning=extra.get("reasoning_content") or extra.get("reasoning") or "",
            stopped_by=(choice.model_extra or {}).get("stop_reason"),
            **more,
        )


_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicClient:
    """`anthropic.AsyncAnthropic`."""

    name = "anthropic"
    api_error: type[Exception] = anthropic.APIError
    status_error: type[Exception] = anthropic.APIStatusError

    def __init__(self, client: anthropic.AsyncAnthropic) -> None:
        self.client: Any = client

    def user(self, text: str, *images: str) -> Json:
        if not images:
            return {"role": "user", "content": text}
        return {"role": "user", "content": [*map(_image, images), {"type": "text", "text": text}]}

    def again(self, told: Told) -> Json:
        blocks = [_without_parsed(block.model_dump(exclude_none=True)) for block in told.raw.content]
        return {"role": "assistant", "content": blocks}

    def results(self, told: Told, *results: str) -> list[Json]:
        calls = zip(told.tools, results, strict=True)
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in calls]
        return [{"role": "user", "content": blocks}]

    def tool(self, name: str, schema: Json) -> Json:
        return {"name": name, "description": f"Does {name}.", "input_schema": schema}

    def schema(self, schema: Json) -> dict[str, Json]:
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}

    def system(self, text: str) -> dict[str, Json]:
        return {"system": text}

    async def ask(self, model: str, messages: Sequence[Json] | str, *, streams: bool = False, **more: Json) -> Told:
        sent = [self.user(messages)] if isinstance(messages, str) else list(messages)
        more.setdefault("max_tokens", _LIMIT)
        if not streams:
            response = await self.client.messages.with_raw_response.create(model=model, messages=sent, **more)
            return self._told(await response.parse(), response.headers)
        pieces, caxton = 0, None
        async with self.client.messages.stream(model=model, messages=sent, **more) as stream:
            async for event in stream:
                pieces += event.type == "content_block_delta" and event.delta.type == "text_delta"
                if event.type == "message_delta":
                    caxton = (event.model_extra or {}).get("caxton")
            answer = await stream.get_final_message()
            return self._told(answer, stream.response.headers, pieces=pieces, caxton=caxton)

    def _told(self, answer: Json, headers: Mapping[str, str], **more: Json) -> Told:
        usage, blocks = answer.usage, answer.content
        beside = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return Told(
            text="".join(block.text for block in blocks if block.type == "text"),
            finish=_FINISH.get(answer.stop_reason, answer.stop_reason),
            model=answer.model,
            prompt_tokens=None if usage.input_tokens is None else usage.input_tokens + beside,
            completion_tokens=usage.output_tokens,
            cached_tokens=usage.cache_read_input_tokens,
            headers=headers,
            raw=answer,
            tools=[ToolUse(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"],
            reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
            stopped_by=answer.stop_sequence,
            **more,
        )


@contextlib.asynccontextmanager
async def clients_of(url: str) -> AsyncIterator[dict[str, ChatClient]]:
    """Both packages for the gateway at `url`, by name. They try nothing again by themselves."""
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as openai_client,
        anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as anthropic_client,
    ):
        yield {"openai": OpenAIClient(openai_client), "anthropic": AnthropicClient(anthropic_client)}


def _image(url: str) -> Json:
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _without_parsed(block: Json) -> Json:
    block.pop("parsed_output", None)
    return block
