"""What limits a prompt: the agent, its tools and the model's window, the smallest counts."""

import msgspec
import pytest
from msgspec.structs import replace

from caxton_llm.agents.requirements import REQUEST, Requirements
from caxton_llm.context.budget import ASSUMED_WINDOW, TargetView, view_of
from caxton_llm.context_requirements import ProviderOptimization
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import EncodeOptions
from caxton_llm.tokens import Factors
from caxton_llm.types import ChatRequest, Message
from caxton_llm.wire import anthropic_messages


def view(
    kind: str = "openai",
    *,
    budget: int | None = None,
    wishes: ProviderOptimization | None = None,
    context_window: int | None = None,
    asked_by: str = "pdf",
) -> TargetView:
    needs = Requirements(provider_optimization={} if wishes is None else {asked_by: {kind: wishes}})
    model = ModelInfo(id="m", provider=kind, context_window=context_window)
    return view_of(
        kind,
        model,
        Factors(),
        requirements=needs,
        tools=("pdf", "weather"),
        budget=budget,
        reserve=1000,
        output_limit=None,
    )


def test_the_smallest_limit_counts_and_is_named() -> None:
    tools = ProviderOptimization(max_context_tokens=6000)
    found = view(budget=7000, wishes=tools, context_window=128_000)
    assert (found.budget, found.limited_by) == (6000, "max_context_tokens for openai")
    assert view(budget=5000, wishes=tools, context_window=128_000).limited_by == "the agent's budget"
    assert view(budget=5000, wishes=tools, context_window=4000).budget == 3000


def test_what_tools_wish_of_one_provider_is_nothing_to_another() -> None:
    needs = Requirements(provider_optimization={"pdf": {"anthropic": ProviderOptimization(max_context_tokens=10)}})
    model = ModelInfo(id="m", provider="openai", context_window=9000)
    found = view_of("openai", model, Factors(), requirements=needs, budget=None, reserve=1000, output_limit=2000)
    assert found.budget == 7000


def test_an_unknown_window_is_assumed_and_said() -> None:
    found = view()
    assert (found.budget, found.limited_by) == (ASSUMED_WINDOW - 1000, "an assumed window")
    assert "not known" in found.notes[0]
    assert view(budget=100).notes == ()


def test_of_what_a_model_on_ollama_could_read_no_more_is_used_than_anybody_has_asked_for() -> None:
    def ollama(source: str, window: int = 131_072, budget: int | None = None) -> TargetView:
        model = ModelInfo(id="m", provider="ollama", context_window=window, sources={"context_window": source})
        return view_of(
            "ollama", model, Factors(), requirements=Requirements(), budget=budget, reserve=1000, output_limit=None
        )

    found = ollama("provider")
    assert found.budget == ASSUMED_WINDOW - 1000
    assert "context_window" in found.notes[0]
    assert ollama("configuration").budget == 130_072
    assert ollama("provider", budget=60_000).budget == 60_000
    assert ollama("provider", window=4_096).budget == 3_096


@pytest.mark.parametrize("wish", ["function_calling_format", "tool_use_format"])
def test_a_tool_that_switches_calling_off_is_left_out_alone_and_that_is_said(wish: str) -> None:
    found = view(budget=1000, wishes=ProviderOptimization(**{wish: False}))
    assert found.withheld_tools == {"pdf"}
    assert found.notes == ("not offered, because context_requirements switch calling off for openai: pdf",)
    assert not view(budget=1000, wishes=ProviderOptimization(**{wish: True})).withheld_tools


def test_a_request_that_switches_calling_off_leaves_out_every_tool() -> None:
    found = view(budget=1000, wishes=ProviderOptimization(function_calling_format=False), asked_by=REQUEST)
    assert found.withheld_tools == {"pdf", "weather"}


def test_structured_output_holds_the_arguments_of_that_tool_to_its_schema_where_the_provider_can() -> None:
    wishes = ProviderOptimization(structured_output=True)
    assert view(budget=1000, wishes=wishes).strict_tools == {"pdf"}
    assert view(budget=1000, wishes=wishes, asked_by=REQUEST).strict_tools == {"pdf", "weather"}
    assert not view("anthropic", budget=1000, wishes=wishes).strict_tools


def test_what_is_said_of_openai_holds_for_azure_that_says_nothing_of_its_own() -> None:
    said = {"openai": ProviderOptimization(max_context_tokens=500, structured_output=True)}
    model = ModelInfo(id="m", provider="azure", context_window=9000)

    def azure(**own: ProviderOptimization) -> TargetView:
        needs = Requirements(provider_optimization={"pdf": {**said, **own}})
        return view_of(
            "azure", model, Factors(), requirements=needs, tools=("pdf",), budget=None, reserve=1000, output_limit=None
        )

    assert (azure().budget, azure().strict_tools) == (500, frozenset({"pdf"}))
    own = azure(azure=ProviderOptimization(max_context_tokens=700))
    assert (own.budget, own.strict_tools) == (700, frozenset())


@pytest.mark.parametrize(
    ("window", "most"), [(200_000, 64_000), (200_000, 8_192), (200_000, None), (8_192, None), (2_000, 1_000)]
)
def test_beside_an_answer_as_long_as_anthropic_is_told_the_prompt_fits_the_window(
    window: int, most: int | None
) -> None:
    model = ModelInfo(id="claude", provider="anthropic", context_window=window, max_output_tokens=most)
    found = view_of(
        "anthropic", model, Factors(), requirements=Requirements(), budget=None, reserve=1024, output_limit=None
    )
    request = ChatRequest(messages=[Message(role="user", content="x")])
    if found.answer_limit is not None:
        request = replace(request, max_tokens=found.answer_limit)
    options = EncodeOptions(model=model, send_model="claude")
    body = msgspec.json.decode(anthropic_messages.encode_chat(request, options, stream=False).body)
    assert found.budget + body["max_tokens"] <= window
    assert found.budget >= window // 3


def test_what_a_request_says_of_its_answer_is_kept_free_and_not_changed() -> None:
    model = ModelInfo(id="claude", provider="anthropic", context_window=8_192)
    found = view_of(
        "anthropic", model, Factors(), requirements=Requirements(), budget=None, reserve=1024, output_limit=7_000
    )
    assert (found.budget, found.answer_limit) == (1_192, None)
