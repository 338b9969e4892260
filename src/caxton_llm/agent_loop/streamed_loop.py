"""The loop of one streamed request, seen as one stream: texts, what happens to the calls, one end and one usage."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from caxton_llm.agent_loop.loop_record import LoopRecord, LoopResult
from caxton_llm.agent_loop.streamed_answer import StreamedAnswer
from caxton_llm.agent_loop.time_limit import TimeLimit
from caxton_llm.agent_loop.tool_events import ToolEvent, ToolEvents
from caxton_llm.agent_loop.tool_runner import ToolRunner
from caxton_llm.background import end_tasks
from caxton_llm.dispatch.fitting import Fitter
from caxton_llm.errors import LlmError
from caxton_llm.gateway import Gateway
from caxton_llm.protocols import Clock
from caxton_llm.types import ChatChunk, ChatResponse, ChatStream, ChunkChoice, Delta, Message, ToolCall
from caxton_llm.wire.whole import chunk_of

__all__ = ["FitterOf", "OnDone", "StreamedLoop"]

FitterOf = Callable[[Sequence[Message]], Fitter]
"""What makes the request for each target, with these steps (calls and their results) behind the current message."""
OnDone = Callable[[LoopResult], Awaitable[None]]

_log = logging.getLogger("caxton_llm.agents")

_BETWEEN_TEXTS = "\n\n"
"""Between the texts of two steps, which nothing else would keep apart."""


_END_S = 1.0
"""How long the end of an answer is waited for when its reader has left."""


class StreamedLoop:
    """The batches of `stream`, which is told what is learned on the way."""

    def __init__(
        self,
        gateway: Gateway,
        runner: ToolRunner,
        record: LoopRecord,
        stream: ChatStream,
        *,
        fitter_of: FitterOf,
        on_done: OnDone | None,
        quiet_s: float,
    ) -> None:
        self._gateway = gateway
        self._runner = runner
        self._record = record
        self._stream = stream
        self._fitter_of = fitter_of
        self._on_done = on_done
        self._quiet_s = quiet_s
        self._id = ""
        self._created = 0
        self._has_begun = False
        self._has_text = False

    async def batches(self, deadline_s: float | None, clock: Clock) -> AsyncGenerator[list[ChatChunk], None]:
        """Everything until the end. Its own end, whatever the reason, ends the provider's answer and the running calls."""
        limit = TimeLimit(deadline_s, clock)
        calls: list[ToolCall] | None = None
        while calls is None or calls:
            async with contextlib.aclosing(self._calls_run(calls or [], limit)) as told:
                async for happened in told:
                    yield happened
            answer = StreamedAnswer(begins=not self._has_begun, before=_BETWEEN_TEXTS if self._has_text else "")
            is_seen = False
            async with self._asked() as source:
                # What has begun to come may come slowly: the gateway limits its silences.
                while (batch := await (_next(source) if is_seen else limit.keep(_next(source)))) is not None:
                    self._describe(source)
                    if seen := self._seen(answer, batch):
                        is_seen = True
                        try:
                            yield seen
                        except GeneratorExit:
                            await self._end_unseen(source, answer)
                            raise
                calls = self._record.take(answer.response(source))
            self._has_text |= answer.has_text
        result = self._record.result()
        await self._done(result)
        yield self._end(result.response)

    async def _end_unseen(self, source: ChatStream, answer: StreamedAnswer) -> None:
        """Who leaves after the last text has the whole answer: its end, if it comes at once, is the end of the request."""
        if self._on_done is None or not answer.has_text:
            return
        try:
            async with asyncio.timeout(_END_S):
                while (batch := await _next(source)) is not None:
                    if self._seen(answer, batch):  # it was not the last text
                        return
            if not self._record.take(answer.response(source)):
                await self._done(self._record.result())
        except TimeoutError:
            return
        except LlmError as error:
            _log.warning("an answer whose reader has left did not end well: %s", error.kind)

    async def _done(self, result: LoopResult) -> None:
        """A reader that leaves now does not undo what is done at the end."""
        if self._on_done is None:
            return
        doing = asyncio.ensure_future(self._on_done(result))
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.gather(doing, return_exceptions=True)
            raise

    def _asked(self) -> ChatStream:
        fitter = self._fitter_of(tuple(self._record.steps))
        return self._gateway.stream(self._record.next_request(), fitter=fitter)

    async def _calls_run(self, calls: list[ToolCall], limit: TimeLimit) -> AsyncGenerator[list[ChatChunk], None]:
        """Run the calls, and tell what happens to them; now and then that they still run, with a chunk that has nothing."""
        if not calls:
            return
        events = ToolEvents()
        running = asyncio.create_task(self._run(calls, events))
        running.add_done_callback(lambda _: events.wake())
        try:
            while not running.done():
                told = await limit.keep(events.take(self._quiet_s))
                if told or not running.done():
                    yield self._progress(told) or [self._chunk([])]
            if rest := events.left():
                yield self._progress(rest)
            await running
        finally:
            await end_tasks([running])

    async def _run(self, calls: list[ToolCall], events: ToolEvents) -> None:
        record = self._record
        results = await self._runner.run(calls, callers=record.callers, parallel=record.parallel, on_event=events.add)
        record.add(results)

    # -- what is seen ---------------------------------------------------------------------------------------------------

    def _describe(self, source: ChatStream) -> None:
        """Who answers first is told at once; the rest at the end."""
        if not self._has_begun:
            self._stream.describe_as(source)

    def _seen(self, answer: StreamedAnswer, batch: list[ChatChunk]) -> list[ChatChunk]:
        seen = []
        for chunk in batch:
            self._id, self._created = self._id or chunk.id, self._created or chunk.created
            choices = answer.take(chunk)
            if choices is not None:
                seen.append(self._chunk(choices))
        self._has_begun |= any(chunk.choices for chunk in seen)
        return seen

    def _progress(self, events: list[ToolEvent]) -> list[ChatChunk]:
        chunks = []
        for event in events:
            chunk = self._chunk([])
            chunk.progress = event.told()
            chunks.append(chunk)
        return chunks

    def _chunk(self, choices: list[ChunkChoice]) -> ChatChunk:
        return ChatChunk(choices=choices, id=self._id, model=self._stream.model, created=self._created)

    def _end(self, response: ChatResponse) -> list[ChatChunk]:
        """The calls that are the caller's, the end of the answer, the usage of all steps."""
        stream = self._stream
        stream.provider, stream.model, stream.request_id = response.provider, response.model, response.request_id
        stream.attempts, stream.failed_attempts = response.attempts, response.failed_attempts
        stream.skipped, stream.degraded, stream.params = response.skipped, response.degraded, response.params
        stream.warnings, stream.usage, stream.cost_usd = response.warnings, response.usage, response.cost_usd
        chunks = []
        choice = chunk_of(response).choices[0]
        if choice.delta.tool_calls:
            role = None if self._has_begun else "assistant"
            delta = Delta(role=role, tool_calls=choice.delta.tool_calls)
            chunks.append(self._chunk([ChunkChoice(index=0, delta=delta)]))
        if choice.finish_reason is not None:
            end = ChunkChoice(
                index=0, delta=Delta(), finish_reason=choice.finish_reason, stop_sequence=choice.stop_sequence
            )
            chunks.append(self._chunk([end]))
        if response.usage is not None:
            usage = self._chunk([])
            usage.usage = response.usage
            chunks.append(usage)
        return chunks or [self._chunk([])]


async def _next(source: ChatStream) -> list[ChatChunk] | None:
    """The next batch; `None` at the end."""
    try:
        return await source.next_batch()
    except StopAsyncIteration:
        return None
