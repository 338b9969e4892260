"""A context that is selected and not yet written for anybody: what every provider's rendering starts from."""

from msgspec import Struct

from caxton_llm.agents.registry import CapabilityContext
from caxton_llm.context.conversation.digest import Said
from caxton_llm.discreet import Discreet
from caxton_llm.tool_specs import ToolData, ToolSpec
from caxton_llm.types import Message

__all__ = ["FoundMemory", "Prepared", "PreparedTool"]


class FoundMemory(Discreet, Struct, frozen=True, kw_only=True):
    """A memory that was selected, with those of its observations that were."""

    name: str
    similarity: float | None
    observations: tuple[str, ...]


class PreparedTool(Discreet, Struct, frozen=True, kw_only=True):
    """A tool with the data that it is told with."""

    spec: ToolSpec
    data: tuple[ToolData, ...] = ()


class Prepared(Discreet, Struct, frozen=True, kw_only=True):
    """Everything that goes into one request. `digest` stands for the turns before `history`, `excerpts` are what some of
    them said, in their order.

    `current` begins with the message that the request is about, with everything since.
    """

    instructions: str
    current: tuple[Message, ...]
    history: tuple[Message, ...] = ()
    digest: str = ""
    excerpts: tuple[Said, ...] = ()
    memories: tuple[FoundMemory, ...] = ()
    capabilities: CapabilityContext | None = None
    tools: tuple[PreparedTool, ...] = ()
