"""From the blocks of agents and of their context to what the program uses: defaults, names of files."""

from collections.abc import Callable

from caxton_llm.agents.agent import AgentContext, AgentConversation, AgentMemory, Capability
from caxton_llm.config.agent_schema import (
    AgentContextBlock,
    AgentConversationBlock,
    AgentMemoryBlock,
    CapabilityBlock,
    ContextBlock,
    ConversationsBlock,
)
from caxton_llm.config.configuration import Agent, Entry
from caxton_llm.config.context_configuration import ContextConfiguration, ConversationsConfiguration
from caxton_llm.config.schema import AgentBlock

__all__ = ["capability_of", "resolve_agent", "resolve_context"]

_DAY_S = 86_400.0
_FOLDER = "./caxton-conversations"


def resolve_context(block: ContextBlock | None, *, file: Callable[[str], str]) -> ContextConfiguration:
    """What holds for all agents. `file` makes a path count from the current folder."""
    block = block or ContextBlock()
    limits = block.time_limits
    return ContextConfiguration(
        budget=block.budget,
        reserve_tokens=block.reserve_tokens,
        max_exchanges=block.max_exchanges,
        oversize=block.oversize,
        summarizer=block.summarizer,
        max_agent_depth=block.max_agent_depth,
        max_steps=block.max_steps,
        conversation_s=limits.conversation_ms / 1000.0,
        memory_s=limits.memory_ms / 1000.0,
        tools_s=limits.tools_ms / 1000.0,
        conversations=_conversations(block.conversations, file),
    )


def _conversations(block: ConversationsBlock, file: Callable[[str], str]) -> ConversationsConfiguration:
    return ConversationsConfiguration(
        folder=file(block.data_dir or _FOLDER),
        max_age_s=None if block.max_age_days is None else block.max_age_days * _DAY_S,
        max_conversations=block.max_conversations,
    )


def resolve_agent(block: AgentBlock, entry: Entry | None, context: ContextConfiguration) -> Agent:
    """An agent; `context` is what holds where its own block says nothing."""
    return Agent(
        name=block.name,
        offers=tuple(map(capability_of, block.capabilities)),
        description=block.description,
        system_prompt=block.system_prompt,
        user_prompt_template=block.user_prompt_template,
        variables=block.variables,
        tools=block.tools,
        requires=block.requires,
        memory=_memory(block.memory),
        conversation=_conversation(block.conversation),
        context=_context(block.context, context),
        entry=entry,
    )


def capability_of(block: str | CapabilityBlock) -> Capability:
    """What an agent offers; a name alone will do."""
    if isinstance(block, str):
        return Capability(name=block)
    return Capability(
        name=block.name,
        description=block.description or "",
        input_formats=block.input_formats,
        output_formats=block.output_formats,
        performance_sla=block.performance_sla,
        related=block.related,
        input_schema=block.input_schema,
    )


def _memory(block: AgentMemoryBlock) -> AgentMemory:
    return AgentMemory(
        scope=block.scope,
        workspace=block.workspace,
        tenant=block.tenant,
        auto_store=block.auto_store is not False,
        extractor=block.auto_store if isinstance(block.auto_store, str) else None,
    )


def _conversation(block: AgentConversationBlock) -> AgentConversation:
    return AgentConversation(strategy=block.strategy, max_turns=block.max_turns or AgentConversation().max_turns)


def _context(block: AgentContextBlock, shared: ContextConfiguration) -> AgentContext:
    return AgentContext(
        budget=shared.budget if block.budget is None else block.budget,
        sources=tuple(dict.fromkeys(block.sources)),
        max_exchanges=shared.max_exchanges if block.max_exchanges is None else block.max_exchanges,
        oversize=shared.oversize if block.oversize is None else block.oversize,
    )
