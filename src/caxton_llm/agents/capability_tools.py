"""Capabilities of other agents as tools: what an agent `requires`, told to its model."""

from collections.abc import Collection, Mapping

from caxton_llm.agents.agent import Agent, Capability
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import Json
from caxton_llm.wire.tool_names import wire_tool_names

__all__ = ["capability_tools"]

_TEXT: Mapping[str, Json] = {
    "type": "object",
    "properties": {"request": {"type": "string"}},
    "required": ["request"],
}


def capability_tools(
    agent: Agent, registry: CapabilityRegistry, *, taken: Collection[str] = ()
) -> tuple[ToolSpec, ...]:
    """A tool for each capability that `agent` requires, in its order; what nobody offers is left out.

    `taken` are the names of the agent's other tools. A capability keeps its own name where models accept it and it is free.
    Its `remote_name` is the capability's name, its `server` empty.
    """
    offered = [found for name in dict.fromkeys(agent.requires) if (found := registry.capability(name)) is not None]
    names = _names([capability.name for capability in offered], taken)
    return tuple(
        ToolSpec(
            name=name,
            server="",
            remote_name=capability.name,
            description=_description(capability, registry.offers(capability.name)[0]),
            input_schema=_schema(capability),
            requirements=None,
        )
        for capability, name in zip(offered, names, strict=True)
    )


def _names(capabilities: list[str], taken: Collection[str]) -> list[str]:
    """Names that differ from each other and from those that are taken, of letters that models accept."""
    used = set(taken)
    free = []
    for name in capabilities:
        while name in used:
            name = f"agent__{name}"  # noqa: PLW2901 - the name that is looked for
        used.add(name)
        free.append(name)
    renamed = wire_tool_names(used)
    return [renamed.get(name, name) for name in free]


def _description(capability: Capability, agent: Agent) -> str:
    told = [capability.description or agent.description or f"{capability.name}, by the agent {agent.name}"]
    if capability.input_formats:
        told.append(f"Input: {', '.join(capability.input_formats)}.")
    if capability.output_formats:
        told.append(f"Output: {', '.join(capability.output_formats)}.")
    return "\n".join(told)


def _schema(capability: Capability) -> dict[str, Json]:
    if not capability.input_schema:
        return dict(_TEXT)
    return {"type": "object", "properties": {}, **capability.input_schema}
