"""What an agent's block of the configuration holds, beside its name and its provider, as people write it."""

from typing import Annotated

from msgspec import Meta, field

from caxton_llm.agents.agent import ContextSource, ConversationStrategy, Oversize, Scope
from caxton_llm.providers.settings import Count, SettingsBlock
from caxton_llm.types import Json

__all__ = [
    "AgentContextBlock",
    "AgentConversationBlock",
    "AgentMemoryBlock",
    "CapabilityBlock",
    "ContextBlock",
    "ContextTimeLimitsBlock",
    "ConversationsBlock",
]

Milliseconds = Annotated[int, Meta(ge=1, le=600_000)]
Days = Annotated[float, Meta(gt=0)]


class CapabilityBlock(SettingsBlock, frozen=True, kw_only=True):
    """Something that an agent can do. Instead of the block its name alone may be written."""

    name: str
    """How requests name it: `capability:NAME`."""
    description: str | None = None
    """What it does: for people, and for the models that may call it."""
    input_formats: tuple[str, ...] = ()
    """What it takes: `json`, `csv`, ..."""
    output_formats: tuple[str, ...] = ()
    """What it gives: `pdf`, ..."""
    performance_sla: str | None = None
    """What may be expected of it, in words: `< 30 seconds for standard reports`."""
    related: tuple[str, ...] = ()
    """Capabilities that go with it, of whichever agent."""
    input_schema: dict[str, Json] = field(default_factory=dict)
    """JSON Schema of what a caller passes. Its `properties` are variables of the agent's template."""


class AgentMemoryBlock(SettingsBlock, frozen=True, kw_only=True):
    """What of the memory is the agent's. Without the top-level block `memory` there is none."""

    scope: Scope = "agent"
    """What the agent remembers is for itself, for its workspace, or for all."""
    workspace: str = ""
    """Agents of one workspace share what they remember in the scope `workspace`."""
    tenant: str = ""
    """A wall: nothing is ever found across it."""
    auto_store: bool | str = False
    """Whether conversations are remembered; the name of a model: it takes out what is worth it."""


class AgentConversationBlock(SettingsBlock, frozen=True, kw_only=True):
    """What of the stored conversation goes into the agent's requests. A turn is a message of the user with all that answered
    it."""

    strategy: ConversationStrategy = "sliding_window"
    """`sliding_window`: the last `max_turns`. `full`: everything. `none`: nothing of it."""
    max_turns: Count | None = None
    """How many turns a sliding window shows. Default 50."""


class AgentContextBlock(SettingsBlock, frozen=True, kw_only=True):
    """What is added to the agent's requests. What is not said here is as the top-level block `context` says."""

    budget: Count | None = None
    """The most tokens of context."""
    sources: tuple[ContextSource, ...] = ("conversation", "memory", "capabilities", "tools")
    """Where context comes from."""
    max_exchanges: Count | None = None
    """How many of the last turns stay word for word; what is older has to be relevant, or is summarised."""
    oversize: Oversize | None = None
    """What becomes of a request that is too large for the model."""


class ContextTimeLimitsBlock(SettingsBlock, frozen=True, kw_only=True):
    """How long a source of context is waited for, in milliseconds. What comes later is left out, and the request says so."""

    conversation_ms: Milliseconds = 1000
    """The stored conversation."""
    memory_ms: Milliseconds = 500
    """All searches in the memory."""
    tools_ms: Milliseconds = 500
    """The tools' own data. A server that has not told its tools yet is waited for up to 10 s."""


class ConversationsBlock(SettingsBlock, frozen=True, kw_only=True):
    """Conversations that are kept, so that a request need only name one (`conversation_id`)."""

    data_dir: str | None = None
    """The folder, which counts from that of the configuration file. Default `./caxton-conversations`."""
    max_age_days: Days | None = None
    """Conversations in which nothing was said for so long are deleted. Default: never."""
    max_conversations: Count | None = None
    """The newest so many of every agent stay. Default: all."""


class ContextBlock(SettingsBlock, frozen=True, kw_only=True):
    """What is added to requests for agents, and how much of it; an agent's own block `context` comes first."""

    budget: Count | None = None
    """The most tokens of context. Default: what the model's window leaves."""
    reserve_tokens: Count = 1024
    """Tokens that stay free for the answer, where neither the request nor the entry's `max_tokens` limits it."""
    max_exchanges: Count = 10
    """How many of the last turns of a conversation stay word for word."""
    oversize: Oversize = "trim"
    """A request that is too large for the model: `trim` leaves out what matters least; `summarize` puts the older part of the
    conversation into a summary; `multi_turn` has the model read it piece by piece; `error` refuses it."""
    summarizer: str | None = None
    """The model that summarises, named as in a request. Default: none; sentences are chosen without a model."""
    max_agent_depth: Annotated[int, Meta(ge=1, le=32)] = 5
    """How many agents may stand in one chain of calls, the first included."""
    max_steps: Annotated[int, Meta(ge=1, le=100)] = 16
    """How many answers of a model may call tools; then it must answer without."""
    time_limits: ContextTimeLimitsBlock = ContextTimeLimitsBlock()
    """How long each source is waited for."""
    conversations: ConversationsBlock = ConversationsBlock()
    """Conversations that are kept."""
