"""A request made to fit the target that stands in for another: trimmed to its window, or not sent with the reason said."""

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.dispatch.target import Candidate
from caxton_llm.model_info import ModelInfo
from caxton_llm.tokens import O200kCounter
from caxton_llm.types import ChatRequest
from caxton_llm.wire.unread_fields import unread_by_model

if TYPE_CHECKING:
    from caxton_llm.context.continuation import Joint

__all__ = ["Fitter", "Ready", "for_model"]


class Ready(Struct, frozen=True):
    """A request for one target, and what was changed in it for the caller to know."""

    request: ChatRequest
    notes: tuple[str, ...] = ()
    joint: "Joint | None" = None
    """How the answer joins what the reader has already, where it continues another's."""


class Fitter:
    """Fits requests to candidates that stand in for the first."""

    leaves_first = True
    """The first candidate gets the request as it is: what it cannot do it says itself."""
    shortens_again = False
    """Whether a candidate that finds the request too long may be asked once more with a shorter one."""

    def unchanged(self, request: ChatRequest, model: str) -> Ready:
        """The request as it is."""
        return Ready(for_model(request, model), tuple(unread_by_model(request)) if request.extra else ())

    async def fit(self, request: ChatRequest, candidate: Candidate, *, too_long: bool) -> Ready | str:
        """The request for a candidate, or the reason why the candidate cannot take it."""
        from caxton_llm.context.features import missing_feature  # noqa: PLC0415 - most programs never fall back
        from caxton_llm.context.fit import DoesNotFit, fit, fits_surely  # noqa: PLC0415

        unchanged = self.unchanged(request, candidate.model)
        sent = unchanged.request
        info = candidate.target.describe(candidate.model)
        lacking = missing_feature(sent, info)
        if lacking is not None:
            return lacking
        sent, notes = _with_room_for_the_prompt(sent, info)
        notes = (*unchanged.notes, *notes)
        if fits_surely(sent, info) and not too_long:
            return Ready(sent, notes)
        fitted = await asyncio.to_thread(fit, sent, info, O200kCounter().count)
        if isinstance(fitted, DoesNotFit):
            return fitted.reason
        return Ready(fitted.request, (*notes, *fitted.notes))


def for_model(request: ChatRequest, model: str) -> ChatRequest:
    """The request as it is sent to ask for a model."""
    return request if request.model == model else replace(request, model=model)


def _with_room_for_the_prompt(request: ChatRequest, info: ModelInfo) -> tuple[ChatRequest, tuple[str, ...]]:
    """Clients of large models allow answers that a smaller one cannot give, or that would fill its window."""
    from caxton_llm.context.fit import possible_answer  # noqa: PLC0415 - most programs never fall back
    from caxton_llm.context.source import with_output_limit  # noqa: PLC0415

    limit = info.usual_output_tokens if request.output_limit is None else request.output_limit
    if limit is None:
        return request, ()
    room, notes = possible_answer(info, limit)
    return (with_output_limit(request, room) if notes else request), notes
