"""Complete and stream: the one place where the steps of a request are put in order.

    resolve the name -> plan the targets -> dispatch until one answers -> settle (usage, cost, observers)

Repeats, other keys, other targets and hedges happen only before the first content is handed on. After it a broken stream is
an error that the caller sees, or, with `resume`, continued by another target, of which the caller is told.
"""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import TypeVar

from caxton_llm.dispatch.degraded import DegradedAnswer, is_providers_fault
from caxton_llm.dispatch.dispatcher import Dispatcher
from caxton_llm.dispatch.fitting import Fitter
from caxton_llm.dispatch.hedger import Hedger
from caxton_llm.dispatch.plan import Route
from caxton_llm.dispatch.resume import Resumption, Written
from caxton_llm.dispatch.run import Answered, Run
from caxton_llm.dispatch.settlement import Opened, Settlement, StreamSettlement
from caxton_llm.errors import LlmError, UnknownModel, UnsupportedFeature
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import Clock, LlmProvider
from caxton_llm.routing.hedging import HedgePolicy
from caxton_llm.streaming import Gathering, gathered
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream

__all__ = ["Gateway"]

_Result = TypeVar("_Result")

_USUAL_ATTEMPTS = 6
"""Sends of one request where nothing is configured and the targets and their keys are fewer."""


class Gateway:
    """Sends requests to targets by name.

    `routes` maps every name that a request may use to its route. Raises `UnknownModel` for any other name, and whatever the
    dispatcher raises when nobody could answer: `attempts` on the error lists what was tried, `skipped` what was passed over.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        observers: Sequence[Observer] = (),
        streams: bool = True,
        resume: bool = False,
        gathering: Gathering | None = None,
        hedging: HedgePolicy | None = None,
        max_attempts: int | None = None,
        degraded_message: str | None = None,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.routes = dict(routes)
        self._streams = streams
        self._gathering = gathering
        self._max_attempts = max_attempts
        self._clock = clock
        self._turns: defaultdict[str, Iterator[int]] = defaultdict(count)
        """Requests by the name that they ask for."""
        self._settlement = Settlement(tuple(observers), clock)
        self._fitter = Fitter()
        self._dispatcher = Dispatcher(observers=tuple(observers), clock=clock, sleep=sleep, jitter=jitter)
        self._hedger = (
            Hedger(hedging, self._dispatcher, tuple(observers)) if hedging is not None and hedging.enabled else None
        )
        self._resumption = Resumption(self._dispatcher, _open) if resume else None
        self._degraded = DegradedAnswer(degraded_message) if degraded_message else None

    def resolve(self, name: str) -> Route:
        """The route of a requested name. Raises `UnknownModel` with the names that exist."""
        route = self.routes.get(name)
        if route is None:
            raise UnknownModel.among(name, sorted(self.routes))
        return route

    async def complete(self, request: ChatRequest, *, fitter: Fitter | None = None) -> ChatResponse:
        """A whole answer, from the first target that gives one within the deadline. `fitter` makes the request that each
        target gets; without one all get the same, as far as they can take it."""
        route = self.resolve(request.model)
        run = self._start(route, request, fitter)
        try:
            answered = await self._dispatch(run, _complete, _nothing, streamed=False)
        except BaseException as error:
            self._settlement.failed(run, route, error, streamed=False)
            if self._degraded is not None and is_providers_fault(error):
                return self._degraded.response(error)
            raise
        return self._settlement.complete(run, answered)

    def stream(self, request: ChatRequest, *, fitter: Fitter | None = None) -> ChatStream:
        """A streamed answer: nothing is sent before the first iteration. `fitter` is as in `complete`."""
        route = self.resolve(request.model)
        if not self._streams:
            raise UnsupportedFeature(
                "streaming is switched off (llm.streaming.enabled); ask without it", param="stream"
            )

        def source(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            return self._batches(route, request, stream, fitter)

        return ChatStream(source, provider=route.first.target.name, model=route.first.model)

    def _start(self, route: Route, request: ChatRequest, fitter: Fitter | None) -> Run:
        now = self._clock()
        plan = route.plan(now, turn=next(self._turns[request.model]))
        first = (plan.peek() or route.first).target
        return Run(
            request=request,
            plan=plan,
            fitter=fitter or self._fitter,
            started=now,
            deadline_s=first.timeouts.deadline_s,
            max_attempts=self._max_attempts or max(_USUAL_ATTEMPTS, route.sends),
            caller=request.safety_identifier or request.user or "",
        )

    def _dispatch(
        self,
        run: Run,
        send: "Callable[[LlmProvider, ChatRequest], Awaitable[_Result]]",
        discard: "Callable[[_Result], Awaitable[None]]",
        *,
        streamed: bool,
    ) -> "Awaitable[Answered[_Result]]":
        if self._hedger is None:
            return self._dispatcher.dispatch(run, send)
        return self._hedger.dispatch(run, send, discard, streamed=streamed)

    # -- streams --------------------------------------------------------------------------------------------------------

    async def _batches(
        self, route: Route, request: ChatRequest, stream: ChatStream, fitter: Fitter | None
    ) -> AsyncGenerator[list[ChatChunk], None]:
        run = self._start(route, request, fitter)
        try:
            answered = await self._dispatch(run, _open, _close, streamed=True)
        except BaseException as error:
            self._settlement.failed(run, route, error, streamed=True)
            if self._degraded is not None and is_providers_fault(error):
                yield self._degraded.chunks(error, stream)
                return
            raise
        settlement = self._settlement.of_stream(run, answered, stream)
        written = Written() if self._resumption is not None else None
        if written is not None:
            stream.dialect = ""
        while True:
            try:
                async with contextlib.aclosing(self._received(answered)) as batches:
                    async for batch in batches:
                        settlement.count(batch)
                        yield batch if written is None else written.take(batch)
                settlement.finish()
                return
            except LlmError as error:
                settlement.broke(error)
                resumed = await self._resumed(run, written, error, settlement)
                if resumed is None:
                    settlement.failed(error)
                    raise error from error.__cause__
                run, answered = resumed
            except BaseException as error:
                settlement.left(error)
                raise

    async def _resumed(
        self, run: Run, written: Written | None, error: LlmError, settlement: StreamSettlement
    ) -> tuple[Run, Answered[Opened]] | None:
        """The rest of an answer that broke off; `None` where nobody gives it."""
        if self._resumption is None or written is None:
            return None
        try:
            resumed = await self._resumption.resumed(run, written, error)
        except BaseException as interruption:
            settlement.left(interruption)
            raise
        if resumed is not None:
            settlement.resume(*resumed)
            written.resume(resumed[1].course.ready.joint)
        return resumed

    async def _received(self, answered: Answered[Opened]) -> AsyncGenerator[list[ChatChunk], None]:
        """The batches of a stream that has begun, gathered where that is configured; it is closed at the end."""
        source, batch = answered.result
        rest: AsyncGenerator[list[ChatChunk], None] | None = None
        try:
            if batch:
                yield batch
            if self._gathering is not None:
                rest = gathered(source, self._gathering, clock=self._clock)
            while True:
                batch = await (source.next_batch() if rest is None else anext(rest))
                if batch:
                    yield batch
        except StopAsyncIteration:
            return
        finally:
            if rest is not None:
                await rest.aclose()
            await source.aclose()


def _complete(provider: LlmProvider, request: ChatRequest) -> Awaitable[ChatResponse]:
    return provider.complete_chat(request)


async def _nothing(_response: ChatResponse) -> None:
    """A whole answer that came too late needs no closing."""


async def _open(provider: LlmProvider, request: ChatRequest) -> Opened:
    """A stream whose first content has arrived, and its chunks so far."""
    stream = provider.stream_chat(request)
    try:
        return stream, await _until_content(stream)
    except BaseException:
        await stream.aclose()
        raise


async def _close(opened: Opened) -> None:
    await opened[0].aclose()


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
