"""What an operator should know about agents that have no mistakes: what has no effect, and what would surprise."""

from collections.abc import Iterator

from caxton_llm.agents.agent import DERIVED_VARIABLES, Capability
from caxton_llm.agents.templates import needed_variables, stray_braces, variables_of
from caxton_llm.config.agent_resolve import capability_of
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import AgentBlock, ConfigurationFile
from caxton_llm.errors import ConfigurationProblem

__all__ = ["agent_warnings"]


def agent_warnings(document: ConfigurationFile, problems: Problems) -> Iterator[ConfigurationProblem]:
    """What concerns the agents of a file."""
    required = {name for agent in document.agents for name in agent.requires}
    for index, agent in enumerate(document.agents):
        path = f"agents[{index}]"
        for what, key in (*_of_tools(agent, document), *_of_memory(agent, document), *_of_template(agent, required)):
            yield problems.at(what, path=f"{path}.{key}")


def _of_tools(agent: AgentBlock, document: ConfigurationFile) -> Iterator[tuple[str, str]]:
    if document.mcp is None or not document.mcp.servers:
        if agent.tools:
            yield "has no effect: there are no servers with tools (mcp.servers)", "tools"
        return
    servers = [server.name for server in document.mcp.servers]
    for number, pattern in enumerate(agent.tools):
        server, dot, _ = pattern.partition(".")
        if dot and server not in servers:
            yield f"there is no server {server!r}; there is: {', '.join(servers) or 'none'}", f"tools[{number}]"
        if not dot and pattern in servers:
            yield f"means a tool of this name: all tools of the server are '{pattern}.*'", f"tools[{number}]"


def _of_memory(agent: AgentBlock, document: ConfigurationFile) -> Iterator[tuple[str, str]]:
    if agent.memory.auto_store is not False and document.memory is None:
        yield "has no effect: there is no memory (the block 'memory')", "memory.auto_store"
    if agent.memory.scope == "workspace" and not agent.memory.workspace:
        yield "without 'workspace' it is that of all agents that name none", "memory.scope"


def _of_template(agent: AgentBlock, required: set[str]) -> Iterator[tuple[str, str]]:
    template, key = agent.user_prompt_template, "user_prompt_template"
    if template is None:
        return
    if "user_request" not in variables_of(template):
        yield "has no {{user_request}}: what users write is not sent to the model", key
    at = stray_braces(template)
    if at is not None:
        yield (
            f"the braces at character {at} hold no variable and stay as they are: {{{{name}}}} or {{{{name|default}}}}",
            key,
        )
    if "requesting_agent" in needed_variables(template):
        yield "{{requesting_agent}} has a value only where an agent asks: give it a default", key
    for capability in map(capability_of, agent.capabilities):
        lacking = _lacking(template, capability) if capability.name in required else []
        if lacking:
            told = ", ".join(map(repr, lacking))
            yield (
                f"agents that call {capability.name!r} have no value for {told}: add it to 'input_schema', or give a default",
                key,
            )


def _lacking(template: str, capability: Capability) -> list[str]:
    """The variables that a calling agent's model is not told to give."""
    known = {*DERIVED_VARIABLES, *capability.properties}
    return [name for name in needed_variables(template) if name not in known]
