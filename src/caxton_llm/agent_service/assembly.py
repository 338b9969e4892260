"""From a configuration to the service that answers for its agents: registry, sources, memory, tools."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from caxton_llm.agent_service import AgentService
from caxton_llm.agent_service.keeping import Keeping
from caxton_llm.agent_service.remembering import Remembering
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.context_configuration import ConversationsConfiguration
from caxton_llm.context_engine.engine import ContextEngine
from caxton_llm.context_engine.sources import ContextSources, SourceLimits
from caxton_llm.gateway import Gateway
from caxton_llm.memory_system import Memory
from caxton_llm.stores.token_factors import TokenFactorFile
from caxton_llm.tokens import Factors, TokenCalibration
from caxton_llm.tools.servers import McpServers

__all__ = ["make_agents"]

_log = logging.getLogger("caxton_llm.agents")


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
    factors = TokenFactorFile(Path(context.conversations.folder) / "token-factors.json")
    engine = ContextEngine(
        CapabilityRegistry(configuration.agents),
        sources,
        reserve_tokens=context.reserve_tokens,
        calibration=TokenCalibration(_read(factors)),
    )
    keeping = Keeping(
        engine,
        remembering=None if memory is None else Remembering(memory, gateway.complete),
        ask=gateway.complete,
        summarizer=context.summarizer,
        factors=factors,
    )
    return AgentService(
        gateway,
        engine,
        keeping=keeping,
        max_agent_depth=context.max_agent_depth,
        max_steps=context.max_steps,
        closing=own,
        tidy=_retention(sources, context.conversations),
    )


def _read(file: TokenFactorFile) -> dict[str, Factors]:
    """What was learned of token counts before; without it everything works, less exactly."""
    try:
        return file.read()
    except OSError as error:
        _log.warning("what was learned about token counts cannot be read: %s", error)
        return {}


def _retention(sources: ContextSources, kept: ConversationsConfiguration) -> Callable[[], object] | None:
    """What deletes the conversations that may not stay; `None` where all may."""
    if kept.max_age_s is None and kept.max_conversations is None:
        return None
    return partial(sources.retain, max_age_s=kept.max_age_s, max_conversations=kept.max_conversations)
