"""What the endpoints of agents are sent and answer."""

from collections.abc import Mapping

from msgspec import Struct

from caxton_llm.agents.agent import Agent, AgentContext, AgentConversation, AgentMemory
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.discreet import Discreet
from caxton_llm.types import Json

__all__ = [
    "AgentChatBody",
    "AgentList",
    "CapabilityList",
    "ChatCompletion",
    "PrepareBody",
    "agent_list",
    "capability_list",
]


class AgentInfo(Struct, frozen=True, kw_only=True):
    """An agent, without its prompts. `tools` are patterns; `requires` are capabilities that it calls."""

    name: str
    description: str | None
    capabilities: tuple[str, ...]
    tools: tuple[str, ...]
    requires: tuple[str, ...]
    memory: AgentMemory
    conversation: AgentConversation
    context: AgentContext


class AgentList(Struct, frozen=True):
    """The configured agents, in their order."""

    agents: tuple[AgentInfo, ...]


class CapabilityInfo(Struct, frozen=True, kw_only=True):
    """Something that agents can do; the first of `agents` serves it and describes it."""

    name: str
    agents: tuple[str, ...]
    description: str
    input_formats: tuple[str, ...]
    output_formats: tuple[str, ...]
    performance_sla: str | None
    related: tuple[str, ...]
    input_schema: Mapping[str, Json]


class CapabilityList(Struct, frozen=True):
    """Everything that agents can do."""

    capabilities: tuple[CapabilityInfo, ...]


class AgentChatBody(Discreet, Struct, kw_only=True):
    """OpenAI's request for a chat completion, with all its fields. `context` is who asks for what, with which parameters."""

    messages: list[dict[str, Json]]
    stream: bool = False
    conversation_id: str | None = None
    context: dict[str, Json] = {}


class PrepareBody(AgentChatBody, kw_only=True):
    """The same; `model` is `agent:NAME` or `capability:NAME`, `providers` are entries or kinds that the context is shown
    for."""

    model: str
    providers: list[str] = []


class ChatCompletion(Discreet, Struct, kw_only=True):
    """OpenAI's chat completion; with `stream` its chunks come as server-sent events."""

    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Json]]
    usage: dict[str, Json]


def agent_list(registry: CapabilityRegistry) -> AgentList:
    """All agents."""
    return AgentList(tuple(map(_agent, registry.agents)))


def capability_list(registry: CapabilityRegistry) -> CapabilityList:
    """All capabilities."""
    return CapabilityList(tuple(_capability(registry, name) for name in registry.names))


def _agent(agent: Agent) -> AgentInfo:
    return AgentInfo(
        name=agent.name,
        description=agent.description,
        capabilities=agent.capabilities,
        tools=agent.tools,
        requires=agent.requires,
        memory=agent.memory,
        conversation=agent.conversation,
        context=agent.context,
    )


def _capability(registry: CapabilityRegistry, name: str) -> CapabilityInfo:
    found = registry.capability(name)
    assert found is not None  # noqa: S101 - the registry has just named it
    return CapabilityInfo(
        name=name,
        agents=tuple(agent.name for agent in registry.offers(name)),
        description=found.description,
        input_formats=found.input_formats,
        output_formats=found.output_formats,
        performance_sla=found.performance_sla,
        related=registry.related(name),
        input_schema=found.input_schema,
    )
