"""What is told of calls while they run, and the box in which it waits for a slow reader without growing."""

import asyncio
import contextlib
from typing import Literal

from msgspec import Struct

from caxton_llm.discreet import Discreet
from caxton_llm.tool_specs import ToolProgress
from caxton_llm.types import Json

__all__ = ["ToolEvent", "ToolEvents"]


class ToolEvent(Discreet, Struct, frozen=True, kw_only=True):
    """Something that happened to a call. `call` is its id, `seconds` how long it took, once it has ended, `reason` why it has
    failed, in a word."""

    tool: str
    call: str
    state: Literal["started", "running", "done", "failed"]
    progress: ToolProgress | None = None
    seconds: float | None = None
    reason: str | None = None

    def told(self) -> dict[str, Json]:
        """As `ChatChunk.progress` has it: what is not known is left out."""
        progress = self.progress
        values: dict[str, Json] = {
            "tool": self.tool,
            "call": self.call,
            "state": self.state,
            "progress": None if progress is None else progress.progress,
            "total": None if progress is None else progress.total,
            "message": None if progress is None else progress.message,
            "reason": self.reason,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
        }
        return {name: value for name, value in values.items() if value is not None}


class ToolEvents:
    """Events in their order. Of a call that is running, only the latest is kept until somebody takes it."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], ToolEvent] = {}
        self._changed = asyncio.Event()

    def add(self, event: ToolEvent) -> None:
        self._waiting[event.call, event.state] = event
        self._changed.set()

    def wake(self) -> None:
        """Let who waits look again: something else has happened."""
        self._changed.set()

    async def take(self, timeout_s: float) -> list[ToolEvent]:
        """What has happened since the last time; waits until there is something, until it is woken, or for `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        return self.left()

    def left(self) -> list[ToolEvent]:
        """What has happened since the last time, without waiting."""
        self._changed.clear()
        events = list(self._waiting.values())
        self._waiting.clear()
        return events
