"""Ollama's answers, whole and streamed (NDJSON).

What differs from the common model: tool calls come whole, with an object as arguments, often without an id, and the reason
of the end stays `stop`; counters that are zero or unknown are left out; there is no id; an error inside a stream is a line
of its own under status 200; a prompt that did not fit was cut without a word, which only the counters betray.
"""

from datetime import datetime
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from caxton_llm.errors import LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.protocols import Restore
from caxton_llm.types import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    FunctionCall,
    FunctionCallDelta,
    Json,
    Message,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from caxton_llm.wire.error_body import describe_html
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.finish import unknown_reasons
from caxton_llm.wire.half_characters import HALVED, without_halves
from caxton_llm.wire.lenient import read_patiently
from caxton_llm.wire.ndjson import NdjsonDecoder
from caxton_llm.wire.ollama_chat.encode import OllamaRestore
from caxton_llm.wire.think_tags import ThinkSplitter
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["OllamaStreamDecoder", "decode_chat"]


_DONE_REASONS = frozenset({"stop", "length", "load", "unload"})
_BESIDE_CONTENT = frozenset({"created_at", "done_reason", "eval_count", "id", "logprobs", "model", "prompt_eval_count"})
_NEARLY_FULL_TOKENS = 8
_LEAST_BYTES_PER_TOKEN = 3
_MOST_BYTES_PER_TOKEN = 6


class _Function(Struct):
    name: str
    arguments: Raw = Raw()


class _Call(Struct):
    function: _Function
    id: str | None = None


class _Message(Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Answer(Struct):
    """A whole answer, or one line of a stream."""

    model: str = ""
    created_at: str = ""
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[Json] | None = None
    error: Json = None


_decoder = msgspec.json.Decoder(_Answer)
_text_decoder = msgspec.json.Decoder(str)


def decode_chat(body: bytes, restore: Restore) -> ChatResponse:
    """Raises the error that a 200 may carry, or `MalformedResponse`."""
    warnings: list[str] = []
    answer = _read(body, warnings)
    if answer is None:
        kind = describe_html(body) or "no JSON object of Ollama's API"
        raise MalformedResponse(f"the provider sent {kind}; check base_url")
    if answer.error:
        raise classify_error_value(answer.error)
    message = answer.message
    if message is None or not answer.done:
        missing = "message" if message is None else "done: true"
        raise MalformedResponse(f"the answer has no {missing}, which Ollama's /api/chat promises")
    identity, usage = _identity(body), _usage(answer)
    choice = Choice(
        index=0,
        message=_decode_message(message, identity, restore),
        finish_reason=_finish_reason(answer.done_reason, called=bool(message.tool_calls)),
        logprobs=_logprobs(answer),
    )
    return ChatResponse(
        id=f"chatcmpl-{identity}",
        model=answer.model,
        created=_epoch_s(answer.created_at),
        choices=[choice],
        usage=usage,
        warnings=warnings + truncation_warnings(usage, restore) + unknown_reasons(answer.done_reason, _DONE_REASONS),
        dialect="ollama_chat",
        wire=body,
    )


def _decode_message(message: _Message, identity: str, restore: Restore) -> Message:
    text, reasoning = message.content or "", message.thinking or ""
    if restore.think_tags:
        splitter = ThinkSplitter()
        (text, inside), (more, unclosed) = splitter.feed(text), splitter.close()
        text, reasoning = text + more, reasoning + inside + unclosed
    calls = [
        ToolCall(
            id=call.id or f"call_{identity}_{index}",
            function=FunctionCall(call.function.name, _arguments(call.function.arguments)),
        )
        for index, call in enumerate(message.tool_calls or ())
    ]
    return Message(
        role="assistant",
        content=text or (None if calls else ""),
        reasoning_content=reasoning or None,
        tool_calls=calls or None,
    )


class OllamaStreamDecoder:
    """Lines of one response -> chunks."""

    def __init__(self, restore: Restore) -> None:
        self.failure: LlmError | None = None
        self.finished = False
        self.done = False
        self.warnings: list[str] = []
        """What the caller should know although the answer is complete."""
        self._restore = restore
        self._lines = NdjsonDecoder()
        self._id = ""
        self._identity = ""
        self._created = 0
        self._calls = 0
        self._skipped = False
        self._splitter = ThinkSplitter() if restore.think_tags else None

    def feed(self, data: bytes) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self.done or self.failure is not None:
            return chunks
        try:
            for line in self._lines.feed(data):
                self._line(line, chunks)
                if self.done:
                    break
        except LlmError as error:
            self.failure = error
        return chunks

    def close(self) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self.done or self.failure is not None:
            return chunks
        rest = self._lines.take_rest()
        try:
            # The last line may lack its newline; the beginning of a line is no line.
            if rest and (not rest.startswith(b"{") or _read(rest, []) is not None):
                self._line(rest, chunks)
            if not self.done:
                raise StreamInterrupted("the stream ended without the line that says done: true")
        except LlmError as error:
            self.failure = error
        return chunks

    def _line(self, line: bytes, chunks: list[ChatChunk]) -> None:
        answer = _read(line, self.warnings)
        if answer is None or not (answer.error or answer.message or answer.done):
            self._skip()
        elif answer.error:
            raise classify_error_value(answer.error)
        else:
            self._take(answer, line, chunks)

    def _skip(self) -> None:
        """One unreadable line inside a good stream is left out and told about; garbage from the start, or twice, ends it."""
        if not self._id or self._skipped:
            raise MalformedResponse("a line of the stream is not the JSON object that Ollama promises")
        self._skipped = True
        self.warnings.append("a line of the stream could not be read and was left out: text may be missing")

    def _take(self, answer: _Answer, line: bytes, chunks: list[ChatChunk]) -> None:
        first = not self._id
        if first:
            self._identity = _identity(line)
            self._id = f"chatcmpl-{self._identity}"
            self._created = _epoch_s(answer.created_at)
        delta = self._delta(answer.message, first=first)
        if delta is not None:
            choice = ChunkChoice(index=0, delta=delta, logprobs=_logprobs(answer))
            chunks.append(self._chunk(answer, choice))
        if answer.done:
            self._end(answer, chunks)

    def _delta(self, message: _Message | None, *, first: bool) -> Delta | None:
        if message is None:
            return Delta(role="assistant", content="") if first else None
        text, reasoning = message.content, message.thinking
        if self._splitter is not None and text:
            text, inside = self._splitter.feed(text)
            reasoning = (reasoning or "") + inside
        if not (first or text or reasoning or message.tool_calls):
            return None
        return Delta(
            role="assistant" if first else None,
            content=text or ("" if first else None),
            reasoning_content=reasoning or None,
            tool_calls=[self._call(call) for call in message.tool_calls] if message.tool_calls else None,
        )

    def _call(self, call: _Call) -> ToolCallDelta:
        index = self._calls
        self._calls += 1
        return ToolCallDelta(
            index=index,
            id=call.id or f"call_{self._identity}_{index}",
            type="function",
            function=FunctionCallDelta(call.function.name, _arguments(call.function.arguments)),
        )

    def _end(self, answer: _Answer, chunks: list[ChatChunk]) -> None:
        text, reasoning = self._splitter.close() if self._splitter is not None else ("", "")
        delta = Delta(content=text or None, reasoning_content=reasoning or None)
        reason = _finish_reason(answer.done_reason, called=self._calls > 0)
        chunks.append(self._chunk(answer, ChunkChoice(index=0, delta=delta, finish_reason=reason)))
        usage = _usage(answer)
        if usage is not None:
            chunks.append(self._chunk(answer, None, usage))
        self.warnings.extend(truncation_warnings(usage, self._restore))
        self.warnings.extend(unknown_reasons(answer.done_reason, _DONE_REASONS))
        self.finished = True
        self.done = True

    def _chunk(self, answer: _Answer, choice: ChunkChoice | None, usage: Usage | None = None) -> ChatChunk:
        return ChatChunk(
            id=self._id,
            model=answer.model,
            created=self._created,
            choices=[] if choice is None else [choice],
            usage=usage,
        )


def truncation_warnings(usage: Usage | None, restore: Restore) -> list[str]:
    """Whether the counters show that the server has cut the prompt to fit its window.

    It drops the oldest messages whole, so that the rest may lie well below the window: the counted prompt is therefore also
    compared with the size of the text.
    """
    if not isinstance(restore, OllamaRestore) or usage is None:
        return []
    window, prompt = restore.context_window, usage.prompt_tokens
    if window is None or prompt is None:
        return []
    full = prompt + _NEARLY_FULL_TOKENS >= window or prompt + (usage.completion_tokens or 0) >= window
    # Some versions cut at exactly half of the window and two tokens: https://github.com/ollama/ollama/issues/17427
    halved = prompt == window // 2 + 2
    oversized = restore.text_bytes // _LEAST_BYTES_PER_TOKEN > window
    shrunk = oversized and prompt < restore.text_bytes // _MOST_BYTES_PER_TOKEN
    if not (full or halved or shrunk):
        return []
    return [f"the prompt was probably truncated: context window {window}, evaluated {prompt}; raise context_window"]


def _read(data: bytes, warnings: list[str]) -> _Answer | None:
    try:
        return _decoder.decode(data)
    except UNREADABLE:
        return _read_again(data, warnings)


def _read_again(data: bytes, warnings: list[str]) -> _Answer | None:
    whole = without_halves(data)
    if whole is not None and HALVED not in warnings:
        warnings.append(HALVED)
    try:
        return read_patiently(whole or data, _Answer, _BESIDE_CONTENT)[0]
    except UNREADABLE:
        return None


def _identity(data: bytes) -> str:
    """Stands in for the id that Ollama does not give: the time of the answer, in nanoseconds, is part of `data`."""
    return blake2b(data, digest_size=12).hexdigest()


def _epoch_s(created_at: str) -> int:
    try:
        return int(datetime.fromisoformat(created_at).timestamp())
    except ValueError:
        return 0


def _arguments(arguments: Raw) -> str:
    """The arguments as compact JSON text; a server that sends them as text already is believed."""
    raw = bytes(arguments)
    if raw in (b"", b"null"):
        return "{}"
    try:
        return _text_decoder.decode(raw) if raw.startswith(b'"') else msgspec.json.format(raw, indent=-1).decode()
    except UNREADABLE:
        raise MalformedResponse("the arguments of a tool call are not JSON") from None


def _usage(answer: _Answer) -> Usage | None:
    prompt, completion = answer.prompt_eval_count, answer.eval_count
    if prompt is None and completion is None:
        return None
    total = prompt + completion if prompt is not None and completion is not None else None
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


def _finish_reason(done_reason: str | None, *, called: bool) -> FinishReason:
    if called:
        return "tool_calls"
    return "length" if done_reason == "length" else "stop"


def _logprobs(answer: _Answer) -> Json:
    return {"content": answer.logprobs, "refusal": None} if answer.logprobs else None
