"""Complete and stream: the one place where the steps of a request are put in order.

    resolve the name -> attempt (retried until the first content) -> settle (usage, cost, observers)

Retry happens only before the first content event is handed on. After it a broken stream is an error that the caller sees.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import (
    Attempt,
    DeadlineExceeded,
    FirstByteTimeout,
    InvalidRequest,
    LlmError,
    UnknownModel,
    UnsupportedFeature,
)
from caxton_llm.model_info import ModelInfo
from caxton_llm.observers.record import Observer, RequestRecord
from caxton_llm.protocols import Clock, LlmProvider
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.streaming import Gathering, gathered
from caxton_llm.timers import FixedDelay, TimeLimit
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, Usage

__all__ = ["Gateway", "Route", "Target"]

_CHARACTERS_PER_TOKEN = 4
"""For answers that broke off before their usage came: a figure marked as estimated."""


class Target(Struct, frozen=True, kw_only=True):
    """One place to send to: a configured entry with its provider and its policies."""

    name: str
    kind: str
    provider: LlmProvider
    models: tuple[str, ...]
    """Models that this entry serves; the first is sent when a request names the entry itself."""
    describe: Callable[[str], ModelInfo]
    """What is known of a model of this entry without asking anybody."""
    cost: Callable[[str, str, Usage | None], float | None]
    """The cost in USD of an answer: by the model that was asked for, the one that answered, and the usage."""
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()

    def __repr__(self) -> str:
        return f"Target({self.name!r}, {self.kind!r}, models={self.models!r})"


class Route(Struct, frozen=True):
    """Where a name leads: the target, and the model that is sent."""

    target: Target
    model: str


class _Clocked(Struct):
    """The times of one request, and what was tried."""

    started: float
    deadline: float
    begun: float
    """When the attempt under way began."""
    attempts: list[Attempt] = []
    """Those that failed."""
    failed_s: float = 0.0
    """What they took, with the waits behind them."""


class Gateway:
    """Sends requests to targets by name.

    `routes` maps every name that a request may use to its route. Raises `UnknownModel` for any other name, whatever the
    provider raised when it cannot be retried, and `DeadlineExceeded` when `deadline_s` ran out. `attempts` on an error
    lists what was tried.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        observers: Sequence[Observer] = (),
        streams: bool = True,
        gathering: Gathering | None = None,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.routes = dict(routes)
        self._observers = tuple(observers)
        self._streams = streams
        self._gathering = gathering
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._delays: dict[float, FixedDelay] = {}

    def resolve(self, name: str) -> Route:
        """The route of a requested name. Raises `UnknownModel` with the names that exist."""
        route = self.routes.get(name)
        if route is None:
            known = ", ".join(sorted(self.routes))
            raise UnknownModel(f"nothing is called {name!r}; there is: {known}", param="model", code="model_not_found")
        return route

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """A whole answer, retried by the target's policy within its deadline."""
        route = self.resolve(request.model)
        sent = _for_model(request, route.model)
        times = self._start(route.target)
        try:
            response = await self._completed(route, sent, times)
        except BaseException as error:
            self._record_failure(route, times, error, streamed=False)
            raise
        response.provider = response.provider or route.target.name
        response.attempts = len(times.attempts) + 1
        if times.failed_s and response.upstream_s is not None:
            response.upstream_s += times.failed_s
        response.cost_usd = route.target.cost(route.model, response.model, response.usage)
        self._record(
            route,
            times,
            "success",
            usage=response.usage,
            cost=response.cost_usd,
            streamed=False,
            warnings=len(response.warnings),
        )
        return response

    def stream(self, request: ChatRequest) -> ChatStream:
        """A streamed answer: nothing is sent before the first iteration."""
        route = self.resolve(request.model)
        if not self._streams:
            raise UnsupportedFeature(
                "streaming is switched off (llm.streaming.enabled); ask without it", param="stream"
            )
        sent = _for_model(request, route.model)

        def source(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            return self._batches(route, sent, stream)

        return ChatStream(source, provider=route.target.name, model=route.model)

    # -- attempts -------------------------------------------------------------------------------------------------------

    def _start(self, target: Target) -> _Clocked:
        now = self._clock()
        return _Clocked(now, now + target.timeouts.deadline_s, now)

    async def _completed(self, route: Route, request: ChatRequest, times: _Clocked) -> ChatResponse:
        while True:
            try:
                with self._attempt_limit(route.target, times):
                    return await route.target.provider.complete_chat(request)
            except TimeoutError:
                await self._after_failure(route, times, self._timed_out(route, times))
            except LlmError as error:
                await self._after_failure(route, times, error)

    async def _opened(self, route: Route, request: ChatRequest, times: _Clocked) -> tuple[ChatStream, list[ChatChunk]]:
        """A stream whose first content has arrived, and its chunks so far."""
        while True:
            stream = route.target.provider.stream_chat(request)
            try:
                with self._attempt_limit(route.target, times):
                    return stream, await _until_content(stream)
            except TimeoutError:
                await stream.aclose()
                await self._after_failure(route, times, self._timed_out(route, times))
            except LlmError as error:
                await stream.aclose()
                await self._after_failure(route, times, error)
            except BaseException:
                await stream.aclose()
                raise

    def _attempt_limit(self, target: Target, times: _Clocked) -> TimeLimit:
        """What `timeout_seconds` and `deadline_seconds` leave for an attempt; the first of every request has the same."""
        limits = target.timeouts
        if times.attempts:
            seconds = min(limits.attempt_s, times.deadline - self._clock())
            return TimeLimit(partial(asyncio.get_running_loop().call_later, seconds))
        seconds = min(limits.attempt_s, limits.deadline_s)
        delay = self._delays.get(seconds)
        if delay is None:
            delay = self._delays[seconds] = FixedDelay(seconds)
        return TimeLimit(delay.start)

    def _timed_out(self, route: Route, times: _Clocked) -> LlmError:
        """Which of the two limits ended the attempt; not asked of the clock, because the event loop's may differ a little."""
        limits = route.target.timeouts
        if times.deadline - times.begun <= limits.attempt_s:
            return DeadlineExceeded(
                f"no answer within {limits.deadline_s:g} s (deadline_seconds)",
                provider=route.target.name,
                model=route.model,
            )
        return FirstByteTimeout(
            f"no answer within {limits.attempt_s:g} s (timeout_seconds)", provider=route.target.name, model=route.model
        )

    async def _after_failure(self, route: Route, times: _Clocked, error: LlmError) -> None:
        """Wait for the next attempt, or raise `error` when there is none."""
        now = self._clock()
        if _was_sent(error):
            times.attempts.append(self._failed(route, times, error, now))
        error.attempts = list(times.attempts)
        delay = route.target.retry.delay_s(
            error, attempts=len(times.attempts), remaining_s=times.deadline - now, jitter=self._jitter
        )
        if delay is None:
            raise error.locate(provider=route.target.name, model=route.model) from error.__cause__
        for observer in self._observers:
            observer.retried(route.target.name, error.kind)
        await self._sleep(delay)
        times.begun = self._clock()
        times.failed_s = times.begun - times.started

    def _failed(self, route: Route, times: _Clocked, error: LlmError, now: float) -> Attempt:
        return Attempt(route.target.name, error.kind, times.begun - times.started, now - times.begun)

    # -- streams --------------------------------------------------------------------------------------------------------

    async def _batches(
        self, route: Route, request: ChatRequest, stream: ChatStream
    ) -> AsyncGenerator[list[ChatChunk], None]:
        times = self._start(route.target)
        source: ChatStream | None = None
        rest: AsyncGenerator[list[ChatChunk], None] | None = None
        received = 0
        try:
            source, batch = await self._opened(route, request, times)
            stream.attempts = len(times.attempts) + 1
            self._copy_origin(source, stream, times)
            if self._gathering is not None:
                rest = gathered(source, self._gathering, clock=self._clock)
            while True:
                received += _characters(batch)
                if batch:
                    yield batch
                batch = await (source.next_batch() if rest is None else anext(rest))
        except StopAsyncIteration:
            self._settle_stream(route, times, source, stream)
        except LlmError as error:
            if source is not None:  # after the commit point nobody else notes the attempt
                times.attempts.append(self._failed(route, times, error, self._clock()))
                error.attempts = list(times.attempts)
            self._record_broken(route, times, source, received, error)
            raise error.locate(provider=route.target.name, model=route.model) from error.__cause__
        except BaseException as error:
            self._record_broken(route, times, source, received, error)
            raise
        finally:
            if rest is not None:
                await rest.aclose()
            if source is not None:
                await source.aclose()

    def _copy_origin(self, source: ChatStream, stream: ChatStream, times: _Clocked) -> None:
        stream.dialect = source.dialect
        stream.provider = source.provider or stream.provider
        stream.model = source.model
        stream.request_id = source.request_id
        stream.params = source.params
        stream.upstream_s = None if source.upstream_s is None else source.upstream_s + times.failed_s

    def _settle_stream(self, route: Route, times: _Clocked, source: ChatStream | None, stream: ChatStream) -> None:
        if source is not None:
            stream.usage = source.usage
            stream.warnings = source.warnings
            stream.model = source.model
        stream.cost_usd = route.target.cost(route.model, stream.model, stream.usage)
        self._record(
            route,
            times,
            "success",
            usage=stream.usage,
            cost=stream.cost_usd,
            streamed=True,
            warnings=len(stream.warnings),
        )

    def _record_broken(
        self, route: Route, times: _Clocked, source: ChatStream | None, received: int, error: BaseException
    ) -> None:
        usage = source.usage if source is not None else None
        answered = source.model if source is not None else ""
        if usage is None and received:
            usage = Usage(completion_tokens=max(1, received // _CHARACTERS_PER_TOKEN), estimated=True)
        self._record_failure(route, times, error, streamed=True, usage=usage, answered=answered)

    # -- records --------------------------------------------------------------------------------------------------------

    def _record_failure(
        self,
        route: Route,
        times: _Clocked,
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
        cost = route.target.cost(route.model, answered, usage)
        self._record(route, times, status, usage=usage, cost=cost, streamed=streamed, error_kind=kind)

    def _record(
        self,
        route: Route,
        times: _Clocked,
        status: str,
        *,
        usage: Usage | None,
        cost: float | None,
        streamed: bool,
        error_kind: str | None = None,
        warnings: int = 0,
    ) -> None:
        if not self._observers:
            return
        record = RequestRecord(
            target=route.target.name,
            kind=route.target.kind,
            model=route.model,
            status=status,
            error_kind=error_kind,
            seconds=self._clock() - times.started,
            attempts=len(times.attempts) + (status != "error"),
            usage=usage,
            cost_usd=cost,
            streamed=streamed,
            warnings=warnings,
        )
        for observer in self._observers:
            observer.finished(record)


def _was_sent(error: LlmError) -> bool:
    """A request that this package itself refuses is refused before it is sent."""
    return not (isinstance(error, InvalidRequest) and error.source == "gateway")


def _for_model(request: ChatRequest, model: str) -> ChatRequest:
    return request if request.model == model else replace(request, model=model)


async def _until_content(stream: ChatStream) -> list[ChatChunk]:
    """The first chunks up to the first that a reader would see, in one batch; all of them when none would be seen."""
    chunks: list[ChatChunk] = []
    while True:
        try:
            batch = await stream.next_batch()
        except StopAsyncIteration:
            return chunks
        chunks += batch
        if any(chunk.commits for chunk in batch):
            return chunks


def _characters(batch: list[ChatChunk]) -> int:
    count = 0
    for chunk in batch:
        for choice in chunk.choices:
            delta = choice.delta
            count += len(delta.content or "") + len(delta.reasoning_content or "")
            for call in delta.tool_calls or ():
                if call.function is not None:
                    count += len(call.function.arguments or "")
    return count
