"""A place to send to: what is configured of it, and how it has been doing.

`Target` is the configuration and never changes. `TargetState` is what was learned since the start: its circuit breaker, its
queue, its keys, its latencies, its last error. Everything that shows health reads it.
"""

import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from caxton_llm.dispatch.gate import Gate, Outcome
from caxton_llm.errors import LlmError, Overloaded, RateLimited
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Clock, LlmProvider
from caxton_llm.routing.breaker import Breaker, BreakerPolicy, BreakerState
from caxton_llm.routing.keys import KeyRing
from caxton_llm.routing.latency import Latencies
from caxton_llm.routing.limits import TargetLimits
from caxton_llm.routing.policy import counts_against_target
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.usage import Usage
from caxton_llm.wire.rate_limits import read_rate_limits

__all__ = ["Candidate", "CheckResult", "Passage", "Target", "TargetState"]


_SILENT_S = 1.0
"""After an answer without rate limits, none is looked for."""
_PLENTY_S = 0.05
"""After an answer that leaves much, none is looked for."""
_LONGEST_PAUSE_S = 300.0
"""A provider that asks for a longer wait is asked again all the same."""


class Target(Struct, frozen=True, kw_only=True):
    """One place to send to: a configured entry with its providers, one per key, and its policies."""

    name: str
    kind: str
    providers: tuple[LlmProvider, ...]
    """One per key; most targets have one."""
    models: tuple[str, ...]
    """Models that this entry serves; the first is sent when a request names the entry itself."""
    describe: Callable[[str], ModelInfo]
    """What is known of a model of this entry without asking anybody."""
    cost: Callable[[str, str, Usage | None], float | None]
    """The cost in USD of an answer: by the model that was asked for, the one that answered, and the usage."""
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    limits: TargetLimits = TargetLimits()
    priority: int = 0
    weight: float = 1.0
    place: int = 0
    """Among equal priorities: 0 shares by weight, others follow in this order."""
    region: str | None = None
    fallback_on: frozenset[str] = frozenset()

    @property
    def provider(self) -> LlmProvider:
        """The provider with the first key."""
        return self.providers[0]

    def __repr__(self) -> str:
        return f"Target({self.name!r}, {self.kind!r}, models={self.models!r})"


class LastError(Struct, frozen=True):
    """What a target failed with: the kind, the provider's HTTP status, and when (seconds since the epoch)."""

    kind: str
    status: int | None
    at: float


class CheckResult(Struct, frozen=True):
    """One health check: when it ended (seconds since the epoch), how long it took, and the kind of its error, if any."""

    at: float
    seconds: float
    error: str | None = None
    failed_in_a_row: int = 0
    """Failures of the target's own up to this check; an error that is none of its own (a refused prompt) changes nothing."""


class TargetState:
    """How one target has been doing since the start. Times of the epoch are for people, all others are the clock's."""

    def __init__(
        self, target: Target, *, clock: Clock, on_breaker: Callable[[str, BreakerState], None] | None = None
    ) -> None:
        self.target = target
        self.gate = Gate(target.limits, clock=clock)
        self._on_breaker = on_breaker
        self.breaker = Breaker(target.breaker, self._breaker_changed)
        self.keys: KeyRing[LlmProvider] = KeyRing(target.providers)
        self.whole = Latencies()
        """Seconds of whole answers."""
        self.first_content = Latencies()
        """Seconds until a stream's first content."""
        self.successes = 0
        self.failures = 0
        """Failures of its own; the caller's mistakes are not among them."""
        self.last_error: LastError | None = None
        self.last_success_at: float | None = None
        self.check: CheckResult | None = None
        self._clock = clock
        self._hear_again = 0.0

    def _breaker_changed(self, breaker: BreakerState) -> None:
        if breaker == "closed":
            self.gate.restore()
        if self._on_breaker is not None:
            self._on_breaker(self.target.name, breaker)

    @property
    def usual_s(self) -> float | None:
        """How long its answers take, or begin to take, on average; `None` before the first."""
        return self.whole.average if self.whole.average is not None else self.first_content.average

    def reset(self) -> None:
        """Trust the target again, whatever was learned of it: its breaker closes, no key rests, nothing is paused."""
        self.breaker.reset()
        self.gate.forget()
        self.keys.reset()

    def hear(self, key: int, headers: Mapping[str, str]) -> None:
        """An answer to a request with a key has come: its headers may tell what is left of the key's rate limits.

        Reading them costs as much as sending a request, so while there is plenty they are read now and then only; what is
        sent in between is known.
        """
        now = self._clock()
        if now < self._hear_again:
            return
        info = read_rate_limits(headers, time.time)
        if info is None:
            self._hear_again = now + _SILENT_S
            return
        self._hear_again = now + _PLENTY_S if info.has_plenty else now
        if len(self.keys.keys) == 1:
            self.gate.learn(info, now)
        elif (rest_s := info.exhausted_for_s) is not None:
            self.keys.rest(key, now, min(rest_s, _LONGEST_PAUSE_S))

    def succeeded(self) -> None:
        """An answer was complete."""
        self.successes += 1
        self.last_success_at = time.time()

    def failed(self, error: LlmError) -> None:
        """It failed by its own fault."""
        self.failures += 1
        self.last_error = LastError(error.kind, error.status, time.time())

    def wait_as_told(self, key: int, error: LlmError, now: float) -> None:
        """Leave alone what the provider said to leave alone: the key where there are others, else the target."""
        retry_after_s = None if error.retry_after_s is None else min(error.retry_after_s, _LONGEST_PAUSE_S)
        if len(self.keys.keys) == 1:
            if retry_after_s is not None and isinstance(error, RateLimited | Overloaded):
                self.gate.pause(now + retry_after_s)
            return
        self.keys.park(key, error, retry_after_s, now)
        if isinstance(error, RateLimited) and (until := self.keys.all_rest_until(now)) is not None:
            self.gate.pause(until)


class Candidate(Struct, frozen=True):
    """A target with the model that would be sent to it."""

    target: Target
    model: str
    state: TargetState

    @property
    def rank(self) -> tuple[int, int]:
        return (-self.target.priority, self.target.place)

    @property
    def weight(self) -> float:
        return self.target.weight


class Passage:
    """One request inside one target, from its admission to its outcome. Exactly one outcome is told, once; further ones are
    ignored."""

    __slots__ = ("_begun", "_entry", "_key", "_open", "_state", "_tokens", "_trial")

    def __init__(self, state: TargetState, begun: float, key: int, tokens: int) -> None:
        self._state = state
        self._begun = begun
        self._key = key
        self._tokens = tokens
        self._entry = state.gate.entry if tokens else None
        self._trial = state.breaker.enter()
        self._open = True

    def answered(self, now: float) -> None:
        """A whole answer has come."""
        self._state.whole.add(now - self._begun)

    def began_to_answer(self, now: float) -> None:
        """The first content of a stream has come. That settles a trial of the breaker, because the rest may take long."""
        state = self._state
        state.first_content.add(now - self._begun)
        if self._trial:
            state.breaker.succeeded(now, trial=self._trial)
            self._trial = 0

    def succeeded(self, now: float, usage: Usage | None) -> None:
        """The answer is complete."""
        if self._open:
            self._open = False
            state = self._state
            state.succeeded()
            state.breaker.succeeded(now, trial=self._trial)
            self._leave(now, "success", _all_tokens(usage))
            if len(state.keys.keys) > 1:
                state.keys.accepted(self._key, self._begun)

    def failed(self, now: float, error: LlmError, *, blameless: bool = False) -> None:
        """The attempt ended with an error; `blameless`: it does not count against the target, whatever its kind."""
        if not self._open:
            return
        self._open = False
        state = self._state
        if counts_against_target(error) and not blameless:
            state.failed(error)
            state.breaker.failed(now, trial=self._trial)
        else:
            state.breaker.forgotten(trial=self._trial)
        strained = isinstance(error, RateLimited | Overloaded)
        self._leave(now, "overloaded" if strained else "other", None)
        state.wait_as_told(self._key, error, now)

    def forgotten(self, now: float) -> None:
        """The request was cancelled, which says nothing about the target."""
        if self._open:
            self._open = False
            self._state.breaker.forgotten(trial=self._trial)
            self._leave(now, "other", None)

    def _leave(self, now: float, outcome: Outcome, tokens: int | None) -> None:
        self._state.gate.leave(now, outcome, tokens_estimated=self._tokens, tokens_used=tokens, entry=self._entry)


def _all_tokens(usage: Usage | None) -> int | None:
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens
