"""The body of one response of the lean transport: what has arrived, who waits for it, how long the silence may last.

A connection feeds it, one reader takes from it. It is bounded: a reader that falls behind makes the connection stop reading
from its socket. It has exactly one end: complete, or failed.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from caxton_llm.errors import IdleTimeout, LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.transport.content_encoding import ContentDecoder

__all__ = ["DRAIN_BYTES", "DRAIN_S", "WHOLE_BYTES", "Body", "LeanResponse", "Source", "too_large"]

HIGH_WATER = 1024 * 1024
"""Bytes that may lie unread before the socket is no longer read."""
DRAIN_S = 1.0
"""How long the rest of a released body may take to arrive."""
DRAIN_BYTES = 256 * 1024
"""How much the rest of a released body may be."""
WHOLE_BYTES = 64 * 1024 * 1024
"""How large a body that is read whole may be, compressed and plain."""


def too_large() -> MalformedResponse:
    """What a body above `WHOLE_BYTES` is; asking again would only load it again."""
    return MalformedResponse(f"the answer is larger than {WHOLE_BYTES // 1024 // 1024} MiB", should_retry=False)


class Source(Protocol):
    """The connection, as a body sees it."""

    def cut(self, error: LlmError) -> None:
        """Close the socket and fail the body with `error`."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Body:
    """Bytes between a connection and its reader."""

    __slots__ = (
        "_chunks",
        "_discarding",
        "_idle_s",
        "_loop",
        "_paused",
        "_quiet_since",
        "_size",
        "_source",
        "_timer",
        "_waiter",
        "_whole",
        "complete",
        "failure",
        "until_close",
    )

    def __init__(
        self, source: Source, loop: asyncio.AbstractEventLoop, *, idle_s: float | None, until_close: bool
    ) -> None:
        self._source = source
        self._loop = loop
        self._idle_s = idle_s
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_since = 0.0
        self._paused = False
        self._whole = False
        self._discarding = False
        self.complete = False
        self.failure: LlmError | None = None
        self.until_close = until_close

    # -- fed by the connection

    def append(self, data: bytes) -> None:
        """More of the body; `arrived` follows when the connection has no more at hand."""
        self._chunks.append(data)
        self._size += len(data)

    def arrived(self) -> None:
        """The connection has handed over what it read and the body is not complete."""
        if self._discarding:
            self._discard()
        elif self._whole:
            self._quiet_since = self._loop.time()
            if self._size > WHOLE_BYTES:
                self._chunks.clear()
                self._source.cut(too_large())
        elif self._chunks:
            if self._waiter is not None:
                self._wake()
            elif self._size > HIGH_WATER and not self._paused:
                self._paused = True
                self._source.pause_reading()

    def end(self, failure: LlmError | None = None) -> None:
        """Nothing follows: the body is complete, or it failed."""
        if failure is None:
            self.complete = True
        else:
            self.failure = failure
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flow()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- taken by the reader

    def take(self) -> bytes:
        """All bytes at hand, possibly none."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        self._flow()
        return data

    async def wait(self) -> None:
        """Until there are bytes, or the end. A cancelled wait closes the socket."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiter = waiter
        self._quiet_since = self._loop.time()
        if self._timer is None and self._idle_s is not None:
            self._timer = self._loop.call_later(self._idle_s, self._check_silence)
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiter = None
            self.abort()
            raise

    async def wait_for_all(self) -> None:
        """Until the end; nothing wakes the reader before."""
        self._whole = True
        self._flow()
        await self.wait()

    def _flow(self) -> None:
        if self._paused:
            self._paused = False
            self._source.resume_reading()

    def _check_silence(self) -> None:
        """The one timer of a body: armed by the first wait, and moved only when it fires early."""
        self._timer = None
        if self._waiter is None or self._idle_s is None:
            return  # the next wait arms it again
        due = self._quiet_since + self._idle_s
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._check_silence)
        else:
            self._source.cut(IdleTimeout(f"nothing arrived for {self._idle_s:g} s (read_timeout_seconds)"))

    # -- given up by the reader

    @property
    def ended(self) -> bool:
        """Whether the body is complete or has failed; the connection is then somebody else's."""
        return self.complete or self.failure is not None

    def abort(self) -> None:
        """Close the connection unless the body has ended."""
        if not self.ended:
            self._source.cut(StreamInterrupted("the caller gave the response up before its end"))

    def release(self) -> None:
        """Throw away what is still to come, and let the connection live if that is little and comes soon."""
        if self.ended or self._discarding:
            return
        if self.until_close:
            self.abort()
            return
        self._discarding = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(DRAIN_S, self.abort)
        self._size = 0
        self._chunks.clear()
        self._flow()

    def _discard(self) -> None:
        self._chunks.clear()
        if self._size > DRAIN_BYTES:
            self.abort()

    def forget(self) -> None:
        """The response was dropped without `release`, perhaps by the collector in another thread."""
        if not self.ended and not self._discarding and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)


class LeanResponse:
    """A response whose headers have arrived. One task reads it. Dropped without `release`, it closes its connection."""

    __slots__ = ("_body", "_decoder", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: Body, decoder: ContentDecoder | None) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._decoder = decoder

    def __repr__(self) -> str:  # the headers may hold a cookie, the body holds an answer
        return f"LeanResponse({self.status})"

    def __del__(self) -> None:
        if not self._body.complete:
            self._body.forget()

    async def read(self) -> bytes:
        """The whole body, or what `read_some` has left of it."""
        body = self._body
        if not body.ended:
            await body.wait_for_all()
        if body.failure is not None:
            raise body.failure
        if self._decoder is not None:
            return await self._inflated_whole()
        data = body.take()
        if len(data) > WHOLE_BYTES:
            raise too_large()
        return data

    async def read_some(self) -> bytes:
        """All bytes at hand, waiting for the first; `b""` at the end. Of a compressed body a bounded part of them."""
        body, decoder = self._body, self._decoder
        while True:
            data = body.take() if decoder is None else await self._inflated(decoder)
            if data:
                return data
            if body.failure is not None:
                raise body.failure
            if body.complete:
                if decoder is not None:
                    decoder.close()
                return b""
            await body.wait()

    async def _inflated_whole(self) -> bytes:
        parts = []
        room = WHOLE_BYTES
        while part := await self.read_some():
            parts.append(part)
            room -= len(part)
            if room < 0:
                raise too_large()
        return b"".join(parts)

    async def _inflated(self, decoder: ContentDecoder) -> bytes:
        """Some plain bytes; none when everything at hand has been used. The event loop goes on between two steps."""
        try:
            while True:
                if decoder.pending:
                    await asyncio.sleep(0)
                elif data := self._body.take():
                    decoder.feed(data)
                else:
                    return b""
                if plain := decoder.step():
                    return plain
        except (LlmError, asyncio.CancelledError):
            self._body.abort()
            raise

    def release(self) -> None:
        """The caller has what it needs: the connection is kept if the rest arrives within a second, else closed."""
        self._body.release()

    def abort(self) -> None:
        """Close the connection now unless the body is complete."""
        self._body.abort()
