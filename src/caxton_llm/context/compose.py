"""The four stages for one target: relevance (known from `material`), redundancy, selection under the budget, rendering.

What is rendered is measured, and selected again with less room until it fits: the parts are counted apart, and what stands
between them is only known when they stand together.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.context.budget import TargetView
from caxton_llm.context.candidates import CAPABILITIES, DIGEST, Candidates, candidates_of, data_id, offered_id
from caxton_llm.context.costs import Costs
from caxton_llm.context.digest import Said
from caxton_llm.context.material import Material
from caxton_llm.context.pieces import Decision, Piece, Reason, Source, Tier
from caxton_llm.context.prepared import FoundMemory, Prepared, PreparedTool
from caxton_llm.context.redundancy import repetitions
from caxton_llm.context.relevance import TextVectors
from caxton_llm.context.render.provider import rendered
from caxton_llm.context.render.strict import strictly
from caxton_llm.context.selection import Limits, Selection, select
from caxton_llm.discreet import Discreet
from caxton_llm.types import Message, Tool

__all__ = ["Composed", "compose", "with_steps"]

_SHARES: dict[Tier, float] = {"memory": 0.15, "tools": 0.3, "capabilities": 0.1, "older": 0.15}
"""The most of the budget that each kind gets before the others have had theirs. What was said and what is remembered are on
one scale of relevance, so most of the budget goes to the most relevant, whatever it is."""
_COMPARED = 150
"""Pieces that are compared for repetitions: the most relevant ones."""


class Composed(Discreet, Struct, frozen=True, kw_only=True):
    """A context for one target: what is sent, and what became of every piece.

    `tokens` is what the prompt takes at most as the target counts, `spent` how it divides among the sources.
    """

    target: TargetView
    prepared: Prepared
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    tokens: int
    spent: dict[Source, int]
    decisions: tuple[Decision, ...]
    memories: tuple[str, ...]
    """The ids of the memory's records that went in."""
    window_from: int | None
    """The number of the first past turn that is sent word for word; `None`: there is none."""
    overflow: int
    """Tokens that the past turns, as many as are wanted word for word, take beyond the budget."""
    less_relevant: int
    stable_tokens: int
    """How much of the beginning stays from turn to turn."""

    @property
    def utilization(self) -> float:
        """The part of the budget that is used."""
        return self.tokens / self.target.budget


def compose(material: Material, target: TargetView, costs: Costs, vectors: TextVectors) -> Composed:
    """The best context for the target. Raises `InvalidRequest` (`context_budget_too_small`) when the instructions and the
    request alone are too large."""
    found = candidates_of(material, target, costs, vectors)
    repeated = _repeated(found, vectors)
    gone = {decision.piece.id for decision in repeated}
    pieces = [piece for piece in found.pieces if piece.id not in gone]
    stable = _stable_tokens(found)
    least = sum(piece.tokens for piece in pieces if piece.tier == "always")
    budget = target.budget
    while True:
        selection = select(pieces, _limits(found, budget))
        prepared = _prepared(material, found, selection)
        messages, tools = rendered(prepared, target.family, stable_tokens=stable)
        tools = [strictly(tool) for tool in tools] if target.strict_tools else tools
        tokens = sum(map(costs.tool, tools)) + sum(map(costs.message, messages))
        tokens += costs.frame(material.request, offers_tools=bool(tools))
        if tokens <= target.budget:
            break
        # What stands between the pieces is known now; between those that always stand there is nothing. The budget shrinks in
        # any case, in the end until these are refused.
        budget = min(budget - 1, max(least, target.budget - (tokens - selection.tokens)))
    return Composed(
        target=target,
        prepared=prepared,
        messages=tuple(messages),
        tools=tuple(tools),
        tokens=tokens,
        spent=_spent(selection, tokens),
        decisions=(*selection.decisions, *repeated, *map(_passed_over, found.irrelevant)),
        memories=tuple(
            dict.fromkeys(found.memories[one.id].record for one in selection.kept if one.source == "memory")
        ),
        window_from=found.window[0].number if found.window else None,
        overflow=found.overflow,
        less_relevant=found.less_relevant,
        stable_tokens=stable,
    )


def _passed_over(piece: Piece) -> Decision:
    return Decision(piece=piece, kept=False, stage="relevance", reason="below the threshold")


def _limits(found: Candidates, budget: int) -> Limits:
    window = len(found.window)
    return Limits(budget=budget, least_recent=window, most_recent=window, share=_SHARES)


def _stable_tokens(found: Candidates) -> int:
    """With the window at its largest: where it was just cut back, what was looked up does not change its place for it."""
    return found.reach + sum(piece.tokens for piece in found.pieces if piece.tier == "always" and piece.id != "request")


# -- redundancy ---------------------------------------------------------------------------------------------------------


def _repeated(found: Candidates, vectors: TextVectors) -> list[Decision]:
    """Pieces that say again what others say. What stands anyway comes first: it is never dropped."""
    standing = [piece for piece in found.pieces if piece.tier in ("always", "recent") and piece.source != "tools"]
    chosen = [piece for piece in found.pieces if piece.id in found.memories or piece.id in found.excerpts]
    chosen.sort(key=lambda piece: -piece.score)
    compared = [*standing, *chosen[:_COMPARED]]
    texts = [piece.text for piece in compared]
    decisions = []
    for one in repetitions(texts, vectors.embed(texts)):
        piece, by = compared[one.text], compared[one.by]
        if one.text >= len(standing):
            reason: Reason = "is contained in another" if one.contained else "repeats another"
            decisions.append(Decision(piece=piece, kept=False, stage="redundancy", reason=reason, by=by.id))
    return decisions


# -- from a selection to what is sent -----------------------------------------------------------------------------------


def _prepared(material: Material, found: Candidates, selection: Selection) -> Prepared:
    kept = {decision.piece.id: decision.piece for decision in selection.decisions if decision.kept}
    turns = [turn for turn in found.window if f"turn:{turn.number}" in kept]
    excerpts = sorted((found.excerpts[one] for one in kept if one in found.excerpts), key=lambda one: one.place)
    return Prepared(
        instructions=material.instructions,
        current=material.history.current,
        history=tuple(message for turn in turns for message in turn.messages),
        digest=found.digest if DIGEST in kept else "",
        excerpts=tuple(Said(one.speaker, one.text) for one in excerpts),
        memories=_memories(found, kept),
        capabilities=material.capabilities if CAPABILITIES in kept else None,
        tools=tuple(
            PreparedTool(
                spec=offer.spec, data=tuple(one for one in offer.data if data_id(offer.spec.name, one.key) in kept)
            )
            for offer in material.offers
            if offered_id(offer.spec.name) in kept
        ),
    )


def _memories(found: Candidates, kept: dict[str, Piece]) -> tuple[FoundMemory, ...]:
    """By record, the most relevant first; its observations in their own order."""
    by_record: dict[str, FoundMemory] = {}
    chosen = [found.memories[one] for one in kept if one in found.memories]
    order = dict.fromkeys(one.record for one in sorted(chosen, key=lambda one: (-one.score, one.record)))
    for one in sorted(chosen, key=lambda one: one.place):
        known = by_record.get(one.record)
        observations = (*(known.observations if known is not None else ()), one.text)
        by_record[one.record] = FoundMemory(name=one.name, similarity=one.similarity, observations=observations)
    return tuple(by_record[record] for record in order)


def _spent(selection: Selection, tokens: int) -> dict[Source, int]:
    """By source; what stands between the pieces counts to the instructions."""
    spent: dict[Source, int] = {}
    for piece in selection.kept:
        spent[piece.source] = spent.get(piece.source, 0) + piece.tokens
    spent["instructions"] = max(0, spent.get("instructions", 0) + tokens - sum(spent.values()))
    return {source: count for source, count in spent.items() if count}


def with_steps(composed: Composed, steps: Sequence[Message], costs: Costs) -> Composed:
    """The same context with what was done since behind it: nothing before it changes."""
    return replace(
        composed, messages=(*composed.messages, *steps), tokens=composed.tokens + sum(map(costs.message, steps))
    )
