"""One request on its way, as a record: the run over all targets, the course inside one of them, the answer at the end."""

from typing import Generic, TypeVar

from msgspec import Struct, field

from caxton_llm.attempts import Attempt
from caxton_llm.dispatch.fitting import Fitter, Ready
from caxton_llm.dispatch.plan import Plan
from caxton_llm.dispatch.target import Candidate, Passage
from caxton_llm.errors import LlmError
from caxton_llm.tokens import prompt_tokens, rough_tokens
from caxton_llm.types import ChatRequest

__all__ = ["Answered", "Course", "Run", "course_of"]

_Result = TypeVar("_Result")

_USUAL_ANSWER = 1024
"""Tokens set aside for an answer until they are known."""


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
    sends: int = 0
    """Those begun so far."""
    attempts: list[Attempt] = field(default_factory=list)
    """Those that failed."""
    errors: list[LlmError] = field(default_factory=list)
    """The last error of every target that was given up."""
    failed_s: float = 0.0
    """From the start to the beginning of the attempt that was answered."""
    last: Candidate | None = None
    """The candidate that was tried last."""
    too_long: bool = False
    """A target has said that the prompt is too long."""
    postponed: "list[Course]" = field(default_factory=list)
    """Targets that take too long to wait for: asked when nobody else is left."""
    under_way: "list[Course]" = field(default_factory=list)
    """Targets that have been sent the request and have not answered; several only while it is hedged."""

    @property
    def deadline(self) -> float:
        return self.started + self.deadline_s

    @property
    def targets_left(self) -> int:
        return self.plan.left + len(self.postponed)

    @property
    def sends_left(self) -> int:
        return self.max_attempts - self.sends


class Answered(Struct, Generic[_Result]):
    """What a target gave. `passage` is still to be told how it ended."""

    result: _Result
    course: "Course"
    passage: Passage

    @property
    def candidate(self) -> Candidate:
        return self.course.candidate


class Course(Struct):
    """A request inside one target, from the first send to the last."""

    candidate: Candidate
    ready: Ready
    tokens: int = 0
    key: int = 0
    begun: float = 0.0
    sends: int = 0
    error: LlmError | None = None
    """What the last of them ended with."""
    tried: set[int] = field(default_factory=set)
    """Keys that were refused since the last wait."""
    was_shortened: bool = False
    """Whether the target has been given a shorter request, because it found the first one too long."""

    def shorten(self, ready: Ready) -> None:
        """Go on with a shorter request."""
        self.ready, self.tokens = ready, _estimated_tokens(ready.request, self.candidate)
        self.was_shortened = True

    def begin(self, run: Run, now: float) -> Passage:
        """Begin an attempt with the key whose turn it is."""
        state = self.candidate.state
        self.key = state.keys.pick(now, self.tried)
        self.begun = now
        self.sends += 1
        run.sends += 1
        run.under_way.append(self)
        return Passage(state, now, self.key, self.tokens)

    def attempt(self, run: Run, error_kind: str, now: float) -> Attempt:
        """The attempt that has just ended, for the record."""
        target = self.candidate.target
        key = self.key + 1 if len(target.providers) > 1 else None
        return Attempt(target.name, error_kind, self.begun - run.started, now - self.begun, key)

    def has_other_key(self, now: float) -> bool:
        """Whether a key is left beside the one in use and those that were refused."""
        keys = self.candidate.state.keys
        return len(keys.keys) > 1 and keys.has_other(now, self.tried | {self.key})


def course_of(candidate: Candidate, ready: Ready) -> Course:
    """A course that is about to begin."""
    return Course(candidate, ready, _estimated_tokens(ready.request, candidate))


def _estimated_tokens(request: ChatRequest, candidate: Candidate) -> int:
    """Tokens of the prompt and the answer, before they are known; counted only where they are limited."""
    if candidate.target.limits.tokens_per_minute is None:
        return 0
    limit = request.output_limit
    return prompt_tokens(request, rough_tokens) + (_USUAL_ANSWER if limit is None else min(limit, _USUAL_ANSWER))
