"""Regular checks of the targets: one task for each entry with a `health_check`.

The first check comes at a random moment within the interval, so that neither the entries nor the processes of a gateway ask
all at once; the next ones follow with a little jitter. Checks do not queue and do not count against the configured limits.

To the circuit breaker a check is a request like any other, with one exception: while the breaker is closed, a provider's free
endpoint that answers says nothing, because it may well answer while the models do not. When the breaker has cooled down,
the check is its trial, so a target comes back although no request was risked on it. Before that, it changes nothing.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from caxton_llm.background import end_tasks, of_this_loop
from caxton_llm.config.schema import HealthCheckBlock
from caxton_llm.dispatch.target import CheckResult, Target, TargetState
from caxton_llm.errors import FirstByteTimeout, LlmError
from caxton_llm.http_provider import HttpProvider
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import Clock, LlmProvider
from caxton_llm.routing.policy import counts_against_target
from caxton_llm.types import ChatRequest, Message

__all__ = ["HealthChecks", "can_check"]

_OUTPUT_LIMIT = 64
"""Tokens of the answer to a test prompt. Some models refuse much smaller limits."""
_JITTER = 0.1

_log = logging.getLogger("caxton_llm.health")


def can_check(target: Target, block: HealthCheckBlock) -> bool:
    """Whether there is anything to ask: a prompt, or an endpoint of the provider's that costs nothing."""
    if block.test_prompt:
        return True
    return isinstance(target.provider, HttpProvider) and target.provider.adapter.probe() is not None


class HealthChecks:
    """The checks of all targets, running between `start` and `aclose`. `wall` is the time of day, for people."""

    def __init__(
        self,
        checked: Sequence[tuple[TargetState, HealthCheckBlock]],
        *,
        observers: Sequence[Observer] = (),
        clock: Clock = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._checked = [(state, block) for state, block in checked if block.enabled]
        self._observers = tuple(observers)
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._jitter = jitter
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._tasks = []
        for state, block in self._checked:
            if can_check(state.target, block):
                task = asyncio.create_task(self._repeat(state, block), name=f"caxton-check-{state.target.name}")
                self._tasks.append(task)
            else:
                _log.warning("%s has no endpoint to check: its health_check needs a test_prompt", state.target.name)

    async def aclose(self) -> None:
        """Stop; a check under way is cancelled. Safe to call twice."""
        tasks, self._tasks = of_this_loop(self._tasks), []
        await end_tasks(tasks)

    async def check(self, state: TargetState, block: HealthCheckBlock) -> CheckResult:
        """One check now. Nothing is raised: a failure is a result."""
        begun = self._clock()
        breaker, key = state.breaker, state.keys.pick(begun)
        trial = breaker.enter() if breaker.state != "closed" and breaker.share(begun) > 0.0 else 0
        try:
            cost, error = await self._ask(state.target, state.keys.keys[key], block)
        except BaseException:
            breaker.forgotten(trial=trial)
            raise
        now = self._clock()
        in_a_row = 0 if state.check is None else state.check.failed_in_a_row
        if error is None:
            in_a_row = 0
            if block.test_prompt:
                state.keys.accepted(key, begun)
            if trial or block.test_prompt:
                breaker.succeeded(now, trial=trial)
        elif counts_against_target(error):
            in_a_row += 1
            breaker.failed(now, trial=trial)
        else:
            breaker.forgotten(trial=trial)
        if error is not None:
            state.wait_as_told(key, error, now)
        kind = None if error is None else error.kind
        state.check = CheckResult(self._wall(), now - begun, kind, in_a_row)
        for observer in self._observers:
            observer.checked(state.target.name, kind, now - begun, cost)
        return state.check

    async def _repeat(self, state: TargetState, block: HealthCheckBlock) -> None:
        interval_s = block.interval_seconds
        await self._sleep(self._jitter() * interval_s)
        while True:
            await self.check(state, block)
            await self._sleep(interval_s * (1.0 + _JITTER * (2.0 * self._jitter() - 1.0)))

    async def _ask(
        self, target: Target, provider: LlmProvider, block: HealthCheckBlock
    ) -> tuple[float | None, LlmError | None]:
        """The cost in USD, and what went wrong."""
        try:
            async with asyncio.timeout(block.timeout_seconds):
                if block.test_prompt:
                    return await _answer(target, provider, block.test_prompt), None
                if isinstance(provider, HttpProvider):
                    await provider.probe()
        except LlmError as error:
            return (None if block.test_prompt else 0.0), error
        except TimeoutError:
            late = f"no answer within {block.timeout_seconds:g} s (health_check.timeout_seconds)"
            return (None if block.test_prompt else 0.0), FirstByteTimeout(late)
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and the checks go on
            _log.warning("the check of %s failed with %s", target.name, type(error).__name__)
            return None, LlmError(f"the provider raised {type(error).__name__}", should_retry=True)
        return 0.0, None


async def _answer(target: Target, provider: LlmProvider, prompt: str) -> float | None:
    model = target.models[0] if target.models else "default"
    message = Message(role="user", content=prompt)
    response = await provider.complete_chat(
        ChatRequest(model=model, messages=[message], max_completion_tokens=_OUTPUT_LIMIT)
    )
    return target.cost(model, response.model, response.usage)
