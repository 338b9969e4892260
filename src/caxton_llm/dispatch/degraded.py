"""The last resort of the specification: a clear answer of the operator's own when no provider could give one."""

import time
from secrets import token_hex
from typing import TypeGuard

from caxton_llm.errors import AllTargetsFailed, DeadlineExceeded, LimitExceeded, LlmError, ProviderError, TransportError
from caxton_llm.routing.policy import is_callers_fault
from caxton_llm.types import ChatChunk, ChatResponse, ChatStream, Choice, ChunkChoice, Delta, Message

__all__ = ["DegradedAnswer", "is_providers_fault"]

_NAME = "degraded"


class DegradedAnswer:
    """Answers with the configured `degraded_message`, marked as `degraded`, where nothing but providers is at fault.

    Its provider and model are called `degraded`; its usage is unknown and its cost nothing, because nobody generated it.
    """

    def __init__(self, message: str) -> None:
        self._message = message

    def response(self, error: LlmError) -> ChatResponse:
        return ChatResponse(
            id=_new_id(),
            model=_NAME,
            created=int(time.time()),
            choices=[Choice(index=0, message=Message(role="assistant", content=self._message), finish_reason="stop")],
            provider=_NAME,
            attempts=len(error.attempts),
            failed_attempts=error.attempts,
            skipped=error.skipped,
            warnings=[_warning(error)],
            cost_usd=0.0,
            degraded=True,
        )

    def chunks(self, error: LlmError, stream: ChatStream) -> list[ChatChunk]:
        """The answer as a stream; what is said of it goes to `stream`."""
        stream.dialect, stream.provider, stream.model = "", _NAME, _NAME
        stream.attempts, stream.failed_attempts, stream.skipped = len(error.attempts), error.attempts, error.skipped
        stream.warnings = [_warning(error)]
        stream.cost_usd = 0.0
        stream.degraded = True
        delta = Delta(role="assistant", content=self._message)
        choice = ChunkChoice(index=0, delta=delta, finish_reason="stop")
        return [ChatChunk(choices=[choice], id=_new_id(), model=_NAME, created=int(time.time()))]


def is_providers_fault(error: BaseException) -> TypeGuard[LlmError]:
    """Whether the message answers for this failure: never for the caller's own mistakes, never for a cancellation."""
    failures = ProviderError | TransportError | AllTargetsFailed | DeadlineExceeded | LimitExceeded
    return isinstance(error, failures) and not is_callers_fault(error)


def _warning(error: LlmError) -> str:
    return f"degraded: no provider could answer ({error.kind})"


def _new_id() -> str:
    return f"chatcmpl-{token_hex(12)}"
