"""Capabilities of other agents as tools."""

import re

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.agents.agent import Agent, Capability
from caxton_llm.agents.capability_tools import capability_tools
from caxton_llm.agents.registry import CapabilityRegistry

CHARTS = Agent(
    name="Charts",
    offers=(
        Capability(
            name="chart",
            description="Draws a chart.",
            input_formats=("json", "csv"),
            output_formats=("png",),
            input_schema={"properties": {"title": {"type": "string"}}, "required": ["title"]},
        ),
        Capability(name="légende"),
    ),
)


def test_each_required_capability_is_a_tool_with_its_description_and_schema() -> None:
    reporter = Agent(name="Reporter", requires=("chart",))
    (tool,) = capability_tools(reporter, CapabilityRegistry([reporter, CHARTS]))
    assert (tool.name, tool.server, tool.remote_name) == ("chart", "", "chart")
    assert tool.description == "Draws a chart.\nInput: json, csv.\nOutput: png."
    assert tool.input_schema == {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
    }


def test_a_capability_without_a_schema_takes_a_text_and_names_its_agent() -> None:
    reporter = Agent(name="Reporter", requires=("légende",))
    (tool,) = capability_tools(reporter, CapabilityRegistry([CHARTS]))
    assert tool.input_schema["required"] == ["request"]
    assert tool.description == "légende, by the agent Charts"


def test_a_capability_that_nobody_offers_is_no_tool() -> None:
    assert capability_tools(Agent(name="A", requires=("nothing",)), CapabilityRegistry([CHARTS])) == ()


def test_a_name_that_another_tool_has_is_not_used_again() -> None:
    reporter = Agent(name="Reporter", requires=("chart",))
    (tool,) = capability_tools(reporter, CapabilityRegistry([CHARTS]), taken=("chart", "agent__chart"))
    assert (tool.name, tool.remote_name) == ("agent__agent__chart", "chart")


@given(
    st.lists(st.text(min_size=1, max_size=80), unique=True, max_size=8),
    st.sets(st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True), max_size=8),
    st.data(),
)
def test_names_are_unique_and_of_letters_that_models_accept(
    names: list[str], taken: set[str], data: st.DataObject
) -> None:
    if names:
        taken |= {
            name for name in data.draw(st.sets(st.sampled_from(names))) if re.fullmatch(r"[\w-]{1,64}", name, re.A)
        }
    offering = Agent(name="All", offers=tuple(Capability(name=name) for name in names))
    asking = Agent(name="Asking", requires=tuple(names))
    tools = capability_tools(asking, CapabilityRegistry([offering]), taken=taken)
    assert [tool.remote_name for tool in tools] == names
    given_names = [tool.name for tool in tools]
    assert len({*given_names, *taken}) == len(names) + len(taken)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in given_names)
