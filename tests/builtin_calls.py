"""Calls of the `builtin` provider without waiting, and its streams put together again."""

from typing import Any

import pytest

from caxton_llm.builtin_provider import BuiltinProvider
from caxton_llm.errors import LlmError
from caxton_llm.providers.settings import BuiltinScript, BuiltinStep, ProviderSettings
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, Message

__all__ = ["Streamed", "answer", "provider", "refusal", "streamed", "user"]


def user(text: str) -> Message:
    return Message(role="user", content=text)


def provider(
    *steps: BuiltinStep, waits: list[float] | None = None, repeat: bool = False, **changes: Any
) -> BuiltinProvider:
    async def sleep(seconds: float) -> None:
        (waits if waits is not None else []).append(seconds)

    script = BuiltinScript(steps=steps, repeat=repeat) if steps else None
    return BuiltinProvider(
        ProviderSettings(provider="builtin", script=script, **changes),
        sleep=sleep,
        now=lambda: 1_790_000_000.9,
        clock=lambda: 5.0,
    )


async def answer(request: ChatRequest, *steps: BuiltinStep, **changes: Any) -> ChatResponse:
    return await provider(*steps, **changes).complete_chat(request)


async def refusal(request: ChatRequest, *steps: BuiltinStep, **changes: Any) -> LlmError:
    with pytest.raises(LlmError) as caught:
        await answer(request, *steps, **changes)
    return caught.value


class Streamed:
    """A stream put together again, the way a client does it."""

    def __init__(self, chunks: list[ChatChunk], error: LlmError | None) -> None:
        self.chunks = chunks
        self.error = error
        self.usage = chunks[-1].usage if chunks else None
        self.texts: dict[int, str] = {}
        self.reasoning: dict[int, str] = {}
        self.calls: dict[int, list[list[str]]] = {}
        self.reasons: dict[int, str] = {}
        for choice in (choice for chunk in chunks for choice in chunk.choices):
            index, delta = choice.index, choice.delta
            self.texts[index] = self.texts.get(index, "") + (delta.content or "")
            self.reasoning[index] = self.reasoning.get(index, "") + (delta.reasoning_content or "")
            calls = self.calls.setdefault(index, [])
            for part in delta.tool_calls or ():
                if part.id is not None:
                    assert part.index == len(calls)
                    assert part.function is not None
                    calls.append([part.id, part.function.name or "", ""])
                calls[part.index][2] += (part.function.arguments if part.function else None) or ""
            if choice.finish_reason is not None:
                self.reasons[index] = choice.finish_reason


async def streamed(subject: BuiltinProvider, request: ChatRequest) -> Streamed:
    chunks: list[ChatChunk] = []
    error: LlmError | None = None
    async with subject.stream_chat(request) as stream:
        try:
            async for chunk in stream:
                chunks.append(chunk)
        except LlmError as raised:
            error = raised
        assert error is not None or stream.usage is not None
    return Streamed(chunks, error)
