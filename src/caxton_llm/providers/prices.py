"""What an answer costs.

Prices come, in this order, from the configuration (`model_facts`), from the `genai-prices` package as it is installed
(nothing is ever downloaded), and from the catalogue. An unknown price makes an unknown cost, `None`, never 0; only the
`builtin` provider is free of charge, and a local server costs what the configuration says.

`genai-prices` is imported when the first price is looked up. Its entries are turned into `ModelPrice` once per model, so that
a request pays for a dictionary read and a few multiplications.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec.structs import replace

from caxton_llm.model_info import ModelInfo, ModelPrice
from caxton_llm.providers.catalog import Catalog
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo as ListedModel
    from genai_prices.types import ModelPrice as ListedPrice
    from genai_prices.types import Provider as ListedProvider
    from genai_prices.types import TieredPrices

__all__ = ["EntryPrices", "cost_usd"]

_FREE = ModelPrice(input=0.0, output=0.0, cache_read=0.0, cache_write=0.0)
_LISTED_KINDS = frozenset({"openai", "anthropic", "azure"})
_REMEMBERED_MODELS = 1024


def cost_usd(price: ModelPrice | None, usage: Usage | None) -> float | None:
    """The cost of an answer in USD; `None` when the price or the usage is not known.

    Cached and cache-written tokens are parts of the prompt tokens, each billed at its own rate instead of the input's; where
    a model has no such rate they are billed as input. Tokens whose part is not known count as plain input.
    """
    if price is None or usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    prompt = usage.prompt_tokens
    while price.tier is not None and price.tier_above_tokens is not None and prompt > price.tier_above_tokens:
        price = price.tier
    cached = usage.cached_tokens or 0
    written = usage.cache_write_tokens or 0
    cached_rate = price.input if price.cache_read is None else price.cache_read
    written_rate = price.input if price.cache_write is None else price.cache_write
    dollars = (
        max(0, prompt - cached - written) * price.input
        + cached * cached_rate
        + written * written_rate
        + usage.completion_tokens * price.output
    )
    return dollars / 1_000_000


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EntryPrices:
    """The prices of one configured entry: call it with the name of a model, of the request or of the answer.

    `None` for a model whose price nobody knows. A price that depends on the date or the hour is the one of `now()`.
    """

    def __init__(self, catalog: Catalog, settings: ProviderSettings, *, now: Callable[[], datetime] = _utc_now) -> None:
        self._catalog = catalog
        self._settings = settings
        self._now = now
        self._terms: dict[str, tuple[_Term, ...]] = {}

    def __call__(self, model: str) -> ModelPrice | None:
        terms = self._terms.get(model)
        if terms is None:
            if len(self._terms) >= _REMEMBERED_MODELS:
                self._terms.clear()
            terms = self._terms[model] = self._find(model)
        for term in terms:
            if term.when is None or term.when.active(self._now()):
                return term.price
        return None

    def fill(self, info: ModelInfo) -> ModelInfo:
        """`info` with the price that applies now, and with where it came from."""
        price = self(info.id)
        if price is None or price == info.price:
            return info
        return replace(info, price=price, sources={**info.sources, "price": "genai-prices"})

    def _find(self, model: str) -> "tuple[_Term, ...]":
        info = self._catalog.describe(self._settings, model)
        if info.sources.get("price") == "configuration":
            return (_Term(None, info.price),)
        if self._settings.provider == "builtin":
            return (_Term(None, _FREE),)
        name = self._catalog.base_model(self._settings, model)
        provider = self._listed_provider(name)
        found = _listed_model(provider, name) if provider is not None else None
        return _terms(found) if found is not None else (_Term(None, info.price),)

    def _listed_provider(self, name: str) -> "ListedProvider | None":
        """Whose price list applies: that of the address where it is known, else that of the entry's kind.

        A deployment and a model behind an unknown address have names of their operator's choice. Those are looked up only
        when the vendor has a model of exactly that name, because price lists match names by their beginnings.
        """
        kind, address = self._settings.provider, self._settings.base_url
        if kind not in _LISTED_KINDS:
            return None
        by_address = _provider_at(address) if address and kind != "azure" else None
        if by_address is not None:
            return by_address
        if (address or kind == "azure") and not self._catalog.knows(kind, name):
            return None
        return _provider_called(kind)


class _Constraint(Protocol):
    def active(self, request_timestamp: datetime) -> bool: ...


class _Term(NamedTuple):
    """A price and when it applies; the first that applies counts."""

    when: _Constraint | None
    price: ModelPrice | None


@cache
def _providers() -> "Sequence[ListedProvider]":
    from genai_prices.data import providers  # noqa: PLC0415 - 160 ms and 40 MiB that an import must not cost

    return providers


def _provider_called(name: str) -> "ListedProvider | None":
    return next((provider for provider in _providers() if provider.id == name), None)


@cache
def _provider_at(address: str) -> "ListedProvider | None":
    import re  # noqa: PLC0415 - once per configured address

    return next((provider for provider in _providers() if re.match(provider.api_pattern, address)), None)


def _listed_model(provider: "ListedProvider", name: str) -> "ListedModel | None":
    return provider.find_model(name.lower(), all_providers=list(_providers()))


def _terms(model: "ListedModel") -> tuple[_Term, ...]:
    if not isinstance(model.prices, list):
        return (_Term(None, _price(model.prices)),)
    terms = [_Term(price.constraint, _price(price.prices)) for price in reversed(model.prices)]
    return (*terms, _Term(None, _price(model.prices[0].prices)))


def _price(listed: "ListedPrice") -> ModelPrice | None:
    """`None` where `ModelPrice` cannot say it: no price per token, or a fee per request."""
    if listed.input_mtok is None or listed.output_mtok is None or listed.requests_kcount is not None:
        return None
    read, write = listed.cache_read_mtok, listed.cache_write_mtok
    rates = (listed.input_mtok, listed.output_mtok, read, write)
    thresholds = {tier.start for rate in rates for tier in getattr(rate, "tiers", ())}
    price: ModelPrice | None = None
    above: int | None = None
    for threshold in sorted({0, *thresholds}, reverse=True):
        price = ModelPrice(
            input=_rate_above(listed.input_mtok, threshold),
            output=_rate_above(listed.output_mtok, threshold),
            cache_read=None if read is None else _rate_above(read, threshold),
            cache_write=None if write is None else _rate_above(write, threshold),
            tier_above_tokens=above,
            tier=price,
        )
        above = threshold
    return price


def _rate_above(rate: "Decimal | TieredPrices", threshold: int) -> float:
    """The rate for prompts just longer than `threshold` tokens."""
    if isinstance(rate, Decimal):
        return float(rate)
    reached = [tier.price for tier in rate.tiers if tier.start <= threshold]
    return float(reached[-1] if reached else rate.base)
