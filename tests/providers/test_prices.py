"""Costs: compared with the price list's own calculation, and unknown where nothing is known."""

from datetime import UTC, datetime
from typing import Any

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.model_info import ModelPrice
from caxton_llm.providers.catalog import shipped_catalog
from caxton_llm.providers.prices import EntryPrices, cost_usd
from caxton_llm.providers.settings import ModelFacts, ProviderSettings
from caxton_llm.types import Billing, CompletionTokensDetails, PromptTokensDetails, Usage

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


def azure(**settings: Any) -> EntryPrices:
    return EntryPrices(CATALOG, ProviderSettings(provider="azure", **settings), now=lambda: NOW)


def test_a_deployment_that_is_called_like_another_model_costs_what_the_model_behind_it_does() -> None:
    mini = 1000 * 0.15e-6 + 100 * 0.6e-6
    assert azure().cost("gpt-4o", "gpt-4o-mini-2024-07-18", usage(1000, 100)) == pytest.approx(mini)
    named = azure(deployment_name="prod", model="gpt-4o")
    assert named.cost("gpt-4o", "gpt-4o-mini-2024-07-18", usage(1000, 100)) == pytest.approx(mini)


@pytest.mark.parametrize("answered", ["", "gpt-4o", "our-tuned-model"])
def test_an_azure_answer_that_names_no_known_model_costs_what_the_configuration_says_or_nobody_knows(
    answered: str,
) -> None:
    assert azure().cost("gpt-4o", answered, usage(1000, 100)) is None
    full = pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)
    assert azure(deployment_name="prod", model="gpt-4o").cost("gpt-4o", answered, usage(1000, 100)) == full
    assert azure(deployment_name="prod", model="gpt-4o").cost("prod", answered, usage(1000, 100)) == full
    facts = ModelFacts(base_model="gpt-4o")
    assert azure(model_facts=facts).cost("prod", answered, usage(1000, 100)) == full


def billed(billing: Billing | None, prompt: int = 1000, completion: int = 100, hour: int = 0) -> Usage:
    details = PromptTokensDetails(cached_tokens=200, cache_write_tokens=hour, cache_write_1h_tokens=hour)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, prompt_tokens_details=details, billing=billing)


@pytest.mark.parametrize(
    ("kind", "model", "billing", "context"),
    [
        ("openai", "gpt-5.4", Billing(tier="flex"), {"service_tier": "flex"}),
        ("openai", "gpt-4o", Billing(tier="priority"), {"service_tier": "priority"}),
        ("openai", "gpt-6-sol", Billing(tier="batch"), {"processing": "batch"}),
        ("anthropic", "claude-opus-5", Billing(speed="fast"), {"speed": "fast"}),
        ("anthropic", "claude-haiku-5-5", Billing(tier="batch"), {"processing": "batch"}),
        ("anthropic", "claude-opus-4-8", None, {}),
    ],
)
def test_a_special_tier_and_an_hour_in_the_cache_cost_what_the_price_list_says(
    kind: str, model: str, billing: Billing | None, context: dict[str, str]
) -> None:
    hour = 300 if kind == "anthropic" else 0
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=1000,
            cache_read_tokens=200,
            cache_write_tokens=hour,
            cache_write_1h_tokens=hour,
            output_tokens=100,
        ),
        model,
        provider_id=kind,
        genai_request_timestamp=NOW,
        price_context=context,
    )
    ours = PRICES[kind].cost(model, model, billed(billing, hour=hour))
    assert ours == pytest.approx(float(theirs.total_price), rel=1e-9)


def test_an_hour_in_the_cache_costs_twice_the_input() -> None:
    written = PromptTokensDetails(cache_write_tokens=1000, cache_write_1h_tokens=400)
    told = Usage(prompt_tokens=1000, completion_tokens=0, prompt_tokens_details=written)
    cost = PRICES["anthropic"].cost("claude-opus-4-8", "", told)
    assert cost == pytest.approx((600 * 1.25 + 400 * 2) * 5e-6)


def test_us_only_answers_and_searches_are_charged_for() -> None:
    plain = PRICES["anthropic"].cost("claude-opus-5", "", billed(None)) or 0
    far = PRICES["anthropic"].cost("claude-opus-5", "", billed(Billing(region="us", web_searches=3)))
    assert far == pytest.approx(plain * 1.1 + 0.03)


@pytest.mark.parametrize(
    ("kind", "model", "billing"),
    [
        ("openai", "gpt-4o", Billing(tier="flex")),
        ("openai", "gpt-4o", Billing(tier="scale")),
        ("openai", "gpt-4o", Billing(region="us")),
        ("azure", "gpt-4o-2024-11-20", Billing(tier="priority")),
        ("anthropic", "claude-sonnet-4-5", Billing(speed="fast")),
        ("anthropic", "claude-opus-5", Billing(tier="batch", speed="fast")),
        ("anthropic", "claude-opus-5", Billing(tier="priority")),
        ("anthropic", "claude-opus-5", Billing(region="eu")),
        ("anthropic", "claude-3-haiku-20240307", Billing(web_searches=1)),
    ],
)
def test_a_surcharge_without_a_known_price_makes_the_cost_unknown(kind: str, model: str, billing: Billing) -> None:
    assert PRICES[kind].cost("", model, billed(None)) is not None
    assert PRICES[kind].cost("", model, billed(billing)) is None


def test_a_configured_price_is_that_of_ordinary_answers_only() -> None:
    facts = ModelFacts(input_usd_per_million=7.0, output_usd_per_million=8.0)
    prices = EntryPrices(CATALOG, ProviderSettings(provider="openai", model_facts=facts), now=lambda: NOW)
    assert prices.cost("gpt-4o", "", billed(None)) is not None
    assert prices.cost("gpt-4o", "", billed(Billing(tier="flex"))) is None


def test_sound_costs_more_than_text() -> None:
    heard = Usage(
        prompt_tokens=1000,
        completion_tokens=500,
        prompt_tokens_details=PromptTokensDetails(audio_tokens=800),
        completion_tokens_details=CompletionTokensDetails(audio_tokens=400),
    )
    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000, input_audio_tokens=800, output_tokens=500, output_audio_tokens=400),
        "gpt-audio",
        provider_id="openai",
        genai_request_timestamp=NOW,
    )
    assert PRICES["openai"].cost("gpt-audio", "", heard) == pytest.approx(float(theirs.total_price), rel=1e-9)
    assert PRICES["openai"].cost("gpt-4o-audio-preview", "", heard) is None


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
