"""A streamed answer of Anthropic's Messages API: events -> chunks.

Rules kept here: one chunk per event, also for the events that add nothing to the common model, so that a client of the
same dialect gets every one of them; tool calls are counted over the tool blocks only; a thinking block is handed on whole,
with its own signature, once it has ended; usage is cumulative and replaced, never added. There is no end without
`message_stop`, nor without a reason for it. Where a tool stands for the answer, text waits for the end: only without that
tool's call is it the content.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from caxton_llm.errors import LlmError, MalformedResponse, ProviderFailure, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import (
    ChatChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    Json,
    ToolCallDelta,
)
from caxton_llm.wire.anthropic_messages.renaming import renamed_event
from caxton_llm.wire.anthropic_messages.response import (
    ANSWERED_TWICE,
    BESIDE_CONTENT,
    TEXT_BESIDE_ANSWER,
    RedactedBlock,
    StopDetails,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    WireUsage,
    arguments_of,
    decode_block,
    finish_reason_of,
    later_usage,
    refusal_of,
    usage_of,
    verbatim,
    warnings_of,
)
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.half_characters import HALVED, without_halves
from caxton_llm.wire.lenient import read_patiently
from caxton_llm.wire.sse import SseDecoder
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["AnthropicStreamDecoder"]


class _Delta(Struct):
    """The delta of a block, or of the message."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class _Start(Struct):
    id: str = ""
    model: str = ""
    usage: WireUsage | None = None


class _Event(Struct):
    """Every event in one type, because one decoding per event is what the speed depends on."""

    type: str = ""
    index: int = -1
    delta: _Delta | None = None
    content_block: Raw = Raw(b"")
    message: _Start | None = None
    usage: WireUsage | None = None
    error: Json = None


class _Kind(Struct):
    type: str = ""


class _DeltaEvent(Struct):
    delta: _Kind


class _OpenTool(Struct):
    """A tool block between its start and its stop. `position` is `None` for the tool that stands for the answer, `ignored`
    says that the answer was there already."""

    position: int | None
    input: Raw
    said: bool = False
    ignored: bool = False


class _OpenThinking(Struct):
    block: dict[str, Json]
    text: list[str]
    signature: list[str]


_event_decoder = msgspec.json.Decoder(_Event)
_kind_decoder = msgspec.json.Decoder(_Kind)
_delta_kind_decoder = msgspec.json.Decoder(_DeltaEvent)
_KNOWN_EVENTS = frozenset(
    {"message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop", "error"}
)
_KNOWN_DELTAS = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta"})


class AnthropicStreamDecoder:
    """The `StreamDecoder` of the dialect.

    `finished` comes with `message_stop` and not before: the end marker of this dialect is never missing from a whole answer,
    so a body that ends without it was cut. One event inside a good stream that is not JSON is skipped with a warning; garbage
    from the start, again, or inside a tool call is a failure.
    """

    __slots__ = (
        "_answers",
        "_calls",
        "_ended",
        "_held",
        "_id",
        "_keep_bytes",
        "_model",
        "_restore",
        "_skipped",
        "_sse",
        "_started",
        "_thinking",
        "_tools",
        "_usage",
        "done",
        "failure",
        "finished",
        "warnings",
    )

    def __init__(self, restore: Restore) -> None:
        self.failure: LlmError | None = None
        self.finished = False
        self.done = False
        self.warnings: list[str] = []
        self._restore = restore
        self._keep_bytes = restore.unwrap_tool is None
        self._sse = SseDecoder()
        self._skipped = False
        self._id = ""
        self._model = ""
        self._calls = 0
        self._answers = 0
        self._held: list[str] = []
        self._ended = False
        self._skipped = False
        self._usage: WireUsage | None = None
        self._started: set[int] = set()
        self._tools: dict[int, _OpenTool] = {}
        self._thinking: dict[int, _OpenThinking] = {}

    def feed(self, data: bytes) -> list[ChatChunk]:
        """The chunks of the events that end in `data`."""
        if self.done or self.failure is not None:
            return []
        try:
            events = self._sse.feed(data)
        except LlmError as error:
            self.failure = error
            return []
        chunks: list[ChatChunk] = []
        keep_bytes, names = self._keep_bytes, self._restore.tool_names
        for name, payload in events:
            try:
                chunk = self._chunk_of(name, payload)
            except LlmError as error:
                self.failure = error
                break
            if chunk is None:
                continue
            chunk.id = self._id
            chunk.model = self._model
            if keep_bytes:
                wire = payload if chunk.wire is None else chunk.wire
                chunk.wire = renamed_event(wire, names) if names else wire
            chunks.append(chunk)
            if self.done:
                break
        return chunks

    def close(self) -> list[ChatChunk]:
        """The body has ended."""
        if not self.done and self.failure is None:
            self.failure = StreamInterrupted("the stream ended before its message_stop event")
        return []

    def _chunk_of(self, name: str | None, payload: bytes) -> ChatChunk | None:
        """The chunk of one event, `None` when there is nothing to hand on."""
        understood: bytes | None = None
        try:
            event = _event_decoder.decode(payload)
        except UNREADABLE:
            again = self._read_again(payload)
            if again is None:
                return None
            event, understood = again
            payload = understood
        if event.error:
            raise classify_error_value(msgspec.json.decode(payload))
        kind = event.type or name or ""
        handler = _HANDLERS.get(kind)
        chunk = handler(self, event) if handler is not None else ChatChunk()
        chunk.event = name or kind
        chunk.wire = understood if self._keep_bytes else None
        return chunk

    def _read_again(self, payload: bytes) -> tuple[_Event, bytes] | None:
        """The event and its payload, read with patience; `None` when it is no JSON."""
        whole = without_halves(payload)
        if whole is not None:
            if HALVED not in self.warnings:
                self.warnings.append(HALVED)
            payload = whole
        try:
            if _is_unknown(payload):
                return _Event(), payload
            return read_patiently(payload, _Event, BESIDE_CONTENT)
        except msgspec.ValidationError as error:
            raise MalformedResponse(f"an event of the stream is not as the provider's API promises: {error}") from None
        except UNREADABLE:
            self._skip()
            return None

    def _skip(self) -> None:
        if not self._id or self._skipped or self._tools:
            raise MalformedResponse("the provider sent events that are not JSON")
        self._skipped = True
        self.warnings.append(
            "one event of the stream was not JSON and was skipped; a piece of the answer may be missing"
        )

    def _on_delta(self, event: _Event) -> ChatChunk:
        delta = event.delta
        if delta is None:
            return ChatChunk()
        if delta.text and delta.type == "text_delta":
            return self._text(delta.text)
        if delta.partial_json is not None:
            return self._arguments(event.index, delta.partial_json)
        block = self._thinking.get(event.index)
        if block is not None and delta.thinking:
            block.text.append(delta.thinking)
            return _chunk(Delta(reasoning_content=delta.thinking))
        if block is not None and delta.signature:
            block.signature.append(delta.signature)
        return ChatChunk()

    def _text(self, text: str) -> ChatChunk:
        if self._restore.unwrap_tool is None:
            return _chunk(Delta(content=text))
        self._held.append(text)
        return ChatChunk()

    def _arguments(self, index: int, fragment: str) -> ChatChunk:
        tool = self._tools.get(index)
        if tool is None:
            if index not in self._started:
                raise MalformedResponse("the provider sent the arguments of a tool call that has not begun")
            return ChatChunk()  # a tool that the provider runs itself
        if not fragment:
            return ChatChunk()
        tool.said = True
        return _arguments_chunk(tool, fragment)

    def _on_block_start(self, event: _Event) -> ChatChunk:
        self._started.add(event.index)
        block = decode_block(event.content_block)
        if isinstance(block, ToolUseBlock):
            return self._begin_tool(event.index, block)
        if isinstance(block, TextBlock) and block.text:
            return self._text(block.text)
        if isinstance(block, ThinkingBlock | RedactedBlock):
            fields = verbatim(event.content_block)
            self._thinking[event.index] = _OpenThinking(fields, [fields.get("thinking") or ""], [])
            if isinstance(block, ThinkingBlock) and block.thinking:
                return _chunk(Delta(reasoning_content=block.thinking))
        return ChatChunk()

    def _begin_tool(self, index: int, block: ToolUseBlock) -> ChatChunk:
        if block.name == self._restore.unwrap_tool:
            self._answers += 1
            if self._answers == 2:  # once, however many there are
                self.warnings.append(ANSWERED_TWICE)
            self._tools[index] = _OpenTool(None, block.input, ignored=self._answers > 1)
            return ChatChunk()
        position = self._calls
        self._calls += 1
        self._tools[index] = _OpenTool(position, block.input)
        name = self._restore.tool_names.get(block.name, block.name)
        call = ToolCallDelta(index=position, id=block.id, type="function", function=FunctionCallDelta(name, ""))
        return _chunk(Delta(tool_calls=[call]))

    def _on_block_stop(self, event: _Event) -> ChatChunk:
        tool = self._tools.pop(event.index, None)
        if tool is not None:
            return ChatChunk() if tool.said else _arguments_chunk(tool, arguments_of(tool.input))
        thinking = self._thinking.pop(event.index, None)
        if thinking is None:
            return ChatChunk()
        block = thinking.block
        if block["type"] == "thinking":
            block["thinking"] = "".join(thinking.text)
            block["signature"] = "".join(thinking.signature) or block.get("signature") or ""
        return _chunk(Delta(thinking_blocks=[block]))

    def _on_message_start(self, event: _Event) -> ChatChunk:
        start = event.message
        if start is not None:
            self._id = start.id
            self._model = start.model
            self._usage = start.usage
        return _chunk(Delta(role="assistant"))

    def _on_message_delta(self, event: _Event) -> ChatChunk:
        if event.usage is not None:
            self._usage = later_usage(self._usage, event.usage)
        chunk = ChatChunk(usage=usage_of(self._usage))
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return chunk
        self._ended = True
        reason = finish_reason_of(delta.stop_reason)
        self.warnings += warnings_of(delta.stop_reason)
        if reason == "tool_calls" and not self._calls and self._restore.unwrap_tool:
            reason = "stop"
        elif reason == "stop" and self._calls:
            reason = "tool_calls"
        refusal = refusal_of(delta.stop_details) if reason == "content_filter" else None
        choice = ChunkChoice(
            index=0,
            delta=Delta(content=self._take_held(), refusal=refusal),
            finish_reason=reason,
            stop_sequence=delta.stop_sequence,
        )
        chunk.choices.append(choice)
        return chunk

    def _take_held(self) -> str | None:
        """The text that waited, if it is the content after all."""
        text = "".join(self._held)
        self._held.clear()
        if self._answers and text.strip():
            self.warnings.append(TEXT_BESIDE_ANSWER)
        return None if self._answers else text or None

    def _on_message_stop(self, _event: _Event) -> ChatChunk:
        if not self._ended:
            raise StreamInterrupted("the stream ended without a word on why: the answer may be cut")
        self.finished = self.done = True
        return ChatChunk()

    def _on_error(self, _event: _Event) -> ChatChunk:
        raise ProviderFailure("the provider ended the stream with an error that it does not name")


_HANDLERS: dict[str, Callable[[AnthropicStreamDecoder, _Event], ChatChunk]] = {
    "content_block_delta": AnthropicStreamDecoder._on_delta,
    "content_block_start": AnthropicStreamDecoder._on_block_start,
    "content_block_stop": AnthropicStreamDecoder._on_block_stop,
    "message_start": AnthropicStreamDecoder._on_message_start,
    "message_delta": AnthropicStreamDecoder._on_message_delta,
    "message_stop": AnthropicStreamDecoder._on_message_stop,
    "error": AnthropicStreamDecoder._on_error,
}


def _chunk(delta: Delta) -> ChatChunk:
    return ChatChunk(choices=[ChunkChoice(index=0, delta=delta)])


def _arguments_chunk(tool: _OpenTool, text: str) -> ChatChunk:
    if tool.ignored:
        return ChatChunk()
    if tool.position is None:
        return _chunk(Delta(content=text))
    return _chunk(Delta(tool_calls=[ToolCallDelta(index=tool.position, function=FunctionCallDelta(None, text))]))


def _is_unknown(payload: bytes) -> bool:
    """An event or a delta of a type that appeared after this was written may have any shape."""
    try:
        kind = _kind_decoder.decode(payload).type
        if kind == "content_block_delta":
            return _delta_kind_decoder.decode(payload).delta.type not in _KNOWN_DELTAS
    except msgspec.ValidationError:
        return False
    return kind not in _KNOWN_EVENTS
