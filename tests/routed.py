"""Targets and gateways made by hand for tests of routing, on a clock that the test moves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

from caxton_llm.dispatch.plan import Route, Tier
from caxton_llm.dispatch.target import Candidate, Target, TargetState
from caxton_llm.gateway import Gateway
from caxton_llm.model_info import ModelInfo
from caxton_llm.observers.record import Observer, RequestRecord
from caxton_llm.protocols import LlmProvider
from caxton_llm.routing.breaker import BreakerPolicy
from caxton_llm.routing.limits import TargetLimits
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.strategy import Strategy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.testing import FakeClock
from caxton_llm.usage import Usage

__all__ = ["Records", "candidate", "gateway", "let_go"]


class Records(Observer):
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.finished_records: list[RequestRecord] = []
        self.retries: list[tuple[str, str]] = []
        self.failures: list[tuple[str, str]] = []
        self.fallbacks: list[tuple[str, str, str]] = []
        self.hedges: list[tuple[str | None, bool]] = []
        self.changes: list[tuple[str, str]] = []

    def finished(self, record: RequestRecord) -> None:
        self.finished_records.append(record)

    def retried(self, target: str, error_kind: str) -> None:
        self.retries.append((target, error_kind))

    def attempt_failed(self, target: str, error_kind: str) -> None:
        self.failures.append((target, error_kind))

    def fell_back(self, failed: str, target: str, error_kind: str) -> None:
        self.fallbacks.append((failed, target, error_kind))

    def hedged(self, target: str | None, *, won: bool) -> None:
        self.hedges.append((target, won))

    def breaker_changed(self, target: str, state: str) -> None:
        self.changes.append((target, state))


class Policies(TypedDict, total=False):
    """What a target may be given beside its name and provider."""

    kind: str
    retry: RetryPolicy
    timeouts: Timeouts
    breaker: BreakerPolicy
    limits: TargetLimits
    priority: int
    weight: float
    fallback_on: frozenset[str]
    describe: Callable[[str], ModelInfo]
    cost: Callable[[str, str, Usage | None], float | None]


def candidate(
    name: str,
    *providers: LlmProvider,
    clock: FakeClock,
    observers: Sequence[Observer] = (),
    model: str = "m",
    **policies: Unpack[Policies],
) -> Candidate:
    """A target with one provider per key; nothing of it costs anything unless the test says so."""
    given: Policies = {
        "kind": "fake",
        "describe": lambda asked: ModelInfo(id=asked, provider="fake"),
        "cost": lambda _asked, _answered, _usage: None,
        **policies,
    }
    target = Target(name=name, providers=providers, models=(model,), **given)

    def changed(target_name: str, state: str) -> None:
        for observer in observers:
            observer.breaker_changed(target_name, state)

    return Candidate(target, model, TargetState(target, clock=clock, on_breaker=changed))


def gateway(
    *candidates: Candidate,
    clock: FakeClock,
    observers: Sequence[Observer] = (),
    strategy: Strategy = "priority",
    **options: object,
) -> Gateway:
    """A gateway whose `default` leads to the candidates, and every candidate's name to it alone."""
    routes = {each.target.name: Route(Tier.of([each], None)) for each in candidates}
    routes["default"] = Route(Tier.of(candidates, strategy))
    return Gateway(
        routes,
        observers=observers,
        clock=clock,
        sleep=clock.sleep,
        jitter=lambda: 1.0,
        **options,  # type: ignore[arg-type]
    )


async def let_go() -> None:
    """Let what was cancelled end: it needs some turns of the event loop, and no time."""
    for _ in range(20):
        await asyncio.sleep(0)
