"""Factors between the vocabulary at hand and the real tokenizers, learned from usage."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.tokens import Factors, TokenCalibration, family_of, usage_prompt_tokens
from caxton_llm.tokens.content import KINDS, ContentKind, kind_of
from caxton_llm.tokens.parts import PromptParts
from caxton_llm.usage import Billing, PromptTokensDetails, Usage

PROVIDERS = ("openai", "azure", "anthropic", "ollama", "vllm", "custom", "builtin")
MODELS = ("gpt-4o", "claude-opus-5", "claude-sonnet-4-5", "llama3.1:8b", "gpt-oss:20b", "some-deployment")

counts = st.dictionaries(st.sampled_from(KINDS), st.integers(0, 200_000))
reports = st.lists(st.tuples(counts, st.integers(-1_000, 1_000_000), st.integers(0, 5_000)), max_size=20)


@given(st.sampled_from(PROVIDERS), st.sampled_from(MODELS), reports, counts, st.integers(0, 10_000))
def test_an_estimate_never_exceeds_its_upper_bound(
    provider: str,
    model: str,
    told: list[tuple[dict[ContentKind, int], int, int]],
    counted: dict[ContentKind, int],
    fixed: int,
) -> None:
    calibration = TokenCalibration()
    for earlier, real, around in told:
        calibration.learn(model, provider, earlier, real, around)
    estimate = calibration.estimate(model, provider, counted, fixed)
    assert fixed <= estimate.tokens <= estimate.at_most
    assert all(0.25 <= calibration.factors(model, provider).of(kind) <= 4.0 for kind in KINDS)


@given(st.sampled_from(KINDS), st.floats(0.6, 2.5), st.integers(0, 300))
def test_reports_of_one_kind_of_text_lead_to_its_true_factor(kind: ContentKind, true: float, fixed: int) -> None:
    calibration = TokenCalibration()
    for size in range(2_000, 6_000, 100):
        calibration.learn("m", "anthropic", {kind: size}, round(size * true) + fixed, fixed)
    learned = calibration.factors("m", "anthropic")
    assert learned.of(kind) == pytest.approx(true, rel=0.005)
    others = [other for other in KINDS if other != kind]
    assert all(learned.of(other) == family_of("anthropic", "m").of(other) for other in others)


TRUE: dict[ContentKind, float] = {"prose": 1.40, "code": 1.20, "json": 1.10, "cjk": 0.90}


def mixed(source: random.Random) -> dict[ContentKind, int]:
    return {kind: source.randint(200, 4_000) for kind in source.sample(KINDS, source.randint(1, 4))}


def real_tokens(counted: dict[ContentKind, int], noise: float = 0.0) -> int:
    return round(sum(TRUE[kind] * count for kind, count in counted.items()) * math.exp(noise))


def test_mixed_prompts_teach_the_factor_of_every_kind() -> None:
    source, calibration = random.Random(1), TokenCalibration()
    for _ in range(2_000):
        counted = mixed(source)
        calibration.learn("m", "anthropic", counted, real_tokens(counted))
    learned = calibration.factors("m", "anthropic")
    assert all(learned.of(kind) == pytest.approx(factor, rel=0.01) for kind, factor in TRUE.items())


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.06])
def test_the_bound_holds_for_999_of_1000_prompts_while_it_learns_and_after(noise: float) -> None:
    prompts = beyond = 0
    for seed in range(12):
        source, calibration = random.Random(seed), TokenCalibration()
        for _ in range(2_000):
            counted = mixed(source)
            real = real_tokens(counted, source.gauss(0, noise))
            prompts += 1
            beyond += real > calibration.estimate("m", "anthropic", counted).at_most
            calibration.learn("m", "anthropic", counted, real)
    assert beyond / prompts <= 0.001


def test_the_bound_comes_closer_as_reports_agree() -> None:
    source, calibration = random.Random(3), TokenCalibration()
    before = calibration.estimate("m", "anthropic", {"prose": 10_000})
    for _ in range(200):
        counted = mixed(source)
        calibration.learn("m", "anthropic", counted, real_tokens(counted, source.gauss(0, 0.005)))
    after = calibration.estimate("m", "anthropic", {"prose": 10_000})
    assert before.at_most / before.tokens > 1.2
    assert after.at_most / after.tokens < 1.04


@pytest.mark.parametrize(
    ("provider", "real"),
    [
        ("anthropic", None),
        ("anthropic", 0),
        ("anthropic", -5),
        ("anthropic", 3),
        ("anthropic", 900_000),
        ("ollama", 700),
    ],
)
def test_a_report_that_cannot_be_teaches_nothing(provider: str, real: int | None) -> None:
    """Nothing said, zero, counts of something else, and what Ollama reports of a prompt that it has cut."""
    calibration = TokenCalibration()
    calibration.learn("llama", provider, {"prose": 1_100}, real)
    assert calibration.snapshot() == {}
    assert calibration.factors("llama", provider) == family_of(provider, "llama")


def test_prompts_of_mostly_frame_and_prompts_with_images_teach_nothing() -> None:
    calibration = TokenCalibration()
    calibration.learn("m", "openai", {"prose": 20}, 60)
    calibration.learn_parts("m", "openai", PromptParts(messages=900, images=765, by_kind={"prose": 900}), 1_900)
    calibration.learn_parts(
        "m", "openai", PromptParts(messages=900, by_kind={"prose": 900}, uncounted=("file",)), 1_900
    )
    assert calibration.snapshot() == {}
    calibration.learn_parts("m", "openai", PromptParts(messages=900, by_kind={"prose": 900}), 1_100)
    assert list(calibration.snapshot()) == ["m"]


def test_what_was_learned_goes_on_in_another_calibration_and_only_news_are_in_its_snapshot() -> None:
    first = TokenCalibration()
    for _ in range(10):
        first.learn("m", "anthropic", {"prose": 1_000}, 1_500)
    second = TokenCalibration(first.snapshot())
    assert second.estimate("m", "anthropic", {"prose": 500}) == first.estimate("m", "anthropic", {"prose": 500})
    assert second.snapshot() == {}
    second.learn("other", "anthropic", {"code": 1_000}, 1_200)
    assert list(second.snapshot()) == ["other"]


def test_models_do_not_teach_each_other() -> None:
    calibration = TokenCalibration()
    calibration.learn("m", "anthropic", {"prose": 1_000}, 2_000)
    assert calibration.factors("n", "anthropic") == family_of("anthropic", "n")


def test_a_model_is_judged_by_its_name_where_the_kind_of_provider_says_little() -> None:
    assert family_of("openai", "gpt-6-sol") == family_of("azure", "my-deployment") == family_of("openai")
    assert family_of("openai", "gemini-2.5-pro").prose > family_of("openai", "gpt-4o").prose
    assert family_of("openai", "anthropic/claude-opus-5") == family_of("anthropic", "claude-opus-5")
    assert (
        family_of("anthropic", "claude-opus-5").prose > 1.2 > family_of("anthropic", "claude-sonnet-4-5-20250929").prose
    )
    assert family_of("anthropic", "claude-opus-4-7") == family_of("anthropic", "claude-fable-5")
    assert family_of("builtin", "anything") == Factors()


@pytest.mark.parametrize(
    ("usage", "provider", "tokens"),
    [
        (None, "openai", None),
        (Usage(), "ollama", None),
        (Usage(prompt_tokens=0), "ollama", None),
        (Usage(prompt_tokens=12, estimated=True), "openai", None),
        (Usage(prompt_tokens=12), "builtin", None),
        (Usage(prompt_tokens=12), "vllm", 12),
        (
            Usage(prompt_tokens=1_114, prompt_tokens_details=PromptTokensDetails(cached_tokens=1_111)),
            "anthropic",
            1_114,
        ),
        (Usage(prompt_tokens=90, prompt_tokens_details=PromptTokensDetails(audio_tokens=40)), "openai", None),
        (Usage(prompt_tokens=9_000, billing=Billing(web_searches=2)), "anthropic", None),
    ],
)
def test_usage_tells_the_whole_prompt_or_nothing(usage: Usage | None, provider: str, tokens: int | None) -> None:
    assert usage_prompt_tokens(usage, provider) == tokens


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "prose"),
        ("The mitre is worn at the altar, and nowhere else.", "prose"),
        ("def f(x):\n    return [y * 2 for y in x if y > 0]\n\nprint(f([1, 2, 3]))", "code"),
        ('{"city": "Oslo", "degrees": 21, "wind": {"from": "NW", "speed": 7}}', "json"),
        ("[1] A footnote that begins with a bracket is no JSON.", "prose"),
        ("東京の天気は晴れです。気温は21度。", "cjk"),
        ("오늘 서울의 날씨는 맑습니다", "cjk"),
    ],
)
def test_the_kind_of_a_text_is_seen_from_its_signs(text: str, kind: str) -> None:
    assert kind_of(text) == kind


@given(st.text(max_size=3_000))
def test_any_text_has_a_kind(text: str) -> None:
    assert kind_of(text) in KINDS
