"""Tokens of other vendors' models from the one vocabulary at hand: a factor for each kind of content, learned from usage.

What providers report after an answer is the only true count. Each report moves the factors of the kinds that the prompt was
made of, by their share, and tells how far the estimates stray; the upper bound is the estimate with that many deviations on
top, so a context packed to the bound does not exceed the real limit.
"""

import math
import threading
from collections.abc import Mapping

from msgspec import Struct

from caxton_llm.tokens.content import KINDS, ContentKind

__all__ = ["DEVIATIONS", "Estimate", "Factors", "TokenCalibration", "family_of"]

_STEP = 0.3
"""How far one report moves a factor that everything in the prompt depends on."""
DEVIATIONS = 3.0
"""From the estimate to the bound that all but one of a thousand prompts stay below."""
_FEW = 5
"""Reports below which the deviation is not believed to be smaller than before."""
_LARGEST = 4.0
"""A ratio beyond this, or below its reciprocal, is a count of something else (images, documents) and teaches nothing."""


class Factors(Struct, frozen=True, kw_only=True):
    """Real tokens for one of the vocabulary's, by kind of content, and the deviation of their logarithm."""

    prose: float = 1.0
    code: float = 1.0
    json: float = 1.0
    cjk: float = 1.0
    deviation: float = 0.0

    def of(self, kind: ContentKind) -> float:
        return float(getattr(self, kind))


_FAMILIES = {
    # The vocabulary is theirs; what differs is the frame around messages.
    "openai": Factors(deviation=0.005),
    "azure": Factors(deviation=0.005),
    # Measured on Claude 4.7 and later by several, see docs/tokens.md: prose 1.20 to 1.46, code 1.13 to 1.39, JSON 1.31.
    "anthropic": Factors(prose=1.33, code=1.30, json=1.31, cjk=1.0, deviation=0.06),
    # Llama 3, Qwen and Mistral have 128,000 to 150,000 tokens against 200,000.
    "ollama": Factors(prose=1.05, code=1.08, json=1.10, cjk=1.25, deviation=0.06),
    "vllm": Factors(prose=1.05, code=1.08, json=1.10, cjk=1.25, deviation=0.06),
    "builtin": Factors(),
}
_UNKNOWN = Factors(prose=1.15, code=1.15, json=1.15, cjk=1.15, deviation=0.10)


def family_of(provider: str) -> Factors:
    """What is assumed of a kind of provider before it has reported anything."""
    return _FAMILIES.get(provider, _UNKNOWN)


class Estimate(Struct, frozen=True):
    """Tokens of a prompt: the likely number, and one that it stays below in all but one of a thousand."""

    tokens: int
    at_most: int


class TokenCalibration:
    """The factors of all models, for any thread. `snapshot` and `restore` keep them over the end of a process."""

    def __init__(self, known: Mapping[str, Factors] | None = None) -> None:
        self._lock = threading.Lock()
        self._factors: dict[str, Factors] = dict(known or {})
        self._reports: dict[str, int] = dict.fromkeys(self._factors, _FEW)

    def factors(self, model: str, provider: str) -> Factors:
        """The present factors of a model that a kind of provider serves."""
        return self._factors.get(model) or family_of(provider)

    def estimate(self, model: str, provider: str, counted: Mapping[ContentKind, int]) -> Estimate:
        """Tokens of a prompt whose parts were counted with the vocabulary, by kind."""
        factors = self.factors(model, provider)
        tokens = sum(factors.of(kind) * count for kind, count in counted.items())
        return Estimate(round(tokens), math.ceil(tokens * math.exp(DEVIATIONS * factors.deviation)))

    def learn(self, model: str, provider: str, counted: Mapping[ContentKind, int], real: int) -> None:
        """A provider has reported `real` prompt tokens for what was counted. What cannot be is passed over."""
        with self._lock:
            factors = self.factors(model, provider)
            expected = sum(factors.of(kind) * count for kind, count in counted.items())
            if expected <= 0 or real <= 0 or not 1 / _LARGEST < real / expected < _LARGEST:
                return
            error = math.log(real / expected)
            seen = self._reports.get(model, 0) + 1
            self._reports[model] = seen
            shares = {kind: factors.of(kind) * counted.get(kind, 0) / expected for kind in KINDS}
            moved = {kind: factors.of(kind) * math.exp(_STEP * share * error) for kind, share in shares.items()}
            self._factors[model] = Factors(**moved, deviation=_deviation(factors.deviation, error, seen))

    def snapshot(self) -> dict[str, Factors]:
        """What was learned, by model."""
        with self._lock:
            return dict(self._factors)


def _deviation(known: float, error: float, seen: int) -> float:
    """Grows at once with a larger error, shrinks slowly."""
    found = math.sqrt((1 - _STEP / 3) * known**2 + _STEP / 3 * error**2)
    return max(known, found) if seen < _FEW else found
