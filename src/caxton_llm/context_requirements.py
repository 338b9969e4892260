"""The context that a tool needs, as its author declares it: in a configuration, or in what an MCP server says of the tool.

What several of them mean together is `agents.requirements`.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from caxton_llm.resolved import resolved

__all__ = ["ContextRequirements", "MemorySearch", "ProviderOptimization"]


class MemorySearch(Struct, frozen=True, kw_only=True):
    """What a tool wants from the memory."""

    query_template: str | None = None
    """The search, with `{{names}}` filled in from the request."""
    max_results: Annotated[int, Meta(ge=1)] = 5
    """The most entries to include."""
    min_similarity: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Entries below are left out."""
    focus_areas: tuple[str, ...] = ()
    """Topics that are preferred."""


class ProviderOptimization(Struct, frozen=True, kw_only=True):
    """How a tool's context is written for one provider."""

    max_context_tokens: Annotated[int, Meta(ge=1)] | None = None
    """The most tokens of context."""
    function_calling_format: bool | None = None
    """Use the provider's function calling."""
    structured_output: bool | None = None
    """Use the provider's structured output."""
    tool_use_format: bool | None = None
    """Use the provider's own form of tools."""


@resolved
class ContextRequirements(Struct, frozen=True, kw_only=True):
    """The context that a tool needs."""

    conversation_depth: Annotated[int, Meta(ge=0)] | None = None
    """How many of the last turns to include; a turn is a message of the user with all that answered it."""
    memory_search: MemorySearch | None = None
    """What to look for in the memory."""
    capability_context: bool = False
    """Whether to include related capabilities."""
    tool_data: tuple[str, ...] = ()
    """Names of the tool's own data to include."""
    provider_optimization: dict[str, ProviderOptimization] = field(default_factory=dict)
    """Per provider: how the context is written."""
