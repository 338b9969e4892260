"""`llm.streaming.resume`: a stream that breaks off is continued by the next target that can continue a text.

Only plain text is continued: with tool calls, reasoning or a finish reason on the way, the break is the caller's to see. The
caller is told in the stream's warnings, and the chunks come in the common model, because two providers' bytes do not mix.
"""

from collections.abc import Awaitable, Callable
from copy import copy
from typing import TYPE_CHECKING

from msgspec.structs import replace

from caxton_llm.dispatch.dispatcher import Dispatcher
from caxton_llm.dispatch.fitting import Fitter, Ready
from caxton_llm.dispatch.run import Answered, Run
from caxton_llm.dispatch.settlement import Opened, with_estimate
from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import (
    IdleTimeout,
    LlmError,
    MalformedResponse,
    Overloaded,
    ProviderFailure,
    StreamInterrupted,
)
from caxton_llm.protocols import LlmProvider
from caxton_llm.types import ChatChunk, ChatRequest, Delta

if TYPE_CHECKING:
    from caxton_llm.context.continuation import Joint

__all__ = ["Resumption", "Written"]

_BREAKS = StreamInterrupted | IdleTimeout | ProviderFailure | Overloaded | MalformedResponse


class Written:
    """What a reader has of a streamed answer."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._id = ""
        self._plain = True
        self._joint: Joint | None = None
        self._before = 0
        """Characters that others wrote whose tokens nobody has counted."""

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def is_continuable(self) -> bool:
        """Plain text, and not at its end."""
        return self._plain and any(self._pieces)

    def resume(self, joint: "Joint | None") -> None:
        """The chunks that follow are another provider's."""
        self._joint = joint
        self._before = len(self.text)

    def take(self, batch: list[ChatChunk]) -> list[ChatChunk]:
        """The batch as the reader gets it: without its bytes, and after a break as a continuation."""
        return [self._taken(chunk) for chunk in batch]

    def _taken(self, chunk: ChatChunk) -> ChatChunk:
        chunk = copy(chunk)
        chunk.wire = None
        self._id = chunk.id = self._id or chunk.id
        if chunk.usage is not None and self._before:
            chunk.usage = with_estimate(chunk.usage, self._before)
        for choice in chunk.choices:
            delta = choice.delta
            if choice.index or choice.finish_reason or _is_more_than_text(delta):
                self._plain = False
            if self._joint is not None:
                delta.role = None
                if delta.content:
                    delta.content = self._joint.rest(delta.content)
            if delta.content:
                self._pieces.append(delta.content)
        return chunk


def _is_more_than_text(delta: Delta) -> bool:
    return bool(
        delta.tool_calls or delta.reasoning_content or delta.refusal or delta.thinking_blocks or delta.audio is not None
    )


class Resumption:
    """Asks the targets that are left to continue an answer."""

    def __init__(self, dispatcher: Dispatcher, send: Callable[[LlmProvider, ChatRequest], Awaitable[Opened]]) -> None:
        self._dispatcher = dispatcher
        self._send = send

    async def resumed(self, run: Run, written: Written, error: LlmError) -> tuple[Run, Answered[Opened]] | None:
        """The rest of the answer; `None` when nobody may or can give it. Takes at most `deadline_seconds` once more."""
        asked = run.targets_left > 0 and run.sends_left > 0
        if not isinstance(error, _BREAKS) or not written.is_continuable or not asked:
            return None
        now = self._dispatcher.now()
        again = replace(
            run,
            fitter=_Continuing(written.text),
            deadline_s=now - run.started + run.deadline_s,
            errors=[],
            postponed=[],
            under_way=[],
        )
        try:
            answered = await self._dispatcher.dispatch(again, self._send)
        except LlmError:
            return None
        return again, answered


class _Continuing(Fitter):
    """Fits a request to candidates as one that asks for the rest of `text`."""

    leaves_first = False

    def __init__(self, text: str) -> None:
        self._text = text

    async def fit(self, request: ChatRequest, candidate: Candidate, *, too_long: bool) -> Ready | str:
        ready = await super().fit(request, candidate, too_long=too_long)
        if isinstance(ready, str):
            return ready
        from caxton_llm.context.continuation import continuation  # noqa: PLC0415 - most programs never resume

        info = candidate.target.describe(candidate.model)
        rest = continuation(ready.request, self._text, info, candidate.target.kind)
        if rest is None:
            return f"{candidate.model} cannot continue an answer that another has begun"
        note = f"resumed: {candidate.target.name} continues after {len(self._text)} characters"
        return Ready(rest.request, (*ready.notes, note), rest.joint())
