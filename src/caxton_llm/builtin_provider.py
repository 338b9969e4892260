"""The `builtin` provider: an `LlmProvider` that needs no key and no network, for demos and for people's own tests.

It answers from the request (see `providers.builtin`), or from its script: delays, chunks, and failures before the answer or
in the middle of a stream. Waiting is the only effect here.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import pairwise

from caxton_llm.errors import LlmError
from caxton_llm.model_info import Capabilities, ModelInfo, ModelPrice
from caxton_llm.protocols import Clock
from caxton_llm.providers.builtin import CONTEXT_WINDOW, BuiltinAnswer, answer, scripted_error, text_pieces
from caxton_llm.providers.settings import BuiltinScript, BuiltinStep, ProviderSettings
from caxton_llm.types import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ChatStream,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    Message,
    ToolCall,
    ToolCallDelta,
)

__all__ = ["BuiltinProvider"]

_MODEL = "builtin"
_FREE = ModelPrice(input=0.0, output=0.0)
_ABILITIES = Capabilities(
    streaming=True,
    tools=True,
    forced_tool_choice=True,
    vision=True,
    audio=True,
    pdf=True,
    json_schema=True,
    reasoning=True,
    prefill=True,
    inline_system=True,
)


class BuiltinProvider:
    """One entry. The steps of its script are used up one per request, in the order in which the requests begin.

    `sleep` waits the script's delays, in seconds; `now` is the wall clock in seconds since 1970, for `created`; `clock` times
    the answers.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now: Callable[[], float] = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        self._settings = settings
        self._script = settings.script or BuiltinScript()
        self._sleep = sleep
        self._now = now
        self._clock = clock
        self._begun = 0

    def __repr__(self) -> str:
        return f"BuiltinProvider({self._settings.entry_name!r})"

    async def complete_chat(self, request: ChatRequest) -> ChatResponse:
        """The whole answer, after the step's delay; a step with an error fails whatever its `after_chunks` says."""
        step = self._next_step()
        asked = self._clock()
        try:
            await self._wait(step.delay_ms)
            if step.error is not None:
                await self._fail(step)
            told = answer(request, self._settings, step)
        except LlmError as error:
            raise error.locate(provider=self._settings.entry_name, model=self._model(request)) from None
        return ChatResponse(
            id=told.id,
            model=self._model(request),
            created=int(self._now()),
            choices=[_choice(told, index) for index in range(told.count)],
            usage=told.usage,
            provider=self._settings.entry_name,
            params=told.report,
            upstream_s=self._clock() - asked,
        )

    def stream_chat(self, request: ChatRequest) -> ChatStream:
        """The answer word by word, or in the step's number of chunks; the step is taken at the first iteration."""

        def source(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            return self._batches(request, stream)

        return ChatStream(source, provider=self._settings.entry_name, model=self._model(request))

    async def get_model_info(self) -> ModelInfo:
        """All facts, free of charge."""
        return self.describe()

    def supports_function_calling(self) -> bool:
        return True

    def supports_streaming(self) -> bool:
        return True

    def describe(self) -> ModelInfo:
        """What `get_model_info` tells, without waiting."""
        window = self._settings.context_window
        return ModelInfo(
            id=self._settings.main_model or _MODEL,
            provider="builtin",
            context_window=window or CONTEXT_WINDOW,
            capabilities=_ABILITIES,
            price=_FREE,
            lifecycle="active",
            sources={
                "context_window": "configuration" if window else "provider",
                "price": "provider",
                "lifecycle": "provider",
                **{f"capabilities.{name}": "provider" for name in _ABILITIES.__struct_fields__},
            },
        )

    # -- streams --------------------------------------------------------------------------------------------------------

    async def _batches(self, request: ChatRequest, stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
        step = self._next_step()
        asked = self._clock()
        try:
            await self._wait(step.delay_ms)
            if step.error is not None and step.after_chunks is None:
                await self._fail(step)
            told = answer(request, self._settings, step)
            stream.params = told.report
            stream.upstream_s = self._clock() - asked
            created = int(self._now())
            for sent, choice in enumerate(_pieces(told, step)):
                if step.error is not None and sent == step.after_chunks:
                    await self._fail(step)
                if sent:
                    await self._wait(step.chunk_delay_ms)
                yield [ChatChunk(id=told.id, model=stream.model, created=created, choices=[choice])]
            if step.error is not None:
                await self._fail(step)
            for index in range(told.count):
                yield [ChatChunk(id=told.id, model=stream.model, created=created, choices=[_end(told, index)])]
            stream.usage = told.usage
            yield [ChatChunk(id=told.id, model=stream.model, created=created, usage=told.usage)]
        except LlmError as error:
            raise error.locate(provider=self._settings.entry_name, model=stream.model) from None

    # -- the script -----------------------------------------------------------------------------------------------------

    def _next_step(self) -> BuiltinStep:
        steps = self._script.steps
        number = self._begun
        self._begun += 1
        if steps and (self._script.repeat or number < len(steps)):
            return steps[number % len(steps)]
        return BuiltinStep()

    async def _wait(self, milliseconds: float) -> None:
        if milliseconds > 0:
            await self._sleep(milliseconds / 1000.0)

    async def _fail(self, step: BuiltinStep) -> None:
        if step.error == "stall":
            await asyncio.Event().wait()  # until the caller's patience ends
        raise scripted_error(step)

    def _model(self, request: ChatRequest) -> str:
        return request.model if request.model != "default" else self._settings.main_model or _MODEL


def _choice(told: BuiltinAnswer, index: int) -> Choice:
    return Choice(
        index=index,
        message=Message(
            role="assistant",
            content=told.text or (None if told.calls else ""),
            reasoning_content=told.reasoning or None,
            tool_calls=[_call(told, call, index) for call in told.calls] or None,
        ),
        finish_reason=told.finish_reason,
        stop_sequence=told.stop_sequence,
    )


def _call(told: BuiltinAnswer, call: ToolCall, choice: int) -> ToolCall:
    """The call with an id of its own in each of the `n` answers."""
    function = call.function or FunctionCall("")
    return ToolCall(id=call.id if told.count == 1 else f"{call.id}_{choice}", function=function)


def _pieces(told: BuiltinAnswer, step: BuiltinStep) -> list[ChunkChoice]:
    """Everything before the end of the answers: reasoning, text, calls; the role comes with the first of each answer."""
    deltas: list[Delta] = [Delta(reasoning_content=piece) for piece in text_pieces(told.reasoning)]
    texts = text_pieces(told.text) if step.chunks is None else _slices(told.text, step.chunks)
    deltas += [Delta(content=piece) for piece in texts]
    choices: list[ChunkChoice] = []
    for index in range(told.count):
        calls = [_call(told, call, index) for call in told.calls]
        fragments = [Delta(tool_calls=[part]) for number, call in enumerate(calls) for part in _fragments(number, call)]
        first, *others = [*deltas, *fragments] or [Delta(content="")]
        opening = Delta(
            role="assistant",
            content=first.content,
            reasoning_content=first.reasoning_content,
            tool_calls=first.tool_calls,
        )
        choices += [ChunkChoice(index=index, delta=delta) for delta in (opening, *others)]
    return choices


def _fragments(number: int, call: ToolCall) -> list[ToolCallDelta]:
    """Id and name first, then the arguments in two halves, as models stream them."""
    function = call.function or FunctionCall("")
    text = function.arguments
    half = len(text) // 2
    head = ToolCallDelta(index=number, id=call.id, type="function", function=FunctionCallDelta(function.name, ""))
    return [
        head,
        *(ToolCallDelta(index=number, function=FunctionCallDelta(None, part)) for part in (text[:half], text[half:])),
    ]


def _slices(text: str, count: int) -> list[str]:
    """The text in `count` pieces of about the same length, fewer when it has fewer characters."""
    count = max(1, min(count, len(text)))
    cuts = [len(text) * number // count for number in range(count + 1)]
    return [text[begin:end] for begin, end in pairwise(cuts) if end > begin]


def _end(told: BuiltinAnswer, index: int) -> ChunkChoice:
    return ChunkChoice(index=index, delta=Delta(), finish_reason=told.finish_reason, stop_sequence=told.stop_sequence)
