"""What limits a prompt: the agent, its tools and the model's window, the smallest counts."""

import pytest

from caxton_llm.agents.requirements import Requirements
from caxton_llm.context.budget import ASSUMED_WINDOW, TargetView, view_of
from caxton_llm.context_requirements import ProviderOptimization
from caxton_llm.model_info import ModelInfo
from caxton_llm.tokens import Factors


def view(
    kind: str = "openai", *, budget: int | None = None, wishes: ProviderOptimization | None = None, **info: int
) -> TargetView:
    needs = Requirements(provider_optimization={} if wishes is None else {kind: wishes})
    model = ModelInfo(id="m", provider=kind, **info)
    return view_of(kind, model, Factors(), requirements=needs, budget=budget, reserve=1000, output_limit=None)


def test_the_smallest_limit_counts_and_is_named() -> None:
    tools = ProviderOptimization(max_context_tokens=6000)
    found = view(budget=7000, wishes=tools, context_window=128_000)
    assert (found.budget, found.limited_by) == (6000, "max_context_tokens for openai")
    assert view(budget=5000, wishes=tools, context_window=128_000).limited_by == "the agent's budget"
    assert view(budget=5000, wishes=tools, context_window=4000).budget == 3000


def test_what_tools_wish_of_one_provider_is_nothing_to_another() -> None:
    needs = Requirements(provider_optimization={"anthropic": ProviderOptimization(max_context_tokens=10)})
    model = ModelInfo(id="m", provider="openai", context_window=9000)
    found = view_of("openai", model, Factors(), requirements=needs, budget=None, reserve=1000, output_limit=2000)
    assert found.budget == 7000


def test_an_unknown_window_is_assumed_and_said() -> None:
    found = view()
    assert found.budget == ASSUMED_WINDOW
    assert "not known" in found.notes[0]
    assert view(budget=100).notes == ()


@pytest.mark.parametrize("wish", ["function_calling_format", "tool_use_format"])
def test_calling_that_is_switched_off_offers_no_tools_and_says_so(wish: str) -> None:
    found = view(budget=1000, wishes=ProviderOptimization(**{wish: False}))
    assert not found.offers_tools
    assert "switch calling off for openai" in found.notes[0]
    assert view(budget=1000, wishes=ProviderOptimization(**{wish: True})).offers_tools


def test_structured_output_holds_arguments_to_their_schema_where_the_provider_can() -> None:
    wishes = ProviderOptimization(structured_output=True)
    assert view(budget=1000, wishes=wishes).strict_tools
    assert not view("anthropic", budget=1000, wishes=wishes).strict_tools
