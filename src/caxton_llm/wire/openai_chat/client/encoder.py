"""A streamed answer for an OpenAI client.

A stream of the same dialect is forwarded as it came, payload by payload, without looking into it. Any other is written
from the common model: the first chunk of a choice has the role, all chunks have the same id, time and model, and the finish
reason comes in a chunk of its own.

Thinking blocks are held back and come all at once before the finish reason: OpenAI's package appends to a list only what has
an `index`, and a signed block must stay as it is.

What is done before an answer goes on (`ChatChunk.progress`) comes under `caxton`, in a chunk that adds nothing to the answer.

The usage event belongs to clients that asked for it (`stream_options.include_usage`). It is held back to the end, where it
takes what is known only then. `data: [DONE]` ends a whole stream and no other.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from caxton_llm.errors import LlmError
from caxton_llm.types import ChatChunk, ChatRequest, ChunkChoice, Delta, FunctionCallDelta, Json, ToolCallDelta, Usage
from caxton_llm.wire.openai_chat.client.error import encode_error
from caxton_llm.wire.openai_chat.usage import usage_value

__all__ = ["ONE_CALL", "OpenAIStreamEncoder", "speaks_functions"]

ONE_CALL = (
    "the model made several calls at once, but a client of functions takes one: the others are left out; use tools"
)

_ENCODER = msgspec.json.Encoder()
_KEEP_ALIVE = b": keep-alive\n\n"
_DONE = b"data: [DONE]\n\n"
_UNNAMED = "chatcmpl-caxton"


def speaks_functions(request: ChatRequest) -> bool:
    """Whether the client uses the deprecated `functions` instead of tools."""
    return request.source is not None and "functions" in request.source.fields


def _comment(text: str) -> bytes:
    """A line of a stream that clients read over and people see."""
    return f": {' '.join(text.split())}\n\n".encode()


class OpenAIStreamEncoder:
    """`StreamEncoder` of the dialect `openai_chat`. `verbatim`: the chunks come with payloads of this dialect."""

    def __init__(self, request: ChatRequest, *, verbatim: bool, model: str) -> None:
        self._verbatim = verbatim
        self._shows_usage = request.stream_options is not None and request.stream_options.include_usage is True
        self._legacy = speaks_functions(request)
        self._id = ""
        self._created = 0
        self._model = ""
        self._asked_model = model
        self._begun: set[int] = set()
        self._blocks: dict[int, list[Json]] = {}
        self._legacy_calls: dict[int, int] = {}
        self._left_out_calls = False
        self._usage: Usage | None = None
        self._usage_event: bytes | None = None

    def encode(self, chunks: list[ChatChunk]) -> bytes:
        if not self._verbatim:
            return b"".join([self._written(chunk) for chunk in chunks])
        events: list[bytes] = []
        for chunk in chunks:
            wire = chunk.wire
            if wire is None:
                events.append(self._written(chunk))
            elif chunk.usage is None or self._shows_now(chunk, wire):
                events += (b"data: ", wire, b"\n\n")
        return b"".join(events)

    def _shows_now(self, chunk: ChatChunk, wire: bytes) -> bool:
        """Whether a chunk with usage goes out at once. Pure usage, in both of its shapes, waits for the end or stays here."""
        self._usage = chunk.usage
        self._remember(chunk)
        if any(choice.finish_reason or choice.delta.role or choice.delta.has_content for choice in chunk.choices):
            return True
        self._usage_event = wire
        return False

    def finish(self, trailer: Mapping[str, Json]) -> bytes:
        if self._left_out_calls:
            trailer = {**trailer, "warnings": [*trailer.get("warnings", ()), ONE_CALL]}
        if not self._shows_usage or (self._usage is None and not trailer):
            return b"".join(map(_comment, trailer.get("warnings", ()))) + _DONE
        event = self._usage_event
        if event is None:
            event = self._event([], self._usage)
        if trailer:
            event = event.rstrip()[:-1] + b',"caxton":' + _ENCODER.encode(dict(trailer)) + b"}"
        return b"data: " + event + b"\n\n" + _DONE

    def fail(self, error: LlmError) -> bytes:
        return b"data: " + encode_error(error) + b"\n\n"

    # -- from the common model ------------------------------------------------------------------------------------------

    def _written(self, chunk: ChatChunk) -> bytes:
        self._remember(chunk)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.progress is not None:
            return self._progress(chunk.progress)
        if not chunk.choices:
            return b"" if chunk.usage is not None else _KEEP_ALIVE
        events = []
        for choice in chunk.choices:
            delta = self._first(choice) if choice.index not in self._begun else choice.delta
            finish = choice.finish_reason
            if delta.thinking_blocks or (finish and self._blocks):
                delta = self._with_held_blocks(choice.index, delta, release=finish is not None)
            if delta != _EMPTY or not finish:
                events.append(self._event([self._choice(choice, delta, None)], None))
            if finish:
                events.append(self._event([self._choice(choice, _EMPTY, finish)], None))
        return b"data: " + b"\n\ndata: ".join(events) + b"\n\n"

    def _progress(self, progress: Json) -> bytes:
        """An empty delta to whoever reads `choices[0]` of every event."""
        choice: dict[str, Json] = {"index": 0, "delta": {}, "finish_reason": None}
        event = self._event([choice], None)
        return b"data: " + event[:-1] + b',"caxton":' + _ENCODER.encode({"progress": progress}) + b"}\n\n"

    def _remember(self, chunk: ChatChunk) -> None:
        """The first id, time and model that the stream tells are those of all its events."""
        self._id = self._id or chunk.id
        self._created = self._created or chunk.created
        self._model = self._model or chunk.model

    def _first(self, choice: ChunkChoice) -> Delta:
        self._begun.add(choice.index)
        delta = choice.delta
        return replace(delta, role="assistant", content=delta.content if delta.has_content else "")

    def _with_held_blocks(self, index: int, delta: Delta, *, release: bool) -> Delta:
        """The delta without its thinking blocks, or with all that have come so far."""
        held = self._blocks.setdefault(index, [])
        held += delta.thinking_blocks or ()
        return replace(delta, thinking_blocks=(held or None) if release else None)

    def _choice(self, choice: ChunkChoice, delta: Delta, finish: str | None) -> dict[str, Json]:
        if self._legacy and finish == "tool_calls":
            finish = "function_call"
        wire: dict[str, Json] = {
            "index": choice.index,
            "delta": self._delta(delta, choice.index),
            "logprobs": None if finish else choice.logprobs,
            "finish_reason": finish,
        }
        if finish and choice.stop_sequence is not None:
            wire["stop_reason"] = choice.stop_sequence
        return wire

    def _delta(self, delta: Delta, choice: int) -> Json:
        calls = delta.tool_calls
        if not calls:
            return delta
        if not self._legacy:
            return replace(delta, tool_calls=[_with_arguments(call) for call in calls])
        without_calls: dict[str, Json] = msgspec.to_builtins(replace(delta, tool_calls=None))
        function = self._only_function(calls, choice)
        return without_calls if function is None else without_calls | {"function_call": function}

    def _only_function(self, calls: list[ToolCallDelta], choice: int) -> FunctionCallDelta | None:
        """What `calls` add to the first call of the choice; the deprecated form has room for no other."""
        only = self._legacy_calls.setdefault(choice, calls[0].index)
        functions = [_with_arguments(call).function for call in calls if call.index == only]
        self._left_out_calls |= len(functions) < len(calls)
        parts = [function for function in functions if function is not None]
        if not parts:
            return None
        return FunctionCallDelta(parts[0].name, "".join(part.arguments or "" for part in parts))

    def _event(self, choices: list[dict[str, Json]], usage: Usage | None) -> bytes:
        event: dict[str, Json] = {
            "id": self._id or _UNNAMED,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model or self._asked_model,
            "choices": choices,
        }
        if self._shows_usage:
            event["usage"] = None if usage is None else usage_value(usage)
        return _ENCODER.encode(event)


_EMPTY = Delta()


def _with_arguments(call: ToolCallDelta) -> ToolCallDelta:
    """Clients append to the arguments of the head, so it has some, if empty."""
    function = call.function
    if function is None or function.arguments is not None:
        return call
    return replace(call, function=FunctionCallDelta(function.name, ""))
