"""From a configuration to the service that answers for its agents: registry, sources, memory, tools."""

from collections.abc import Callable
from functools import partial

from caxton_llm.agent_service import AgentService
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.context_configuration import ConversationsConfiguration
from caxton_llm.context_engine.engine import ContextEngine
from caxton_llm.context_engine.sources import ContextSources, SourceLimits
from caxton_llm.gateway import Gateway
from caxton_llm.memory_system import Memory
from caxton_llm.remembering import Remembering
from caxton_llm.tools.servers import McpServers

__all__ = ["make_agents"]


def make_agents(configuration: Configuration, gateway: Gateway, memory: Memory | None) -> AgentService:
    """The service for the agents of a configuration, whose secrets are in place.

    Without `memory` the configured one is opened, and the service closes it. Raises `ConfigurationError` and
    `MemoryStoreError`.
    """
    context = configuration.context
    own = None
    if memory is None and configuration.memory is not None:
        entries = [entry.settings for entry in configuration.entries]
        own = memory = Memory.from_configuration(configuration.memory, entries, upkeep=True)
    sources = ContextSources(
        context.conversations.folder,
        memory=memory,
        servers=None if configuration.mcp is None else McpServers(configuration.mcp),
        limits=SourceLimits(conversation_s=context.conversation_s, memory_s=context.memory_s, tools_s=context.tools_s),
    )
    engine = ContextEngine(CapabilityRegistry(configuration.agents), sources, reserve_tokens=context.reserve_tokens)
    return AgentService(
        gateway,
        engine,
        remembering=None if memory is None else Remembering(memory, gateway.complete),
        max_agent_depth=context.max_agent_depth,
        closing=own,
        tidy=_retention(sources, context.conversations),
    )


def _retention(sources: ContextSources, kept: ConversationsConfiguration) -> Callable[[], object] | None:
    """What deletes the conversations that may not stay; `None` where all may."""
    if kept.max_age_s is None and kept.max_conversations is None:
        return None
    return partial(sources.retain, max_age_s=kept.max_age_s, max_conversations=kept.max_conversations)
