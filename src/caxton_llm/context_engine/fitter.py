"""What each target of a request is sent: its own context, in its provider's format, within its own window."""

from collections.abc import Sequence

from msgspec.structs import replace

from caxton_llm.context.features import missing_feature
from caxton_llm.context.selection import BUDGET_TOO_SMALL
from caxton_llm.context_engine.contexts import Contexts
from caxton_llm.dispatch.fitting import Fitter, Ready
from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import InvalidRequest
from caxton_llm.types import ChatRequest, Message

__all__ = ["ContextFitter"]

_TOO_LONG = 0.75
"""Of what the target was sent, or else of its budget, where one has said that the prompt was too long after all."""


class ContextFitter(Fitter):
    """Makes the request for each candidate from the contexts of one request, with `steps` (calls of tools and their results)
    behind it."""

    leaves_first = False

    def __init__(self, contexts: Contexts, steps: Sequence[Message] = ()) -> None:
        self._contexts = contexts
        self._steps = tuple(steps)
        self._tokens: dict[str, int] = {}
        """Of what each target was sent."""
        self.shortens_again = contexts.gathered.agent.context.oversize != "error"

    async def fit(self, request: ChatRequest, candidate: Candidate, *, too_long: bool) -> Ready | str:
        """The request for a candidate, or the reason why the candidate cannot take it."""
        target = candidate.target
        info = target.describe(candidate.model)
        lacking = missing_feature(request, info)
        if lacking is not None:
            return lacking
        view = self._contexts.view(target.name, target.kind, info)
        if too_long:
            note = "a provider found the prompt too long, although it was counted to fit: a shorter one was sent"
            view = replace(
                view, budget=int(_TOO_LONG * self._tokens.get(target.name, view.budget)), notes=(*view.notes, note)
            )
        try:
            made = await self._contexts.request_to(target.name, request, view, self._steps)
        except InvalidRequest as error:
            if error.code != BUDGET_TOO_SMALL:
                raise
            return str(error)
        self._tokens[target.name] = made.composed.tokens
        sent = replace(made.sent.request, model=candidate.model)
        return missing_feature(sent, info) or Ready(sent, (*view.notes, *made.composed.notes))
