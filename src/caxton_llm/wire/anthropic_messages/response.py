"""A whole answer of Anthropic's Messages API, and what its stream shares with it: content blocks, usage, stop reasons.

Rules kept here: `input_tokens` excludes what the cache read and wrote, so the common model's prompt is the sum of the three;
thinking blocks stay verbatim; a block of an unknown type is passed over, never an error.
"""

import msgspec
from msgspec import Raw, Struct

from caxton_llm.errors import MalformedResponse
from caxton_llm.protocols import Restore
from caxton_llm.types import (
    Billing,
    ChatResponse,
    Choice,
    CompletionTokensDetails,
    FinishReason,
    FunctionCall,
    Json,
    Message,
    PromptTokensDetails,
    ToolCall,
    Usage,
)
from caxton_llm.wire.anthropic_messages.renaming import renamed_answer
from caxton_llm.wire.error_body import describe_html
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.finish import unknown_reasons
from caxton_llm.wire.half_characters import HALVED, without_halves
from caxton_llm.wire.lenient import read_patiently
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = [
    "ANSWERED_TWICE",
    "BESIDE_CONTENT",
    "DIALECT",
    "TEXT_BESIDE_ANSWER",
    "Block",
    "RedactedBlock",
    "StopDetails",
    "TextBlock",
    "ThinkingBlock",
    "ToolUseBlock",
    "WireUsage",
    "arguments_of",
    "decode_block",
    "decode_chat",
    "finish_reason_of",
    "later_usage",
    "refusal_of",
    "usage_of",
    "verbatim",
    "warnings_of",
]

DIALECT = "anthropic_messages"

TEXT_BESIDE_ANSWER = "the model wrote text beside the answer that response_format asks for; it was left out"
ANSWERED_TWICE = "the model gave the answer that response_format asks for more than once; the first one is kept"
BESIDE_CONTENT = frozenset({"id", "model", "stop_details", "stop_sequence", "usage"})
"""Fields whose value may be anything: an answer is read without one that is not as promised."""


class TextBlock(Struct, tag="text", tag_field="type"):
    """Text of the answer."""

    text: str


class ToolUseBlock(Struct, tag="tool_use", tag_field="type"):
    """A call of one of the caller's tools; `input` is a JSON object."""

    id: str
    name: str
    input: Raw = Raw(b"{}")


class ThinkingBlock(Struct, tag="thinking", tag_field="type"):
    """Visible reasoning; its text is empty when the request did not ask to see it."""

    thinking: str = ""


class RedactedBlock(Struct, tag="redacted_thinking", tag_field="type"):
    """Reasoning that only Anthropic can read."""


Block = TextBlock | ToolUseBlock | ThinkingBlock | RedactedBlock


class _Kind(Struct):
    type: str = ""


class _OutputDetails(Struct):
    thinking_tokens: int | None = None


class _CacheCreation(Struct):
    ephemeral_1h_input_tokens: int | None = None


class _ServerTools(Struct):
    web_search_requests: int | None = None


class WireUsage(Struct, kw_only=True):
    """`usage` as Anthropic writes it, whole or in an event of a stream."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    """How the tokens written to the cache divide among its lifetimes."""
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None
    iterations: "list[WireUsage] | None" = None
    """The model calls behind one answer, compaction included; the figures above then cover only some of them."""
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    server_tool_use: _ServerTools | None = None

    @property
    def tells_input(self) -> bool:
        return (
            self.input_tokens is not None
            or self.cache_read_input_tokens is not None
            or self.cache_creation_input_tokens is not None
        )


class StopDetails(Struct):
    """Why the model refused."""

    category: str | None = None
    explanation: str | None = None


class _Answer(Struct):
    id: str = ""
    model: str = ""
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: WireUsage | None = None
    error: Json = None


_answer_decoder = msgspec.json.Decoder(_Answer)
_block_decoder = msgspec.json.Decoder(Block)
_object_decoder = msgspec.json.Decoder(dict[str, Json])
_kind_decoder = msgspec.json.Decoder(_Kind)
_KNOWN_BLOCKS = frozenset({"text", "tool_use", "thinking", "redacted_thinking"})
_ORDINARY = frozenset({None, "standard", "global", "not_available"})
"""Values of a usage's `service_tier`, `speed` and `inference_geo` that cost what the price list says."""

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "compaction": "stop",
    "pause_turn": "stop",  # with a warning, because the turn is to be continued
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "length": "length",
    "tool_use": "tool_calls",
    "tool_calls": "tool_calls",
    "refusal": "content_filter",
    "content_filter": "content_filter",
}


def finish_reason_of(stop_reason: str | None) -> FinishReason:
    """A reason that this module does not know, or none at all, counts as a natural end, because the answer is whole."""
    return _FINISH_REASONS.get((stop_reason or "").lower(), "stop")


def warnings_of(stop_reason: str | None) -> list[str]:
    """What a stop reason says that no finish reason can: the server's own tools want the turn to be continued, or it is a
    reason that this module does not know."""
    if stop_reason != "pause_turn":
        return unknown_reasons(stop_reason, _FINISH_REASONS)
    return ["Anthropic paused the turn (pause_turn): send the conversation again with this answer to have it continued"]


def refusal_of(details: StopDetails | None) -> str:
    """The provider's explanation of a refusal."""
    if details is not None and details.explanation:
        return details.explanation
    if details is not None and details.category:
        return f"The model refused to answer ({details.category})."
    return "The model refused to answer."


def later_usage(earlier: WireUsage | None, later: WireUsage) -> WireUsage:
    """The usage of a stream after one more event that has any.

    The figures are cumulative, so they replace and never add. The input side is one snapshot: an event that tells any part of
    it replaces all of it, because some servers put the whole prompt into the first event and its uncached rest into the last.
    Only the lifetimes of what was cached stay, because the last event has the sum alone.
    """
    if earlier is None:
        return later
    side = later if later.tells_input else earlier
    return WireUsage(
        input_tokens=side.input_tokens,
        cache_creation_input_tokens=side.cache_creation_input_tokens,
        cache_creation=later.cache_creation or earlier.cache_creation,
        cache_read_input_tokens=side.cache_read_input_tokens,
        output_tokens=earlier.output_tokens if later.output_tokens is None else later.output_tokens,
        output_tokens_details=later.output_tokens_details or earlier.output_tokens_details,
        iterations=later.iterations or earlier.iterations,
        service_tier=later.service_tier or earlier.service_tier,
        speed=later.speed or earlier.speed,
        inference_geo=later.inference_geo or earlier.inference_geo,
        server_tool_use=later.server_tool_use or earlier.server_tool_use,
    )


def usage_of(wire: WireUsage | None) -> Usage | None:
    """The usage in the common model's meaning."""
    if wire is None:
        return None
    parts = wire.iterations or [wire]
    written = _total([part.cache_creation_input_tokens for part in parts])
    read = _total([part.cache_read_input_tokens for part in parts])
    fresh = _total([part.input_tokens for part in parts])
    output = _total([part.output_tokens for part in parts])
    prompt = None if fresh is None else fresh + (written or 0) + (read or 0)
    thought = wire.output_tokens_details.thinking_tokens if wire.output_tokens_details else None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=output,
        total_tokens=None if prompt is None or output is None else prompt + output,
        prompt_tokens_details=None
        if read is None and written is None
        else PromptTokensDetails(
            cached_tokens=read, cache_write_tokens=written, cache_write_1h_tokens=_written_for_an_hour(parts)
        ),
        completion_tokens_details=None if thought is None else CompletionTokensDetails(reasoning_tokens=thought),
        billing=_billing(wire),
    )


def _written_for_an_hour(parts: list[WireUsage]) -> int | None:
    return _total([part.cache_creation.ephemeral_1h_input_tokens for part in parts if part.cache_creation is not None])


def _billing(wire: WireUsage) -> Billing | None:
    searches = wire.server_tool_use.web_search_requests if wire.server_tool_use else None
    tier = None if wire.service_tier in _ORDINARY else wire.service_tier
    speed = None if wire.speed in _ORDINARY else wire.speed
    region = None if wire.inference_geo in _ORDINARY else wire.inference_geo
    if tier is speed is region is None and not searches:
        return None
    return Billing(tier=tier, speed=speed, region=region, web_searches=searches or None)


def _total(figures: list[int | None]) -> int | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None


def arguments_of(tool_input: Raw) -> str:
    """A tool's input as the JSON text of the common model: compact, its keys in the model's order."""
    try:
        text = msgspec.json.format(bytes(tool_input), indent=-1).decode()
    except UNREADABLE:
        raise MalformedResponse("the provider sent a tool call whose input is not JSON") from None
    return "{}" if text == "null" else text


def decode_block(raw: Raw) -> Block | None:
    """A content block; `None` for a type that the common model does not have. Raises `MalformedResponse`."""
    try:
        block: Block = _block_decoder.decode(raw)
    except msgspec.ValidationError as error:
        if _is_unknown(raw):
            return None
        raise MalformedResponse(f"a content block is not as the provider's API promises: {error}") from None
    except UNREADABLE:
        raise MalformedResponse("a content block of the answer is not JSON") from None
    return block


def _is_unknown(raw: Raw) -> bool:
    try:
        return _kind_decoder.decode(raw).type not in _KNOWN_BLOCKS
    except msgspec.ValidationError:  # not even an object
        return False


def verbatim(raw: Raw) -> dict[str, Json]:
    """A block as it is, with the fields that this module does not know. Raises `MalformedResponse`."""
    try:
        return _object_decoder.decode(raw)
    except UNREADABLE:
        raise MalformedResponse("a content block of the answer is not JSON") from None


def decode_chat(body: bytes, restore: Restore) -> ChatResponse:
    """Raises the error that a 200 may carry, and `MalformedResponse` for anything but a message."""
    warnings: list[str] = []
    try:
        answer = _answer_decoder.decode(body)
    except UNREADABLE:
        answer, body = _read_again(body, warnings)
    if answer.error:
        raise classify_error_value(msgspec.json.decode(body), status=200)
    if answer.content is None:
        raise MalformedResponse("the answer has no content; check base_url")
    content = _Content()
    for raw in answer.content:
        _add_block(content, raw, restore)
    message, reason = _message(content, answer)
    choice = Choice(index=0, message=message, finish_reason=reason, stop_sequence=answer.stop_sequence)
    if restore.tool_names:
        body = renamed_answer(body, restore.tool_names)
    return ChatResponse(
        id=answer.id,
        model=answer.model,
        choices=[choice],
        usage=usage_of(answer.usage),
        service_tier=answer.usage.service_tier if answer.usage else None,
        warnings=warnings + warnings_of(answer.stop_reason) + _warnings_about(content),
        dialect=DIALECT,
        wire=None if restore.unwrap_tool else body,
    )


def _read_again(body: bytes, warnings: list[str]) -> tuple[_Answer, bytes]:
    """The answer and its body, read with patience."""
    whole = without_halves(body)
    if whole is not None:
        warnings.append(HALVED)
        body = whole
    try:
        return read_patiently(body, _Answer, BESIDE_CONTENT)
    except msgspec.ValidationError as error:
        raise MalformedResponse(f"the answer is not a message of the Messages API: {error}") from None
    except UNREADABLE:
        raise MalformedResponse(f"the provider sent {describe_html(body) or 'no JSON'}; check base_url") from None


class _Content(Struct):
    """What the blocks of an answer amount to."""

    texts: list[str] = []
    reasoning: list[str] = []
    thinking_blocks: list[Json] = []
    calls: list[ToolCall] = []
    answers: list[str] = []
    """The arguments of each call of the tool that stands for the answer."""


def _warnings_about(content: _Content) -> list[str]:
    warnings = []
    if content.answers and "".join(content.texts).strip():
        warnings.append(TEXT_BESIDE_ANSWER)
    if len(content.answers) > 1:
        warnings.append(ANSWERED_TWICE)
    return warnings


def _message(content: _Content, answer: _Answer) -> tuple[Message, FinishReason]:
    reason = finish_reason_of(answer.stop_reason)
    if content.calls and reason == "stop":
        reason = "tool_calls"
    elif content.answers and reason == "tool_calls" and not content.calls:
        reason = "stop"
    text = content.answers[0] if content.answers else "".join(content.texts)
    refused = reason == "content_filter"
    return Message(
        role="assistant",
        content=text or (None if content.calls or refused else ""),
        refusal=refusal_of(answer.stop_details) if refused else None,
        reasoning_content="".join(content.reasoning) or None,
        thinking_blocks=content.thinking_blocks or None,
        tool_calls=content.calls or None,
    ), reason


def _add_block(content: _Content, raw: Raw, restore: Restore) -> None:
    block = decode_block(raw)
    if isinstance(block, TextBlock):
        content.texts.append(block.text)
    elif isinstance(block, ToolUseBlock):
        arguments = arguments_of(block.input)
        if block.name == restore.unwrap_tool:
            content.answers.append(arguments)
            return
        name = restore.tool_names.get(block.name, block.name)
        content.calls.append(ToolCall(id=block.id, function=FunctionCall(name, arguments)))
    elif block is not None:
        content.thinking_blocks.append(verbatim(raw))
        if isinstance(block, ThinkingBlock):
            content.reasoning.append(block.thinking)
