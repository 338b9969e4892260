"""One request to an agent under way, and what is told of it."""

from collections.abc import Sequence

from msgspec import Struct

from caxton_llm.agent_loop.loop import AgentLoop
from caxton_llm.agent_service.multi_turn import Reading
from caxton_llm.context_engine.contexts import Contexts
from caxton_llm.context_engine.engine import GatheredContext
from caxton_llm.context_engine.fitter import ContextFitter
from caxton_llm.types import ChatRequest, ChatResponse, ChatStream, ContextReport, Message

__all__ = ["AgentTurn", "described", "told"]


class AgentTurn(Struct, kw_only=True):
    """One request. `reading` is what was read in parts before it."""

    request: ChatRequest
    gathered: GatheredContext
    contexts: Contexts
    loop: AgentLoop
    reading: Reading | None = None
    notes: tuple[str, ...] = ()
    """What the caller should know of what was kept."""

    def fitter(self, steps: Sequence[Message]) -> ContextFitter:
        """What makes the request for each target, with what was done since behind it."""
        return ContextFitter(self.contexts, steps)

    @property
    def warnings(self) -> list[str]:
        """What the caller should know of the context."""
        gaps = (
            f"context: {' '.join(part for part in (gap.source, gap.name) if part)}: {gap.reason}"
            for gap in self.gathered.material.gaps
        )
        unused = (f"context: {what}" for what in self.gathered.analysis.unused)
        return [*dict.fromkeys(gaps), *unused, *self.notes]

    @property
    def report(self) -> ContextReport | None:
        """What the last target was given; `None` before any was."""
        composed, gathered = self.contexts.sent, self.gathered
        if composed is None:
            return None
        return ContextReport(
            tokens=composed.tokens,
            budget=composed.target.budget,
            sources=tuple(composed.spent),
            missing=tuple(dict.fromkeys(gap.source for gap in gathered.material.gaps)),
            dropped=composed.dropped,
            conversation=None if gathered.key is None else gathered.key.conversation,
        )


def told(response: ChatResponse, turn: AgentTurn) -> ChatResponse:
    """The answer with what it and all that went before it took, and with what is to be known of its context."""
    whole = response if turn.reading is None else turn.reading.whole(response)
    whole.warnings = [*whole.warnings, *turn.warnings]
    whole.context = turn.report
    return whole


def described(stream: ChatStream, inner: ChatStream, turn: AgentTurn) -> None:
    """Tell in the stream that a reader has what is known of the answer by now."""
    stream.describe_as(inner)
    stream.usage, stream.cost_usd = inner.usage, inner.cost_usd
    turn.contexts.settle(inner.provider)
    stream.warnings = [*inner.warnings, *turn.warnings]
    stream.context = turn.report
