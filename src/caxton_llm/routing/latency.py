"""How fast a target answers: percentiles of the last answers, and a moving average."""

__all__ = ["Latencies"]

_KEPT = 256
_RENEWED_EVERY = 32
_WEIGHT = 0.1


class Latencies:
    """Seconds of the last 256 answers. Percentiles are worked out anew after 32 more."""

    __slots__ = ("_added", "_kept", "_sorted", "average")

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._added = 0
        self._sorted: list[float] = []
        self.average: float | None = None
        """Moving average, the last ten answers or so; `None` before the first."""

    def add(self, seconds: float) -> None:
        if len(self._kept) < _KEPT:
            self._kept.append(seconds)
        else:
            self._kept[self._added % _KEPT] = seconds
        self._added += 1
        average = self.average
        self.average = seconds if average is None else average + _WEIGHT * (seconds - average)

    def percentile(self, share: float, *, at_least: int = 1) -> float | None:
        """The value that `share` (0..1) of the answers stay below; `None` with fewer than `at_least` answers."""
        if self._added < max(1, at_least):
            return None
        if not self._sorted or self._added % _RENEWED_EVERY == 0 or len(self._sorted) != len(self._kept):
            self._sorted = sorted(self._kept)
        return self._sorted[min(len(self._sorted) - 1, int(share * len(self._sorted)))]
