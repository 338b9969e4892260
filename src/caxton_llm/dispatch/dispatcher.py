"""One request on its way over its targets, until one has answered.

    draw a candidate -> fit the request to it -> admit -> send, within the time of an attempt -> decide what a failure means

All of it shares one deadline and one limit of attempts. `routing` decides; this module sends, waits and keeps the record.
What is sent for, a whole answer or the first content of a stream, is the caller's: any function of a provider and a request.
"""

import asyncio
import logging
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from caxton_llm.attempts import Skip
from caxton_llm.dispatch.fitting import Ready
from caxton_llm.dispatch.run import Answered, Course, Run, course_of
from caxton_llm.dispatch.target import Candidate, Passage
from caxton_llm.errors import (
    AllTargetsFailed,
    ContextWindowExceeded,
    DeadlineExceeded,
    FirstByteTimeout,
    InvalidRequest,
    LimitExceeded,
    LlmError,
    MisusedError,
    ProviderFailure,
    RateLimited,
)
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import Clock, LlmProvider
from caxton_llm.routing.policy import (
    Situation,
    allows_repeat,
    decide,
    ends_request,
    is_callers_fault,
    names_a_key,
)
from caxton_llm.timers import FixedDelay, TimeLimit
from caxton_llm.types import ChatRequest

__all__ = ["Dispatcher", "Send"]

_Result = TypeVar("_Result")

Send = Callable[[LlmProvider, ChatRequest], Awaitable[_Result]]

_log = logging.getLogger("caxton_llm.dispatch")

_AT_ONCE_S = 0.01
"""An attempt that begins no later than this after its request has the whole deadline before it."""


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
            if run.fitter.leaves_first and run.plan.begun == 1 and candidate is run.plan.preferred:
                course: Course | None = course_of(candidate, run.fitter.unchanged(run.request, candidate.model))
            else:
                course = await self._prepared(candidate, run)
            answered = None if course is None else await self._pursue(course, run, send, last_chance=False)
            if answered is not None:
                return answered
        while run.postponed:
            now = self._clock()
            course = min(run.postponed, key=lambda each: each.candidate.state.gate.wait_s(now, each.tokens))
            run.postponed.remove(course)
            answered = await self._pursue(course, run, send, last_chance=True)
            if answered is not None:
                return answered
        raise self._final(run)

    def now(self) -> float:
        """The time by the clock of all runs."""
        return self._clock()

    # -- one target -----------------------------------------------------------------------------------------------------

    async def _prepared(self, candidate: Candidate, run: Run) -> Course | None:
        """The request as the target gets it; `None` when the target cannot take it."""
        ready = await self._fitted(candidate, run)
        if isinstance(ready, str):
            self._pass_over(run, candidate, ready)
            return None
        return course_of(candidate, ready)

    async def _fitted(self, candidate: Candidate, run: Run) -> Ready | str:
        """The request as the target gets it, or the reason why it cannot take it."""
        try:
            async with asyncio.timeout(max(0.0, run.deadline - self._clock())):
                return await run.fitter.fit(run.request, candidate, too_long=run.too_long)
        except TimeoutError:
            raise self._final(run, _out_of_time(run)) from None

    async def _pursue(
        self, course: Course, run: Run, send: "Send[_Result]", *, last_chance: bool
    ) -> Answered[_Result] | None:
        """The answer of one target, or `None` when the next one is to be asked."""
        while True:
            passage = self._admit_at_once(course, run)
            if passage is None:
                passage = await self._admit(course, run, last_chance=last_chance)
            if passage is None:
                return None
            self._tell_fallback(run, course)
            outcome = await self._attempt(course, run, passage, send)
            if not isinstance(outcome, LlmError):
                return Answered(outcome, course, passage)
            if not await self._goes_on(course, run, outcome):
                return None

    def _tell_fallback(self, run: Run, course: Course) -> None:
        previous, run.last = run.last, course.candidate
        if previous is not None and previous is not course.candidate and run.errors:
            for observer in self._observers:
                observer.fell_back(previous.target.name, course.candidate.target.name, run.errors[-1].kind)

    def _admit_at_once(self, course: Course, run: Run) -> Passage | None:
        """A place at a target that is well and has room."""
        state, now = course.candidate.state, self._clock()
        if state.breaker.state == "closed" and now < run.deadline and state.gate.try_enter(now, course.tokens):
            return course.begin(run, now)
        return None

    async def _admit(self, course: Course, run: Run, *, last_chance: bool) -> Passage | None:
        """A place in the target's queue. `None`: another target is to be asked."""
        now = self._clock()
        if now >= run.deadline:
            raise self._final(run, _out_of_time(run))
        if self._is_shut(course, run, now):
            return None
        gate = course.candidate.state.gate
        if not gate.try_enter(now, course.tokens):
            if not await self._waited(course, run, now, last_chance=last_chance):
                return None
            now = self._clock()
            if self._is_shut(course, run, now):
                gate.leave(now, "other", tokens_estimated=course.tokens, tokens_used=None)
                return None
        return course.begin(run, now)

    def _is_shut(self, course: Course, run: Run, now: float) -> bool:
        """Whether the target's breaker keeps requests away while another could be asked; that is noted."""
        if course.candidate.state.breaker.share(now) > 0.0 or not run.targets_left:
            return False
        if course.error is not None:
            self._give_up(run, course, course.error)
        else:
            self._pass_over(run, course.candidate, "its circuit breaker is open")
        return True

    async def _waited(self, course: Course, run: Run, now: float, *, last_chance: bool) -> bool:
        """Wait for a turn, as long as nobody else could be asked instead. False: there is none in time."""
        target, gate = course.candidate.target, course.candidate.state.gate
        patience_s = run.deadline - now
        may_postpone = run.targets_left > 0 and not last_chance
        if may_postpone:
            patience_s = min(patience_s, target.limits.max_queue_ms / 1000.0)
            if gate.wait_s(now, course.tokens) > patience_s:
                run.postponed.append(course)
                return False
        try:
            waited_s = await gate.enter(run.caller, course.tokens, patience_s=patience_s)
        except LimitExceeded as error:
            if may_postpone and run.deadline > self._clock():
                run.postponed.append(course)
            else:
                error.locate(provider=target.name, model=course.candidate.model)
                self._give_up(run, course, course.error or error)
            return False
        for observer in self._observers:
            observer.queued(target.name, waited_s)
        return True

    async def _attempt(self, course: Course, run: Run, passage: Passage, send: "Send[_Result]") -> "_Result | LlmError":
        """The answer, or the error that the attempt ended with."""
        candidate = course.candidate
        provider = candidate.state.keys.keys[course.key]
        limit_s = self._limit_s(candidate, run, course.begun)
        limit = self._time_limit(limit_s, first=course.begun - run.started < _AT_ONCE_S)
        try:
            with limit:
                result = await send(provider, course.ready.request)
        except LlmError as error:
            failure = error
        except MisusedError:
            passage.forgotten(self._clock())
            raise
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and others may be well
            if isinstance(error, TimeoutError) and limit.expired:
                failure = self._timed_out(candidate, run, limit_s)
            else:
                failure = _unexpected(error, candidate)
        except BaseException:
            passage.forgotten(self._clock())
            raise
        else:
            run.failed_s = course.begun - run.started
            return result
        finally:
            run.under_way.remove(course)
        now = self._clock()
        passage.failed(now, failure, blameless=self._is_blameless(course, failure, now, limit_s))
        if _was_sent(failure):
            run.attempts.append(course.attempt(run, failure.kind, now))
            for observer in self._observers:
                observer.attempt_failed(candidate.target.name, failure.kind)
        else:
            course.sends -= 1
            run.sends -= 1
        course.error = failure.locate(provider=candidate.target.name, model=candidate.model)
        return failure

    def _is_blameless(self, course: Course, failure: LlmError, now: float, limit_s: float) -> bool:
        """A refused key while another is left, or too little time for the target's usual answers, is not its failure."""
        if names_a_key(failure):
            return course.has_other_key(now)
        if isinstance(failure, FirstByteTimeout | DeadlineExceeded):
            usual_s = course.candidate.state.usual_s
            return usual_s is not None and limit_s < min(2.0 * usual_s, course.candidate.target.timeouts.attempt_s)
        return False

    def _limit_s(self, candidate: Candidate, run: Run, begun: float) -> float:
        """What `timeout_seconds` and the deadline allow an attempt: half of what is left, while others are still to come."""
        remaining = run.deadline_s if begun - run.started < _AT_ONCE_S else run.deadline - begun
        return min(candidate.target.timeouts.attempt_s, remaining / 2.0 if run.targets_left else remaining)

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

    async def _goes_on(self, course: Course, run: Run, error: LlmError) -> bool:
        """Whether the same target is to be asked again, after the wait that it takes. Raises when the request ends."""
        candidate = course.candidate
        now = self._clock()
        left = run.targets_left
        if isinstance(error, ContextWindowExceeded):
            run.too_long = True
            if run.sends_left > left and await self._shortened(course, run):
                return True
        course.tried.add(course.key)
        situation = Situation(
            more_targets=left > 0,
            more_keys=run.sends_left > left and course.has_other_key(now),
            first_target=run.plan.begun == 1 and candidate is run.plan.preferred,
            fallback_on=candidate.target.fallback_on,
        )
        delay_s = self._delay_s(course, run, error, now)
        step = decide(error, situation, may_repeat=delay_s is not None)
        if run.sends_left <= 0:
            step = "end"
        if step == "other_key":
            return True
        if step == "repeat" and delay_s is not None:
            if left and isinstance(error, RateLimited) and delay_s > candidate.target.limits.max_queue_ms / 1000.0:
                run.postponed.append(course)  # others may be quicker; its wait goes on meanwhile
                return False
            for observer in self._observers:
                observer.retried(candidate.target.name, error.kind)
            course.tried.clear()
            await self._sleep(delay_s)
            return True
        self._give_up(run, course, error)
        if step == "end":
            raise self._final(run)
        return False

    async def _shortened(self, course: Course, run: Run) -> bool:
        """Whether the same target gets a shorter request now."""
        if course.was_shortened or not run.fitter.shortens_again:
            return False
        ready = await self._fitted(course.candidate, run)
        if isinstance(ready, str):
            return False
        before, after = course.ready.request, ready.request
        if after.messages == before.messages and after.tools == before.tools:
            return False
        course.shorten(ready)
        return True

    def _delay_s(self, course: Course, run: Run, error: LlmError, now: float) -> float | None:
        """The wait before the same target is asked again; `None` when that is not allowed or does not fit."""
        target = course.candidate.target
        left = run.targets_left
        if run.sends_left <= left or not allows_repeat(error, more_targets=left > 0):
            return None
        if left > 0 and course.candidate.state.breaker.state == "open":
            return None
        remaining_s = run.deadline - now
        return target.retry.delay_s(error, attempts=max(1, course.sends), remaining_s=remaining_s, jitter=self._jitter)

    def _pass_over(self, run: Run, candidate: Candidate, reason: str) -> None:
        run.plan.skipped.append(Skip(candidate.target.name, reason))

    def _give_up(self, run: Run, course: Course, error: LlmError) -> None:
        run.errors.append(error)
        if not _was_sent(error):
            self._pass_over(run, course.candidate, error.message)

    def _final(self, run: Run, *more: LlmError) -> LlmError:
        """What the caller is told."""
        errors = [*run.errors, *more]
        told = errors[-1] if errors else _nobody(run)
        if len(errors) > 1 and not ends_request(told):
            if all(is_callers_fault(error) for error in errors):
                told = errors[0]
            elif all(isinstance(error, LimitExceeded) for error in errors):
                told = min(errors, key=lambda error: error.retry_after_s or 0.0)
            else:
                told = _all_failed(run)
        told.attempts = list(run.attempts)
        told.skipped = list(run.plan.skipped)
        return told


def _was_sent(error: LlmError) -> bool:
    """A request that this package itself refuses is refused before it is sent."""
    return not (isinstance(error, InvalidRequest | LimitExceeded) and error.source == "gateway")


def _unexpected(error: Exception, candidate: Candidate) -> LlmError:
    """A provider, most likely a plug-in, raised what it must not. Its message may hold anything, so it is not repeated."""
    places = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s raised %s\n%s", candidate.target.name, type(error).__name__, places)
    failure = ProviderFailure(f"the provider failed with an unexpected {type(error).__name__}", source="gateway")
    failure.__cause__ = error
    return failure


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
