"""Stand-in until the real one is merged."""

from msgspec import Struct

from caxton_llm.protocols import Clock
from caxton_llm.routing.limits import TargetLimits
from caxton_llm.wire.rate_limits import RateLimitInfo

__all__ = ["Gate", "GateSnapshot"]


class GateSnapshot(Struct, frozen=True, kw_only=True):
    in_flight: int
    queued: int
    concurrency_limit: int | None
    remaining_requests: int | None = None
    remaining_tokens: int | None = None


class Gate:
    def __init__(self, limits: TargetLimits, *, clock: Clock) -> None:
        self.in_flight = 0

    def wait_s(self, now: float, tokens: int) -> float:
        return 0.0

    def try_enter(self, now: float, tokens: int) -> bool:
        self.in_flight += 1
        return True

    async def enter(self, caller: str, tokens: int, *, patience_s: float) -> float:
        return 0.0

    def leave(self, now: float, outcome: str, *, tokens_estimated: int, tokens_used: int | None) -> None:
        self.in_flight -= 1

    def learn(self, info: RateLimitInfo, now: float) -> None: ...

    def pause(self, until: float) -> None: ...

    def snapshot(self, now: float) -> GateSnapshot:
        return GateSnapshot(in_flight=self.in_flight, queued=0, concurrency_limit=None)
