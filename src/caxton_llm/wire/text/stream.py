"""Streams of a text API: server-sent events or lines of JSON, each with a piece of the text or with all of it so far."""

from typing import Literal

from msgspec import Struct

from caxton_llm.errors import LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatChunk, ChunkChoice, Delta, FinishReason, Json, Usage
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.ndjson import NdjsonDecoder
from caxton_llm.wire.sse import SseDecoder
from caxton_llm.wire.text.answer import TextAnswers, TextRestore, as_text, decode_json, identity
from caxton_llm.wire.text.paths import ABSENT, missing, read
from caxton_llm.wire.whole import chunk_of

__all__ = ["TextStreamDecoder", "TextStreamShape"]


class TextStreamShape(Struct, frozen=True, kw_only=True):
    """`text` is the dotted path of the text in an event; empty: an event is the text itself.

    `end` is the data of the last event, `end_field` a path that is true in the last event. With neither (`end` empty), and
    without a reason for the end in any event, the end of the body is the end of the answer.
    """

    text: str = ""
    format: Literal["sse", "ndjson"] = "sse"
    mode: Literal["delta", "cumulative"] = "delta"
    end: str = "[DONE]"
    end_field: str | None = None


class TextStreamDecoder:
    """Bytes of one response -> chunks."""

    def __init__(self, shape: TextStreamShape, answers: TextAnswers, restore: Restore) -> None:
        self.failure: LlmError | None = None
        self.finished = False
        self.done = False
        self.warnings: list[str] = []
        self._shape = shape
        self._answers = answers
        self._end = shape.end.encode()
        self._restore = restore
        self._model = restore.model if isinstance(restore, TextRestore) else ""
        self._sse = SseDecoder()
        self._lines = NdjsonDecoder()
        self._started = False
        self._whole: bytearray | None = None
        """The body, when it is a whole answer although a stream was asked for."""
        self._id = ""
        self._text = ""
        self._texts = 0
        self._last: Json = ABSENT
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None

    def feed(self, data: bytes) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self.done or self.failure is not None:
            return chunks
        try:
            if self._shape.format == "ndjson":
                self._take_all([(None, line) for line in self._lines.feed(data)], chunks)
            elif not self._gathers(data):
                self._take_all(self._sse.feed(data), chunks)
        except LlmError as error:
            self.failure = error
        return chunks

    def _gathers(self, data: bytes) -> bool:
        """Whether the body is no stream of events but JSON or a page, to be read as a whole when it has ended."""
        if self._whole is None and not self._started and (start := data.lstrip()):
            self._started = True
            self._whole = bytearray() if start[:1] in (b"{", b"[", b"<") else None
        if self._whole is None:
            return False
        self._whole += data
        return True

    def close(self) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self.done or self.failure is not None:
            return chunks
        try:
            if self._whole is not None:
                answer = self._answers.decode(bytes(self._whole), self._restore)
                self.warnings += answer.warnings
                chunks.append(chunk_of(answer))
                self.finished = self.done = True
                return chunks
            cut = self._take_rest(chunks)
            if not self.done:
                unmarked = not self._end and self._shape.end_field is None
                if cut or not (self.finished or unmarked):
                    raise StreamInterrupted("the stream ended without its end marker")
                self._finish(chunks)
        except LlmError as error:
            self.failure = error
        return chunks

    def _take_rest(self, chunks: list[ChatChunk]) -> bool:
        """Takes the last line if it is whole although it lacks its newline; says whether something is cut."""
        if self._shape.format == "sse":
            return self._sse.pending
        rest = self._lines.take_rest()
        if not rest:
            return False
        if rest != self._end and decode_json(rest, []) is ABSENT:
            return True
        self._take_all([(None, rest)], chunks)
        return False

    def _take_all(self, events: list[tuple[str | None, bytes]], chunks: list[ChatChunk]) -> None:
        for name, data in events:
            self._take(name, data, chunks)
            if self.done:
                break

    def _take(self, name: str | None, data: bytes, chunks: list[ChatChunk]) -> None:
        data = data.strip() if self._shape.text else data
        if self._end and data.strip() == self._end:
            self._finish(chunks)
            return
        document = decode_json(data, self.warnings)
        if name == "error":
            raise classify_error_value(document if document is not ABSENT else data.decode("utf-8", "replace"))
        text = self._piece(document, data)
        if text or not self._id:
            self._emit(text, data, chunks)
        self._note(document)
        if self._shape.end_field and self._is_true(document, self._shape.end_field):
            self._finish(chunks)

    def _piece(self, document: Json, data: bytes) -> str:
        """What the event adds to the text."""
        if not self._shape.text:
            text = document if isinstance(document, str) else data.decode("utf-8", "replace")
        else:
            if document is ABSENT:
                raise MalformedResponse("an event of the stream is not JSON")
            self._raise_error(document)
            self._last = document
            value = read(document, self._shape.text)
            if value is ABSENT or value is None:
                return ""
            text = as_text(document, self._shape.text)
        self._texts += 1
        if self._shape.mode == "delta":
            return text
        if not text.startswith(self._text):
            raise MalformedResponse("the stream replaced text that it had sent before; only longer text can follow")
        added, self._text = text[len(self._text) :], text
        return added

    def _raise_error(self, document: Json) -> None:
        for path in (self._answers.error, "error"):
            value = read(document, path) if path else ABSENT
            if value is not ABSENT and value:
                raise classify_error_value(value)

    def _note(self, document: Json) -> None:
        reason = self._answers.finish_of(document)
        if reason is not None:
            self._reason = reason
            self.finished = True
            self.warnings += [each for each in self._answers.warnings_of(document) if each not in self.warnings]
        usage = self._answers.usage_of(document)
        if usage is not None:
            self._usage = usage

    def _is_true(self, document: Json, path: str) -> bool:
        value = read(document, path)
        return value is not ABSENT and bool(value)

    def _emit(self, text: str, data: bytes, chunks: list[ChatChunk]) -> None:
        first = not self._id
        if first:
            self._id = f"chatcmpl-{identity(data)}"
        delta = Delta(role="assistant" if first else None, content=text)
        chunks.append(self._chunk(ChunkChoice(index=0, delta=delta)))

    def _finish(self, chunks: list[ChatChunk]) -> None:
        if self._shape.text and not self._texts:
            if self._last is ABSENT:
                raise MalformedResponse("the stream ended without a single event before its end marker")
            raise MalformedResponse(f"no event of the stream has the text: {missing(self._last, self._shape.text)}")
        if not self._id:
            self._emit("", b"", chunks)
        chunks.append(self._chunk(ChunkChoice(index=0, delta=Delta(), finish_reason=self._reason or "stop")))
        if self._usage is not None:
            chunks.append(self._chunk(None, self._usage))
        self.finished = True
        self.done = True

    def _chunk(self, choice: ChunkChoice | None, usage: Usage | None = None) -> ChatChunk:
        choices = [] if choice is None else [choice]
        return ChatChunk(id=self._id, model=self._model, choices=choices, usage=usage)
