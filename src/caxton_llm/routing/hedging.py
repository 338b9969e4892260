"""Whether a second target may be asked as well. Pure."""

from msgspec import Struct

__all__ = ["HedgeBudget", "HedgePolicy"]


class HedgePolicy(Struct, frozen=True, kw_only=True):
    """Hedging is off unless `enabled`. `after_s` is the wait before the second target is asked; `None` takes the 95th
    percentile of the first target's latencies, once 20 are known. `max_share` limits hedges to that share of the requests."""

    enabled: bool = False
    after_s: float | None = None
    max_share: float = 0.05


class HedgeBudget:
    """Counts requests and hedges: never more hedges than `max_share` of the requests so far."""

    __slots__ = ("_earned", "_share")

    _KEPT = 10.0
    """Hedges that may be saved up in quiet times."""

    def __init__(self, max_share: float) -> None:
        self._share = max_share
        self._earned = 0.0

    def request(self) -> None:
        self._earned = min(self._KEPT, self._earned + self._share)

    def take(self) -> bool:
        """Whether one more is allowed; it is spent when it is."""
        if self._earned < 1.0 - 1e-9:
            return False
        self._earned -= 1.0
        return True
