"""Answers in the chat completions dialect, plain and in chunks, as OpenAI, Azure and vLLM write them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fakes.http_server import Json
from fakes.script import Answer, Text, ToolCall, Usage, fragments, words

__all__ = ["CREATED", "Envelope", "chunks_of", "completion_of", "usage_of"]

CREATED = 1_790_000_000
"""Every answer claims to be of this moment (2026-09-21)."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What surrounds an answer."""

    id: str
    model: str
    call_ids: Sequence[str]
    choices: int = 1
    logprobs: bool | None = False
    """`None`: the key is absent from a plain answer, as with reasoning models."""
    reasoning_field: str | None = None
    """Field that carries visible reasoning; `None` shows none."""
    details: bool = True
    """Usage has `prompt_tokens_details` and `completion_tokens_details`."""
    obfuscation: bool = False
    usage: bool = True
    """A stream ends with a usage chunk."""
    extra: dict[str, Json]
    """Further fields of every body and chunk."""

    def head(self, kind: str) -> dict[str, Json]:
        return {"id": self.id, "object": kind, "created": CREATED, "model": self.model, **self.extra}


def usage_of(usage: Usage, *, details: bool = True) -> dict[str, Json]:
    body: dict[str, Json] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }
    if details:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached, "audio_tokens": 0}
        if usage.cache_write:
            body["prompt_tokens_details"]["cache_write_tokens"] = usage.cache_write
        body["completion_tokens_details"] = {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return body


def _finish(answer: Answer) -> str:
    return "stop" if answer.finish == "refusal" else answer.finish


def _content(answer: Answer) -> str | None:
    return answer.text if any(isinstance(part, Text) for part in answer.parts) else None


def _call(call: ToolCall, call_id: str) -> dict[str, Json]:
    function = {"name": call.name, "arguments": call.arguments_text}
    return {"id": call_id, "type": "function", "function": function}


def _logprobs(text: str) -> Json:
    tokens = [
        {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []} for token in words(text)
    ]
    return {"content": tokens, "refusal": None}


def completion_of(answer: Answer, envelope: Envelope) -> dict[str, Json]:
    """The body of a plain answer."""
    message: dict[str, Json] = {
        "role": "assistant",
        "content": _content(answer),
        "refusal": answer.refusal,
        "annotations": [],
    }
    if answer.tool_calls:
        message["tool_calls"] = [
            _call(call, call_id) for call, call_id in zip(answer.tool_calls, envelope.call_ids, strict=True)
        ]
    if envelope.reasoning_field:
        message[envelope.reasoning_field] = answer.reasoning or None
    choices: list[dict[str, Json]] = [
        {"index": index, "message": message, "finish_reason": _finish(answer)} for index in range(envelope.choices)
    ]
    if envelope.logprobs is not None:
        for choice in choices:
            choice["logprobs"] = _logprobs(answer.text) if envelope.logprobs else None
    usage = usage_of(answer.usage, details=envelope.details)
    return {**envelope.head("chat.completion"), "choices": choices, "usage": usage}


def chunks_of(answer: Answer, envelope: Envelope, pieces: int | None) -> Iterator[dict[str, Json]]:
    """The chunks of a streamed answer, without the end marker."""
    head = envelope.head("chat.completion.chunk")
    if envelope.usage:
        head["usage"] = None
    number = 0
    for delta in [*_deltas(answer, envelope, pieces), None]:
        for index in range(envelope.choices):
            choice: dict[str, Json] = {"index": index, "delta": delta or {}, "logprobs": None, "finish_reason": None}
            if delta is None:
                choice["finish_reason"] = _finish(answer)
            elif envelope.logprobs and delta.get("content"):
                choice["logprobs"] = _logprobs(delta["content"])
            number += 1
            yield _obfuscated({**head, "choices": [choice]}, envelope, number)
    if envelope.usage:
        usage = usage_of(answer.usage, details=envelope.details)
        yield _obfuscated({**head, "choices": [], "usage": usage}, envelope, number)


def _obfuscated(chunk: dict[str, Json], envelope: Envelope, number: int) -> dict[str, Json]:
    return {**chunk, "obfuscation": "x7Q"[: 1 + number % 3]} if envelope.obfuscation else chunk


def _deltas(answer: Answer, envelope: Envelope, pieces: int | None) -> Iterator[dict[str, Json]]:
    """The deltas; a lone tool call's head comes with the role, as OpenAI does it."""
    content = _content(answer)
    calls = [_call_deltas(index, call, envelope, pieces) for index, call in enumerate(answer.tool_calls)]
    first: dict[str, Json] = {
        "role": "assistant",
        "content": None if content is None and calls else "",
        "refusal": None,
    }
    if len(calls) == 1 and content is None and not answer.reasoning:
        first |= calls[0].pop(0)
    yield first
    if envelope.reasoning_field:
        yield from ({envelope.reasoning_field: piece} for piece in fragments(answer.reasoning, pieces))
    yield from ({"content": piece} for piece in fragments(content or "", pieces))
    yield from ({"refusal": piece} for piece in fragments(answer.refusal or "", pieces))
    for deltas in calls:
        yield from deltas


def _call_deltas(index: int, call: ToolCall, envelope: Envelope, pieces: int | None) -> list[dict[str, Json]]:
    head = {"index": index, "id": envelope.call_ids[index], "type": "function"}
    arguments = call.arguments_text
    parts = fragments(arguments, pieces or max(1, len(arguments) // 6))
    first = {"tool_calls": [{**head, "function": {"name": call.name, "arguments": ""}}]}
    return [first, *({"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts)]
