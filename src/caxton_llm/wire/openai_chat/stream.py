"""A streamed answer of an OpenAI chat server.

One decoding per event. `ChatChunk.wire` is the event's payload as it came, except where a client could not use it: Azure's
chunks without `delta`, tool calls without index or id, renamed tools, reasoning between tags. Azure's first chunk, which has
the verdict on the prompt and no choices, is not a chunk for readers: the verdict moves into the first chunk that has one.

One event inside a good stream that is not JSON is skipped with a warning; garbage from the start, amid tool calls, or twice,
ends the stream. It is whole when every choice that began has a finish reason, with or without `[DONE]`; a stream that ends
otherwise is interrupted. An empty finish reason is one (`stop`) only where nothing follows, because some servers write it
into every event.

A stream without an id gets one of its own, because clients tell answers by it, and the calls in them.
"""

import random
from collections.abc import Callable

import msgspec

from caxton_llm.errors import LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatChunk, ChunkChoice, Delta, FinishReason, FunctionCallDelta, Json, ToolCallDelta
from caxton_llm.wire.error_body import describe_html
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.half_characters import HALVED, without_halves
from caxton_llm.wire.lenient import read_patiently
from caxton_llm.wire.openai_chat.calls import CallFragments
from caxton_llm.wire.openai_chat.response import rename_calls
from caxton_llm.wire.openai_chat.shapes import (
    BESIDE_CONTENT,
    WireChunk,
    WireChunkChoice,
    WireMessage,
    arguments_text,
    common_finish,
    common_usage,
    finish_warnings,
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


def _random_id() -> str:
    return f"chatcmpl-{random.getrandbits(96):024x}"


class OpenAIStreamDecoder:
    """`StreamDecoder` of the dialect `openai_chat`. `new_id` names an answer whose server does not."""

    def __init__(self, restore: Restore, new_id: Callable[[], str] = _random_id) -> None:
        self.failure: LlmError | None = None
        self.finished = False
        self.done = False
        self.warnings: list[str] = []
        self._restore = restore
        self._new_id = new_id
        self._mends = bool(restore.tool_names or restore.think_tags)
        self._sse = SseDecoder()
        self._head = b""
        self._any_event = False
        self._skipped = False
        self._id = ""
        self._id_is_ours = False
        self._model = ""
        self._created = 0
        self._service_tier: Json = None
        self._prompt_filter: bytes | None = None
        self._started: set[int] = set()
        self._ended: set[int] = set()
        self._blank: set[int] = set()
        self._blank_from_the_start: set[int] = set()
        self._calls: dict[int, CallFragments] = {}
        self._splitters: dict[int, ThinkSplitter] = {}

    def feed(self, data: bytes) -> list[ChatChunk]:
        if self._stopped():
            return []
        if not self._any_event and len(self._head) < _HEAD_LIMIT:
            self._head += data
        chunks: list[ChatChunk] = []
        try:
            for name, payload in self._sse.feed(data):
                chunk = self._read(name, payload)
                if chunk is not None:
                    chunks.append(chunk)
                elif self._stopped():
                    break
        except MalformedResponse as error:
            self.failure = error
        except UNREADABLE as error:  # a number out of range, in a field that no type of ours has looked into
            self.failure = MalformedResponse(f"an event of the provider's stream cannot be read: {error}")
        if self.done or self.failure is not None:
            chunks += self._last_words(self._blank)
            if self.failure is None and not self.finished:
                self.failure = StreamInterrupted("the provider's stream ended without a reason why its answer ended")
        return chunks

    def _stopped(self) -> bool:
        return self.done or self.failure is not None

    def close(self) -> list[ChatChunk]:
        if self._stopped() or self.finished:
            return []
        chunks = self._last_words(self._blank - self._blank_from_the_start)
        if not self.finished:
            self.failure = self._broken_off()
        return chunks

    def _last_words(self, ended: set[int]) -> list[ChatChunk]:
        """Text that was held back because it might have been a tag, and the finish of the choices in `ended`."""
        chunks: list[ChatChunk] = []
        for index in sorted(self._started - self._ended):
            text, reasoning = self._splitters[index].close() if index in self._splitters else ("", "")
            whole = self.failure is None and index in ended and not self._waits(index)
            finish = self._finish(index, "") if whole else None
            if text or reasoning or finish:
                chunks.append(
                    self._made(index, Delta(content=text or None, reasoning_content=reasoning or None), finish)
                )
        return chunks

    def _made(self, index: int, delta: Delta, finish: FinishReason | None) -> ChatChunk:
        """A chunk that the provider did not send."""
        event = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        }
        choices = [ChunkChoice(index=index, delta=delta, finish_reason=finish)]
        wire = msgspec.json.encode(event)
        return ChatChunk(choices=choices, id=self._id, model=self._model, created=self._created, wire=wire)

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
        sent = payload
        if self._mends:
            payload = self._mended(payload)
        try:
            event = _DECODER.decode(payload)
        except UNREADABLE:
            again = self._read_again(sent, payload)
            if again is None:
                self._skip(name)
                return None
            event, payload = again
        if event.error or name == "error" or event.object == "error":
            self.failure = classify_error_value(event.error or msgspec.json.decode(payload))
            return None
        return self._chunk(event, payload)

    def _read_again(self, sent: bytes, payload: bytes) -> tuple[WireChunk, bytes] | None:
        """The event and its payload, read with patience; `None` when it is no JSON."""
        whole = without_halves(sent)
        if whole is not None:
            if HALVED not in self.warnings:
                self.warnings.append(HALVED)
            payload = self._mended(whole) if self._mends else whole
        try:
            return read_patiently(payload, WireChunk, BESIDE_CONTENT)
        except msgspec.ValidationError as error:
            raise MalformedResponse(
                f"an event of the provider's stream does not have the form of a chat completion chunk: {error}"
            ) from None
        except UNREADABLE:
            return None

    def _end(self) -> None:
        self.done = True
        if not self._started:
            self.failure = MalformedResponse("the provider's stream ended without any answer")

    def _skip(self, name: str | None) -> None:
        if name == "error":
            self.failure = classify_error_value("")
        elif self._skipped or self._calls or not self._started:
            self.failure = MalformedResponse("the provider's stream has events that are no chat completion chunks")
        else:
            self._skipped = True
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
                wire=self._usable(payload, []) if self._id_is_ours else _one_line(payload),
            )
        choices: list[ChunkChoice] = []
        usable = not self._id_is_ours
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
        """Take id, model and time from the first chunk that has choices: Azure's first of all has neither."""
        self._id = str(event.id or "")
        if not self._id:
            self._id, self._id_is_ours = self._new_id(), True
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
            if wire.finish_reason == "":
                self._blank_from_the_start.add(index)
        reason = wire.finish_reason
        if reason is not None:
            if reason:
                finish = self._finish(index, reason)
            else:
                self._blank.add(index)
        return ChunkChoice(
            index=index,
            delta=delta,
            finish_reason=finish,
            logprobs=wire.logprobs,
            stop_sequence=wire.stop_reason if wire.stop_reason.__class__ is str else None,
        )

    def _finish(self, index: int, reason: str) -> FinishReason:
        if self._waits(index):
            raise MalformedResponse(f"the provider's stream has a tool call without a name at choices[{index}]")
        self.warnings += [each for each in finish_warnings(reason) if each not in self.warnings]
        self._ended.add(index)
        self.finished = len(self._ended) == len(self._started)
        return common_finish(reason, called=index in self._calls)

    def _waits(self, index: int) -> bool:
        return index in self._calls and self._calls[index].unnamed

    def _delta(self, message: WireMessage, index: int) -> Delta:
        content = message.content
        if (
            content.__class__ is str
            and content
            and not (message.tool_calls or message.reasoning or message.reasoning_details or message.refusal)
            and not (message.function_call or message.audio)
        ):
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
            return fragments.feed(message.tool_calls, self._id) or None
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
        if self._id_is_ours:
            event["id"] = self._id
        event["object"] = event.get("object") or "chat.completion.chunk"
        for wire, choice in zip(event.get("choices") or (), choices, strict=True):
            if wire.get("delta") is None:
                wire["delta"] = {}
            if wire["delta"].pop("tool_calls", None) and choice.delta.tool_calls:
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
