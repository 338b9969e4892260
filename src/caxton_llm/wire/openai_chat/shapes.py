"""The shapes of an OpenAI chat server's answers, as tolerant as servers are different, and their meaning.

Every field is optional; numbers may come as floats, content as a list of parts, arguments as an object. Reasoning is read
from `reasoning_content`, `reasoning`, `reasoning_details` and parts of type `thinking`. What a field means is decided here,
once for whole answers and for streams.
"""

import hashlib

import msgspec
from msgspec import Raw, Struct

from caxton_llm.types import (
    Billing,
    CompletionTokensDetails,
    FinishReason,
    FunctionCall,
    Json,
    PromptTokensDetails,
    Usage,
)
from caxton_llm.wire.finish import unknown_reasons

__all__ = [
    "BESIDE_CONTENT",
    "WireAnswer",
    "WireCall",
    "WireChunk",
    "WireChunkChoice",
    "WireContent",
    "WireFunction",
    "WireMessage",
    "arguments_text",
    "common_finish",
    "common_usage",
    "finish_warnings",
    "function_call",
    "reasoning_text",
    "synthetic_call_id",
    "visible_text",
    "whole_number",
]

Number = int | float | None

BESIDE_CONTENT = frozenset(
    {
        "created",
        "id",
        "model",
        "object",
        "prompt_filter_results",
        "role",
        "service_tier",
        "system_fingerprint",
        "type",
        "usage",
        "x_groq",
    }
)
"""Fields whose value may be anything: an answer is read without one that is not as promised."""

_ORDINARY_TIERS = frozenset({"default", "auto", "standard", "on_demand"})
"""Service tiers that cost what the price list says; the last one is Groq's."""


class WirePromptDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    created_cache_tokens: int | None = None
    audio_tokens: int | None = None


class WireCompletionDetails(Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


_NO_DETAILS = WirePromptDetails()


class WireUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: WirePromptDetails | None = None
    completion_tokens_details: WireCompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's cached tokens."""
    cached_tokens: int | None = None
    """Moonshot's cached tokens."""


class WirePart(Struct):
    type: str | None = None
    text: str | None = None
    thinking: Json = None
    refusal: str | None = None


WireContent = str | list[WirePart] | None


class WireFunction(Struct):
    name: str | None = None
    arguments: Json = None


class WireCall(Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: WireFunction | None = None
    custom: Json = None


class WireMessage(Struct):
    """A message, and a message's delta: the fields are the same."""

    role: str | None = None
    content: WireContent = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Json = None
    reasoning_details: Json = None
    tool_calls: list[WireCall] | None = None
    function_call: WireFunction | None = None
    annotations: Json = None
    audio: Json = None


class WireChoice(Struct):
    index: int | None = None
    message: WireMessage | None = None
    finish_reason: str | None = None
    logprobs: Json = None
    stop_reason: Json = None
    """vLLM: the stop string that matched, or the id of a stop token."""


class WireAnswer(Struct):
    id: str | int | None = None
    object: str | None = None
    created: Number | str = None
    model: str | None = None
    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    error: Json = None


class WireChunkChoice(Struct):
    index: int | None = None
    delta: WireMessage | None = None
    finish_reason: str | None = None
    logprobs: Json = None
    stop_reason: Json = None


class WireGroq(Struct):
    usage: WireUsage | None = None


class WireChunk(Struct):
    id: str | int | None = None
    object: str | None = None
    created: Number | str = None
    model: str | None = None
    choices: list[WireChunkChoice] | None = None
    usage: WireUsage | None = None
    service_tier: Json = None
    error: Json = None
    prompt_filter_results: Raw = Raw()
    """Azure's verdict on the prompt, in a first chunk without choices."""
    x_groq: WireGroq | None = None
    """Groq's usage where `stream_options` was not sent."""


# -- meaning ------------------------------------------------------------------------------------------------------------


def whole_number(value: float | str | None) -> int | None:
    """A time that may be written as a float or a string; `None` for anything else."""
    if value is None or value.__class__ is int:
        return value
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None


def common_usage(wire: WireUsage | None, service_tier: Json = None) -> Usage | None:
    """Usage in the common meaning; `None` when nothing is said. The total is the sum: some servers hide tokens in theirs."""
    if wire is None:
        return None
    prompt, completion, total = wire.prompt_tokens, wire.completion_tokens, wire.total_tokens
    if prompt is None and completion is None and total is None:
        return None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total if prompt is None or completion is None else prompt + completion,
        prompt_tokens_details=_prompt_details(wire),
        completion_tokens_details=_completion_details(wire.completion_tokens_details),
        billing=None if service_tier is None else _billing(service_tier),
    )


def _billing(service_tier: Json) -> Billing | None:
    if not isinstance(service_tier, str) or service_tier in _ORDINARY_TIERS:
        return None
    return Billing(tier=service_tier)


def _prompt_details(wire: WireUsage) -> PromptTokensDetails | None:
    details = wire.prompt_tokens_details or _NO_DETAILS
    cached, written = details.cached_tokens, details.cache_write_tokens
    if cached is None:
        cached = wire.cached_tokens if wire.prompt_cache_hit_tokens is None else wire.prompt_cache_hit_tokens
    if written is None:
        written = details.created_cache_tokens
    if cached is None and written is None and details.audio_tokens is None:
        return None
    return PromptTokensDetails(cached_tokens=cached, cache_write_tokens=written, audio_tokens=details.audio_tokens)


def _completion_details(details: WireCompletionDetails | None) -> CompletionTokensDetails | None:
    if details is None:
        return None
    return CompletionTokensDetails(
        reasoning_tokens=details.reasoning_tokens,
        audio_tokens=details.audio_tokens,
        accepted_prediction_tokens=details.accepted_prediction_tokens,
        rejected_prediction_tokens=details.rejected_prediction_tokens,
    )


_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "spii": "content_filter",
    "error": "error",
    "abort": "error",
    "malformed_function_call": "error",
    "insufficient_system_resource": "error",
}
"""Everything else that servers write (eos, end_turn, stop_sequence, repetition, load, "") is a natural end."""


def common_finish(reason: str | None, *, called: bool) -> FinishReason:
    """The common finish reason of an ended choice. `stop` beside tool calls means the calls: servers differ, calls count."""
    finish = _FINISH.get(reason.lower(), "stop") if reason else "stop"
    return "tool_calls" if called and finish == "stop" else finish


def finish_warnings(reason: str | None) -> list[str]:
    """What the caller should know of a reason: that it is none of the above."""
    return unknown_reasons(reason, _FINISH)


def visible_text(content: WireContent) -> str | None:
    """The text of a message, whether it came as text or as parts; `None` when there is none."""
    if content is None or isinstance(content, str):
        return content
    texts = [part.text for part in content if part.text and part.type in (None, "text", "output_text")]
    return "".join(texts) if texts else None


def reasoning_text(message: WireMessage) -> str | None:
    """The visible reasoning, under whichever of its names it came."""
    if message.reasoning_content:
        return message.reasoning_content
    if isinstance(message.reasoning, str) and message.reasoning:
        return message.reasoning
    if message.reasoning_details:
        return _joined_texts(message.reasoning_details)
    if message.content.__class__ is list:
        thoughts = [part.thinking for part in message.content if part.thinking]
        return "".join(filter(None, (_joined_texts(thought) for thought in thoughts))) or None
    return None


def _joined_texts(value: Json) -> str | None:
    if isinstance(value, str):
        return value
    items = value if isinstance(value, list) else [value]
    texts = [item.get("text") or item.get("summary") or "" for item in items if isinstance(item, dict)]
    return "".join(text for text in texts if isinstance(text, str)) or None


def arguments_text(arguments: Json) -> str:
    """Arguments as the text they are in the common model; servers that send an object get it written as JSON."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def function_call(function: WireFunction) -> FunctionCall:
    """A whole call; a call without arguments has an empty object."""
    return FunctionCall(function.name or "", arguments_text(function.arguments) or "{}")


def synthetic_call_id(answer_id: str, choice: int, index: int, name: str) -> str:
    """An id for a call that came without one: the same whenever the same answer is read, other for every other call."""
    seed = f"{answer_id}\n{choice}\n{index}\n{name}"
    return f"call_{hashlib.blake2s(seed.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"
