"""Which target comes first, which next: the specification's `fallback_strategy`, as a pure function.

What it needs to know of the world comes in as arguments: the number of the turn, random numbers, load and cost.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal, Protocol, TypeVar

__all__ = ["STRATEGIES", "Candidate", "Strategy", "order"]

Strategy = Literal["priority", "round_robin", "load_balance", "weighted", "least_cost"]

STRATEGIES: dict[Strategy, str] = {
    "priority": "the highest `priority` first; equal ones share by `weight`, or stand as in the file where neither is given",
    "round_robin": "each in turn, whatever its priority",
    "load_balance": "of two drawn by `weight`, the one with less to do (outstanding requests x latency); the rest by load",
    "weighted": "drawn by `weight`, whatever its priority",
    "least_cost": "the cheapest model first, an unknown price last",
}
"""What each strategy does, for the documentation."""


class Candidate(Protocol):
    """What a strategy looks at."""

    @property
    def rank(self) -> tuple[int, int]:
        """The lowest comes first: minus the priority, then the place among equal ones."""
        ...

    @property
    def weight(self) -> float: ...


_Candidate = TypeVar("_Candidate", bound=Candidate)
_Random = Callable[[], float]


def order(
    candidates: Sequence[_Candidate],
    strategy: Strategy,
    *,
    turn: int = 0,
    random: _Random,
    load: Callable[[_Candidate], float],
    cost: Callable[[_Candidate], float | None],
) -> Iterator[_Candidate]:
    """All candidates, the one to try first first. `random` returns 0..1 (1 excluded), `turn` counts the requests."""
    if strategy == "round_robin":
        start = turn % len(candidates)
        yield from (*candidates[start:], *candidates[:start])
    elif strategy == "weighted":
        yield from _drawn(candidates, random)
    elif strategy == "load_balance":
        pair = list(_drawn(candidates, random))[:2]
        first = min(pair, key=load)
        yield first
        yield from sorted((each for each in candidates if each is not first), key=load)
    elif strategy == "least_cost":
        yield from sorted(candidates, key=lambda each: _known_first(cost(each)))
    else:
        ranked = sorted(candidates, key=lambda each: each.rank)
        for _, equals in groupby(ranked, key=lambda each: each.rank):
            yield from _drawn(list(equals), random)


def _drawn(candidates: Sequence[_Candidate], random: _Random) -> Iterator[_Candidate]:
    """One after the other, each with a chance in proportion to its weight; weight 0 comes after all others."""
    left = list(candidates)
    while len(left) > 1:
        total = sum(each.weight for each in left)
        if total <= 0.0:
            break
        point = random() * total
        index = _index_at(left, point)
        yield left.pop(index)
    yield from left


def _index_at(candidates: Sequence[Candidate], point: float) -> int:
    last = 0
    for index, each in enumerate(candidates):
        if each.weight <= 0.0:
            continue
        last = index
        point -= each.weight
        if point < 0.0:
            return index
    return last


def _known_first(cost: float | None) -> tuple[bool, float]:
    return (cost is None, cost or 0.0)
