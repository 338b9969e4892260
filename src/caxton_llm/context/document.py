"""The context document of a context that was composed."""

from collections.abc import Mapping

from caxton_llm.agents.analysis import REQUEST, Analysis
from caxton_llm.agents.requirements import ALL_TURNS
from caxton_llm.context.compose import Composed
from caxton_llm.context.conversation.turns import text_of
from caxton_llm.context.document_types import (
    AvailableTool,
    CandidateReport,
    ContextDocument,
    ContextMetadata,
    HistoryEntry,
    MemoryContext,
    RelevantEntity,
    RequestContext,
    RequiredContext,
)
from caxton_llm.context.material import Material
from caxton_llm.context.pieces import Decision, Source
from caxton_llm.memory.hits import Found

__all__ = ["CandidateReport", "ContextDocument", "document_of"]

_SPOKEN = ("user", "assistant")


def document_of(
    material: Material,
    analysis: Analysis,
    searches: Mapping[str, Found],
    composed: Composed,
    *,
    parameters: Mapping[str, str],
    seconds: float,
    notes: tuple[str, ...] = (),
) -> ContextDocument:
    """The document of a context that was composed; `searches` by their queries, `seconds` for all of it, `notes` beside
    those of the context."""
    prepared, target = composed.prepared, composed.target
    return ContextDocument(
        request_context=_request(analysis, parameters),
        conversation_history=tuple(
            HistoryEntry(role=message.role, content=text_of(message))
            for message in prepared.history
            if message.role in _SPOKEN and text_of(message)
        ),
        memory_context=_memory(searches, composed),
        capability_context=material.capabilities,
        available_tools=tuple(
            AvailableTool(
                name=tool.spec.name,
                description=tool.spec.description,
                context_data={one.key: one.value for one in tool.data},
            )
            for tool in prepared.tools
        ),
        context_metadata=ContextMetadata(
            preparation_time_ms=round(1000 * seconds, 3),
            total_context_tokens=composed.tokens,
            token_utilization_rate=round(composed.utilization, 4),
            context_sources_used=_sources(composed),
            token_budget=target.budget,
            budget_limited_by=target.limited_by,
            tokens_by_source=composed.spent,
            source_times_ms={source: round(1000 * spent, 3) for source, spent in material.seconds.items()},
            sources_missing=material.gaps,
            turns_not_relevant=composed.less_relevant,
            notes=(*analysis.unused, *analysis.notes, *target.notes, *composed.notes, *notes),
            target=target.model,
            provider=target.kind,
        ),
        candidates=tuple(map(_candidate, composed.decisions)),
    )


def _request(analysis: Analysis, parameters: Mapping[str, str]) -> RequestContext:
    needs = analysis.requirements
    lowest = [search.min_similarity for search in needs.memory_searches if search.min_similarity is not None]
    keys = dict.fromkeys(key for tool in sorted(needs.tool_data, key=_request_last) for key in needs.tool_data[tool])
    return RequestContext(
        agent=analysis.agent or "",
        requesting_agent=analysis.requesting_agent,
        requested_capability=analysis.capability,
        request_parameters=parameters,
        context_requirements=RequiredContext(
            conversation_depth=None if needs.conversation_depth == ALL_TURNS else needs.conversation_depth,
            memory_similarity_threshold=min(lowest, default=None),
            tool_context_sources=tuple(keys),
        ),
    )


def _request_last(tool: str) -> tuple[bool, str]:
    return tool == REQUEST, tool


def _memory(searches: Mapping[str, Found], composed: Composed) -> MemoryContext:
    return MemoryContext(
        search_query="; ".join(searches) if searches else None,
        relevant_entities=tuple(
            RelevantEntity(
                name=memory.name,
                similarity=None if memory.similarity is None else round(memory.similarity, 4),
                observations=memory.observations,
            )
            for memory in composed.prepared.memories
        ),
        total_memory_entries_searched=max((found.searched for found in searches.values()), default=None),
        entries_above_threshold=max((found.above_threshold for found in searches.values()), default=None),
    )


def _sources(composed: Composed) -> tuple[str, ...]:
    """Where the context is from; what every request has (instructions, the request itself) is no source."""
    order: tuple[Source, ...] = ("conversation", "memory", "tools", "capabilities")
    return tuple(source for source in order if composed.spent.get(source))


def _candidate(decision: Decision) -> CandidateReport:
    piece = decision.piece
    return CandidateReport(
        id=piece.id,
        source=piece.source,
        score=round(piece.score, 4),
        tokens=piece.tokens,
        kept=decision.kept,
        stage=decision.stage,
        reason=decision.reason,
        repeats=decision.by,
        text=piece.text,
    )
