"""What an answer costs.

Prices come, in this order, from the configuration (`model_facts`), from the `genai-prices` package as it is installed
(nothing is ever downloaded), and from the catalogue. An unknown price makes an unknown cost, `None`, never 0; only the
`builtin` provider is free of charge, and a local server costs what the configuration says.

`genai-prices` is imported when the first price is looked up. Its entries are turned into `ModelPrice` once per model, so that
a request pays for a dictionary read and a few multiplications.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec.structs import replace

from caxton_llm.model_info import ModelInfo, ModelPrice
from caxton_llm.providers.catalog import Catalog
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.usage import Billing, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo as ListedModel
    from genai_prices.types import ModelPrice as ListedPrice
    from genai_prices.types import Provider as ListedProvider
    from genai_prices.types import TieredPrices

__all__ = ["EntryPrices", "cost_usd"]

_FREE = ModelPrice(input=0.0, output=0.0, cache_read=0.0, cache_write=0.0)
_LISTED_KINDS = frozenset({"openai", "anthropic", "azure"})
_REMEMBERED_MODELS = 1024
_DEARER_REGION = ("anthropic", "us")
_DEARER_REGION_FACTOR = 1.1
"""Anthropic's surcharge on all tokens where only machines in the US may answer; price lists have no word for it."""


def cost_usd(price: ModelPrice | None, usage: Usage | None) -> float | None:
    """The cost of an answer's tokens in USD; `None` when the price or the usage is not known.

    Cached and cache-written tokens are parts of the prompt tokens, each billed at its own rate instead of the input's; where
    a model has no such rate they are billed as input. Tokens whose part is not known count as plain input. Sound has no such
    substitute: it costs a multiple of text.
    """
    if price is None or usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    prompt = usage.prompt_tokens
    while price.tier is not None and price.tier_above_tokens is not None and prompt > price.tier_above_tokens:
        price = price.tier
    cached = written = heard = spoken = 0
    details = usage.prompt_tokens_details
    if details is not None:
        cached, written, heard = details.cached_tokens or 0, details.cache_write_tokens or 0, details.audio_tokens or 0
    if usage.completion_tokens_details is not None:
        spoken = usage.completion_tokens_details.audio_tokens or 0
    cached_rate = price.input if price.cache_read is None else price.cache_read
    dollars = (
        max(0, prompt - cached - written) * price.input + cached * cached_rate + usage.completion_tokens * price.output
    )
    if written:
        dollars += _written(price, usage, written)
    if heard or spoken:
        surcharge = _sound(price, min(heard, prompt), min(spoken, usage.completion_tokens))
        if surcharge is None:
            return None
        dollars += surcharge
    return dollars / 1_000_000


def _written(price: ModelPrice, usage: Usage, written: int) -> float:
    """What was written to the cache, by how long it is kept."""
    rate = price.input if price.cache_write is None else price.cache_write
    hour = min(written, usage.cache_write_1h_tokens or 0)
    return (written - hour) * rate + hour * (rate if price.cache_write_1h is None else price.cache_write_1h)


def _sound(price: ModelPrice, heard: int, spoken: int) -> float | None:
    """What sound costs more than as many tokens of text; `None` where its rate is not known."""
    if (heard and price.input_audio is None) or (spoken and price.output_audio is None):
        return None
    more_heard = heard * (price.input_audio - price.input) if price.input_audio is not None else 0.0
    more_spoken = spoken * (price.output_audio - price.output) if price.output_audio is not None else 0.0
    return more_heard + more_spoken


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
        self._by_answer = settings.provider == "azure"
        self._found: dict[str, _Found] = {}

    def __call__(self, model: str) -> ModelPrice | None:
        found = self._found.get(model) or self._find(model)
        for term in found.terms:
            if term.when is None or term.when.active(self._now()):
                return term.price
        return None

    def cost(self, asked: str, answered: str, usage: Usage | None) -> float | None:
        """The cost in USD of an answer by the model `answered` to a request for `asked`; `None` when it is not known.

        What raises or lowers the cost (a service tier, a fast mode, a region, searches) is priced as the price list says, and
        where the list does not say, the cost is not known.
        """
        if usage is None:
            return None
        if self._by_answer:
            asked, answered = self._azure_names(asked, answered)
        model, price = asked, self(asked) if asked else None
        if price is None and answered:
            model, price = answered, self(answered)
        if price is None or usage.billing is None:
            return cost_usd(price, usage)
        return self._special(model, usage, usage.billing)

    def fill(self, info: ModelInfo) -> ModelInfo:
        """`info` with the price that applies now, and with where it came from."""
        price = self(info.id)
        if price is None or price == info.price:
            return info
        return replace(info, price=price, sources={**info.sources, "price": "genai-prices"})

    def _azure_names(self, asked: str, answered: str) -> tuple[str, str]:
        """The model that answered comes first. A deployment may be called like a model that it is not, so the name that was
        asked for counts only where the configuration says what is behind it."""
        settings, facts = self._settings, self._settings.model_facts
        told = facts is not None and (facts.base_model or facts.input_usd_per_million is not None)
        behind = settings.deployment_name and settings.model and asked in (settings.model, settings.deployment_name)
        known = asked if told or behind else ""
        return ("" if answered == asked else answered), known

    def _special(self, model: str, usage: Usage, billing: Billing) -> float | None:
        """The cost of an answer that is not billed at the ordinary rates."""
        found = self._find(model)
        listed, vendor = found.listed, found.vendor
        if listed is None:
            return None
        context = _context(billing)
        now = self._now()
        if len(context) > 1 or not all(_has_variant(listed, key, value, now) for key, value in context.items()):
            return None
        prices = listed.get_prices(now, context)
        cost = cost_usd(_price(prices), usage)
        if billing.region is not None:
            cost = None if cost is None or (vendor, billing.region) != _DEARER_REGION else cost * _DEARER_REGION_FACTOR
        if cost is not None and billing.web_searches:
            thousand = prices.web_searches_kcount
            return cost + billing.web_searches * float(thousand) / 1000 if isinstance(thousand, Decimal) else None
        return cost

    def _find(self, model: str) -> "_Found":
        if model not in self._found:
            if len(self._found) >= _REMEMBERED_MODELS:
                self._found.clear()
            self._found[model] = self._look_up(model)
        return self._found[model]

    def _look_up(self, model: str) -> "_Found":
        info = self._catalog.describe(self._settings, model)
        if info.sources.get("price") == "configuration":
            return _Found((_Term(None, info.price),))
        if self._settings.provider == "builtin":
            return _Found((_Term(None, _FREE),))
        name = self._catalog.base_model(self._settings, model)
        provider = self._listed_provider(name)
        listed = _listed_model(provider, name) if provider is not None else None
        if provider is None or listed is None:
            return _Found((_Term(None, info.price),))
        # A vendor that sells another's models does not sell their special tiers at the same price.
        own = any(listed is model for model in provider.models)
        return _Found(_terms(listed), listed if own else None, provider.id)

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


class _Found(NamedTuple):
    """What is known of one model's price."""

    terms: tuple[_Term, ...]
    listed: "ListedModel | None" = None
    """The entry of the vendor's own price list, which has the special tiers too."""
    vendor: str = ""


def _context(billing: Billing) -> dict[str, str]:
    """The special rates that apply, in the price list's words."""
    context = {}
    if billing.tier is not None:
        context["processing" if billing.tier == "batch" else "service_tier"] = billing.tier
    if billing.speed is not None:
        context["speed"] = billing.speed
    return context


def _has_variant(listed: "ListedModel", key: str, value: str, now: datetime) -> bool:
    return any(
        variant.when == {key: value} and (variant.constraint is None or variant.constraint.active(now))
        for variant in listed.price_variants or ()
    )


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
    rates = {name: rate for name, rate in _rates(listed) if rate is not None}
    thresholds = {tier.start for rate in rates.values() for tier in getattr(rate, "tiers", ())}
    price: ModelPrice | None = None
    above: int | None = None
    for threshold in sorted({0, *thresholds}, reverse=True):
        reached = {name: _rate_above(rate, threshold) for name, rate in rates.items()}
        price = ModelPrice(**reached, tier_above_tokens=above, tier=price)
        above = threshold
    return price


def _rates(listed: "ListedPrice") -> "Iterator[tuple[str, Decimal | TieredPrices | None]]":
    yield "input", listed.input_mtok
    yield "output", listed.output_mtok
    yield "cache_read", listed.cache_read_mtok
    yield "cache_write", listed.cache_write_mtok
    yield "cache_write_1h", listed.cache_write_1h_mtok
    yield "input_audio", listed.input_audio_mtok
    yield "output_audio", listed.output_audio_mtok


def _rate_above(rate: "Decimal | TieredPrices", threshold: int) -> float:
    """The rate for prompts just longer than `threshold` tokens."""
    if isinstance(rate, Decimal):
        return float(rate)
    reached = [tier.price for tier in rate.tiers if tier.start <= threshold]
    return float(reached[-1] if reached else rate.base)
