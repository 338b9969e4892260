"""What several tools need as one: the order does not matter, and an agent's settings are its limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.agents.agent import Agent, AgentContext, AgentConversation
from caxton_llm.agents.requirements import ALL_TURNS, Requirements, SearchNeed, limited, merged, requirements_of
from caxton_llm.context_requirements import ContextRequirements, MemorySearch, ProviderOptimization

NAMES = st.sampled_from(["a", "b", "c"])
FLAGS = st.none() | st.booleans()
OPTIMIZATIONS = st.builds(
    ProviderOptimization,
    max_context_tokens=st.none() | st.integers(1, 9000),
    function_calling_format=FLAGS,
    structured_output=FLAGS,
    tool_use_format=FLAGS,
)
SEARCHES = st.builds(
    MemorySearch,
    max_results=st.integers(1, 20),
    min_similarity=st.none() | st.floats(0, 1),
    focus_areas=st.lists(NAMES).map(tuple),
)
NEEDS = st.builds(
    requirements_of,
    NAMES,
    st.builds(
        ContextRequirements,
        conversation_depth=st.none() | st.integers(0, 20),
        memory_search=st.none() | SEARCHES,
        capability_context=st.booleans(),
        tool_data=st.lists(NAMES).map(tuple),
        provider_optimization=st.dictionaries(NAMES, OPTIMIZATIONS),
    ),
    st.none() | st.sampled_from(["", "sales", "reports"]),
)


@given(st.lists(NEEDS, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_merging_does_not_matter(needs: list[Requirements], random: object) -> None:
    shuffled = list(needs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merged(shuffled) == merged(needs)


@given(st.lists(NEEDS, max_size=4), st.lists(NEEDS, max_size=4))
def test_merging_in_parts_is_merging_at_once(some: list[Requirements], others: list[Requirements]) -> None:
    assert merged([merged(some), merged(others)]) == merged([*some, *others])


@given(NEEDS)
def test_merging_with_itself_or_with_nothing_changes_nothing(need: Requirements) -> None:
    assert merged([need]) == merged([need, need]) == merged([need, Requirements()]) == need


@given(st.lists(NEEDS, min_size=1, max_size=4))
def test_everybody_gets_what_they_ask_for_and_nobody_more_tokens_than_they_permit(needs: list[Requirements]) -> None:
    whole = merged(needs)
    for need in needs:
        assert (need.conversation_depth or 0) <= (whole.conversation_depth or 0)
        assert need.capability_context <= whole.capability_context
        for tool, keys in need.tool_data.items():
            assert set(keys) <= set(whole.tool_data[tool])
        for kind in "abc":
            asked, limit = need.max_context_tokens(kind), whole.max_context_tokens(kind)
            assert asked is None or (limit is not None and limit <= asked)
        for search in need.memory_searches:
            (found,) = [one for one in whole.memory_searches if one.query == search.query]
            assert found.max_results >= search.max_results
            assert (found.min_similarity or 0.0) <= (search.min_similarity or 0.0)


@given(st.lists(NEEDS, max_size=4), NAMES, NAMES)
def test_what_one_tool_switches_off_or_holds_to_its_schema_is_nothing_to_the_others(
    needs: list[Requirements], tool: str, kind: str
) -> None:
    own = merged(need for need in needs if tool in need.provider_optimization)
    whole = merged(needs)
    assert whole.offers(tool, kind) == own.offers(tool, kind)
    assert whole.is_strict(tool, kind) == own.is_strict(tool, kind)


def test_two_tools_of_the_specification_as_one() -> None:
    analysis = ContextRequirements(
        conversation_depth=10,
        memory_search=MemorySearch(max_results=15, min_similarity=0.7),
        capability_context=True,
        tool_data=("user_preferences", "data_schema_cache"),
        provider_optimization={
            "openai": ProviderOptimization(max_context_tokens=8000, function_calling_format=True),
            "anthropic": ProviderOptimization(max_context_tokens=12000, structured_output=True),
        },
    )
    pdf = ContextRequirements(
        conversation_depth=3,
        memory_search=MemorySearch(max_results=8, focus_areas=("report_templates",)),
        tool_data=("template_library",),
        provider_optimization={"openai": ProviderOptimization(max_context_tokens=6000, structured_output=True)},
    )
    whole = merged([requirements_of("analysis", analysis, "data"), requirements_of("pdf", pdf, "PDF report")])
    assert whole.conversation_depth == 10
    assert whole.memory_searches == (
        SearchNeed(query="PDF report", max_results=8, focus_areas=("report_templates",), asked_by=("pdf",)),
        SearchNeed(query="data", max_results=15, min_similarity=0.7, asked_by=("analysis",)),
    )
    assert whole.tool_data == {"analysis": ("data_schema_cache", "user_preferences"), "pdf": ("template_library",)}
    assert whole.max_context_tokens("openai") == 6000
    assert whole.max_context_tokens("anthropic") == 12000
    assert whole.max_context_tokens("ollama") is None
    assert (whole.is_strict("pdf", "openai"), whole.is_strict("analysis", "openai")) == (True, False)
    assert (whole.is_strict("pdf", "anthropic"), whole.is_strict("analysis", "anthropic")) == (False, True)


@pytest.mark.parametrize(
    ("conversation", "asked", "exact", "depth"),
    [
        (AgentConversation(max_turns=3), 10, None, 3),
        (AgentConversation(max_turns=3), None, None, 3),
        (AgentConversation(max_turns=30), None, None, 10),
        (AgentConversation(max_turns=30), 3, None, 10),
        (AgentConversation(max_turns=30), 20, None, 20),
        (AgentConversation(max_turns=30), 20, 2, 2),
        (AgentConversation(max_turns=30), 20, 0, 0),
        (AgentConversation(max_turns=30), None, 40, 30),
        (AgentConversation(strategy="full", max_turns=3), 20, None, ALL_TURNS),
        (AgentConversation(strategy="full", max_turns=3), None, 20, 20),
        (AgentConversation(strategy="none"), 20, 20, 0),
    ],
)
def test_tools_deepen_what_an_agent_sees_of_its_conversation_and_a_request_decides_it(
    conversation: AgentConversation, asked: int | None, exact: int | None, depth: int
) -> None:
    agent = Agent(name="A", conversation=conversation)
    found = limited(Requirements(conversation_depth=asked), agent, exact_depth=exact)
    assert found.conversation_depth == depth


@given(st.lists(NEEDS, max_size=4))
def test_what_an_agent_has_no_source_for_is_not_needed(needs: list[Requirements]) -> None:
    nothing = limited(merged(needs), Agent(name="A", context=AgentContext(sources=())))
    assert (nothing.conversation, nothing.conversation_depth, nothing.memory_searches) == (False, 0, ())
    assert (nothing.capability_context, nothing.tool_data) == (False, {})


def test_a_depth_of_nothing_is_told_from_a_conversation_that_may_not_be_used() -> None:
    asked = Requirements(conversation_depth=0)
    assert limited(asked, Agent(name="A")).conversation
    assert not limited(asked, Agent(name="A", context=AgentContext(sources=("memory",)))).conversation
    assert not limited(asked, Agent(name="A", conversation=AgentConversation(strategy="none"))).conversation
    assert not merged([limited(asked, Agent(name="A", context=AgentContext(sources=()))), asked]).conversation
