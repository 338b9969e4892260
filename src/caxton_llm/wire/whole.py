"""A whole answer seen as a stream of one chunk."""

from caxton_llm.types import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    ToolCall,
    ToolCallDelta,
)

__all__ = ["chunk_of"]


def chunk_of(response: ChatResponse) -> ChatChunk:
    """Everything of `response` in one chunk; its bytes are left out, because they are not an event's."""
    return ChatChunk(
        choices=[_choice_of(choice) for choice in response.choices],
        id=response.id,
        model=response.model,
        created=response.created,
        usage=response.usage,
    )


def _choice_of(choice: Choice) -> ChunkChoice:
    message = choice.message
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text or "" for part in content or ()) or None
    delta = Delta(
        role="assistant",
        content=text,
        reasoning_content=message.reasoning_content,
        thinking_blocks=message.thinking_blocks,
        refusal=message.refusal,
        tool_calls=[_call_of(index, call) for index, call in enumerate(message.tool_calls or ())] or None,
    )
    return ChunkChoice(
        index=choice.index,
        delta=delta,
        finish_reason=choice.finish_reason,
        logprobs=choice.logprobs,
        stop_sequence=choice.stop_sequence,
    )


def _call_of(index: int, call: ToolCall) -> ToolCallDelta:
    function = FunctionCallDelta(call.function.name, call.function.arguments) if call.function else None
    return ToolCallDelta(index=index, id=call.id, type=call.type, function=function, custom=call.custom)
