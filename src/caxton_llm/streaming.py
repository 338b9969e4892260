"""`llm.streaming`: small text chunks gathered into larger ones, so that a fast model does not cost a write per token.

The first content never waits. Only plain text is gathered: whatever else comes sends the gathered text first, so the order
of a stream never changes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from msgspec import Struct

from caxton_llm.types import ChatChunk, ChatStream, ChunkChoice, Delta
from caxton_llm.wire.merge import merged_wire

__all__ = ["Gathering", "gathered"]


class Gathering(Struct, frozen=True):
    """`chunk_size` characters make a chunk; none waits longer than `wait_s` seconds."""

    chunk_size: int
    wait_s: float


async def gathered(
    source: ChatStream, gathering: Gathering, *, clock: Callable[[], float]
) -> AsyncGenerator[list[ChatChunk], None]:
    """The batches of a `source` whose first content has gone out, with neighbouring text chunks joined."""
    held = _Held(gathering, source, clock)
    waiting: asyncio.Task[list[ChatChunk]] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(_next(source))
            done, _ = await asyncio.wait({waiting}, timeout=held.wait_s())
            if not done:
                yield held.take()
                continue
            finished, waiting = waiting, None
            if finished.exception() is not None and (rest := held.take()):
                yield rest  # it has been received, so it goes out before the error does
            batch = finished.result()
            if ready := held.add(batch) if batch else held.take():
                yield ready
            if not batch:
                return
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})


class _Held:
    """The text chunks that wait to be joined."""

    def __init__(self, gathering: Gathering, source: ChatStream, clock: Callable[[], float]) -> None:
        self._gathering = gathering
        self._source = source
        self._clock = clock
        self._chunks: list[ChatChunk] = []
        self._size = 0
        self._since = 0.0

    def wait_s(self) -> float | None:
        """How long the oldest chunk may still wait; `None` when there is none."""
        if not self._chunks:
            return None
        return max(0.0, self._gathering.wait_s - (self._clock() - self._since))

    def take(self) -> list[ChatChunk]:
        """What is held, joined into at most one chunk."""
        if not self._chunks:
            return []
        joined = _joined(self._chunks, self._source.dialect)
        self._chunks, self._size = [], 0
        return [joined]

    def add(self, batch: list[ChatChunk]) -> list[ChatChunk]:
        """What can go out now that `batch` has come."""
        ready: list[ChatChunk] = []
        for chunk in batch:
            if not _is_text(chunk):
                ready += self.take()
                ready.append(chunk)
                continue
            if not self._chunks:
                self._since = self._clock()
            self._chunks.append(chunk)
            self._size += len(chunk.choices[0].delta.content or "")
            if self._size >= self._gathering.chunk_size:
                ready += self.take()
        return ready


async def _next(source: ChatStream) -> list[ChatChunk]:
    """The next batch; empty at the end, because StopAsyncIteration cannot leave a task."""
    try:
        return await source.next_batch()
    except StopAsyncIteration:
        return []


def _is_text(chunk: ChatChunk) -> bool:
    """Whether the chunk adds plain text to the first choice and says nothing else."""
    if chunk.usage is not None or len(chunk.choices) != 1:
        return False
    choice = chunk.choices[0]
    delta = choice.delta
    return (
        bool(delta.content)
        and choice.index == 0
        and choice.finish_reason is None
        and choice.logprobs is None
        and delta.role is None
        and not (delta.tool_calls or delta.reasoning_content or delta.refusal or delta.thinking_blocks)
    )


def _joined(chunks: list[ChatChunk], dialect: str) -> ChatChunk:
    last = chunks[-1]
    if len(chunks) == 1:
        return last
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    return ChatChunk(
        choices=[ChunkChoice(index=0, delta=Delta(content=text))],
        id=last.id,
        model=last.model,
        created=last.created,
        event=last.event,
        wire=merged_wire(dialect, last.wire, text) if last.wire is not None else None,
    )
