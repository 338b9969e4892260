"""Agents in a configuration: what their keys become, what they mean together, and mistakes with their places."""

import pytest

from caxton_llm.agents.agent import AgentContext, AgentConversation, AgentMemory, Capability
from caxton_llm.config.configuration import Agent, Configuration
from caxton_llm.config.load import load_text
from caxton_llm.errors import ConfigurationError

WHOLE = """\
llm: {provider: builtin}
context:
  budget: 4000
  max_exchanges: 6
  max_steps: 3
  oversize: summarize
  summarizer: builtin
  time_limits: {memory_ms: 50}
  conversations: {data_dir: kept, max_age_days: 2, max_conversations: 10}
agents:
  - name: Reporter
    description: Writes reports
    capabilities:
      - plain
      - name: report-generation
        description: Reports as PDF
        input_formats: [json, csv]
        output_formats: [pdf]
        performance_sla: "< 30 seconds"
        related: [chart-generation]
        input_schema: {type: object, properties: {template: {type: string}}}
    system_prompt: You write reports.
    user_prompt_template: "{{user_request}} as {{template}} for {{audience|everybody}}"
    variables: [audience]
    tools: ["pdf_*"]
    requires: [chart-generation]
    memory: {scope: workspace, workspace: sales, auto_store: builtin, tenant: acme}
    conversation: {max_turns: 3}
    context: {budget: 9000, sources: [memory, tools, memory], oversize: error}
  - name: Charts
    capabilities: [chart-generation]
    memory: {auto_store: true}
    conversation: {strategy: none}
"""


def loaded(text: str) -> Configuration:
    return load_text(text, file="c.yaml", environ={})


def agents_of(*lines: str) -> tuple[Agent, ...]:
    return loaded("\n".join(["llm: {provider: builtin}", "agents:", *(f"  - {line}" for line in lines)])).agents


def mistakes(*lines: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        agents_of(*lines)
    return [f"{problem.line} {problem.path}: {problem.message}" for problem in caught.value.problems]


def test_every_key_of_an_agent_arrives_where_it_is_used() -> None:
    reporter, charts = loaded(WHOLE).agents
    assert reporter.capabilities == ("plain", "report-generation")
    assert reporter.offers[1] == Capability(
        name="report-generation",
        description="Reports as PDF",
        input_formats=("json", "csv"),
        output_formats=("pdf",),
        performance_sla="< 30 seconds",
        related=("chart-generation",),
        input_schema={"type": "object", "properties": {"template": {"type": "string"}}},
    )
    assert (reporter.tools, reporter.requires) == (("pdf_*",), ("chart-generation",))
    assert reporter.memory == AgentMemory(
        scope="workspace", workspace="sales", tenant="acme", auto_store=True, extractor="builtin"
    )
    assert reporter.conversation == AgentConversation(strategy="sliding_window", max_turns=3)
    assert reporter.context == AgentContext(budget=9000, sources=("memory", "tools"), max_exchanges=6, oversize="error")
    assert charts.memory == AgentMemory(auto_store=True)
    assert charts.conversation.strategy == "none"
    assert charts.context == AgentContext(budget=4000, max_exchanges=6, oversize="summarize")


def test_what_holds_for_all_agents_arrives_in_seconds_and_counted_from_the_files_folder() -> None:
    context = load_text(WHOLE, file="some/where.yaml", environ={}).context
    assert (context.memory_s, context.tools_s, context.summarizer) == (0.05, 0.5, "builtin")
    assert context.max_steps == 3
    kept = context.conversations
    assert (kept.folder, kept.max_age_s, kept.max_conversations) == ("some/kept", 2 * 86_400, 10)


def test_an_agent_does_not_show_its_prompts() -> None:
    shown = repr(loaded(WHOLE).agents)
    assert "Reporter" in shown
    assert "You write" not in shown


def test_a_name_that_is_taken_and_a_capability_twice_are_mistakes() -> None:
    assert mistakes("{name: A, capabilities: [x, x]}", "{name: A}") == [
        "3 agents[0].capabilities[1]: 'x' is there twice",
        "4 agents[1]: two agents are called 'A', the first in line 3",
    ]


def test_a_required_capability_must_be_offered_by_somebody() -> None:
    assert mistakes("{name: A, capabilities: [chart]}", "{name: B, requires: [chrat]}") == [
        "4 agents[1].requires[0]: no agent offers 'chrat'"
    ]


@pytest.mark.parametrize(
    ("agents", "told"),
    [
        (["{name: A, capabilities: [x], requires: [x]}"], "A requires x of A"),
        (
            [
                "{name: A, capabilities: [x], requires: [y]}",
                "{name: B, capabilities: [y], requires: [z]}",
                "{name: C, capabilities: [z], requires: [x]}",
            ],
            "A requires y of B, which requires z of C, which requires x of A",
        ),
    ],
)
def test_agents_that_require_each_other_in_a_circle_are_told_as_such(agents: list[str], told: str) -> None:
    assert mistakes(*agents) == [f"3 agents[0].requires[0]: agents call each other in a circle: {told}"]


def test_the_second_agent_of_a_capability_may_call_the_first() -> None:
    first, second = agents_of("{name: A, capabilities: [x]}", "{name: B, capabilities: [x, y], requires: [x]}")
    assert (first.requires, second.requires) == ((), ("x",))


def test_an_unknown_variable_is_a_mistake_where_the_variables_are_declared() -> None:
    template = '"{{user_request}} {{reprot}}"'
    assert mistakes(f"{{name: A, user_prompt_template: {template}, variables: [report]}}") == [
        "3 agents[0].user_prompt_template: the template has the unknown variable 'reprot'"
    ]
    (agent,) = agents_of(f"{{name: A, user_prompt_template: {template}}}")
    assert agent.known_variables is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{name: A, tools: [" "]}', "agents[0].tools[0]: a pattern must not be empty"),
        (
            "{name: A, conversation: {strategy: full, max_turns: 3}}",
            "agents[0].conversation.max_turns: 'max_turns' is not read with 'strategy: full'",
        ),
        (
            "{name: A, memory: {auto_store: gpt}}",
            "agents[0].memory.auto_store: there is no model 'gpt'",
        ),
        (
            "{name: A, capabilities: [{description: d}]}",
            "agents[0].capabilities[0].name: is missing",
        ),
        (
            "{name: A, capabilities: [{name: x, input_schema: {type: array}}]}",
            "agents[0].capabilities[0].input_schema.type: must be of the type object: its properties are what is passed",
        ),
        (
            "{name: A, capabilities: [{name: x, input_schema: {properties: [a]}}]}",
            "agents[0].capabilities[0].input_schema.properties: must be a mapping of names to schemas",
        ),
        (
            "{name: A, context: {oversize: cut}}",
            "agents[0].context.oversize: must be one of error, multi_turn, summarize, trim; found 'cut'",
        ),
    ],
)
def test_a_mistake_names_its_key(line: str, message: str) -> None:
    assert mistakes(line) == [f"3 {message}"]


def test_a_summarizer_must_be_a_name_that_requests_may_use() -> None:
    text = "llm: {provider: builtin}\ncontext: {summarizer: agent:A}\nagents: [{name: A}]\n"
    assert loaded(text).context.summarizer == "agent:A"
    with pytest.raises(ConfigurationError, match=r"c.yaml:2: context.summarizer: there is no model 'agent:B'"):
        loaded(text.replace("agent:A", "agent:B"))


def test_what_an_agent_is_given_without_being_there_is_said() -> None:
    warned = {warning.path for warning in loaded(WHOLE).warnings}
    assert {"agents[0].tools", "agents[0].memory.auto_store"} <= warned
