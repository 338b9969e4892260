"""A request and the bytes that it came in, changed together: a target of the client's dialect is sent the bytes."""

from collections.abc import Set

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from caxton_llm.types import ChatRequest, Json, Message
from caxton_llm.wire import anthropic_messages, openai_chat
from caxton_llm.wire.anthropic_messages.client import shortened as anthropic_shortened
from caxton_llm.wire.openai_chat.client import shortened as openai_shortened

__all__ = ["with_answer_begun", "with_fields", "with_output_limit", "without_messages"]

_SHORTENED = {
    openai_chat.name: openai_shortened.without_messages,
    anthropic_messages.name: anthropic_shortened.without_messages,
}
_RAW_LIST = msgspec.json.Decoder(list[Raw])


def without_messages(request: ChatRequest, left_out: Set[int]) -> ChatRequest | None:
    """`request` without the messages of these numbers; the others keep their bytes, unknown content included.

    `None` when the bytes cannot follow: they are of a dialect that is not known here, or do not match the messages.
    """
    source = request.source
    if source is None:
        messages = [message for index, message in enumerate(request.messages) if index not in left_out]
        return replace(request, messages=messages)
    shortened = _SHORTENED.get(source.dialect)
    return None if shortened is None else shortened(request, left_out)


def with_output_limit(request: ChatRequest, limit: int) -> ChatRequest:
    """`request` with another limit of the output in tokens, under the name that the caller used, else its dialect's."""
    source = request.source
    old = request.max_completion_tokens is None and request.max_tokens is not None
    if old or (source is not None and source.dialect == anthropic_messages.name):
        name, limited = "max_tokens", replace(request, max_tokens=limit)
    else:
        name, limited = "max_completion_tokens", replace(request, max_completion_tokens=limit)
    return limited if source is None else _with_source(limited, {name: Raw(msgspec.json.encode(limit))})


def with_fields(request: ChatRequest, fields: dict[str, Json]) -> ChatRequest:
    """`request` with further fields outside the common model."""
    changed = replace(request, extra={**request.extra, **fields})
    if request.source is None:
        return changed
    return _with_source(changed, {name: Raw(msgspec.json.encode(value)) for name, value in fields.items()})


def with_answer_begun(request: ChatRequest, text: str) -> ChatRequest | None:
    """`request` with an assistant's message behind the others, which has the same form in all dialects that are known here;
    `None` for any other dialect."""
    begun = replace(request, messages=[*request.messages, Message(role="assistant", content=text)])
    source = request.source
    if source is None:
        return begun
    if source.dialect not in _SHORTENED:
        return None
    raw = _RAW_LIST.decode(source.fields["messages"])
    raw.append(Raw(msgspec.json.encode({"role": "assistant", "content": text})))
    return _with_source(begun, {"messages": Raw(msgspec.json.encode(raw))})


def _with_source(request: ChatRequest, fields: dict[str, Raw]) -> ChatRequest:
    source = request.source
    return request if source is None else replace(request, source=replace(source, fields={**source.fields, **fields}))
