"""What is added to requests for agents, as the program uses it."""

from msgspec import Struct

from caxton_llm.agents.agent import Oversize

__all__ = ["ContextConfiguration", "ConversationsConfiguration"]


class ConversationsConfiguration(Struct, frozen=True, kw_only=True):
    """Where conversations are kept and how long. `folder` counts from the current one; ages are in seconds."""

    folder: str = "caxton-conversations"
    max_age_s: float | None = None
    max_conversations: int | None = None


class ContextConfiguration(Struct, frozen=True, kw_only=True):
    """What holds for all agents. `budget` and `reserve_tokens` are tokens; times are seconds."""

    budget: int | None = None
    reserve_tokens: int = 1024
    max_exchanges: int = 10
    oversize: Oversize = "trim"
    summarizer: str | None = None
    max_agent_depth: int = 5
    max_steps: int = 16
    conversation_s: float = 1.0
    memory_s: float = 0.5
    tools_s: float = 0.5
    conversations: ConversationsConfiguration = ConversationsConfiguration()
