"""The context that a tool asks for, in the form that the specification writes and that tools publish."""

from typing import Annotated

from msgspec import Meta, Struct, field

__all__ = ["ContextRequirements", "MemorySearch", "ProviderOptimization"]

_Count = Annotated[int, Meta(ge=1)]


class MemorySearch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tool wants from the memory."""

    query_template: str | None = None
    """The search, with `{{names}}` filled in from the request."""
    max_results: _Count = 5
    """The most entries to include."""
    min_similarity: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Entries below are left out."""
    focus_areas: tuple[str, ...] = ()
    """Topics that are preferred."""


class ProviderOptimization(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a tool's context is written for one provider."""

    max_context_tokens: _Count | None = None
    """The most tokens of context."""
    function_calling_format: bool | None = None
    """Use the provider's function calling."""
    structured_output: bool | None = None
    """Use the provider's structured output."""
    tool_use_format: bool | None = None
    """Use the provider's own form of tools."""


class ContextRequirements(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The context that a tool needs."""

    conversation_depth: Annotated[int, Meta(ge=0)] | None = None
    """How many of the last turns to include."""
    memory_search: MemorySearch | None = None
    """What to look for in the memory."""
    capability_context: bool = False
    """Whether to include related capabilities."""
    tool_data: tuple[str, ...] = ()
    """Names of the tool's own data to include."""
    provider_optimization: dict[str, ProviderOptimization] = field(default_factory=dict)
    """Per provider: how the context is written."""
