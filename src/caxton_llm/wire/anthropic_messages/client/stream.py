"""A streamed answer for a client of Anthropic's Messages API.

A stream that comes in this dialect is forwarded event by event, byte by byte. Of any other, the events are made: blocks with
contiguous indices, one strictly after the other. Because other vendors may interleave their tool calls, a piece of the answer
that begins while an earlier one is still open waits until that one is complete.

What is done before an answer goes on (`ChatChunk.progress`) comes with a `ping`.

Either way `message_delta` and `message_stop` are held back to the end of the stream, because what is known only then goes
into the one, and because an answer that breaks off must not look complete.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec
from msgspec import Raw, Struct, field

from caxton_llm.errors import LlmError
from caxton_llm.types import ChatChunk, ChunkChoice, Delta, FinishReason, Json, ToolCallDelta, Usage
from caxton_llm.wire.anthropic_messages.client.response import (
    encode_error,
    message_id,
    stop_fields,
    usage_object,
)

__all__ = ["AnthropicStreamEncoder"]

_encode = msgspec.json.Encoder().encode
_object_decoder = msgspec.json.Decoder(dict[str, Raw])
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class _Way(Protocol):
    """Forwarding, or making events."""

    def encode(self, chunks: list[ChatChunk]) -> bytes: ...
    def finish(self, trailer: Mapping[str, Json]) -> bytes: ...


class AnthropicStreamEncoder:
    """The `StreamEncoder` of the dialect. Whether it forwards is decided by the first chunk, because a stream out of
    which an answer had to be unwrapped comes without its bytes."""

    def __init__(self, *, verbatim: bool, model: str) -> None:
        self._verbatim = verbatim
        self._model = model
        self._way: _Way | None = None

    def encode(self, chunks: list[ChatChunk]) -> bytes:
        if self._way is None:
            if not chunks:
                return b""
            self._way = _Forwarding() if self._verbatim and chunks[0].wire is not None else _Making(self._model)
        return self._way.encode(chunks)

    def finish(self, trailer: Mapping[str, Json]) -> bytes:
        return (self._way or _Making(self._model)).finish(trailer)

    def fail(self, error: LlmError) -> bytes:
        """What was held back stays unsaid."""
        return b"event: error\ndata: " + encode_error(error) + b"\n\n"


class _Forwarding:
    def __init__(self) -> None:
        self._held: list[ChatChunk] = []

    def encode(self, chunks: list[ChatChunk]) -> bytes:
        events: list[bytes] = []
        for chunk in chunks:
            if chunk.progress is not None:
                events.append(_progress_event(chunk.progress))
            elif self._held or chunk.event in ("message_delta", "message_stop"):
                self._hold(chunk, events)
            else:
                _forward(chunk.event, chunk.wire, events)
        return b"".join(events)

    def _hold(self, chunk: ChatChunk, events: list[bytes]) -> None:
        if chunk.event == "message_delta":  # the last one is held: an earlier one was not the end
            for held in self._held:
                _forward(held.event, held.wire, events)
            self._held.clear()
        self._held.append(chunk)

    def finish(self, trailer: Mapping[str, Json]) -> bytes:
        events: list[bytes] = []
        for chunk in self._held:
            wire = chunk.wire
            if chunk.event == "message_delta" and wire is not None and trailer:
                wire = wire.rstrip()[:-1].rstrip() + b',"caxton":' + _encode(dict(trailer)) + b"}"
            _forward(chunk.event, wire, events)
        return b"".join(events)


def _progress_event(progress: Json) -> bytes:
    """A ping, which clients read over, with what is being done."""
    return b"event: ping\ndata: " + _encode({"type": "ping", "caxton": {"progress": progress}}) + b"\n\n"


def _forward(event: str | None, wire: bytes | None, events: list[bytes]) -> None:
    if wire is None:
        return
    if b"\n" in wire:
        wire = wire.replace(b"\n", b"\ndata: ")
    if event is not None:
        events += (b"event: ", event.encode(), b"\ndata: ", wire, b"\n\n")
    else:
        events += (b"data: ", wire, b"\n\n")


class _Piece(Struct):
    """A block of the answer in the making. `waiting` holds what has come for it before its turn."""

    kind: Literal["text", "thinking", "whole", "tool"]
    start: dict[str, Json]
    waiting: list[str] = field(default_factory=list)
    signature: str = ""
    call: int = -1
    """The number of the tool call, for a tool."""
    arguments: list[str] = field(default_factory=list)
    """All fragments of a tool's arguments, to know when they are complete."""
    checked: int = 0
    """How many fragments there were when they were last found incomplete."""
    closed: bool = False
    """Nothing more can come for it."""


class _Making:
    def __init__(self, model: str) -> None:
        self._model = model
        self._begun = False
        self._id = ""
        self._index = -1
        self._pieces: list[_Piece] = []
        """The open block and those that wait behind it."""
        self._calls: dict[int, _Piece] = {}
        self._reason: FinishReason | None = None
        self._stop_sequence: str | None = None
        self._refusal: list[str] = []
        self._has_text = False
        self._usage: Usage | None = None
        self._events: list[bytes] = []

    def encode(self, chunks: list[ChatChunk]) -> bytes:
        for chunk in chunks:
            if chunk.usage is not None:
                self._usage = chunk.usage
            if not self._begun:
                self._begin(chunk)
            if chunk.progress is not None:
                self._events.append(_progress_event(chunk.progress))
            for choice in chunk.choices:
                if choice.index == 0:  # a client of this dialect cannot have asked for more
                    self._take(choice)
        return self._taken() or (_PING if chunks else b"")

    def finish(self, trailer: Mapping[str, Json]) -> bytes:
        if not self._begun:
            self._begin(ChatChunk())
        for piece in self._pieces:
            piece.closed = True
        self._advance()
        reason: FinishReason | None = "tool_calls" if self._calls and self._reason == "stop" else self._reason
        end: dict[str, Json] = {
            "type": "message_delta",
            "delta": stop_fields(reason, self._stop_sequence, "".join(self._refusal) or None),
            "usage": usage_object(self._usage),
        }
        if trailer:
            end["caxton"] = dict(trailer)
        self._emit("message_delta", end)
        return self._taken() + _STOP

    def _taken(self) -> bytes:
        events, self._events = self._events, []
        return b"".join(events)

    def _begin(self, chunk: ChatChunk) -> None:
        self._begun = True
        self._id = message_id(chunk.id or "caxton")
        message: dict[str, Json] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": chunk.model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": usage_object(self._usage),
        }
        self._emit("message_start", {"type": "message_start", "message": message})

    # -- pieces ---------------------------------------------------------------------------------------------------------

    def _take(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        self._take_thinking(delta)
        if delta.content:
            self._has_text = True
            self._add_text(delta.content)
        if delta.refusal:
            self._refusal.append(delta.refusal)
            if not self._has_text:  # else it only explains why the text ends
                self._add_text(delta.refusal)
        for call in delta.tool_calls or ():
            self._take_call(call)
        if choice.finish_reason is not None:
            self._reason = choice.finish_reason
            self._stop_sequence = choice.stop_sequence

    def _take_thinking(self, delta: Delta) -> None:
        blocks = delta.thinking_blocks or []
        if delta.reasoning_content and not blocks:
            self._add(self._last("thinking") or self._open_thinking(), delta.reasoning_content)
        for block in blocks:
            streamed = self._last("thinking") if block.get("type") == "thinking" else None
            if streamed is None:
                self._open(_Piece("whole", block, closed=True))
            else:
                streamed.signature = block.get("signature") or ""
                streamed.closed = True
                self._advance()

    def _open_thinking(self) -> _Piece:
        return self._open(_Piece("thinking", {"type": "thinking", "thinking": "", "signature": ""}))

    def _add_text(self, text: str) -> None:
        piece = self._last("text") or self._open(_Piece("text", {"type": "text", "text": ""}))
        self._add(piece, text)

    def _take_call(self, call: ToolCallDelta) -> None:
        piece = self._calls.get(call.index)
        if piece is None:
            name = call.function.name if call.function is not None else None
            call_id = call.id or f"toolu_{self._id}_{call.index}"
            start: dict[str, Json] = {"type": "tool_use", "id": call_id, "name": name or "", "input": {}}
            piece = self._calls[call.index] = self._open(_Piece("tool", start, call=call.index))
        if call.function is not None and call.function.arguments:
            piece.arguments.append(call.function.arguments)
            self._add(piece, call.function.arguments)

    def _last(self, kind: str) -> _Piece | None:
        """The last piece, when it is of this kind and can go on."""
        last = self._pieces[-1] if self._pieces else None
        return last if last is not None and last.kind == kind and not last.closed else None

    def _open(self, piece: _Piece) -> _Piece:
        if self._pieces and self._pieces[-1].kind != "tool":
            self._pieces[-1].closed = True  # text and thinking end where something else begins
        self._pieces.append(piece)
        if len(self._pieces) == 1:
            self._start(piece)
        self._advance()
        return piece

    def _add(self, piece: _Piece, text: str) -> None:
        if self._pieces and self._pieces[0] is piece:
            self._emit_delta(piece, text)
        elif not piece.closed:
            piece.waiting.append(text)
            self._advance()

    def _advance(self) -> None:
        """Close the open block as soon as it is complete and something waits behind it, or nothing more can come for it."""
        while self._pieces:
            head = self._pieces[0]
            if not head.closed and not (len(self._pieces) > 1 and _is_complete(head)):
                return
            self._stop(head)
            self._pieces.pop(0)
            if self._pieces:
                self._start(self._pieces[0])

    # -- events ---------------------------------------------------------------------------------------------------------

    def _start(self, piece: _Piece) -> None:
        self._index += 1
        start = piece.start
        if piece.kind == "whole" and start.get("type") == "thinking":
            start = {**start, "thinking": "", "signature": ""}
        self._emit("content_block_start", {"type": "content_block_start", "index": self._index, "content_block": start})
        for text in piece.waiting:
            self._emit_delta(piece, text)
        piece.waiting.clear()

    def _stop(self, piece: _Piece) -> None:
        piece.closed = True
        if piece.kind == "whole" and piece.start.get("type") == "thinking":
            if piece.start.get("thinking"):
                self._emit_block_delta({"type": "thinking_delta", "thinking": piece.start["thinking"]})
            piece.signature = piece.start.get("signature") or ""
        if piece.signature:
            self._emit_block_delta({"type": "signature_delta", "signature": piece.signature})
        self._emit("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _emit_delta(self, piece: _Piece, text: str) -> None:
        if piece.kind == "text":
            self._emit_block_delta({"type": "text_delta", "text": text})
        elif piece.kind == "thinking":
            self._emit_block_delta({"type": "thinking_delta", "thinking": text})
        else:
            self._emit_block_delta({"type": "input_json_delta", "partial_json": text})

    def _emit_block_delta(self, delta: dict[str, Json]) -> None:
        self._emit("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _emit(self, event: str, data: dict[str, Json]) -> None:
        self._events.append(b"event: " + event.encode() + b"\ndata: " + _encode(data) + b"\n\n")


def _is_complete(piece: _Piece) -> bool:
    """The arguments of a tool call are an object: one that is closed cannot go on."""
    if piece.kind != "tool" or piece.checked == len(piece.arguments):
        return False
    piece.checked = len(piece.arguments)
    text = "".join(piece.arguments)
    try:
        _object_decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True
