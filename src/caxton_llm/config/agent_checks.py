"""What the keys of agents mean together: capabilities that nobody offers, agents in a circle, unknown variables."""

from collections.abc import Iterator, Sequence

from caxton_llm.agents.agent import Agent
from caxton_llm.agents.circles import Need, circles
from caxton_llm.config.agent_files import AGENTS_DIR
from caxton_llm.config.agent_resolve import capability_of
from caxton_llm.config.problems import Problems, nearest
from caxton_llm.config.schema import AgentBlock, ConfigurationFile, written_entries

__all__ = ["check_agents"]


def check_agents(document: ConfigurationFile, problems: Problems) -> None:
    """All agents, and what is common to their context."""
    models = None if problems.reported(AGENTS_DIR) or problems.reported("llm") else _model_names(document)
    for index, agent in enumerate(document.agents):
        _check_agent(agent, f"agents[{index}]", models, problems)
    if document.context is not None:
        _check_model(document.context.summarizer, "context.summarizer", models, problems)
    if not problems.reported(AGENTS_DIR):  # who is missing may offer what is missing
        _check_requires(document.agents, problems)


def _check_agent(agent: AgentBlock, path: str, models: Sequence[str] | None, problems: Problems) -> None:
    _check_capabilities(agent, path, problems)
    _check_template(agent, path, problems)
    for index, pattern in enumerate(agent.tools):
        if not pattern.strip() and not problems.reported(f"{path}.tools[{index}]"):
            problems.add("a pattern must not be empty", path=f"{path}.tools[{index}]", hint="'*' stands for all tools")
    conversation = agent.conversation
    if conversation.max_turns is not None and conversation.strategy != "sliding_window":
        message = f"'max_turns' is not read with 'strategy: {conversation.strategy}'"
        problems.add(message, path=f"{path}.conversation.max_turns", hint="it belongs to sliding_window")
    if isinstance(agent.memory.auto_store, str):
        _check_model(agent.memory.auto_store, f"{path}.memory.auto_store", models, problems)


def _check_capabilities(agent: AgentBlock, path: str, problems: Problems) -> None:
    names = [capability_of(one).name for one in agent.capabilities]
    for index, name in enumerate(names):
        if name and names.index(name) != index:
            problems.add(f"{name!r} is there twice", path=f"{path}.capabilities[{index}]", hint="remove one of them")
    for index, capability in enumerate(agent.capabilities):
        if isinstance(capability, str):
            continue
        here = f"{path}.capabilities[{index}].input_schema"
        if not isinstance(capability.input_schema.get("properties", {}), dict):
            problems.add("must be a mapping of names to schemas", path=f"{here}.properties")
        if capability.input_schema.get("type", "object") != "object":
            problems.add("must be of the type object: its properties are what is passed", path=f"{here}.type")


def _check_template(agent: AgentBlock, path: str, problems: Problems) -> None:
    here, template = f"{path}.user_prompt_template", agent.user_prompt_template
    if template is not None and not template.strip() and not problems.reported(here):
        problems.add("must not be empty: it is all that is sent of a request", path=here, hint="'{{user_request}}'")
    offers = tuple(map(capability_of, agent.capabilities))
    pure = Agent(
        name=agent.name, offers=offers, user_prompt_template=agent.user_prompt_template, variables=agent.variables
    )
    for name in pure.unknown_variables:
        problems.add(
            f"the template has the unknown variable {name!r}",
            path=here,
            hint=nearest(name, list(pure.known_variables or ())) or "add it to 'variables'",
        )


def _check_model(name: str | None, path: str, known: Sequence[str] | None, problems: Problems) -> None:
    if name is not None and known is not None and name not in known and not problems.reported(path):
        problems.add(f"there is no model {name!r}", path=path, hint=nearest(name, list(known)))


def _model_names(document: ConfigurationFile) -> list[str]:
    """What a request may name."""
    names = ["default"]
    for path, entry in written_entries(document):
        if path.startswith("llm"):
            names.append(entry.entry_name)
        names += [name for name in (entry.main_model, entry.model, entry.deployment_name, *entry.models) if name]
    for agent in document.agents:
        names += [f"agent:{agent.name}", *(f"capability:{capability_of(one).name}" for one in agent.capabilities)]
    return list(dict.fromkeys(names))


def _check_requires(agents: Sequence[AgentBlock], problems: Problems) -> None:
    serving = _serving(agents)
    known = sorted(serving)
    needs: list[Need] = []
    for index, agent in enumerate(agents):
        for number, name in enumerate(agent.requires):
            path = f"agents[{index}].requires[{number}]"
            if name in serving:
                needs.append(Need(index, name, serving[name]))
            elif not problems.reported(path):
                hint = nearest(name, known) or "write it into the 'capabilities' of an agent"
                problems.add(f"no agent offers {name!r}", path=path, hint=hint)
    for circle in circles(needs):
        first = circle[0]
        number = agents[first.agent].requires.index(first.capability)
        told = ", which requires ".join(_told(agents, circle))
        problems.add(
            f"agents call each other in a circle: {agents[first.agent].name} requires {told}",
            path=f"agents[{first.agent}].requires[{number}]",
            hint="remove one of them",
        )


def _told(agents: Sequence[AgentBlock], circle: Sequence[Need]) -> Iterator[str]:
    for need in circle:
        yield f"{need.capability} of {agents[need.server].name}"


def _serving(agents: Sequence[AgentBlock]) -> dict[str, int]:
    """Capability -> the agent that serves it: the first."""
    serving: dict[str, int] = {}
    for index, agent in enumerate(agents):
        for capability in agent.capabilities:
            serving.setdefault(capability_of(capability).name, index)
    return serving
