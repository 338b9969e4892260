"""A request to an agent that is larger than its budget: refused, shortened, or worked through in parts, as the agent says."""

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.context.budget import TargetView, limit_mend
from caxton_llm.context.compose import standing_tokens
from caxton_llm.context.costs import Costs
from caxton_llm.context.selection import BUDGET_TOO_SMALL
from caxton_llm.context_engine.contexts import Contexts
from caxton_llm.context_engine.engine import ContextEngine, GatheredContext
from caxton_llm.dispatch.plan import Route
from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import ContextWindowExceeded, InvalidRequest
from caxton_llm.types import ChatRequest, Message
from caxton_llm.wire.unread_fields import sent_fields

__all__ = ["InParts", "Sized", "sized"]


class InParts(Struct, frozen=True, kw_only=True):
    """A request that is worked through in parts: without its conversation, its memories and the tools of its agent, for which
    there is no room. Tokens are those that `costs` counts."""

    request: ChatRequest
    costs: Costs
    window_tokens: int
    answer_tokens: int
    standing_tokens: int
    """Of the window, what the last request has beside its messages."""


class Sized(Struct, kw_only=True):
    """The contexts of a request that fits, or what is worked through in parts."""

    contexts: Contexts
    in_parts: InParts | None = None
    taken_by: Candidate | None = None
    """Who stands in for the first target because that cannot take the request."""


async def sized(engine: ContextEngine, gathered: GatheredContext, route: Route) -> Sized:
    """The request as the first target can take it; under `oversize: trim` one with a larger window may stand in.

    Raises `ContextWindowExceeded` for what is too large under `oversize: trim` and `error`, or cannot be shortened enough,
    and for a conversation that would have to be trimmed under `error`.
    """
    mode = gathered.agent.context.oversize
    contexts = Contexts(engine, gathered)
    first, *others = route.candidates
    view = _view(contexts, first)
    try:
        composed = await contexts.composed(view, whole=mode == "multi_turn")
    except InvalidRequest as error:
        if error.code != BUDGET_TOO_SMALL:
            raise
        if mode == "multi_turn":
            return Sized(contexts=contexts, in_parts=_in_parts(gathered, view, engine))
        for other in others if mode == "trim" else ():
            if await _can_take(other, contexts):
                return Sized(contexts=contexts, taken_by=other)
        raise _exceeded(f"{error}. {_mends(gathered, view)}", view) from None
    if mode == "error" and composed.overflow:
        needed = view.budget + composed.overflow
        raise _exceeded(
            f"the request with its conversation takes about {needed:,} tokens, {view.budget:,} are possible"
            f" ({view.limited_by} of {view.model}): begin a new conversation, raise the limit, or allow trimming"
            " (context.oversize: trim)",
            view,
        )
    return Sized(contexts=contexts)


def _view(contexts: Contexts, candidate: Candidate) -> TargetView:
    target = candidate.target
    return contexts.view(target.name, target.kind, target.describe(candidate.model))


async def _can_take(candidate: Candidate, contexts: Contexts) -> bool:
    try:
        await contexts.composed(_view(contexts, candidate))
    except InvalidRequest as error:
        if error.code != BUDGET_TOO_SMALL:
            raise
        return False
    return True


def _mends(gathered: GatheredContext, view: TargetView) -> str:
    ways = ["shorten them", limit_mend(view)]
    if view.answer_room is not None:
        room = f"{view.answer_room:,} tokens (max_tokens)"
        ways.insert(0, f"ask for a shorter answer than {room}, which the window must hold, too")
    if gathered.agent.context.oversize not in ("summarize", "multi_turn"):
        ways.append("have a long text shortened or worked through in parts (context.oversize: summarize or multi_turn)")
    said = f"{', '.join(ways[:-1])}, or {ways[-1]}"
    return f"{said[0].upper()}{said[1:]}"


def _exceeded(message: str, view: TargetView) -> ContextWindowExceeded:
    return ContextWindowExceeded(
        message, source="gateway", param="messages", code="context_length_exceeded", model=view.model
    )


def _in_parts(gathered: GatheredContext, view: TargetView, engine: ContextEngine) -> InParts:
    material = gathered.material
    instructions = [Message(role="system", content=material.instructions)] if material.instructions else []
    request = replace(
        gathered.request,
        messages=[*instructions, *material.history.current],
        extra=sent_fields(gathered.request),
        source=None,
    )
    answer = gathered.request.output_limit or engine.reserve_tokens
    costs = engine.costs(view)
    return InParts(
        request=request,
        costs=costs,
        window_tokens=view.budget + answer,
        answer_tokens=answer,
        standing_tokens=standing_tokens(material, view, costs),
    )
