"""Costs: compared with the price list's own calculation, and unknown where nothing is known."""

from datetime import UTC, datetime

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.model_info import ModelPrice
from caxton_llm.providers.catalog import shipped_catalog
from caxton_llm.providers.prices import EntryPrices, cost_usd
from caxton_llm.providers.settings import ModelFacts, ProviderSettings
from caxton_llm.types import CompletionTokensDetails, PromptTokensDetails, Usage

CATALOG = shipped_catalog()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-2024-11-20"),
    ("openai", "gpt-3.5-turbo"),
    ("openai", "gpt-5.4"),
    ("openai", "gpt-5.6-sol"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-5-5"),
    ("anthropic", "claude-fable-5-1"),
    ("azure", "gpt-4.1"),
]


def entry_prices(kind: str, now: datetime = NOW, base_url: str | None = None) -> EntryPrices:
    return EntryPrices(CATALOG, ProviderSettings(provider=kind, base_url=base_url), now=lambda: now)


PRICES = {kind: entry_prices(kind) for kind in ("openai", "anthropic", "azure")}


def usage(prompt: int, completion: int, cached: int | None = None, written: int | None = None) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached, cache_write_tokens=written),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=completion // 2),
    )


@pytest.mark.parametrize(("kind", "model"), MODELS)
@settings(max_examples=25, deadline=None)
@given(
    parts=st.tuples(*[st.integers(0, 200_000)] * 3),
    completion=st.integers(0, 100_000),
)
def test_the_cost_is_the_price_lists_own(kind: str, model: str, parts: tuple[int, int, int], completion: int) -> None:
    plain, cached, written = parts
    ours = cost_usd(PRICES[kind](model), usage(sum(parts), completion, cached, written))
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=plain + cached + written,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            output_tokens=completion,
        ),
        model,
        provider_id=kind,
        genai_request_timestamp=NOW,
    )
    assert ours == pytest.approx(float(theirs.total_price), rel=1e-9, abs=1e-12)


def test_every_listed_price_of_the_catalogue_agrees_with_the_price_list() -> None:
    """Sonnet 4.5 alone differs: its tier above 200,000 tokens belonged to a window that is no longer offered."""
    differing = {
        model.id
        for kind in ("openai", "anthropic")
        for model in CATALOG.models(kind)
        if model.price is not None and PRICES[kind](model.id) != model.price
    }
    assert differing == {"claude-sonnet-4-5-20250929"}


def test_the_threshold_itself_still_has_the_lower_price() -> None:
    price = PRICES["openai"]("gpt-5.4")
    assert cost_usd(price, usage(272_000, 0)) == pytest.approx(272_000 * 2.5e-6)
    assert cost_usd(price, usage(272_001, 0)) == pytest.approx(272_001 * 5e-6)


def test_tokens_without_a_rate_of_their_own_are_billed_as_input() -> None:
    price = ModelPrice(input=1.0, output=2.0)
    assert cost_usd(price, usage(1_000_000, 0, cached=400_000, written=100_000)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "unknown",
    [None, Usage(), Usage(prompt_tokens=5), Usage(completion_tokens=5), Usage(total_tokens=10)],
)
def test_an_unknown_usage_has_no_cost_rather_than_none_at_all(unknown: Usage | None) -> None:
    assert cost_usd(ModelPrice(input=1.0, output=1.0), unknown) is None


def test_an_unknown_price_makes_an_unknown_cost() -> None:
    assert cost_usd(None, usage(1, 1)) is None


def test_no_tokens_cost_nothing() -> None:
    assert cost_usd(ModelPrice(input=1.0, output=1.0), usage(0, 0)) == 0.0


def test_contradictory_details_never_make_the_rest_negative() -> None:
    assert cost_usd(ModelPrice(input=1.0, output=1.0, cache_read=0.0), usage(10, 0, cached=20)) == 0.0


@pytest.mark.parametrize("kind", ["ollama", "vllm", "custom"])
def test_a_local_server_has_no_price_unless_the_configuration_says_one(kind: str) -> None:
    assert entry_prices(kind)("gpt-4o") is None
    facts = ModelFacts(input_usd_per_million=0.1, output_usd_per_million=0.2)
    configured = EntryPrices(CATALOG, ProviderSettings(provider=kind, model_facts=facts), now=lambda: NOW)
    assert configured("gpt-4o") == ModelPrice(input=0.1, output=0.2)


def test_the_offline_provider_is_free() -> None:
    assert cost_usd(entry_prices("builtin")("anything"), usage(1000, 1000)) == 0.0


def test_a_configured_price_wins_over_the_price_list() -> None:
    facts = ModelFacts(input_usd_per_million=7.0, output_usd_per_million=8.0)
    prices = EntryPrices(CATALOG, ProviderSettings(provider="openai", model_facts=facts), now=lambda: NOW)
    assert prices("gpt-4o") == ModelPrice(input=7.0, output=8.0)


def test_the_price_of_an_azure_answer_is_that_of_the_model_which_answered() -> None:
    prices = PRICES["azure"]
    assert prices("gpt-4o-2024-11-20") == ModelPrice(input=2.5, output=10.0, cache_read=1.25)
    assert prices("o4-mini-for-the-sales-team") is None
    facts = ModelFacts(base_model="o4-mini")
    named = EntryPrices(CATALOG, ProviderSettings(provider="azure", model_facts=facts), now=lambda: NOW)
    assert named("o4-mini-for-the-sales-team") == ModelPrice(input=1.1, output=4.4, cache_read=0.275)


def test_an_address_of_another_vendor_has_that_vendors_prices() -> None:
    mistral = entry_prices("openai", base_url="https://api.mistral.ai/v1")
    price = mistral("mistral-small-latest")
    assert price is not None
    assert mistral("no-such-model") is None


def test_behind_an_unknown_address_only_the_vendors_own_names_have_a_price() -> None:
    proxied = entry_prices("openai", base_url="https://llm.example.com/v1")
    assert proxied("gpt-4o") == ModelPrice(input=2.5, output=10.0, cache_read=1.25)
    assert proxied("gpt-oss-120b") is None
    assert proxied("our-model") is None


def test_a_price_that_depends_on_the_hour_is_that_of_the_moment() -> None:
    moments = [NOW.replace(hour=hour) for hour in range(24)]
    seen = set()
    for moment in moments:
        price = entry_prices("openai", moment, "https://api.deepseek.com")("deepseek-v4-pro")
        theirs = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1_000_000, output_tokens=0),
            "deepseek-v4-pro",
            provider_id="deepseek",
            genai_request_timestamp=moment,
        )
        assert cost_usd(price, usage(1_000_000, 0)) == pytest.approx(float(theirs.total_price))
        seen.add(theirs.total_price)
    assert len(seen) > 1


def test_the_price_of_a_described_model_says_where_it_is_from() -> None:
    info = CATALOG.find("openai", "gpt-4o-mini")
    assert PRICES["openai"].fill(info).sources["price"] == "catalogue"
    sonnet = PRICES["anthropic"].fill(CATALOG.find("anthropic", "claude-sonnet-4-5"))
    assert sonnet.price is not None
    assert (sonnet.price.tier_above_tokens, sonnet.sources["price"]) == (200_000, "genai-prices")
