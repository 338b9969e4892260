"""The four stages for one target: relevance (known from `material`), redundancy, selection under the budget, rendering.

What is rendered is measured, and selected again with less room until it fits: the parts are counted apart, and what stands
between them is only known when they stand together.
"""

from collections.abc import Container, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.context.budget import TargetView
from caxton_llm.context.candidates import CAPABILITIES, Candidates, always_of, candidates_of, note_tokens
from caxton_llm.context.choosing import chosen, repetitions_among
from caxton_llm.context.conversation.digest import Said
from caxton_llm.context.conversation.past import DIGEST, turn_id
from caxton_llm.context.conversation.past_texts import PastTexts
from caxton_llm.context.costs import Costs
from caxton_llm.context.material import Material
from caxton_llm.context.offered import MOST_TOOLS, Offered, definition_tokens, offered_tools, offers_of
from caxton_llm.context.pieces import Decision, Piece, Source, Tier
from caxton_llm.context.prepared import FoundMemory, Prepared
from caxton_llm.context.render.breakpoints import marks_of
from caxton_llm.context.render.provider import rendered
from caxton_llm.context.render.strict import not_strict, strictly
from caxton_llm.context.selection import Limits, Selection, too_small
from caxton_llm.context.text_vectors import TextVectors
from caxton_llm.discreet import Discreet
from caxton_llm.tokens.parts import shared
from caxton_llm.types import Message, Tool

__all__ = ["Composed", "compose", "with_steps"]

_SHARES: dict[Tier, float] = {"memory": 0.15, "tools": 0.3, "capabilities": 0.1, "older": 0.15}
"""The most of the budget that each kind gets before the others have had theirs. What was said and what is remembered are on
one scale of relevance, so most of the budget goes to the most relevant, whatever it is."""
_FOR_STEPS, _FOR_STEPS_MOST = 0.1, 2_000
"""Of the budget, in tokens: what stays free for calls of tools and their results where tools are offered."""

_BETWEEN, _BETWEEN_OF = 16, 400
"""Tokens that usually stand between the pieces, and in which part of a small budget no more are expected: what is expected
need not be selected again."""


class Composed(Discreet, Struct, frozen=True, kw_only=True, eq=False):
    """A context for one target: what is sent, and what became of every piece.

    `tokens` is what the prompt takes at most as the target counts, `spent` how it divides among the sources.
    """

    target: TargetView
    prepared: Prepared
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    tokens: int
    spent: dict[Source, int]
    found: Candidates
    selection: Selection
    repeated: tuple[Decision, ...]
    """What went because others say it, or had no room."""
    memories: tuple[str, ...]
    """The ids of the memory's records that went in."""
    window_from: int | None
    """The number of the first past turn that is sent word for word; `None`: there is none."""
    overflow: int
    """Tokens that the past turns, as many as are wanted word for word, take beyond the budget."""
    less_relevant: int
    stable_tokens: int
    """How much of the beginning stays from turn to turn."""
    reserve: int
    """Tokens of the budget that were kept free for calls of tools and their results."""
    notes: tuple[str, ...]
    """What the caller must be told: what of the request itself is not sent, and what in it nobody has counted."""

    @property
    def utilization(self) -> float:
        """The part of the budget that is used."""
        return self.tokens / self.target.budget

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What became of everything that was gathered."""
        decided = {piece.id for piece in self.selection.pieces} | {one.piece.id for one in self.repeated}
        never = (_without_room(piece) for piece in self.found.pieces if piece.id not in decided)
        return (*self.selection.decisions, *self.repeated, *never, *self.found.passed_over)

    @property
    def dropped(self) -> int:
        """How much of it did not go in."""
        return len(self.found.pieces) - len(self.selection.taken) + self.found.passed_over_count


def compose(material: Material, target: TargetView, costs: Costs, texts: PastTexts, *, reserve: int = 0) -> Composed:
    """The best context for the target. `reserve` tokens of the budget stay free, and where tools are offered at least a tenth
    of it, up to 2,000.

    Raises `InvalidRequest` (`context_budget_too_small`) when the instructions and the request alone are too large.
    """
    said = always_of(material, costs)
    least = sum(piece.tokens for piece in said)
    if least > target.budget - reserve:
        raise too_small(said, target.budget, reserve)
    usual = _for_steps(material, target)
    note = note_tokens(material, costs)
    left = target.budget - max(reserve, usual) - least - note
    offered = offered_tools(material, target, costs, left)
    reserve = max(reserve, usual) if offered.pieces else reserve
    room = target.budget - reserve
    found = candidates_of(material, target, costs, texts, offered, said=said, note=note, room=room)
    return _composed(_Attempts(material, target, costs, texts.vectors), found, reserve)


def standing_tokens(material: Material, target: TargetView, costs: Costs) -> int:
    """What a prompt with all tools has beside its messages and the caller's own tools: definitions, what the vendor writes
    because of them, the note on what is data, and what stays free for calls."""
    alone = replace(material.request, tools=None, functions=None, response_format=None)
    offers_any = bool(offers_of(material, target) or material.request.tools or material.request.functions)
    frame = costs.frame(alone, offers_tools=offers_any)
    definitions = definition_tokens(material, target, costs)
    return frame + definitions + note_tokens(material, costs) + _for_steps(material, target)


def _for_steps(material: Material, target: TargetView) -> int:
    return min(_FOR_STEPS_MOST, int(_FOR_STEPS * target.budget)) if offers_of(material, target) else 0


def _composed(attempts: "_Attempts", found: Candidates, reserve: int) -> Composed:
    material, target, costs = attempts.material, attempts.target, attempts.costs
    made = attempts.fitting(found, target.budget - reserve)
    kept = made.selection.taken
    return Composed(
        target=target,
        prepared=made.prepared,
        messages=made.messages,
        tools=made.tools,
        tokens=made.tokens,
        spent=_spent(made.selection, made.tokens, found.offered.prompt if made.tools else 0),
        found=found,
        selection=made.selection,
        repeated=made.repeated,
        memories=tuple(dict.fromkeys(one.record for name, one in found.memories.items() if name in kept)),
        window_from=next((turn.number for turn in found.past.window if turn_id(turn.number) in kept), None),
        overflow=found.past.overflow,
        less_relevant=found.past.less_relevant,
        stable_tokens=found.stable,
        reserve=reserve,
        notes=(
            *_notes(material, target, costs, found, kept),
            *_tools_left_out(found.offered, target, kept),
            *_open_schemas(made.tools, target),
        ),
    )


# -- until it fits ------------------------------------------------------------------------------------------------------


class _Plan(Struct, frozen=True):
    """Pieces to choose from, and how much stands around them in any case."""

    pieces: tuple[Piece, ...]
    around: int
    stable: int

    @property
    def least(self) -> int:
        return sum(piece.tokens for piece in self.pieces if piece.tier == "always")


class _Made(Struct, frozen=True, kw_only=True):
    prepared: Prepared
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    tokens: int
    selection: Selection
    repeated: tuple[Decision, ...]


class _Attempts:
    def __init__(self, material: Material, target: TargetView, costs: Costs, vectors: TextVectors) -> None:
        self.material = material
        self.target = target
        self.costs = costs
        self._vectors = vectors
        self._marks = marks_of(material.request)

    def fitting(self, found: Candidates, room: int) -> _Made:
        """What stands between the pieces is only known when they stand together: the budget of the pieces shrinks until all
        of it fits, and where they cannot shrink, less of them stands in any case. What is left in the end, the instructions
        and the request, fits."""
        dropped = repetitions_among(found, self._vectors)
        for plan in _plans(found):
            most = room - plan.around
            budget = min(most, max(plan.least, most - min(_BETWEEN, room // _BETWEEN_OF)))
            while budget >= plan.least:
                made = self._made(found, plan, dropped, budget)
                if made.tokens <= room:
                    return made
                budget = min(budget - 1, room - (made.tokens - made.selection.tokens))
        raise too_small(found.pieces, room)

    def _made(self, found: Candidates, plan: _Plan, dropped: Sequence[Decision], budget: int) -> _Made:
        limits = Limits(budget=budget, share=_SHARES)
        selection, repeated = chosen(plan.pieces, dropped, limits, self._vectors)
        prepared = _prepared(self.material, found, selection)
        messages, tools = rendered(prepared, self.target.family, stable_tokens=plan.stable, marks=self._marks)
        tools = strictly(tools, self.target.strict_tools)
        tokens = sum(self.costs.tools(tools)) + self._tokens(messages, prepared.history, selection)
        tokens += self.costs.frame(self.material.request, offers_tools=bool(tools))
        return _Made(
            prepared=prepared,
            messages=tuple(messages),
            tools=tools,
            tokens=tokens,
            selection=selection,
            repeated=repeated,
        )

    def _tokens(self, messages: Sequence[Message], history: Sequence[Message], selection: Selection) -> int:
        """Of the messages; those of past turns, which stand behind the instructions as they were, are counted already."""
        if any(message.role == "system" for message in history[:1]):
            return sum(map(self.costs.message, messages))  # which of them are the instructions cannot be seen
        first = int(bool(messages) and messages[0].role == "system")
        beside = (*messages[:first], *messages[first + len(history) :])
        counted = sum(
            piece.tokens for piece in selection.pieces if piece.tier == "recent" and piece.id in selection.taken
        )
        return counted + sum(map(self.costs.message, beside))


def _plans(found: Candidates) -> Iterator[_Plan]:
    """Each has less that stands in any case than the one before: all tools, chosen ones, none, not even the note."""
    offered = found.offered
    if offered.pieces:
        yield _Plan(found.pieces, found.note + offered.prompt, found.stable)
        eased = (replace(piece, tier="tools") if piece.source == "tools" else piece for piece in found.pieces)
        yield _Plan(tuple(eased), found.note + offered.prompt, found.stable)
    others = tuple(piece for piece in found.pieces if piece.source != "tools")
    yield _Plan(others, found.note, found.stable)
    yield _Plan(tuple(piece for piece in others if piece.tier in ("always", "recent")), 0, 0)


def _without_room(piece: Piece) -> Decision:
    return Decision(piece=piece, kept=False, stage="selection", reason="no budget left")


def _notes(
    material: Material, target: TargetView, costs: Costs, found: Candidates, kept: Container[str]
) -> Iterator[str]:
    own = found.past.own
    missing = sum(turn_id(number) not in kept for number in own)
    if missing:
        # The deeper ones are left out first: where all that are wanted are sent, it is the depth that decides.
        window = len(own) - missing
        if window >= found.past.depth:
            why = f"the agent takes the last {found.past.depth:,} of a conversation"
        elif found.past.overflow:
            why = f"there are {target.budget:,} tokens for everything ({target.limited_by})"
        else:
            why = f"of the last {found.past.depth:,} half at least is, so that the prompt's beginning stays for a while"
        yield f"{missing:,} of the {len(own):,} earlier turns in the request are not sent word for word: {why}"
    sent = [turn.messages for turn in found.past.window if turn_id(turn.number) in kept]
    uncounted = set().union(*map(costs.uncounted, (material.history.current, *sent)))
    if uncounted:
        yield f"not counted: content of type {', '.join(sorted(uncounted))}"


def _tools_left_out(offered: Offered, target: TargetView, kept: Container[str]) -> Iterator[str]:
    """What the model cannot call although the agent may."""
    without_room = sum(tool.id not in kept for tool in offered.order) + len(offered.refused)
    if without_room:
        why = "because their definitions take too much of the budget"
        yield f"{without_room:,} of the agent's tools were left out, {why} ({target.budget:,} tokens, {target.limited_by})"
    if offered.beyond:
        most = MOST_TOOLS[target.kind]
        yield f"{len(offered.beyond):,} of the agent's tools were left out, because {target.kind} takes {most} at most"


def _open_schemas(tools: Sequence[Tool], target: TargetView) -> tuple[str, ...]:
    names = not_strict(tools, target.strict_tools)
    if not names:
        return ()
    return (f"structured_output: the provider cannot hold calls to the schemas of {', '.join(names)}",)


# -- from a selection to what is sent -----------------------------------------------------------------------------------


def _prepared(material: Material, found: Candidates, selection: Selection) -> Prepared:
    kept = selection.taken
    turns = [turn for turn in found.past.window if turn_id(turn.number) in kept]
    excerpts = sorted((one for name, one in found.past.excerpts.items() if name in kept), key=lambda one: one.place)
    return Prepared(
        instructions=material.instructions,
        current=material.history.current,
        history=tuple(message for turn in turns for message in turn.messages),
        digest=found.past.digest if DIGEST in kept else "",
        excerpts=tuple(Said(one.speaker, one.text) for one in excerpts),
        memories=_memories(found, kept),
        capabilities=material.capabilities if CAPABILITIES in kept else None,
        tools=tuple([tool.form(kept) for tool in found.offered.order if tool.id in kept]),
    )


def _memories(found: Candidates, kept: Container[str]) -> tuple[FoundMemory, ...]:
    """By record, the most relevant first; its observations in their own order."""
    by_record: dict[str, FoundMemory] = {}
    chosen = [memory for name, memory in found.memories.items() if name in kept]
    order = dict.fromkeys(one.record for one in sorted(chosen, key=lambda one: (-one.score, one.record)))
    for one in sorted(chosen, key=lambda one: one.place):
        known = by_record.get(one.record)
        observations = (*(known.observations if known is not None else ()), one.text)
        by_record[one.record] = FoundMemory(name=one.name, similarity=one.similarity, observations=observations)
    return tuple(by_record[record] for record in order)


def _spent(selection: Selection, tokens: int, tool_prompt: int) -> dict[Source, int]:
    """By source; what the vendor writes because of tools counts to these, what stands between the pieces to the
    instructions. Pieces are counted one by one, to an upper bound: where they come to more than the whole, all get less."""
    spent: dict[Source, int] = {"tools": tool_prompt}
    for piece in selection.pieces:
        if piece.id in selection.taken:
            spent[piece.source] = spent.get(piece.source, 0) + piece.tokens
    between = tokens - sum(spent.values())
    if between >= 0:
        spent["instructions"] = spent.get("instructions", 0) + between
    else:
        spent = dict(zip(spent, shared(tokens, [*spent.values()]), strict=True))
    return {source: count for source, count in spent.items() if count}


def with_steps(composed: Composed, steps: Sequence[Message], costs: Costs) -> Composed:
    """The same context with what was done since behind it: nothing before it changes."""
    return replace(
        composed, messages=(*composed.messages, *steps), tokens=composed.tokens + sum(map(costs.message, steps))
    )
