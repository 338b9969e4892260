"""A streamed answer of an OpenAI chat server.

One decoding per event. `ChatChunk.wire` is the event's payload as it came, except where a client could not use it: Azure's
chunks without `delta`, tool calls without index or id, renamed tools, reasoning between tags. Azure's first chunk, which has
the verdict on the prompt and no choices, is not a chunk for readers: the verdict moves into the first chunk that has one.

One event inside a good stream that is not JSON is skipped with a warning; garbage from the start, amid tool calls, or twice,
ends the stream. It is whole when every choice that began has a finish reason, or when `[DONE]` came; a stream that ends
otherwise is interrupted.
"""

import msgspec

from caxton_llm.errors import LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatChunk, ChunkChoice, Delta, FinishReason, FunctionCallDelta, Json, ToolCallDelta
from caxton_llm.wire.error_body import describe_html
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.openai_chat.calls import CallFragments
from caxton_llm.wire.openai_chat.response import rename_calls
from caxton_llm.wire.openai_chat.shapes import (
    WireChunk,
    WireChunkChoice,
    WireMessage,
    arguments_text,
    common_finish,
    common_usage,
    reasoning_text,
    visible_text,
    whole_number,
)
from caxton_llm.wire.sse import SseDecoder
from caxton_llm.wire.think_tags import ThinkSplitter
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["OpenAIStreamDecoder"]

_DECODER = msgspec.json.Decoder(WireChunk)
_HEAD_LIMIT = 64 * 1024
_END_LIMIT = 16


class OpenAIStreamDecoder:
    """`StreamDecoder` of the dialect `openai_chat`."""

    def __init__(self, restore: Restore) -> None:
        self.failure: LlmError | None = None
        self.finished = False
        self.done = False
        self.warnings: list[str] = []
        self._restore = restore
        self._mends = bool(restore.tool_names or restore.think_tags)
        self._sse = SseDecoder()
        self._head = b""
        self._any_event = False
        self._id = ""
        self._model = ""
        self._created = 0
        self._service_tier: Json = None
        self._prompt_filter: bytes | None = None
        self._started: set[int] = set()
        self._ended: set[int] = set()
        self._calls: dict[int, CallFragments] = {}
        self._splitters: dict[int, ThinkSplitter] = {}

    def feed(self, data: bytes) -> list[ChatChunk]:
        if self._stopped():
            return []
        if not self._any_event and len(self._head) < _HEAD_LIMIT:
            self._head += data
        try:
            events = self._sse.feed(data)
        except MalformedResponse as error:
            self.failure = error
            return []
        chunks: list[ChatChunk] = []
        for name, payload in events:
            chunk = self._read(name, payload)
            if chunk is not None:
                chunks.append(chunk)
            elif self._stopped():
                break
        return chunks

    def _stopped(self) -> bool:
        return self.done or self.failure is not None

    def close(self) -> list[ChatChunk]:
        if self.failure is None and not self.done and not self.finished:
            self.failure = self._broken_off()
        return []

    def _broken_off(self) -> LlmError:
        if self._any_event or not self._head.strip():
            return StreamInterrupted("the provider's stream broke off before its end")
        if html := describe_html(self._head):
            return MalformedResponse(f"the provider answered with {html}; check base_url")
        try:
            value = msgspec.json.decode(self._head)
        except UNREADABLE:
            return StreamInterrupted("the provider's stream broke off before its first event")
        if isinstance(value, dict) and value.get("error"):
            return classify_error_value(value)
        return MalformedResponse("the provider answered a request for a stream with one JSON body")

    # -- events ---------------------------------------------------------------------------------------------------------

    def _read(self, name: str | None, payload: bytes) -> ChatChunk | None:
        """The chunk of an event; `None` when it has none, or ends the stream."""
        self._any_event = True
        if len(payload) < _END_LIMIT and payload.strip() == b"[DONE]":
            self._end()
            return None
        if self._mends:
            payload = self._mended(payload)
        try:
            event = _DECODER.decode(payload)
        except UNREADABLE:
            self._skip(name)
            return None
        if event.error or name == "error" or event.object == "error":
            self.failure = classify_error_value(event.error or msgspec.json.decode(payload))
            return None
        return self._chunk(event, payload)

    def _end(self) -> None:
        self.done = True
        if not self._started:
            self.failure = MalformedResponse("the provider's stream ended without any answer")

    def _skip(self, name: str | None) -> None:
        if name == "error":
            self.failure = classify_error_value("")
        elif self.warnings or self._calls or not self._started:
            self.failure = MalformedResponse("the provider's stream has events that are no chat completion chunks")
        else:
            self.warnings.append("one event of the stream was skipped, because it is no JSON: a piece may be missing")

    def _chunk(self, event: WireChunk, payload: bytes) -> ChatChunk | None:
        if not self._id and event.choices:
            self._introduce(event)
        usage = event.usage or (event.x_groq.usage if event.x_groq else None)
        if event.service_tier is not None:
            self._service_tier = event.service_tier
        if not event.choices:
            if event.prompt_filter_results and usage is None:
                self._prompt_filter = bytes(event.prompt_filter_results)
                return None
            return ChatChunk(
                id=self._id,
                model=self._model,
                created=self._created,
                usage=common_usage(usage, self._service_tier),
                wire=_one_line(payload),
            )
        choices: list[ChunkChoice] = []
        usable = True
        for position, wire in enumerate(event.choices):
            choice = self._choice(wire, position)
            if wire.delta is None or (wire.delta.tool_calls and self._calls[choice.index].mended):
                usable = False
            choices.append(choice)
        if not usable:
            payload = self._usable(payload, choices)
        if self._prompt_filter is not None:
            payload = self._with_prompt_filter(payload)
        return ChatChunk(
            choices=choices,
            id=self._id,
            model=self._model,
            created=self._created,
            usage=None if usage is None else common_usage(usage, self._service_tier),
            wire=payload if b"\n" not in payload else _one_line(payload),
        )

    def _introduce(self, event: WireChunk) -> None:
        """Take id, model and time from the first chunk that has choices and an id: Azure's first of all has neither."""
        self._id = str(event.id or "")
        self._model = event.model or self._model
        self._created = whole_number(event.created) or self._created

    def _choice(self, wire: WireChunkChoice, position: int) -> ChunkChoice:
        index = position if wire.index is None else wire.index
        message = wire.delta
        delta = Delta() if message is None else self._delta(message, index)
        finish: FinishReason | None = None
        if index not in self._started:
            self._started.add(index)
            self.finished = False
        if wire.finish_reason:
            finish = common_finish(wire.finish_reason, called=index in self._calls)
            self._ended.add(index)
            self.finished = len(self._ended) == len(self._started)
        return ChunkChoice(
            index=index,
            delta=delta,
            finish_reason=finish,
            logprobs=wire.logprobs,
            stop_sequence=wire.stop_reason if wire.stop_reason.__class__ is str else None,
        )

    def _delta(self, message: WireMessage, index: int) -> Delta:
        content = message.content
        if content.__class__ is str and content and not (message.tool_calls or message.reasoning or message.refusal):
            return Delta(role=message.role, content=content, reasoning_content=message.reasoning_content)
        return Delta(
            role=message.role,
            content=visible_text(content),
            reasoning_content=reasoning_text(message),
            refusal=message.refusal,
            tool_calls=self._tool_calls(message, index),
            audio=message.audio,
        )

    def _tool_calls(self, message: WireMessage, index: int) -> list[ToolCallDelta] | None:
        if message.tool_calls:
            fragments = self._calls.get(index)
            if fragments is None:
                fragments = self._calls[index] = CallFragments(index)
            return fragments.feed(message.tool_calls, self._id)
        function = message.function_call
        if function is None:
            return None
        self._calls.setdefault(index, CallFragments(index))
        # The deprecated form has one call and no ids.
        return [ToolCallDelta(index=0, function=FunctionCallDelta(function.name, arguments_text(function.arguments)))]

    # -- what a client could not use ------------------------------------------------------------------------------------

    def _usable(self, payload: bytes, choices: list[ChunkChoice]) -> bytes:
        """The payload with a delta in every choice, whole tool calls, and the stream's id and model."""
        event = msgspec.json.decode(payload)
        for key, value in (("id", self._id), ("model", self._model), ("created", self._created)):
            event[key] = event.get(key) or value
        event["object"] = event.get("object") or "chat.completion.chunk"
        for wire, choice in zip(event["choices"], choices, strict=True):
            if wire.get("delta") is None:
                wire["delta"] = {}
            if choice.delta.tool_calls and "tool_calls" in wire["delta"]:
                wire["delta"]["tool_calls"] = choice.delta.tool_calls
        return msgspec.json.encode(event)

    def _with_prompt_filter(self, payload: bytes) -> bytes:
        verdict, self._prompt_filter = self._prompt_filter or b"null", None
        if b'"prompt_filter_results"' in payload:
            return payload
        return payload.rstrip()[:-1] + b',"prompt_filter_results":' + verdict + b"}"

    def _mended(self, payload: bytes) -> bytes:
        """The payload with the caller's tool names, and with reasoning taken out of the text."""
        try:
            event = msgspec.json.decode(payload)
            for choice in event["choices"]:
                if choice.get("delta") is not None:
                    rename_calls(choice["delta"], self._restore.tool_names)
                    if self._restore.think_tags:
                        self._split_reasoning(choice)
        except (*UNREADABLE, LookupError, TypeError, AttributeError):
            return payload  # whatever it is, it is read and refused like any other
        return msgspec.json.encode(event)

    def _split_reasoning(self, choice: dict[str, Json]) -> None:
        splitter = self._splitters.setdefault(choice.get("index") or 0, ThinkSplitter())
        delta = choice["delta"]
        text, reasoning = splitter.feed(delta.get("content") or "")
        if choice.get("finish_reason"):
            last_text, last_reasoning = splitter.close()
            text, reasoning = text + last_text, reasoning + last_reasoning
        if text or delta.get("content"):
            delta["content"] = text
        if reasoning:
            delta["reasoning_content"] = (delta.get("reasoning_content") or "") + reasoning


def _one_line(payload: bytes) -> bytes:
    """JSON may span the lines of one event, but not in the event that is made of it."""
    return payload.replace(b"\n", b" ")
