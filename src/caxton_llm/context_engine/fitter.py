"""What each target of a request is sent: its own context, in its provider's format, within its own window."""

import asyncio
import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from caxton_llm.context.budget import TargetView
from caxton_llm.context.compose import Composed, with_steps
from caxton_llm.context.features import missing_feature
from caxton_llm.context.render.fence import fenced
from caxton_llm.context.render.provider import CACHED_FROM
from caxton_llm.context.selection import BUDGET_TOO_SMALL
from caxton_llm.context.source import with_output_limit
from caxton_llm.context_engine.engine import ContextEngine, GatheredContext, SentRequest
from caxton_llm.dispatch.fitting import Fitter, Ready
from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import InvalidRequest
from caxton_llm.types import ChatRequest, Message

__all__ = ["OWN_FIELDS", "ContextFitter", "Contexts"]

OWN_FIELDS = ("context", "conversation_id")
"""Fields of a request that are for the gateway alone."""
_TOO_LONG = 0.8
"""Of the budget, where a target has said that the prompt was too long after all."""
_CACHE_KEYS = ("openai", "azure")


class Contexts:
    """The contexts of one request, one for each target that is asked; made when they are needed."""

    def __init__(self, engine: ContextEngine, gathered: GatheredContext) -> None:
        self.engine = engine
        self.gathered = gathered
        self.sent: Composed | None = None
        """What the last target was given."""
        self.request: SentRequest | None = None
        """The request that it became."""
        self._made: dict[TargetView, Composed] = {}

    def fitter(self, steps: Sequence[Message] = ()) -> "ContextFitter":
        """What makes the request for each target, with what was done since (calls of tools and their results) behind it."""
        return ContextFitter(self, tuple(steps))

    async def composed(self, target: TargetView, steps: Sequence[Message]) -> Composed:
        """The context for a target. Raises `InvalidRequest` when it cannot be made small enough."""
        base = self._made.get(target)
        if base is None:
            base = self._made[target] = await asyncio.to_thread(self.engine.compose, self.gathered, target)
        whole = await asyncio.to_thread(self._with_steps, base, steps) if steps else base
        self.sent = whole
        return whole

    def request_for(self, request: ChatRequest, composed: Composed, kind: str, model: str) -> ChatRequest:
        """The request with a context, as a model behind a kind of provider is sent it."""
        tools = [*composed.tools, *(request.tools or ())]
        key = request.prompt_cache_key
        if key is None and kind in _CACHE_KEYS and composed.stable_tokens >= CACHED_FROM:
            key = _cache_key(self.gathered)
        sent = replace(
            request,
            model=model,
            messages=list(composed.messages),
            tools=tools or None,
            tool_choice=request.tool_choice if tools else None,
            prompt_cache_key=key,
            extra={name: value for name, value in request.extra.items() if name not in OWN_FIELDS},
            source=None,
        )
        limit = composed.target.answer_limit
        return sent if limit is None or request.output_limit is not None else with_output_limit(sent, limit)

    def _with_steps(self, base: Composed, steps: Sequence[Message]) -> Composed:
        """Results of tools that no longer fit are left out, the oldest first; the context before them stays as it is."""
        costs = self.engine.costs(base.target)
        room = base.target.budget - base.tokens
        shortened = list(steps)
        for place, message in enumerate(steps):
            if sum(map(costs.message, shortened)) <= room:
                break
            if message.role == "tool":
                shortened[place] = replace(message, content=_LEFT_OUT)
        whole = with_steps(base, shortened, costs)
        if whole.tokens > base.target.budget:
            raise InvalidRequest(
                f"what the tools gave takes {whole.tokens - base.tokens} tokens, and {room} are left: give the agent a larger"
                " budget, or tools with shorter results",
                code=BUDGET_TOO_SMALL,
            )
        return whole


_LEFT_OUT = fenced("tool", "[this result was left out, because the conversation is too long for the model]")


class ContextFitter(Fitter):
    """Makes the request for each candidate from the contexts of one request."""

    leaves_first = False

    def __init__(self, contexts: Contexts, steps: tuple[Message, ...]) -> None:
        self._contexts = contexts
        self._steps = steps

    async def fit(self, request: ChatRequest, candidate: Candidate, *, too_long: bool) -> Ready | str:
        """The request for a candidate, or the reason why the candidate cannot take it."""
        info = candidate.target.describe(candidate.model)
        view = self._contexts.engine.view(self._contexts.gathered, candidate.target.kind, info)
        if too_long:
            view = replace(view, budget=int(_TOO_LONG * view.budget))
        try:
            composed = await self._contexts.composed(view, self._steps)
        except InvalidRequest as error:
            if error.code != BUDGET_TOO_SMALL:
                raise
            return str(error)
        sent = self._contexts.request_for(request, composed, candidate.target.kind, candidate.model)
        self._contexts.request = SentRequest(kind=candidate.target.kind, request=sent)
        return missing_feature(sent, info) or Ready(sent, (*view.notes, *_notes(composed)))


def _notes(composed: Composed) -> tuple[str, ...]:
    dropped = [one.piece for one in composed.decisions if not one.kept and one.stage == "selection"]
    tools = [piece for piece in dropped if piece.id.startswith("tool:")]
    if not tools:
        return ()
    return (f"{len(tools)} of the agent's tools were left out, because their definitions take too much of the budget",)


def _cache_key(gathered: GatheredContext) -> str:
    """Requests that begin alike go to one machine of the provider; it learns no name of ours."""
    key = gathered.key
    whole = f"{gathered.agent.name}\0{key.tenant if key else ''}\0{key.conversation if key else ''}"
    return hashlib.sha256(whole.encode()).hexdigest()[:32]
