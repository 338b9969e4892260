"""The context document: what was gathered for a request, what of it is sent, and why. The keys are the specification's."""

from collections.abc import Mapping

from msgspec import Struct, field

from caxton_llm.agents.registry import CapabilityContext
from caxton_llm.context.pieces import Reason, Source, SourceGap, Stage
from caxton_llm.discreet import Discreet
from caxton_llm.types import Json

__all__ = [
    "AvailableTool",
    "CandidateReport",
    "ContextDocument",
    "ContextMetadata",
    "HistoryEntry",
    "MemoryContext",
    "RelevantEntity",
    "RequestContext",
    "RequiredContext",
]


class RequiredContext(Struct, frozen=True, kw_only=True):
    """What the request needs, as its tools and itself ask for it."""

    conversation_depth: int | None
    memory_similarity_threshold: float | None
    tool_context_sources: tuple[str, ...]


class RequestContext(Discreet, Struct, frozen=True, kw_only=True):
    """Who asks for what. `requested_capability` is null where the agent itself was named."""

    agent: str
    requesting_agent: str | None
    requested_capability: str | None
    request_parameters: Mapping[str, str]
    context_requirements: RequiredContext


class HistoryEntry(Discreet, Struct, frozen=True, kw_only=True):
    """A message of the conversation that is sent word for word."""

    role: str
    content: str


class RelevantEntity(Discreet, Struct, frozen=True, kw_only=True):
    """A memory that is sent. `similarity` is from 0 to 1, null where it is not known."""

    name: str
    similarity: float | None
    observations: tuple[str, ...]


class MemoryContext(Discreet, Struct, frozen=True, kw_only=True):
    """What was looked for in the memory, and found. Null is not known: there was no search, or no memory."""

    search_query: str | None
    relevant_entities: tuple[RelevantEntity, ...]
    total_memory_entries_searched: int | None
    entries_above_threshold: int | None


class AvailableTool(Discreet, Struct, frozen=True, kw_only=True):
    """A tool that the model is offered, with the data that it is told with."""

    name: str
    description: str
    context_data: Mapping[str, Json]


class ContextMetadata(Struct, frozen=True, kw_only=True):
    """Figures of the preparation. Tokens are upper bounds in the tokens of the target."""

    preparation_time_ms: float
    total_context_tokens: int
    token_utilization_rate: float
    context_sources_used: tuple[str, ...]
    token_budget: int
    budget_limited_by: str
    tokens_by_source: Mapping[Source, int]
    source_times_ms: Mapping[Source, float]
    sources_missing: tuple[SourceGap, ...]
    turns_not_relevant: int
    """Parts of past turns that have less to do with the request than others, and are no candidates."""
    notes: tuple[str, ...]
    target: str
    provider: str


class CandidateReport(Discreet, Struct, frozen=True, kw_only=True):
    """What became of one candidate. `repeats` is the candidate that says the same."""

    id: str
    source: Source
    score: float
    tokens: int
    kept: bool
    stage: Stage
    reason: Reason
    repeats: str | None
    text: str


class ContextDocument(Discreet, Struct, frozen=True, kw_only=True):
    """Everything about a request's context. `payloads` are the requests that it becomes, by provider."""

    request_context: RequestContext
    conversation_history: tuple[HistoryEntry, ...]
    memory_context: MemoryContext
    capability_context: CapabilityContext | None
    available_tools: tuple[AvailableTool, ...]
    context_metadata: ContextMetadata
    candidates: tuple[CandidateReport, ...]
    payloads: Mapping[str, Json] = field(default_factory=dict)
