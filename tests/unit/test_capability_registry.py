"""Who offers what, what goes with it, and that agents do not call each other for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.agents.agent import Agent, Capability
from caxton_llm.agents.chain import CallChain
from caxton_llm.agents.circles import Need, circles
from caxton_llm.agents.registry import Addressed, CapabilityRegistry
from caxton_llm.errors import AgentCallRefused

REPORTER = Agent(
    name="Reporter",
    offers=(
        Capability(
            name="report-generation",
            input_formats=("json", "csv"),
            output_formats=("pdf",),
            performance_sla="< 30 seconds for standard reports",
            related=("data-visualization", "chart-generation"),
        ),
    ),
    requires=("chart-generation", "pdf-creation"),
)
CHARTS = Agent(name="Charts", offers=(Capability(name="chart-generation", related=("report-generation",)),))
SECOND = Agent(name="Second", offers=(Capability(name="report-generation", output_formats=("txt",)),))
REGISTRY = CapabilityRegistry([REPORTER, CHARTS, SECOND])


def test_the_first_agent_serves_a_capability_and_describes_it() -> None:
    assert REGISTRY.names == ("report-generation", "chart-generation")
    assert REGISTRY.offers("report-generation") == (REPORTER, SECOND)
    assert REGISTRY.capability("report-generation") == REPORTER.offers[0]
    assert (REGISTRY.offers("x"), REGISTRY.capability("x"), REGISTRY.describe("x")) == ((), None, None)


def test_a_request_names_an_agent_or_a_capability() -> None:
    by_capability, by_name = REGISTRY.addressed("capability:chart-generation"), REGISTRY.addressed("agent:Second")
    assert by_capability is not None
    assert by_name is not None
    assert (by_capability.agent, by_capability.capability) == (CHARTS, CHARTS.offers[0])
    assert (by_name.agent, by_name.capability) == (SECOND, None)
    assert REGISTRY.addressed("agent:Nobody") is REGISTRY.addressed("capability:x") is REGISTRY.addressed("gpt") is None


def test_related_are_those_named_required_and_naming_each_once() -> None:
    assert REGISTRY.related("report-generation") == ("data-visualization", "chart-generation", "pdf-creation")
    assert REGISTRY.related("chart-generation") == ("report-generation",)
    assert REGISTRY.related("x") == ()


def test_of_an_agent_that_is_named_itself_all_that_it_offers_and_requires_is_told() -> None:
    named = REGISTRY.context_of(Addressed(CHARTS))
    assert named is not None
    assert named.related_capabilities == ("chart-generation", "report-generation")
    of_reports = REGISTRY.context_of(Addressed(REPORTER))
    assert of_reports is not None
    assert of_reports.related_capabilities == (
        "report-generation",
        "data-visualization",
        "chart-generation",
        "pdf-creation",
    )
    assert REGISTRY.context_of(Addressed(CHARTS, CHARTS.offers[0])) == REGISTRY.describe("chart-generation")
    assert REGISTRY.context_of(Addressed(Agent(name="Alone"))) is None


def test_a_description_has_what_the_context_document_says() -> None:
    described = REGISTRY.describe("report-generation")
    assert described is not None
    assert described.related_capabilities == ("data-visualization", "chart-generation", "pdf-creation")
    needs = described.capability_requirements
    assert (needs.input_formats, needs.output_formats) == (("json", "csv"), ("pdf",))
    assert needs.performance_sla == "< 30 seconds for standard reports"


def test_an_agent_that_is_called_by_those_it_has_called_is_refused_with_the_chain() -> None:
    chain = CallChain(limit=5).calling("A").calling("B", "b")
    with pytest.raises(AgentCallRefused, match=r"in a circle: A -> B \(b\) -> A \(a\)$"):
        chain.calling("A", "a")


def test_a_chain_is_as_long_as_the_limit_and_no_longer() -> None:
    chain = CallChain(limit=2).calling("A").calling("B", "b")
    with pytest.raises(AgentCallRefused, match=r"more than 2 agents call each other: A -> B \(b\) -> C \(c\); raise"):
        chain.calling("C", "c")


@given(st.lists(st.sampled_from("ABCDEF"), max_size=10), st.integers(1, 6))
def test_a_chain_holds_distinct_agents_up_to_the_limit_and_refuses_at_the_first_other(
    names: list[str], limit: int
) -> None:
    chain = CallChain(limit=limit)
    taken: list[str] = []
    for name in names:
        if name in taken or len(taken) == limit:
            with pytest.raises(AgentCallRefused):
                chain.calling(name)
        else:
            chain = chain.calling(name)
            taken.append(name)
    assert [call.agent for call in chain.calls] == taken


needs_lists = st.lists(st.builds(Need, st.integers(0, 6), st.sampled_from("xyz"), st.integers(0, 6)), max_size=20)


def has_circle(needs: list[Need]) -> bool:
    """By taking away, as long as it goes, agents that need nobody who is left."""
    left = {need.agent for need in needs}
    while left:
        free = {agent for agent in left if not any(need.agent == agent and need.server in left for need in needs)}
        if not free:
            return True
        left -= free
    return False


@given(needs_lists)
def test_circles_are_found_exactly_where_there_are_some(needs: list[Need]) -> None:
    found = circles(needs)
    assert bool(found) == has_circle(needs)
    for circle in found:
        assert all(before.server == after.agent for before, after in zip(circle, circle[1:] + circle[:1], strict=True))
        assert len({need.agent for need in circle}) == len(circle)
    broken = [circle[-1] for circle in found]
    assert not has_circle([need for need in needs if need not in broken])


def test_a_long_chain_of_agents_is_followed_to_its_end() -> None:
    chain = [Need(number, "x", number + 1) for number in range(10_000)]
    assert circles(chain) == []
    (circle,) = circles([*chain, Need(10_000, "x", 0)])
    assert len(circle) == 10_001
