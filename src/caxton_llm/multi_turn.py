"""A request that no model can take at once: its parts are worked through, and the results combined.

    take apart -> notes of every part, some at a time -> notes of notes, while they are too long -> the answer, streamed

A part that fails after the gateway's own repeats is missing, and the answer says so; an error that every part would meet ends
the request. Whoever leaves cancels all that is under way.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from copy import copy
from typing import Literal

from msgspec import Struct, field

from caxton_llm.background import end_tasks
from caxton_llm.context.partial_requests import Note, numbers
from caxton_llm.context.reading_plan import ReadingPlan, plan_reading
from caxton_llm.dispatch.fitting import Fitter
from caxton_llm.dispatch.totals import summed, summed_usage
from caxton_llm.errors import (
    Authentication,
    InvalidRequest,
    LlmError,
    ModelNotFound,
    Permission,
    ProviderFailure,
    QuotaExhausted,
)
from caxton_llm.gateway import Gateway
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, Json

__all__ = ["MultiTurn"]

State = Literal["started", "done", "failed"]

_FOR_ALL = (InvalidRequest, Authentication, Permission, ModelNotFound, QuotaExhausted)
"""Errors that say nothing of a part: the others would meet them too."""


class _Step(Struct, frozen=True):
    """What has become of the request at a place."""

    place: int
    state: State
    answer: ChatResponse | None = None
    error: LlmError | None = None


class _Work(Struct, kw_only=True):
    """What has come of a request so far."""

    answers: list[ChatResponse] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    failed: dict[int, LlmError] = field(default_factory=dict)
    """Parts that nothing is known of."""

    @property
    def missing(self) -> list[int]:
        return sorted(self.failed)


class MultiTurn:
    """Works through requests whose current messages alone do not fit a window. `count` gives the tokens of a text.

    At most `most_parts` parts are read, `concurrency` at a time.
    """

    def __init__(
        self, gateway: Gateway, count: Callable[[str], int], *, most_parts: int = 64, concurrency: int = 4
    ) -> None:
        self._gateway = gateway
        self._count = count
        self._most_parts = most_parts
        self._concurrency = concurrency

    async def complete(
        self, request: ChatRequest, *, window_tokens: int, answer_tokens: int, fitter: Fitter | None = None
    ) -> ChatResponse:
        """The answer, with what all requests took together; `warnings` name parts that are missing in it.

        `window_tokens` is what the model takes, the answer's `answer_tokens` included, both as `count` counts: whoever counts
        with another vendor's vocabulary takes its margin off. `fitter` is for the last request, as in `Gateway.complete`.
        Raises `ContextWindowExceeded` for what is too long even in parts, the first part's error where all fail.
        """
        plan = await self._plan(request, window_tokens, answer_tokens)
        work = _Work()
        async with contextlib.aclosing(self._noted(plan, work)) as steps:
            async for _ in steps:
                pass
        last, notes = await asyncio.to_thread(plan.answering, work.notes, work.missing)
        answer = await self._gateway.complete(last, fitter=fitter)
        return summed([*work.answers, answer], (*notes, *_warnings(plan, work)))

    def stream(
        self, request: ChatRequest, *, window_tokens: int, answer_tokens: int, fitter: Fitter | None = None
    ) -> ChatStream:
        """As `complete`; the answer is streamed, after chunks that tell `progress` of each part:
        `{"part": 2, "of": 7, "state": "started"}`, or `done`, or `failed`. Nothing is sent before the first iteration."""
        known = self._gateway.stream(request, fitter=fitter)  # raises where nothing could be streamed at the end

        async def batches(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            plan = await self._plan(request, window_tokens, answer_tokens)
            work = _Work()
            async with contextlib.aclosing(self._noted(plan, work)) as steps:
                async for step in steps:
                    yield [ChatChunk(progress=step)]
            last, notes = await asyncio.to_thread(plan.answering, work.notes, work.missing)
            said = (*notes, *_warnings(plan, work))
            async with (
                self._gateway.stream(last, fitter=fitter) as answer,
                contextlib.aclosing(_followed(answer, stream, work, said)) as followed,
            ):
                async for batch in followed:
                    yield batch

        return ChatStream(batches, provider=known.provider, model=known.model)

    async def _plan(self, request: ChatRequest, window: int, answer: int) -> ReadingPlan:
        return await asyncio.to_thread(
            plan_reading, request, self._count, window=window, answer=answer, most_parts=self._most_parts
        )

    async def _noted(self, plan: ReadingPlan, work: _Work) -> AsyncGenerator[Json, None]:
        """Reads all parts, and merges notes until they leave room for the answer; tells of each part."""
        asked = [plan.requests.reading(part) for part in plan.parts]
        about = [(part.number,) for part in plan.parts]
        async with contextlib.aclosing(self._ask(asked, about, plan, work)) as steps:
            async for step in steps:
                yield {"part": step.place + 1, "of": len(plan.parts), "state": step.state}
        while len(work.notes) > 1 and not await asyncio.to_thread(plan.leaves_room, work.notes, work.missing):
            batches = await asyncio.to_thread(plan.batches, work.notes)
            work.notes = [note for batch in batches if len(batch) == 1 for note in batch]
            together = [batch for batch in batches if len(batch) > 1]
            asked = [plan.requests.merging(batch) for batch in together]
            merged = [tuple(part for note in batch for part in note.parts) for batch in together]
            async with contextlib.aclosing(self._ask(asked, merged, plan, work)) as steps:
                async for _ in steps:
                    pass

    async def _ask(
        self, requests: Sequence[ChatRequest], about: Sequence[tuple[int, ...]], plan: ReadingPlan, work: _Work
    ) -> AsyncGenerator[_Step, None]:
        """Asks for a note about each group of parts, some at a time. Raises where no note is left to answer from."""
        told: asyncio.Queue[_Step | Exception] = asyncio.Queue()
        slots = asyncio.Semaphore(self._concurrency)
        texts: list[tuple[tuple[int, ...], str]] = []
        tasks = [asyncio.create_task(self._ask_one(place, each, slots, told)) for place, each in enumerate(requests)]
        try:
            for _ in range(2 * len(requests)):
                step = await told.get()
                if isinstance(step, Exception):
                    raise step
                work.answers += [step.answer] if step.answer else []
                if step.error is not None:
                    work.failed.update(dict.fromkeys(about[step.place], step.error))
                elif step.answer is not None:
                    texts.append((about[step.place], step.answer.text))
                yield step
        finally:
            await end_tasks(tasks)
        notes = await asyncio.to_thread(lambda: [plan.note(parts, text) for parts, text in texts])
        work.notes = sorted([*work.notes, *notes], key=lambda note: note.parts)
        if not work.notes:
            raise work.failed[work.missing[0]]

    async def _ask_one(
        self, place: int, request: ChatRequest, slots: asyncio.Semaphore, told: "asyncio.Queue[_Step | Exception]"
    ) -> None:
        async with slots:
            told.put_nowait(_Step(place, "started"))
            try:
                answer = await self._gateway.complete(request)
            except _FOR_ALL as error:
                told.put_nowait(error)
            except LlmError as error:
                told.put_nowait(_Step(place, "failed", error=error))
            except Exception as error:  # noqa: BLE001 - raised where the steps are read
                told.put_nowait(error)
            else:
                problem = _problem(answer)
                told.put_nowait(_Step(place, "failed" if problem else "done", answer, problem))


def _problem(answer: ChatResponse) -> LlmError | None:
    """Why an answer is no note: a message that stands for one, or nothing at all."""
    if answer.degraded:
        return ProviderFailure("no target could answer", source="gateway")
    if not answer.text.strip():
        reason = answer.choices[0].finish_reason if answer.choices else None
        return ProviderFailure(f"the model wrote nothing (finish_reason {reason})", provider=answer.provider)
    return None


def _warnings(plan: ReadingPlan, work: _Work) -> tuple[str, ...]:
    total = len(plan.parts)
    count = f"{total} part{'' if total == 1 else 's'}"
    read = f"the material of the request, about {plan.material_tokens:,} tokens, was read in {count}"
    by_kind: dict[str, list[int]] = {}
    for part in work.missing:
        by_kind.setdefault(work.failed[part].kind, []).append(part)
    missing = [f"{numbers(parts).lower()} of {total} missing in the answer: {kind}" for kind, parts in by_kind.items()]
    return (read, *missing)


async def _followed(
    answer: ChatStream, stream: ChatStream, work: _Work, warnings: tuple[str, ...]
) -> AsyncGenerator[list[ChatChunk], None]:
    """The chunks of the last answer, without their bytes: those tell the usage of one answer."""
    is_described = False
    while True:
        try:
            batch = await answer.next_batch()
        except StopAsyncIteration:
            break
        if not is_described:
            _describe(stream, answer, work, warnings)
            is_described = True
        yield [_without_bytes(chunk, work) for chunk in batch]
    _describe(stream, answer, work, warnings)


def _describe(stream: ChatStream, answer: ChatStream, work: _Work, warnings: tuple[str, ...]) -> None:
    """What is known of the last answer, with what all answers took."""
    last = ChatResponse(
        id="",
        model=answer.model,
        choices=[],
        usage=answer.usage,
        attempts=answer.attempts,
        failed_attempts=answer.failed_attempts,
        skipped=answer.skipped,
        cost_usd=answer.cost_usd,
        warnings=answer.warnings,
        upstream_s=answer.upstream_s,
    )
    total = summed([*work.answers, last], warnings)
    stream.provider, stream.model, stream.request_id = answer.provider, answer.model, answer.request_id
    stream.params, stream.degraded, stream.upstream_s = answer.params, answer.degraded, total.upstream_s
    stream.attempts, stream.failed_attempts, stream.skipped = total.attempts, total.failed_attempts, total.skipped
    stream.warnings, stream.usage, stream.cost_usd = total.warnings, total.usage, total.cost_usd


def _without_bytes(chunk: ChatChunk, work: _Work) -> ChatChunk:
    chunk = copy(chunk)
    chunk.wire = None
    if chunk.usage is not None:
        chunk.usage = summed_usage([*(answer.usage for answer in work.answers), chunk.usage])
    return chunk
