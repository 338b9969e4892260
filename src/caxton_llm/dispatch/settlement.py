"""What is due when a request has ended: usage and cost on the answer, the outcome for the target, a record for observers."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from caxton_llm.dispatch.plan import Route
from caxton_llm.dispatch.run import Answered, Run
from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import LlmError
from caxton_llm.observers.record import Observer, RequestRecord
from caxton_llm.protocols import Clock
from caxton_llm.tokens import rough_tokens
from caxton_llm.types import ChatChunk, ChatResponse, ChatStream, Usage

__all__ = ["Opened", "Settlement", "StreamSettlement", "with_estimate"]

Opened = tuple[ChatStream, list[ChatChunk]]
"""A stream whose first content has come, and its chunks so far."""


class Settlement:
    """Settles the requests of one gateway."""

    def __init__(self, observers: Sequence[Observer], clock: Clock) -> None:
        self._observers = observers
        self._clock = clock

    def complete(self, run: Run, answered: Answered[ChatResponse]) -> ChatResponse:
        """A whole answer has come: it says who gave it, what it took and what it costs."""
        now = self._clock()
        response, candidate = answered.result, answered.candidate
        target = candidate.target
        answered.passage.answered(now)
        answered.passage.succeeded(now, response.usage)
        response.provider = response.provider or target.name
        response.attempts = len(run.attempts) + 1
        if run.attempts or run.plan.skipped:
            response.failed_attempts = run.attempts
            response.skipped = run.plan.skipped
        if run.failed_s and response.upstream_s is not None:
            response.upstream_s += run.failed_s
        if answered.course.ready.notes:
            response.warnings.extend(answered.course.ready.notes)
        response.cost_usd = target.cost(candidate.model, response.model, response.usage)
        self.record(
            run,
            candidate,
            "success",
            attempts=response.attempts,
            usage=response.usage,
            cost=response.cost_usd,
            streamed=False,
            warnings=len(response.warnings),
        )
        return response

    def failed(self, run: Run, route: Route, error: BaseException, *, streamed: bool) -> None:
        """Nobody answered."""
        candidate = run.last or route.first
        self.record_failure(run, candidate, error, streamed=streamed)

    def tell_failed_attempt(self, candidate: Candidate, error: LlmError) -> None:
        for observer in self._observers:
            observer.attempt_failed(candidate.target.name, error.kind)

    def tell_resumed(self, failed: Candidate, candidate: Candidate) -> None:
        for observer in self._observers:
            observer.resumed(failed.target.name, candidate.target.name)

    def of_stream(self, run: Run, answered: Answered[Opened], stream: ChatStream) -> "StreamSettlement":
        """A stream's first content has come."""
        answered.passage.began_to_answer(self._clock())
        return StreamSettlement(self, run, answered, stream, self._clock)

    def record_failure(
        self,
        run: Run,
        candidate: Candidate,
        error: BaseException,
        *,
        streamed: bool,
        usage: Usage | None = None,
        answered: str = "",
    ) -> None:
        kind = error.kind if isinstance(error, LlmError) else None
        if kind is None:
            gone = isinstance(error, asyncio.CancelledError | GeneratorExit)
            kind = "cancelled" if gone else "internal"
        status = "cancelled" if kind == "cancelled" else "error"
        cost = candidate.target.cost(candidate.model, answered, usage)
        self.record(
            run,
            candidate,
            status,
            attempts=len(run.attempts),
            usage=usage,
            cost=cost,
            streamed=streamed,
            error_kind=kind,
        )

    def record(
        self,
        run: Run,
        candidate: Candidate,
        status: str,
        *,
        attempts: int,
        usage: Usage | None,
        cost: float | None,
        streamed: bool,
        error_kind: str | None = None,
        warnings: int = 0,
    ) -> None:
        if not self._observers:
            return
        record = RequestRecord(
            target=candidate.target.name,
            kind=candidate.target.kind,
            model=candidate.model,
            status=status,
            error_kind=error_kind,
            seconds=self._clock() - run.started,
            attempts=attempts,
            usage=usage,
            cost_usd=cost,
            streamed=streamed,
            warnings=warnings,
        )
        for observer in self._observers:
            observer.finished(record)


class StreamSettlement:
    """The settlement of one stream that has begun. What the provider's stream learns is copied to the caller's."""

    def __init__(
        self, settlement: Settlement, run: Run, answered: Answered[Opened], stream: ChatStream, clock: Clock
    ) -> None:
        self._settlement = settlement
        self._run = run
        self._answered = answered
        self._stream = stream
        self._clock = clock
        self._characters = 0
        self._before = 0
        """Characters of the answer that targets wrote which then broke off."""
        self._describe()

    def resume(self, run: Run, answered: Answered[Opened]) -> None:
        """Another target continues the answer."""
        answered.passage.began_to_answer(self._clock())
        self._settlement.tell_resumed(self._answered.candidate, answered.candidate)
        warnings = self._stream.warnings
        self._run, self._answered = run, answered
        self._before += self._characters
        self._characters = 0
        self._describe()
        self._stream.warnings[:0] = warnings

    def _describe(self) -> None:
        source, stream, run = self._source, self._stream, self._run
        stream.dialect = source.dialect
        stream.provider = source.provider or self._answered.candidate.target.name
        stream.model = source.model
        stream.request_id = source.request_id
        stream.params = source.params
        stream.warnings = source.warnings
        stream.warnings.extend(self._answered.course.ready.notes)
        stream.attempts = len(run.attempts) + 1
        stream.failed_attempts, stream.skipped = run.attempts, run.plan.skipped
        stream.upstream_s = None if source.upstream_s is None else source.upstream_s + run.failed_s

    @property
    def _source(self) -> ChatStream:
        return self._answered.result[0]

    def count(self, batch: list[ChatChunk]) -> None:
        """Chunks have come; what they hold is of interest only if the stream breaks off before its usage."""
        if self._source.usage is None:
            self._characters += _characters(batch)

    def finish(self) -> None:
        """The stream is complete."""
        source, stream, candidate = self._source, self._stream, self._answered.candidate
        stream.usage, stream.model = source.usage, source.model
        stream.cost_usd = candidate.target.cost(candidate.model, stream.model, stream.usage)
        if self._before:  # what the others' prompts cost, nobody has told
            stream.usage, stream.cost_usd = with_estimate(stream.usage, self._before), None
        self._answered.passage.succeeded(self._clock(), stream.usage)
        self._settlement.record(
            self._run,
            candidate,
            "success",
            attempts=stream.attempts,
            usage=stream.usage,
            cost=stream.cost_usd,
            streamed=True,
            warnings=len(stream.warnings),
        )

    def broke(self, error: LlmError) -> None:
        """The provider failed in the middle."""
        run, candidate = self._run, self._answered.candidate
        now = self._clock()
        run.attempts.append(self._answered.course.attempt(run, error.kind, now))
        self._settlement.tell_failed_attempt(candidate, error)
        error.locate(provider=candidate.target.name, model=candidate.model)
        self._answered.passage.failed(now, error)

    def failed(self, error: LlmError) -> None:
        """Nobody continues what broke off; `error` is told what was tried."""
        error.attempts, error.skipped = list(self._run.attempts), list(self._run.plan.skipped)
        self._record(error)

    def left(self, error: BaseException) -> None:
        """The caller went away, or something of ours failed."""
        self._answered.passage.forgotten(self._clock())
        self._record(error)

    def _record(self, error: BaseException) -> None:
        source = self._source
        usage = source.usage
        if usage is None and self._characters + self._before:
            usage = with_estimate(None, self._characters + self._before)
        self._settlement.record_failure(
            self._run, self._answered.candidate, error, streamed=True, usage=usage, answered=source.model
        )


def with_estimate(usage: Usage | None, characters: int) -> Usage:
    """The usage with the tokens of a text that nobody has counted."""
    tokens = rough_tokens(characters)
    if usage is None or usage.completion_tokens is None:
        return Usage(completion_tokens=tokens, estimated=True)
    return replace(usage, completion_tokens=usage.completion_tokens + tokens, total_tokens=None, estimated=True)


def _characters(batch: list[ChatChunk]) -> int:
    """Characters of what a model wrote: text, reasoning, refusal, and the arguments of its calls."""
    count = 0
    for chunk in batch:
        for choice in chunk.choices:
            delta = choice.delta
            count += len(delta.content or "") + len(delta.reasoning_content or "") + len(delta.refusal or "")
            for call in delta.tool_calls or ():
                if call.function is not None:
                    count += len(call.function.arguments or "")
    return count
