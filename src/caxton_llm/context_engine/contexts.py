"""The contexts of one request: one for each target that is asked, made when it is needed, the same for all of its steps."""

import asyncio
import hashlib
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.context.budget import TargetView
from caxton_llm.context.compose import Composed, with_steps
from caxton_llm.context.long_texts.condensing import condensed
from caxton_llm.context.render.breakpoints import marked_steps, marks_of
from caxton_llm.context.render.provider import CACHED_FROM
from caxton_llm.context.selection import BUDGET_TOO_SMALL
from caxton_llm.context.source import with_output_limit
from caxton_llm.context.steps import fitted_steps
from caxton_llm.context_engine.engine import ContextEngine, GatheredContext, SentRequest
from caxton_llm.discreet import Discreet
from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatRequest, Message
from caxton_llm.wire.unread_fields import sent_fields

__all__ = ["Contexts", "SentContext"]

_CACHE_KEYS = ("openai", "azure")
_FOR_REQUEST = 0.8
"""Of what the instructions leave: definitions of tools need some, too."""
_FOR_STEPS = 1.5
"""What is kept free for steps, of those that did not fit: there will be more."""
_SMALLER = (0.75, 0.5, 0.25)
"""Of the budget, what is kept free for steps that have to be shortened: as much as what must be there leaves."""
_SHORTENING = ("summarize", "multi_turn")
"""Under these a request may be shortened for a target that cannot take it whole."""


class SentContext(Discreet, Struct, frozen=True, kw_only=True):
    """What one target was sent."""

    composed: Composed
    sent: SentRequest


class _Base(Struct, frozen=True):
    """A context without steps, what it was composed from, and what was done to the request for it."""

    composed: Composed
    gathered: GatheredContext
    notes: tuple[str, ...] = ()


class Contexts:
    """Contexts for the targets of one request. `sent` and `request` are what the last target was given, and after `settle`
    what the target that answered was given."""

    def __init__(self, engine: ContextEngine, gathered: GatheredContext) -> None:
        self.engine = engine
        self.gathered = gathered
        self.sent: Composed | None = None
        self.request: SentRequest | None = None
        self._views: dict[tuple[str, str], TargetView] = {}
        """By the target's name and the model: two servers of one model may have different windows."""
        self._made: dict[TargetView, _Base] = {}
        self._by_target: dict[str, SentContext] = {}

    def view(self, name: str, kind: str, info: ModelInfo) -> TargetView:
        """What the target of this name can take, as it was known when it was first asked: what is learned meanwhile changes
        nothing here."""
        known = self._views.get((name, info.id))
        if known is None:
            known = self._views[name, info.id] = self.engine.view(self.gathered, kind, info)
        return known

    def settle(self, target: str) -> None:
        """The target of this name has answered."""
        answered = self._by_target.get(target)
        if answered is not None:
            self.sent, self.request = answered.composed, answered.sent

    async def composed(self, target: TargetView, steps: Sequence[Message] = (), *, whole: bool = False) -> Composed:
        """The context for a target with what was done since. `whole`: the request itself is not shortened.

        Raises `InvalidRequest` (`context_budget_too_small`) when it cannot be made small enough.
        """
        base = await self._base(target, whole=whole)
        made = await asyncio.to_thread(self._with_steps, target, base, steps) if steps else base.composed
        return replace(made, notes=(*made.notes, *base.notes)) if base.notes else made

    async def request_to(
        self, name: str, request: ChatRequest, target: TargetView, steps: Sequence[Message]
    ) -> SentContext:
        """What the target of this name is sent, which is remembered. Raises like `composed`."""
        composed = await self.composed(target, steps)
        made = SentContext(
            composed=composed,
            sent=SentRequest(kind=target.kind, request=self.request_for(request, composed, target.kind, target.model)),
        )
        self._by_target[name] = made
        self.sent, self.request = made.composed, made.sent
        return made

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
            extra=sent_fields(request),
            source=None,
        )
        limit = composed.target.answer_limit
        return sent if limit is None or request.output_limit is not None else with_output_limit(sent, limit)

    # -- parts ----------------------------------------------------------------------------------------------------------

    async def _base(self, target: TargetView, *, whole: bool) -> _Base:
        known = self._made.get(target)
        if known is None:
            known = self._made[target] = await asyncio.to_thread(self._composed_base, target, whole)
        return known

    def _composed_base(self, target: TargetView, whole: bool) -> _Base:
        try:
            return _Base(self.engine.compose(self.gathered, target), self.gathered)
        except InvalidRequest as error:
            mode = self.gathered.agent.context.oversize
            if whole or error.code != BUDGET_TOO_SMALL or mode not in _SHORTENING:
                raise
            return self._shortened(target, error)

    def _shortened(self, target: TargetView, error: InvalidRequest) -> _Base:
        """The current messages extractively shortened to what the instructions leave."""
        material, costs = self.gathered.material, self.engine.costs(target)
        instructions = Message(role="system", content=material.instructions)
        room = target.budget - costs.frame(material.request, offers_tools=bool(material.offers))
        room -= costs.message(instructions) if material.instructions else 0
        asked = ChatRequest(messages=list(material.history.current))
        shorter = condensed(asked, int(_FOR_REQUEST * room), costs.text, self.engine.vectors)
        if shorter is None:
            raise error
        history = replace(material.history, current=tuple(shorter.request.messages))
        fitting = replace(self.gathered, history=history, material=replace(material, history=history))
        return _Base(self.engine.compose(fitting, target), fitting, shorter.notes)

    def _with_steps(self, target: TargetView, base: _Base, steps: Sequence[Message]) -> Composed:
        """The steps behind a context that stays as it is while they fit; then behind a smaller one. When that is not enough,
        results of tools are shortened."""
        costs = self.engine.costs(target)
        needed = sum(map(costs.message, steps))
        if base.composed.tokens + needed <= target.budget:
            return self._behind(base.composed, steps)
        for reserve in (int(_FOR_STEPS * needed), needed):
            smaller = self._smaller(target, base, reserve)
            if smaller is not None:
                self._made[target] = _Base(smaller, base.gathered, base.notes)
                return self._behind(smaller, steps)
        return self._with_shorter_steps(target, base, steps)

    def _behind(self, base: Composed, steps: Sequence[Message]) -> Composed:
        """The steps behind a context, their end marked for Anthropic's cache where the beginning is."""
        if base.target.family == "anthropic" and base.stable_tokens >= CACHED_FROM:
            steps = marked_steps(base.messages, steps, elsewhere=marks_of(self.gathered.request).elsewhere)
        return with_steps(base, steps, self.engine.costs(base.target))

    def _smaller(self, target: TargetView, base: _Base, reserve: int) -> Composed | None:
        """The context with `reserve` tokens kept free; `None` where what must be there leaves less."""
        try:
            return self.engine.compose(base.gathered, target, reserve=reserve)
        except InvalidRequest as error:
            if error.code != BUDGET_TOO_SMALL:
                raise
            return None

    def _with_shorter_steps(self, target: TargetView, base: _Base, steps: Sequence[Message]) -> Composed:
        costs = self.engine.costs(target)
        shares = (self._smaller(target, base, int(share * target.budget)) for share in _SMALLER)
        least = next((made for made in shares if made is not None), base.composed)
        room = target.budget - least.tokens
        fitted = fitted_steps(steps, room, costs.message)
        if fitted is None:
            needed = sum(map(costs.message, steps))
            raise InvalidRequest(
                f"what the tools gave takes {needed:,} tokens, and {room:,} are left of {target.budget:,}: give the agent a"
                " larger budget, or tools with shorter results",
                code=BUDGET_TOO_SMALL,
            )
        shorter, notes = fitted
        made = self._behind(least, shorter)
        return replace(made, notes=(*made.notes, *notes))


def _cache_key(gathered: GatheredContext) -> str:
    """Requests that begin alike go to one machine of the provider; it learns no name of ours."""
    key = gathered.key
    whole = f"{gathered.agent.name}\0{key.tenant if key else ''}\0{key.conversation if key else ''}"
    return hashlib.sha256(whole.encode()).hexdigest()[:32]
