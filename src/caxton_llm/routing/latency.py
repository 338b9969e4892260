"""How fast a target answers: percentiles of the last answers, and a moving average."""

__all__ = ["Latencies"]

_KEPT = 256
_RENEWED_EVERY = 32
_WEIGHT = 0.1


class Latencies:
    """Seconds of the last 256 answers. Percentiles are worked out anew after 32 more."""

    __slots__ = ("_kept", "_sorted", "_sorted_at", "average", "count")

    def __init__(self) -> None:
        self._kept: list[float] = []
        self.count = 0
        """Answers so far."""
        self._sorted: list[float] = []
        self._sorted_at = 0
        self.average: float | None = None
        """Moving average, the last ten answers or so; `None` before the first."""

    def add(self, seconds: float) -> None:
        if len(self._kept) < _KEPT:
            self._kept.append(seconds)
        else:
            self._kept[self.count % _KEPT] = seconds
        self.count += 1
        average = self.average
        self.average = seconds if average is None else average + _WEIGHT * (seconds - average)

    def percentile(self, share: float, *, at_least: int = 1) -> float | None:
        """The value that `share` (0..1) of the answers stay below; `None` with fewer than `at_least` answers."""
        if self.count < max(1, at_least):
            return None
        if len(self._sorted) != len(self._kept) or self.count - self._sorted_at >= _RENEWED_EVERY:
            self._sorted, self._sorted_at = sorted(self._kept), self.count
        return self._sorted[min(len(self._sorted) - 1, int(share * len(self._sorted)))]

    def recent_percentile(self, share: float, last: int) -> float | None:
        """The same of the last so many answers, at most 256; `None` with fewer."""
        last = min(last, _KEPT)
        if self.count < last:
            return None
        end = self.count % _KEPT if len(self._kept) == _KEPT else len(self._kept)
        recent = sorted(self._kept[(end - back) % len(self._kept)] for back in range(1, last + 1))
        return recent[min(last - 1, int(share * last))]
