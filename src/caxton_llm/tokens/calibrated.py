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
from caxton_llm.tokens.parts import PromptParts
from caxton_llm.tokens.vendors import vendor_of, writes_older_claude
from caxton_llm.usage import Usage

__all__ = ["DEVIATIONS", "Estimate", "Factors", "TokenCalibration", "family_of", "usage_prompt_tokens"]

_STEP = 0.3
"""How far one report moves a factor that everything in the prompt depends on."""
_MEMORY = 0.05
"""The weight of one report in the deviation: about 40 of them decide it."""
DEVIATIONS = 3.5
"""Of a deviation that is known from 40 reports, which leaves one in a thousand beyond (Student's t)."""
_FEW = 5
"""Reports below which the deviation is not believed to be smaller than before."""
_LEAST = 200
"""Expected tokens below which a prompt is mostly frame, and teaches nothing about texts."""
_LARGEST = 4.0
"""A ratio beyond this, or below its reciprocal, is a count of something else and teaches nothing."""
_OLLAMA_LEAST = 0.7
"""Ollama cuts long prompts silently, and its older versions leave out what was cached: a lower ratio is such a count."""
_FACTOR_RANGE = (0.25, 4.0)


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
    "openai": Factors(deviation=0.01),
    "harmony": Factors(deviation=0.02),
    # Measured on Claude 4.7 and later by several, see docs/tokens.md: prose 1.20 to 1.46, code 1.13 to 1.39, JSON 1.31.
    "anthropic": Factors(prose=1.33, code=1.30, json=1.31, cjk=1.0, deviation=0.06),
    # Up to 4.6: the above without the 30 % that Anthropic says came with 4.7; usage of Sonnet 4.5 agrees with it.
    "older_claude": Factors(prose=1.04, code=1.05, json=1.05, cjk=1.0, deviation=0.06),
    # Llama 3, Qwen and Mistral have 128,000 to 150,000 tokens against 200,000.
    "local": Factors(prose=1.05, code=1.08, json=1.10, cjk=1.25, deviation=0.06),
    "other": Factors(prose=1.15, code=1.15, json=1.15, cjk=1.15, deviation=0.10),
}


def family_of(provider: str, model: str = "") -> Factors:
    """What is assumed of a model of a kind of provider before it has reported anything."""
    if provider == "builtin":
        return Factors()
    if not model and provider == "openai":
        return _FAMILIES["openai"]
    vendor = vendor_of(provider, model)
    return _FAMILIES["older_claude" if vendor == "anthropic" and writes_older_claude(model) else vendor]


def usage_prompt_tokens(usage: Usage | None, provider: str) -> int | None:
    """The tokens that the whole prompt had by a provider's report, cached ones included; `None` where it does not say, or
    where the figure holds more than the prompt (sound, the results of a vendor's own searches).

    `Usage.prompt_tokens` has cached tokens in it for every vendor: decoders add what Anthropic reports beside them.
    """
    if usage is None or usage.estimated or not usage.prompt_tokens or usage.prompt_tokens < 0:
        return None
    details, billing = usage.prompt_tokens_details, usage.billing
    if (details is not None and details.audio_tokens) or (billing is not None and billing.web_searches):
        return None
    return None if provider == "builtin" else usage.prompt_tokens  # it counts words


class Estimate(Struct, frozen=True):
    """Tokens of a prompt: the likely number, and one that it stays below in all but one of a thousand."""

    tokens: int
    at_most: int


class TokenCalibration:
    """The factors of all models, for any thread. Made with what a process knew, `snapshot` gives what the next should."""

    def __init__(self, known: Mapping[str, Factors] | None = None) -> None:
        self._lock = threading.Lock()
        self._factors: dict[str, Factors] = dict(known or {})
        self._reports: dict[str, int] = dict.fromkeys(self._factors, _FEW)
        self._learned: set[str] = set()

    def factors(self, model: str, provider: str) -> Factors:
        """The present factors of a model that a kind of provider serves."""
        return self._factors.get(model) or family_of(provider, model)

    def estimate(self, model: str, provider: str, counted: Mapping[ContentKind, int], fixed: int = 0) -> Estimate:
        """Tokens of a prompt whose texts were counted with the vocabulary, by kind; `fixed` are those that no vocabulary
        decides (`PromptParts.fixed`)."""
        factors = self.factors(model, provider)
        tokens = _expected(factors, counted, fixed)
        return Estimate(round(tokens), math.ceil(tokens * math.exp(DEVIATIONS * factors.deviation)))

    def estimate_parts(self, model: str, provider: str, parts: PromptParts) -> Estimate:
        """The same for a prompt that was taken apart."""
        return self.estimate(model, provider, parts.by_kind, parts.fixed)

    def learn(
        self, model: str, provider: str, counted: Mapping[ContentKind, int], real: int | None, fixed: int = 0
    ) -> None:
        """A provider has reported `real` prompt tokens for what was counted. What cannot be is passed over."""
        with self._lock:
            factors = self.factors(model, provider)
            expected = _expected(factors, counted, fixed)
            if real is None or expected < _LEAST or not _is_believable(real / expected, provider, model):
                return
            error = math.log(real / expected)
            seen = self._reports.get(model, 0) + 1
            self._reports[model] = seen
            self._learned.add(model)
            moved = {
                kind: _moved(factors.of(kind), factors.of(kind) * counted.get(kind, 0) / expected * error)
                for kind in KINDS
            }
            self._factors[model] = Factors(**moved, deviation=_deviation(factors.deviation, error, seen))

    def learn_parts(self, model: str, provider: str, parts: PromptParts, real: int | None) -> None:
        """The same for a prompt that was taken apart. Images and what is not counted would teach about themselves, so a
        prompt that has them teaches nothing."""
        if not parts.images and not parts.uncounted:
            self.learn(model, provider, parts.by_kind, real, parts.fixed)

    def snapshot(self) -> dict[str, Factors]:
        """What was learned since this object was made, by model."""
        with self._lock:
            return {model: self._factors[model] for model in self._learned}


def _expected(factors: Factors, counted: Mapping[ContentKind, int], fixed: int) -> float:
    return sum(factors.of(kind) * count for kind, count in counted.items()) + fixed


def _is_believable(ratio: float, provider: str, model: str) -> bool:
    local = provider == "ollama" or vendor_of(provider, model) == "local"
    return (_OLLAMA_LEAST if local else 1 / _LARGEST) < ratio < _LARGEST


def _moved(factor: float, error: float) -> float:
    least, most = _FACTOR_RANGE
    return min(most, max(least, factor * math.exp(_STEP * error)))


def _deviation(known: float, error: float, seen: int) -> float:
    """Follows the errors, but does not shrink by the first few of them."""
    found = math.sqrt((1 - _MEMORY) * known**2 + _MEMORY * error**2)
    return max(known, found) if seen < _FEW else found
