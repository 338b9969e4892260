"""The targets that a request may go to, in order: the named ones by strategy, then the rest of the chain.

A plan gives every target at most once. Targets whose breaker is open are left out, but the one that opened first comes last,
for the case that nobody else can answer; a target that has just recovered comes first for a growing share of the requests.
"""

import random as standard_random
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from caxton_llm.attempts import Skip
from caxton_llm.dispatch.target import Candidate
from caxton_llm.routing.strategy import Strategy, order

__all__ = ["Plan", "Route", "Tier"]


_UNKNOWN_S = 0.1
"""The latency of a target that has not answered yet: short, so that it gets to show its own."""


class Tier(Struct, frozen=True):
    """Candidates among which `strategy` decides; `None`: in the order in which they stand."""

    candidates: tuple[Candidate, ...]
    strategy: Strategy | None = None
    sends: int = 0
    """One for every key of every candidate."""

    @classmethod
    def of(cls, candidates: Sequence[Candidate], strategy: Strategy | None) -> "Tier":
        """With priorities that all differ the order is settled for good, and no request pays for it."""
        if strategy == "priority" and len({each.rank for each in candidates}) == len(candidates):
            candidates, strategy = sorted(candidates, key=lambda each: each.rank), None
        sends = sum(len(each.target.providers) for each in candidates)
        return cls(tuple(candidates), strategy if len(candidates) > 1 else None, sends)

    def ordered(self, turn: int, random: Callable[[], float]) -> Sequence[Candidate]:
        if self.strategy is None:
            return self.candidates
        return list(order(self.candidates, self.strategy, turn=turn, random=random, load=_load, cost=_cost))


class Route(Struct, frozen=True):
    """Where a name leads: the candidates that it names, and those that may stand in for them."""

    named: Tier
    others: Tier = Tier(())

    @property
    def first(self) -> Candidate:
        """The candidate that serves when all are well and none is preferred."""
        return self.named.candidates[0]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of them, those that are named first."""
        return (*self.named.candidates, *self.others.candidates)

    @property
    def sends(self) -> int:
        """One for every key of every target."""
        return self.named.sends + self.others.sends

    def plan(self, now: float, *, turn: int = 0, random: Callable[[], float] = standard_random.random) -> "Plan":
        """The candidates of one request. `turn` counts the requests."""
        if not self.others.candidates and len(self.named.candidates) == 1:
            return Plan(self.named.candidates, preferred=self.first)
        ready: list[Candidate] = []
        waiting: list[Candidate] = []
        broken: list[Candidate] = []
        preferred: Candidate | None = None
        for tier in (self.named, self.others):
            for candidate in tier.ordered(turn, random):
                preferred = preferred or candidate
                share = candidate.state.breaker.share(now)
                if share >= 1.0 or (share > 0.0 and random() < share):
                    ready.append(candidate)
                elif share > 0.0 or candidate.state.breaker.state == "half_open":  # its trials are all taken
                    waiting.append(candidate)
                else:
                    broken.append(candidate)
        if not waiting and not broken:
            return Plan(ready, preferred=preferred)
        broken.sort(key=lambda each: each.state.breaker.opened_at or 0.0)
        skipped = [Skip(each.target.name, "its circuit breaker is open") for each in broken[1:]]
        return Plan((*ready, *waiting, *broken[:1]), skipped, preferred=preferred)


class Plan:
    """The candidates of one request; each is drawn once."""

    __slots__ = ("_left", "begun", "preferred", "skipped")

    def __init__(
        self, candidates: Sequence[Candidate], skipped: list[Skip] | None = None, *, preferred: Candidate | None
    ) -> None:
        self._left = deque(candidates)
        self.preferred = preferred
        """Who would be asked first if all were well; whoever else is asked stands in for it."""
        self.begun = 0
        """How many have been drawn."""
        self.skipped = skipped if skipped is not None else []

    @property
    def left(self) -> int:
        """How many are still to come."""
        return len(self._left)

    def peek(self) -> Candidate | None:
        """The next candidate."""
        return self._left[0] if self._left else None

    def draw(self) -> Candidate | None:
        if not self._left:
            return None
        self.begun += 1
        return self._left.popleft()


def _load(candidate: Candidate) -> float:
    """Outstanding requests x latency."""
    state = candidate.state
    usual_s = state.usual_s
    return (state.gate.in_flight + 1) * (_UNKNOWN_S if usual_s is None else usual_s)


def _cost(candidate: Candidate) -> float | None:
    """Dollars for a million tokens in and as many out; `None` is unknown."""
    price = candidate.target.describe(candidate.model).price
    return None if price is None else price.input + price.output
