"""The loop of an agent: the model is asked, the tools that it calls are run, and it is asked again, until it answers."""

import time
from collections.abc import AsyncGenerator

from caxton_llm.agent_loop.loop_record import LoopRecord, LoopResult
from caxton_llm.agent_loop.streamed_loop import FitterOf, OnDone, StreamedLoop
from caxton_llm.agent_loop.time_limit import TimeLimit
from caxton_llm.agent_loop.tool_runner import ToolRunner
from caxton_llm.gateway import Gateway
from caxton_llm.protocols import Clock
from caxton_llm.types import ChatChunk, ChatRequest, ChatStream

__all__ = ["AgentLoop", "FitterOf", "LoopResult", "OnDone"]


class AgentLoop:
    """Answers requests to one agent, whose tools `runner` runs.

    After `max_steps` answers that call tools, from 1, the model must answer without. `deadline_s` is for the whole request,
    beside the gateway's own for each answer; for a stream until its last answer begins to be seen; `None`: there is none.
    A stream that has nothing to tell of its calls says at least every `quiet_s` seconds that it is alive.
    """

    def __init__(
        self,
        gateway: Gateway,
        runner: ToolRunner,
        *,
        max_steps: int = 16,
        deadline_s: float | None = None,
        quiet_s: float = 15.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._runner = runner
        self._max_steps = max_steps
        self._deadline_s = deadline_s
        self._quiet_s = quiet_s
        self._clock = clock

    async def complete(self, request: ChatRequest, fitter_of: FitterOf) -> LoopResult:
        """The whole answer. Raises what the gateway raises, `DeadlineExceeded`, and `UnsupportedFeature` for several answers
        at once (`n`) where there are tools."""
        record = LoopRecord(request, self._runner, self._max_steps)
        limit = TimeLimit(self._deadline_s, self._clock)
        while True:
            fitter = fitter_of(tuple(record.steps))
            answer = await limit.keep(self._gateway.complete(record.next_request(), fitter=fitter))
            calls = record.take(answer)
            if not calls:
                return record.result()
            running = self._runner.run(calls, callers=record.callers, parallel=record.parallel)
            record.add(await limit.keep(running))

    def stream(self, request: ChatRequest, fitter_of: FitterOf, on_done: OnDone | None = None) -> ChatStream:
        """The streamed answer, in the common model: the text of all steps as it comes, `progress` of the calls between, one
        end, one usage. Raises `UnknownModel` and `UnsupportedFeature` at once, the rest of what `complete` raises from the
        iteration.

        `on_done` gets the result before the end of the answer goes out, so that what is done there is done when a reader sees
        the end. It is called too where a reader leaves between the last text and the end, and not for a request that fails or
        is left before. Closing the stream ends running calls.
        """
        first = self._gateway.resolve(request.model).first
        record = LoopRecord(request, self._runner, self._max_steps)

        def source(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            streamed = StreamedLoop(
                self._gateway,
                self._runner,
                record,
                stream,
                fitter_of=fitter_of,
                on_done=on_done,
                quiet_s=self._quiet_s,
            )
            return streamed.batches(self._deadline_s, self._clock)

        return ChatStream(source, provider=first.target.name, model=first.model)
