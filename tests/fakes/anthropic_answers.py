"""What a Messages request asks for, and answers to it, plain and as events. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from fakes.anthropic_checks import ClaudeModel, prompt_text
from fakes.http_server import Json
from fakes.media import decode_base64
from fakes.script import Answer, Asked, Part, Reasoning, Redacted, Refused, Text, ToolCall, Usage, fragments, text_of

__all__ = ["UsageShape", "Written", "asked_of", "events_of", "message_of"]

UsageShape = Literal["repeated", "start", "split"]
"""The three shapes of streamed usage: input side in both events, in the first only, or corrected by the last one."""

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


# -- what it asks for ---------------------------------------------------------------------------------------------------


def asked_of(body: Mapping[str, Json], model: ClaudeModel) -> Asked:
    """What a checked request asks for."""
    users = [message["content"] for message in body["messages"] if message["role"] == "user"]
    blocks = users[-1] if isinstance(users[-1], list) else [{"type": "text", "text": users[-1]}]
    text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
    results = tuple(text_of(block.get("content")) for block in blocks if block["type"] == "tool_result")
    choice = body.get("tool_choice") or {"type": "auto"}
    tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools") or []}
    if choice["type"] == "none":
        tools = {}
    elif choice["type"] == "tool":
        tools = {choice["name"]: tools[choice["name"]]}
    return Asked(
        user_text=text,
        prompt_text=prompt_text(body),
        tool_results=results,
        images=tuple(_seen(block) for block in blocks if block["type"] in ("image", "document")),
        tools=tools,
        forced=choice["type"] in ("any", "tool"),
        parallel=not choice.get("disable_parallel_tool_use"),
        schema=((body.get("output_config") or {}).get("format") or {}).get("schema"),
        stop=body.get("stop_sequences") or (),
        limit=body["max_tokens"],
        reasons=_thinks(body, model),
    )


def _thinks(body: Mapping[str, Json], model: ClaudeModel) -> bool:
    kind = (body.get("thinking") or {}).get("type")
    return model.thinks_by_default if kind is None else kind != "disabled"


def _seen(block: Json) -> str:
    source = block["source"]
    kind = block["type"]
    if source["type"] == "url":
        return f"{kind} at {source['url']}"
    if source["type"] == "file":
        return f"{kind} {source['file_id']}"
    data = source["data"].encode() if source["type"] == "text" else decode_base64(source["data"]) or b""
    return f"{source['media_type']} of {len(data)} bytes"


# -- answers ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Written:
    """An answer with what the server adds: ids, signatures."""

    id: str
    model: str
    answer: Answer
    call_ids: tuple[str, ...]
    signatures: tuple[str, ...]
    """One per reasoning part, in order."""
    omits_thinking: bool
    """Thinking blocks come with a signature and no text."""


def message_of(written: Written) -> dict[str, Json]:
    """The body of a plain answer."""
    answer = written.answer
    return {
        **_message_head(written, [block for _, block in _blocks(written)]),
        **_ending(answer),
        "usage": {**_whole_usage(answer.usage), **_output_usage(answer.usage)},
    }


def _message_head(written: Written, content: list[Json]) -> dict[str, Json]:
    return {"id": written.id, "type": "message", "role": "assistant", "model": written.model, "content": content}


def _ending(answer: Answer) -> dict[str, Json]:
    reason = _STOP_REASONS.get(answer.finish, answer.finish)
    if answer.stop_sequence is not None:
        reason = "stop_sequence"
    details = {"type": "refusal", "category": None, "explanation": answer.refusal} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": answer.stop_sequence, "stop_details": details}


def _input_usage(usage: Usage) -> dict[str, Json]:
    return {
        "input_tokens": usage.prompt - usage.cached - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
    }


def _whole_usage(usage: Usage) -> dict[str, Json]:
    hour = usage.cache_write_1h
    created = {"ephemeral_5m_input_tokens": usage.cache_write - hour, "ephemeral_1h_input_tokens": hour}
    served = {"service_tier": "standard", "inference_geo": usage.region, "speed": usage.speed}
    return {**_input_usage(usage), "cache_creation": created, **served}


def _output_usage(usage: Usage) -> dict[str, Json]:
    counts: dict[str, Json] = {"output_tokens": usage.completion}
    if usage.reasoning:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.web_searches:
        counts["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    return counts


def _blocks(written: Written) -> Iterator[tuple[Part, Json]]:
    calls, signatures = iter(written.call_ids), iter(written.signatures)
    for part in written.answer.parts:
        match part:
            case Text(text):
                yield part, {"type": "text", "text": text}
            case Reasoning(text):
                shown = "" if written.omits_thinking else text
                yield part, {"type": "thinking", "thinking": shown, "signature": next(signatures)}
            case Redacted(data):
                yield part, {"type": "redacted_thinking", "data": data}
            case ToolCall(name):
                arguments = part.arguments_text
                block = {"type": "tool_use", "id": next(calls), "name": name}
                yield part, {**block, "input": _parsed(arguments)}
            case Refused():
                pass


def _parsed(arguments: str) -> Json:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return None


def events_of(written: Written, pieces: int | None, shape: UsageShape) -> Iterator[dict[str, Json]]:
    """The events of a streamed answer, each with its `type`; the last is the end marker."""
    usage = written.answer.usage
    first = {"input_tokens": usage.prompt} if shape == "split" else _whole_usage(usage)
    head = {**_message_head(written, []), "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**head, "usage": {**first, "output_tokens": 1}}}
    for index, (part, block) in enumerate(_blocks(written)):
        yield {"type": "content_block_start", "index": index, "content_block": _empty(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(part, block, pieces):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    last = {} if shape == "start" else _input_usage(usage)
    yield {"type": "message_delta", "delta": _ending(written.answer), "usage": {**last, **_output_usage(usage)}}
    yield {"type": "message_stop"}


def _empty(block: Json) -> Json:
    blank: dict[str, Json] = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {key: blank.get(key, value) for key, value in block.items()}


def _deltas(part: Part, block: Json, pieces: int | None) -> Iterator[dict[str, Json]]:
    if isinstance(part, Text):
        yield from ({"type": "text_delta", "text": piece} for piece in fragments(part.text, pieces))
    elif isinstance(part, Reasoning):
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in fragments(block["thinking"], pieces))
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif isinstance(part, ToolCall):
        arguments = part.arguments_text
        yield {"type": "input_json_delta", "partial_json": ""}
        if arguments != "{}":
            size = pieces or max(1, len(arguments) // 6)
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in fragments(arguments, size))
