"""A request that no model can take at once: its parts are worked through, and the results combined.

    take apart -> notes of every part, some at a time -> notes of notes, while they are too long -> the answer, streamed

A part that fails after the gateway's own repeats is missing, and the answer says so; an error that every part would meet ends
the request. Whoever leaves cancels all that is under way.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Literal

from msgspec import Struct

from caxton_llm.background import end_tasks
from caxton_llm.context.long_texts.partial_requests import Note, numbers
from caxton_llm.context.long_texts.reading_plan import ReadingPlan, plan_reading
from caxton_llm.dispatch.fitting import Fitter
from caxton_llm.dispatch.totals import summed, summed_usage
from caxton_llm.errors import (
    Authentication,
    InvalidRequest,
    LlmError,
    MisusedError,
    ModelNotFound,
    Permission,
    ProviderFailure,
    QuotaExhausted,
)
from caxton_llm.gateway import Gateway
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, Json

__all__ = ["MultiTurn", "Reading"]

State = Literal["started", "done", "failed"]

_FOR_ALL = (InvalidRequest, Authentication, Permission, ModelNotFound, QuotaExhausted)
"""Errors that say nothing of a part: the others would meet them too."""


class _Step(Struct, frozen=True):
    """What has become of the request at a place."""

    place: int
    state: State
    answer: ChatResponse | None = None
    error: LlmError | None = None


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

    def read(
        self, request: ChatRequest, *, window_tokens: int, answer_tokens: int, standing_tokens: int = 0
    ) -> "Reading":
        """The request being read, for who asks for the answer otherwise than `complete` and `stream` do: with tools that are
        run, or a context of its own. Nothing is sent before its first step.

        `window_tokens` is what the model takes, the answer's `answer_tokens` included, both as `count` counts: whoever counts
        with another vendor's vocabulary takes its margin off. `standing_tokens` of it are kept for what the request for the
        answer has beside these messages, as far as half of the prompt is enough for it.
        """
        plan = partial(
            plan_reading,
            request,
            self._count,
            window=window_tokens,
            answer=answer_tokens,
            standing=standing_tokens,
            most_parts=self._most_parts,
        )
        return Reading(self._gateway, plan, self._concurrency)

    async def complete(
        self, request: ChatRequest, *, window_tokens: int, answer_tokens: int, fitter: Fitter | None = None
    ) -> ChatResponse:
        """The answer, with what all requests took together; `warnings` name parts that are missing in it.

        Tokens are as in `read`; `fitter` is for the last request, as in `Gateway.complete`. Raises `ContextWindowExceeded`
        for what is too long even in parts, the first part's error where all fail.
        """
        reading = self.read(request, window_tokens=window_tokens, answer_tokens=answer_tokens)
        last = await reading.finish()
        return reading.whole(await self._gateway.complete(last, fitter=fitter))

    def stream(
        self, request: ChatRequest, *, window_tokens: int, answer_tokens: int, fitter: Fitter | None = None
    ) -> ChatStream:
        """As `complete`; the answer is streamed, after chunks that tell `progress` of each part:
        `{"part": 2, "of": 7, "state": "started"}`, or `done`, or `failed`. Nothing is sent before the first iteration."""
        known = self._gateway.stream(request, fitter=fitter)  # raises where nothing could be streamed at the end
        reading = self.read(request, window_tokens=window_tokens, answer_tokens=answer_tokens)

        async def batches(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            async with contextlib.aclosing(reading.steps()) as steps:
                async for step in steps:
                    yield [ChatChunk(progress=step)]
            async with (
                self._gateway.stream(reading.request, fitter=fitter) as answer,
                contextlib.aclosing(reading.followed(answer, stream)) as followed,
            ):
                async for batch in followed:
                    yield batch

        return ChatStream(batches, provider=known.provider, model=known.model)


class Reading:
    """One request on its way through its parts, up to the request that asks for the answer.

    Iterate over `steps` to the end, or `finish`; then `request` has notes in the place of its material, and as much of the
    earlier conversation as fits. What came of it: `answers` to what was asked so far, `warnings` for the caller.
    """

    def __init__(self, gateway: Gateway, plan: Callable[[], ReadingPlan], concurrency: int) -> None:
        self.answers: list[ChatResponse] = []
        self.warnings: tuple[str, ...] = ()
        self._gateway = gateway
        self._planned = plan
        self._concurrency = concurrency
        self._request: ChatRequest | None = None
        self._notes: list[Note] = []
        self._failed: dict[int, LlmError] = {}
        """Parts that nothing is known of."""

    @property
    def request(self) -> ChatRequest:
        """What asks for the answer. Raises `MisusedError` before everything is read."""
        if self._request is None:
            raise MisusedError("the request is not read to its end: iterate over steps() first, or await finish()")
        return self._request

    async def finish(self) -> ChatRequest:
        """Read everything; returns what asks for the answer. Raises like `MultiTurn.complete`."""
        async with contextlib.aclosing(self.steps()) as steps:
            async for _ in steps:
                pass
        return self.request

    async def steps(self) -> AsyncGenerator[Json, None]:
        """Reads all parts, and merges notes until they leave room for the answer; tells of each part, as `progress` does.

        Closing it cancels what is under way. Raises like `MultiTurn.complete`. Once only.
        """
        plan = await asyncio.to_thread(self._planned)  # counting a long text takes a while
        asked = [plan.requests.reading(part) for part in plan.parts]
        about = [(part.number,) for part in plan.parts]
        async with contextlib.aclosing(self._ask(asked, about, plan)) as steps:
            async for step in steps:
                yield {"part": step.place + 1, "of": len(plan.parts), "state": step.state}
        while len(self._notes) > 1 and not await asyncio.to_thread(plan.leaves_room, self._notes, self._missing):
            batches = await asyncio.to_thread(plan.batches, self._notes)
            self._notes = [note for batch in batches if len(batch) == 1 for note in batch]
            together = [batch for batch in batches if len(batch) > 1]
            asked = [plan.requests.merging(batch) for batch in together]
            merged = [tuple(part for note in batch for part in note.parts) for batch in together]
            async with contextlib.aclosing(self._ask(asked, merged, plan)) as steps:
                async for _ in steps:
                    pass
        self._request, done = await asyncio.to_thread(plan.answering, self._notes, self._missing)
        self.warnings = (*done, *_warnings(plan, self._failed))

    def whole(self, answer: ChatResponse) -> ChatResponse:
        """The answer with what all requests took together, and with the warnings."""
        return summed([*self.answers, answer], self.warnings)

    async def followed(self, answer: ChatStream, stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
        """The chunks of a streamed answer, without their bytes, because those tell the usage of one answer alone. `stream` is
        told what is known of the answer, and what all requests took together."""
        is_described = False
        while True:
            try:
                batch = await answer.next_batch()
            except StopAsyncIteration:
                break
            if not is_described:
                self._describe(stream, answer)
                is_described = True
            yield [self._without_bytes(chunk) for chunk in batch]
        self._describe(stream, answer)

    @property
    def _missing(self) -> list[int]:
        return sorted(self._failed)

    async def _ask(
        self, requests: Sequence[ChatRequest], about: Sequence[tuple[int, ...]], plan: ReadingPlan
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
                self.answers += [step.answer] if step.answer else []
                if step.error is not None:
                    self._failed.update(dict.fromkeys(about[step.place], step.error))
                elif step.answer is not None:
                    texts.append((about[step.place], step.answer.text))
                yield step
        finally:
            await end_tasks(tasks)
        notes = await asyncio.to_thread(lambda: [plan.note(parts, text) for parts, text in texts])
        self._notes = sorted([*self._notes, *notes], key=lambda note: note.parts)
        if not self._notes:
            raise self._failed[self._missing[0]]

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

    def _describe(self, stream: ChatStream, answer: ChatStream) -> None:
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
        total = self.whole(last)
        stream.describe_as(answer)
        stream.upstream_s = total.upstream_s
        stream.attempts, stream.failed_attempts, stream.skipped = total.attempts, total.failed_attempts, total.skipped
        stream.warnings, stream.usage, stream.cost_usd = total.warnings, total.usage, total.cost_usd

    def _without_bytes(self, chunk: ChatChunk) -> ChatChunk:
        chunk = copy(chunk)
        chunk.wire = None
        if chunk.usage is not None:
            chunk.usage = summed_usage([*(answer.usage for answer in self.answers), chunk.usage])
        return chunk


def _problem(answer: ChatResponse) -> LlmError | None:
    """Why an answer is no note: a message that stands for one, or nothing at all."""
    if answer.degraded:
        return ProviderFailure("no target could answer", source="gateway")
    if not answer.text.strip():
        reason = answer.choices[0].finish_reason if answer.choices else None
        return ProviderFailure(f"the model wrote nothing (finish_reason {reason})", provider=answer.provider)
    return None


def _warnings(plan: ReadingPlan, failed: Mapping[int, LlmError]) -> tuple[str, ...]:
    total = len(plan.parts)
    count = f"{total} part{'' if total == 1 else 's'}"
    read = f"the material of the request, about {plan.material_tokens:,} tokens, was read in {count}"
    by_kind: dict[str, list[int]] = {}
    for part in sorted(failed):
        by_kind.setdefault(failed[part].kind, []).append(part)
    missing = [f"{numbers(parts).lower()} of {total} missing in the answer: {kind}" for kind, parts in by_kind.items()]
    return (read, *missing)
