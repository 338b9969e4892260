"""A streamed answer of one step: what of it a reader sees at once, and the whole answer when it has ended.

Calls, the end of the answer and its usage are held back: what they mean for the reader is only known at the end of the step.
"""

from msgspec import Struct, field
from msgspec.structs import replace

from caxton_llm.types import (
    ChatChunk,
    ChatResponse,
    ChatStream,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    FunctionCall,
    Json,
    Message,
    ToolCall,
    ToolCallDelta,
)

__all__ = ["StreamedAnswer"]

_NOTHING = Delta()


class StreamedAnswer:
    """Gathers the first choice. `before` is put in front of its text, `begins`: the reader has seen nothing yet."""

    def __init__(self, *, begins: bool, before: str = "") -> None:
        self.has_text = False
        self._begins = begins
        self._before = before
        self._id = ""
        self._created = 0
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._blocks: list[Json] = []
        self._calls: dict[int, _Call] = {}
        self._finish: FinishReason | None = None
        self._stop_sequence: str | None = None

    def take(self, chunk: ChatChunk) -> list[ChunkChoice] | None:
        """What a reader sees of the chunk; `None`: nothing, because it is held back."""
        self._id = self._id or chunk.id
        self._created = self._created or chunk.created
        if not chunk.choices:
            return None if chunk.usage is not None else []
        seen = [choice if choice.index else self._taken(choice) for choice in chunk.choices]
        return [choice for choice in seen if choice is not None] or None

    def response(self, stream: ChatStream) -> ChatResponse:
        """The whole answer, and what `stream` knows of it at its end."""
        message = Message(
            role="assistant",
            content="".join(self._content) if self._content or not self._calls else None,
            reasoning_content="".join(self._reasoning) or None,
            refusal="".join(self._refusal) or None,
            thinking_blocks=self._blocks or None,
            tool_calls=[self._calls[index].whole() for index in sorted(self._calls)] or None,
        )
        choice = Choice(index=0, message=message, finish_reason=self._finish, stop_sequence=self._stop_sequence)
        return ChatResponse(
            id=self._id,
            model=stream.model,
            choices=[choice],
            created=self._created,
            usage=stream.usage,
            provider=stream.provider,
            request_id=stream.request_id,
            attempts=stream.attempts,
            failed_attempts=stream.failed_attempts,
            skipped=stream.skipped,
            degraded=stream.degraded,
            params=stream.params,
            cost_usd=stream.cost_usd,
            warnings=stream.warnings,
            upstream_s=stream.upstream_s,
        )

    def _taken(self, choice: ChunkChoice) -> ChunkChoice | None:
        delta = choice.delta
        if choice.finish_reason is not None:
            self._finish, self._stop_sequence = choice.finish_reason, choice.stop_sequence
        for call in delta.tool_calls or ():
            self._add_call(call)
        content = delta.content
        if content:
            self._content.append(content)
            if not self.has_text:
                content, self.has_text = self._before + content, True
        self._reasoning += [delta.reasoning_content] if delta.reasoning_content else []
        self._refusal += [delta.refusal] if delta.refusal else []
        self._blocks += delta.thinking_blocks or []
        role = delta.role if self._begins else None
        seen = replace(delta, role=role, content=content, tool_calls=None)
        if seen == _NOTHING or not (role or seen.has_content):
            return None
        self._begins = False
        return ChunkChoice(index=0, delta=seen, logprobs=choice.logprobs)

    def _add_call(self, delta: ToolCallDelta) -> None:
        call = self._calls.setdefault(delta.index, _Call())
        call.id = call.id or delta.id or ""
        call.type = call.type or delta.type or ""
        if isinstance(delta.custom, dict):
            written = call.custom.get("input", "") + (delta.custom.get("input") or "")
            call.custom = {**call.custom, **delta.custom, "input": written}
        if delta.function is not None:
            call.name += delta.function.name or ""
            call.arguments.append(delta.function.arguments or "")


class _Call(Struct):
    """A call in the making; a custom one has no arguments."""

    id: str = ""
    type: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    custom: dict[str, Json] = field(default_factory=dict)

    def whole(self) -> ToolCall:
        function = FunctionCall(self.name, "".join(self.arguments)) if self.arguments else None
        return ToolCall(id=self.id, type=self.type or "function", function=function, custom=self.custom or None)
