"""What an agent is: what it offers, how it is instructed, what it may use and what it is to remember."""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from caxton_llm.agents.templates import variables_of
from caxton_llm.discreet import Discreet
from caxton_llm.types import Json

__all__ = [
    "DERIVED_VARIABLES",
    "Agent",
    "AgentContext",
    "AgentConversation",
    "AgentMemory",
    "Capability",
    "ContextSource",
    "ConversationStrategy",
    "Oversize",
    "Scope",
]

Scope = Literal["agent", "workspace", "global"]
ConversationStrategy = Literal["sliding_window", "full", "none"]
ContextSource = Literal["conversation", "memory", "capabilities", "tools"]
Oversize = Literal["trim", "summarize", "multi_turn", "error"]

DERIVED_VARIABLES = ("user_request", "request_type", "agent", "capability", "requesting_agent")
"""Template variables that a request has without being told, as far as they apply to it."""


class Capability(Struct, frozen=True, kw_only=True):
    """Something that an agent can do. `input_schema` is a JSON Schema of what a caller passes; empty: a text."""

    name: str
    description: str = ""
    input_formats: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()
    performance_sla: str | None = None
    related: tuple[str, ...] = ()
    input_schema: Mapping[str, Json] = {}

    @property
    def properties(self) -> Mapping[str, Json]:
        """The properties of `input_schema`; empty where it has none."""
        found = self.input_schema.get("properties")
        return found if isinstance(found, dict) else {}


class AgentMemory(Struct, frozen=True, kw_only=True):
    """Where an agent remembers. `extractor` is the model that takes out what is worth it; `None`: turns are kept as they
    are."""

    scope: Scope = "agent"
    workspace: str = ""
    tenant: str = ""
    auto_store: bool = False
    extractor: str | None = None


class AgentConversation(Struct, frozen=True, kw_only=True):
    """How much of a stored conversation an agent sees; `max_turns` belongs to the sliding window."""

    strategy: ConversationStrategy = "sliding_window"
    max_turns: int = 50


class AgentContext(Struct, frozen=True, kw_only=True):
    """What is added to an agent's requests; `budget` in tokens, `None`: what the model's window leaves."""

    budget: int | None = None
    sources: tuple[ContextSource, ...] = ("conversation", "memory", "capabilities", "tools")
    max_exchanges: int = 10
    oversize: Oversize = "trim"


class Agent(Discreet, Struct, frozen=True, kw_only=True):
    """An agent. `tools` are patterns of tools that it may use, none without; `requires` are capabilities that it calls.

    `variables`, where it is not `None`, are all that its template may use beside the derived ones and the properties of what
    it offers.
    """

    name: str
    offers: tuple[Capability, ...] = ()
    description: str | None = None
    system_prompt: str | None = None
    user_prompt_template: str | None = None
    variables: tuple[str, ...] | None = None
    tools: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    memory: AgentMemory = AgentMemory()
    conversation: AgentConversation = AgentConversation()
    context: AgentContext = AgentContext()

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The names of what it offers."""
        return tuple(capability.name for capability in self.offers)

    @property
    def known_variables(self) -> tuple[str, ...] | None:
        """All that its template may use, or `None` where a request may bring any."""
        if self.variables is None:
            return None
        offered = (name for capability in self.offers for name in capability.properties)
        return tuple(dict.fromkeys((*DERIVED_VARIABLES, *self.variables, *offered)))

    @property
    def unknown_variables(self) -> tuple[str, ...]:
        """Variables of its template that no request can bring."""
        known = self.known_variables
        if known is None or self.user_prompt_template is None:
            return ()
        return tuple(name for name in variables_of(self.user_prompt_template) if name not in known)

    def _told(self) -> Iterator[tuple[str, str]]:
        yield "name", repr(self.name)
        yield "capabilities", repr(self.capabilities)
