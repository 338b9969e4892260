"""One request on its way over its targets, until one has answered.

    draw a candidate -> fit the request to it -> admit -> send, within the time of an attempt -> decide what a failure means

All of it shares one deadline and one limit of attempts. `routing` decides; this module sends, waits and keeps the record.
What is sent for, a whole answer or the first content of a stream, is the caller's: any function of a provider and a request.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct, field

from caxton_llm.attempts import Attempt, Skip
from caxton_llm.context.continuation import Joint
from caxton_llm.dispatch.fitting import Fitter, Ready, for_model
from caxton_llm.dispatch.plan import Plan
from caxton_llm.dispatch.target import Candidate, Passage
from caxton_llm.errors import (
    AllTargetsFailed,
    ContextWindowExceeded,
    DeadlineExceeded,
    FirstByteTimeout,
    InvalidRequest,
    LimitExceeded,
    LlmError,
    RateLimited,
)
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import Clock, LlmProvider
from caxton_llm.routing.policy import Situation, allows_repeat, decide, ends_request, is_callers_fault
from caxton_llm.timers import FixedDelay, TimeLimit
from caxton_llm.tokens import prompt_tokens
from caxton_llm.types import ChatRequest

__all__ = ["Answered", "Dispatcher", "Run"]

_Result = TypeVar("_Result")

Send = Callable[[LlmProvider, ChatRequest], Awaitable[_Result]]

_RESERVED = 0.1
"""The share of the deadline that is kept for every target that has not been asked yet."""

_CHARACTERS_PER_TOKEN = 4
_USUAL_ANSWER = 1024
"""Tokens set aside for an answer until they are known."""

_AT_ONCE_S = 0.01
"""An attempt that begins no later than this after its request has the whole deadline before it."""


class Run(Struct, kw_only=True):
    """One request under way: its plan, its times, and what was tried."""

    request: ChatRequest
    plan: Plan
    fitter: Fitter
    started: float
    deadline_s: float
    max_attempts: int
    """Sends of the whole request. A target is asked again only while one send is left for each that is still to come."""
    caller: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    """Those that failed."""
    errors: list[LlmError] = field(default_factory=list)
    """The last error of every target that was given up."""
    failed_s: float = 0.0
    """From the start to the beginning of the attempt that was answered."""
    hedged: bool = False
    """Two targets have been asked at once."""
    last: Candidate | None = None
    """The candidate that was tried last."""
    too_long: bool = False
    """A target has said that the prompt is too long."""
    postponed: list[Candidate] = field(default_factory=list)
    """Candidates whose queue is long: asked when nobody else is left."""

    @property
    def deadline(self) -> float:
        return self.started + self.deadline_s

    @property
    def targets_left(self) -> int:
        return self.plan.left + len(self.postponed)


class Answered(Struct, Generic[_Result]):
    """What a target gave. `passage` is still to be told how it ended."""

    result: _Result
    candidate: Candidate
    passage: Passage
    notes: tuple[str, ...] = ()
    """What was changed in the request so that it fits the target."""
    joint: Joint | None = None
    """How the answer joins what the reader has already, where it continues another's."""


class Dispatcher:
    """Sends runs to their targets. Raises what `Run`s end with: the error of the only target that was tried, the caller's
    own mistake, `DeadlineExceeded`, or `AllTargetsFailed`; each lists the attempts and what was passed over."""

    def __init__(
        self,
        *,
        observers: Sequence[Observer],
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._observers = observers
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._delays: dict[float, FixedDelay] = {}

    async def dispatch(self, run: Run, send: "Send[_Result]") -> Answered[_Result]:
        """The first answer that any target gives. Two of these may share a run: each draws its own candidates."""
        while (candidate := run.plan.draw()) is not None:
            answered = await self._ask(candidate, run, send, last_chance=False)
            if answered is not None:
                return answered
        while run.postponed:
            candidate = min(run.postponed, key=lambda each: each.state.gate.wait_s(self._clock(), 0))
            run.postponed.remove(candidate)
            answered = await self._ask(candidate, run, send, last_chance=True)
            if answered is not None:
                return answered
        raise self._final(run)

    def now(self) -> float:
        """The time by the clock of all runs."""
        return self._clock()

    # -- one target -----------------------------------------------------------------------------------------------------

    async def _ask(
        self, candidate: Candidate, run: Run, send: "Send[_Result]", *, last_chance: bool
    ) -> Answered[_Result] | None:
        """The answer of one target, or `None` when the next one is to be asked."""
        previous, run.last = run.last, candidate
        if previous is not None and run.errors:
            for observer in self._observers:
                observer.fell_back(previous.target.name, candidate.target.name, run.errors[-1].kind)
        if run.plan.begun == 1 and run.fitter.leaves_first:
            fitted: Ready | str = Ready(for_model(run.request, candidate.model))
        else:
            fitted = await run.fitter.fit(run.request, candidate, too_long=run.too_long)
        if isinstance(fitted, str):
            self._pass_over(run, candidate, fitted)
            return None
        course = _Course(candidate, fitted.request, _estimated_tokens(fitted.request, candidate))
        while True:
            passage = self._admit_at_once(course, run)
            if passage is None:
                passage = await self._admit(course, run, last_chance=last_chance)
            if passage is None:
                return None
            outcome = await self._attempt(course, run, passage, send)
            if not isinstance(outcome, LlmError):
                return Answered(outcome, candidate, passage, fitted.notes, fitted.joint)
            if not await self._goes_on(course, run, outcome):
                return None

    def _admit_at_once(self, course: "_Course", run: Run) -> Passage | None:
        """A place at a target that is well and has room."""
        state, now = course.candidate.state, self._clock()
        if state.breaker.state == "closed" and now < run.deadline and state.gate.try_enter(now, course.tokens):
            return course.passage(now)
        return None

    async def _admit(self, course: "_Course", run: Run, *, last_chance: bool) -> Passage | None:
        """A place in the target's queue. `None`: another target is to be asked."""
        now = self._clock()
        candidate = course.candidate
        state = candidate.state
        if now >= run.deadline:
            raise self._final(run, _out_of_time(run))
        if state.breaker.share(now) <= 0.0 and run.plan.left:
            self._pass_over(run, candidate, "its circuit breaker is open")
            return None
        gate, tokens = state.gate, course.tokens
        if not gate.try_enter(now, tokens):
            patience_s = run.deadline - now
            limit_s = candidate.target.limits.max_queue_ms / 1000.0
            if run.targets_left and not last_chance:
                if gate.wait_s(now, tokens) > limit_s:
                    run.postponed.append(candidate)
                    return None
                patience_s = min(patience_s, limit_s)
            try:
                waited_s = await gate.enter(run.caller, tokens, patience_s=patience_s)
            except LimitExceeded as error:
                self._give_up(run, candidate, error.locate(provider=candidate.target.name, model=candidate.model))
                return None
            for observer in self._observers:
                observer.queued(candidate.target.name, waited_s)
            now = self._clock()
        return course.passage(now)

    async def _attempt(
        self, course: "_Course", run: Run, passage: Passage, send: "Send[_Result]"
    ) -> "_Result | LlmError":
        """The answer, or the error that the attempt ended with."""
        candidate = course.candidate
        provider = candidate.state.keys.keys[course.key]
        limit_s = self._limit_s(candidate, run, course.begun)
        try:
            with self._time_limit(limit_s, first=course.begun - run.started < _AT_ONCE_S):
                result = await send(provider, course.request)
        except TimeoutError:
            failure: LlmError = self._timed_out(candidate, run, limit_s)
        except LlmError as error:
            failure = error
        except BaseException:
            now = self._clock()
            passage.forgotten(now)
            if run.hedged:
                run.attempts.append(course.attempt(run, "cancelled", now))
            raise
        else:
            run.failed_s = course.begun - run.started
            return result
        now = self._clock()
        passage.failed(now, failure)
        if _was_sent(failure):
            course.attempts += 1
            run.attempts.append(course.attempt(run, failure.kind, now))
            for observer in self._observers:
                observer.attempt_failed(candidate.target.name, failure.kind)
        return failure.locate(provider=candidate.target.name, model=candidate.model)

    def _limit_s(self, candidate: Candidate, run: Run, begun: float) -> float:
        """What `timeout_seconds` and the deadline allow an attempt, with something left for every target still to come."""
        left = run.targets_left
        remaining = run.deadline_s if begun - run.started < _AT_ONCE_S else run.deadline - begun
        fair = max(remaining - _RESERVED * run.deadline_s * left, remaining / (left + 1))
        return min(candidate.target.timeouts.attempt_s, fair)

    def _time_limit(self, seconds: float, *, first: bool) -> TimeLimit:
        """The first attempts of all requests have the same limits, so their timers are shared."""
        if not first:
            return TimeLimit(partial(asyncio.get_running_loop().call_later, seconds))
        delay = self._delays.get(seconds)
        if delay is None:
            delay = self._delays[seconds] = FixedDelay(seconds)
        return TimeLimit(delay.start)

    def _timed_out(self, candidate: Candidate, run: Run, limit_s: float) -> LlmError:
        """Which limit ended the attempt; not asked of the clock, because the event loop's may differ a little."""
        if limit_s >= candidate.target.timeouts.attempt_s:
            return FirstByteTimeout(f"no answer within {limit_s:g} s (timeout_seconds)")
        if not run.targets_left:
            return _out_of_time(run)
        return FirstByteTimeout(
            f"no answer within {limit_s:.3g} s, which is what deadline_seconds leaves for this target"
        )

    # -- after a failure ------------------------------------------------------------------------------------------------

    async def _goes_on(self, course: "_Course", run: Run, error: LlmError) -> bool:
        """Whether the same target is to be asked again, after the wait that it takes. Raises when the request ends."""
        candidate = course.candidate
        now = self._clock()
        run.too_long = run.too_long or isinstance(error, ContextWindowExceeded)
        course.tried.add(course.key)
        situation = Situation(
            more_targets=run.targets_left > 0,
            more_keys=len(candidate.target.providers) > 1 and candidate.state.keys.has_other(now, course.tried),
            first_target=run.plan.begun == 1,
            fallback_on=candidate.target.fallback_on,
        )
        delay_s = self._delay_s(course, run, error, now)
        step = decide(error, situation, may_repeat=delay_s is not None)
        if len(run.attempts) >= run.max_attempts:
            step = "end"
        if step == "other_key":
            return True
        if step == "repeat" and delay_s is not None:
            for observer in self._observers:
                observer.retried(candidate.target.name, error.kind)
            course.tried.clear()
            await self._sleep(delay_s)
            return True
        self._give_up(run, candidate, error)
        if step == "end":
            raise self._final(run)
        return False

    def _delay_s(self, course: "_Course", run: Run, error: LlmError, now: float) -> float | None:
        """The wait before the same target is asked again; `None` when that does not fit."""
        target = course.candidate.target
        left = run.targets_left
        if len(run.attempts) + left >= run.max_attempts or not allows_repeat(error, more_targets=left > 0):
            return None
        remaining_s = run.deadline - now - _RESERVED * run.deadline_s * left
        delay_s = target.retry.delay_s(
            error, attempts=max(1, course.attempts), remaining_s=remaining_s, jitter=self._jitter
        )
        if delay_s is None:
            return None
        impatient = left > 0 and isinstance(error, RateLimited) and delay_s > target.limits.max_queue_ms / 1000.0
        broken = left > 0 and course.candidate.state.breaker.state == "open"
        return None if impatient or broken else delay_s

    def _pass_over(self, run: Run, candidate: Candidate, reason: str) -> None:
        run.plan.skipped.append(Skip(candidate.target.name, reason))

    def _give_up(self, run: Run, candidate: Candidate, error: LlmError) -> None:
        run.errors.append(error)
        if not _was_sent(error):
            self._pass_over(run, candidate, error.message)

    def _final(self, run: Run, *more: LlmError) -> LlmError:
        """What the caller is told."""
        errors = [*run.errors, *more]
        told = errors[-1] if errors else _nobody(run)
        if len(errors) > 1 and not ends_request(told):
            told = errors[0] if all(is_callers_fault(error) for error in errors) else _all_failed(run)
        told.attempts = list(run.attempts)
        told.skipped = list(run.plan.skipped)
        return told


class _Course(Struct):
    """A request inside one target."""

    candidate: Candidate
    request: ChatRequest
    tokens: int = 0
    key: int = 0
    begun: float = 0.0
    attempts: int = 0
    tried: set[int] = field(default_factory=set)
    """Keys that were refused since the last wait."""

    def passage(self, now: float) -> Passage:
        """Begin an attempt with the key whose turn it is."""
        state = self.candidate.state
        self.key = state.keys.pick(now, self.tried)
        self.begun = now
        return Passage(state, now, self.key, self.tokens)

    def attempt(self, run: Run, error_kind: str, now: float) -> Attempt:
        """The attempt that has just ended, for the record."""
        target = self.candidate.target
        key = self.key + 1 if len(target.providers) > 1 else None
        return Attempt(target.name, error_kind, self.begun - run.started, now - self.begun, key)


def _estimated_tokens(request: ChatRequest, candidate: Candidate) -> int:
    """Tokens of the prompt and the answer, before they are known; counted only where they are limited."""
    if candidate.target.limits.tokens_per_minute is None:
        return 0
    limit = request.output_limit
    return prompt_tokens(request, _rough_count) + (_USUAL_ANSWER if limit is None else min(limit, _USUAL_ANSWER))


def _rough_count(text: str) -> int:
    return len(text) // _CHARACTERS_PER_TOKEN + 1


def _was_sent(error: LlmError) -> bool:
    """A request that this package itself refuses is refused before it is sent."""
    return not (isinstance(error, InvalidRequest | LimitExceeded) and error.source == "gateway")


def _out_of_time(run: Run) -> DeadlineExceeded:
    return DeadlineExceeded(f"no answer within {run.deadline_s:g} s (deadline_seconds)")


def _nobody(run: Run) -> LlmError:
    reasons = "; ".join(f"{skip.target}: {skip.reason}" for skip in run.plan.skipped)
    return AllTargetsFailed(f"no target can take the request: {reasons}", source="gateway")


def _all_failed(run: Run) -> LlmError:
    told = []
    for error in run.errors:
        count = sum(attempt.target == error.provider for attempt in run.attempts)
        times = f", {count} attempts" if count > 1 else ""
        told.append(f"{error.provider}: {error.kind}{times}" if count else f"{error.provider}: {error.message}")
    failed = AllTargetsFailed(
        f"no target could answer: {'; '.join(told)}",
        should_retry=any(error.should_retry for error in run.errors),
        retry_after_s=min(
            (error.retry_after_s for error in run.errors if error.retry_after_s is not None), default=None
        ),
    )
    failed.__cause__ = run.errors[-1]
    return failed
