"""Shows one answer: the text as it comes on standard output, and what is to be known about it on standard error."""

import time

from caxton_llm.caxton import Caxton
from caxton_llm.cli.screen import Screen, Waiting, money, tokens
from caxton_llm.types import ChatRequest, ChatResponse, ChatStream, ChunkChoice, Usage

__all__ = ["show_answer"]

_CUT_SHORT = {
    "length": "the answer is cut off: it reached the limit of output tokens (--max-tokens)",
    "content_filter": "the answer is cut off by a content filter",
    "error": "the provider ended the answer with an error",
}


async def show_answer(caxton: Caxton, request: ChatRequest, screen: Screen, *, stream: bool) -> str:
    """Ask, show, and return the text. Raises what the gateway raises; the text before it has been shown."""
    if warning := caxton.deprecation(request.model):
        screen.warn(warning)
    answer = _Answer(screen)
    started = time.monotonic()
    try:
        with screen.waiting(f"waiting for {request.model}") as waiting:
            origin = await (answer.streamed if stream else answer.whole)(caxton, request, waiting)
    finally:
        answer.end_line()
    answer.show_notes(origin)
    if screen.is_watched:
        screen.note(_summary(origin, time.monotonic() - started))
    return answer.text


class _Answer:
    """The first choice of an answer, while it is shown."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._pieces: list[str] = []
        self._calls: list[str] = []
        self._finish: str | None = None

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    async def whole(self, caxton: Caxton, request: ChatRequest, waiting: Waiting) -> ChatResponse:
        response = await caxton.complete_chat(request)
        waiting.stop()
        choice = response.choices[0] if response.choices else None
        self._add(response.text or (choice and choice.message.refusal) or "")
        self._calls += [call.function.name for call in response.tool_calls if call.function]
        self._finish = choice.finish_reason if choice else None
        return response

    async def streamed(self, caxton: Caxton, request: ChatRequest, waiting: Waiting) -> ChatStream:
        async with caxton.stream_chat(request) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    if choice.index == 0:
                        self._take(choice, waiting)
            return stream

    def _take(self, choice: ChunkChoice, waiting: Waiting) -> None:
        delta = choice.delta
        if delta.reasoning_content:
            waiting.label = "thinking"
        if text := delta.content or delta.refusal:
            waiting.stop()
            self._add(text)
        calls = [call.function for call in delta.tool_calls or () if call.function]
        self._calls += [call.name for call in calls if call.name]
        self._finish = choice.finish_reason or self._finish

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        self._screen.write(text)

    def end_line(self) -> None:
        if self._pieces and not self._pieces[-1].endswith("\n"):
            self._screen.write("\n")

    def show_notes(self, origin: ChatResponse | ChatStream) -> None:
        screen = self._screen
        for name, reason in origin.params.dropped.items():
            screen.warn(f"parameter {name} was dropped: {reason}")
        for name, became in origin.params.mapped.items():
            screen.note(f"parameter {name} was sent as: {became}")
        for warning in origin.warnings:
            screen.warn(warning)
        if self._calls:
            screen.warn(f"the model asked for tools that a chat does not have: {', '.join(self._calls)}")
        if self._finish in _CUT_SHORT:
            screen.warn(_CUT_SHORT[self._finish])
        elif not self.text and not self._calls:
            screen.warn("the answer is empty")


def _summary(origin: ChatResponse | ChatStream, seconds: float) -> str:
    parts = [origin.provider, origin.model, _tokens(origin.usage), money(origin.cost_usd), f"{seconds:.1f} s"]
    if origin.attempts > 1:
        parts.append(f"{origin.attempts} attempts")
    return " · ".join(part for part in parts if part)


def _tokens(usage: Usage | None) -> str:
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return "tokens unknown"
    cached = f" ({tokens(usage.cached_tokens)} cached)" if usage.cached_tokens else ""
    return f"{tokens(usage.prompt_tokens)}{cached} + {tokens(usage.completion_tokens)} tokens"
