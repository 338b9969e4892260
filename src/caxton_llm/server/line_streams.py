"""JSON Lines in and out over HTTP, piece by piece: they are never in memory as a whole."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse

from caxton_llm.errors import InvalidRequest, LlmError
from caxton_llm.server.exchange import Receive, Scope, Send
from caxton_llm.server.failures import FailureLog

__all__ = ["LINES", "LinesResponse", "SentBody", "begun", "piece_of", "pieces_of"]

_Taken = TypeVar("_Taken")

LINES = "application/x-ndjson"

_PIECE = 256 * 1024
"""Bytes that are made at a time."""
_SILENCE_S = 60.0
"""How long an import waits for the next bytes: it holds a thread."""
_DISCARD = 256 * 1024 * 1024
"""Bytes of a refused import that are read and thrown away, so that the client gets to read our answer."""


class LinesResponse(StreamingResponse):
    """Lines that are sent as they are made. Lets go of their store when the client has everything, or has left."""

    def __init__(self, pieces: AsyncIterator[bytes], lines: Generator[bytes, None, None]) -> None:
        super().__init__(pieces, media_type=LINES)
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with contextlib.suppress(ValueError):  # a thread is at it, and lets go when it has its piece
                self._lines.close()


def begun(lines: Generator[bytes, None, None]) -> tuple[Generator[bytes, None, None], bytes]:
    """The lines and their first piece: what fails at the beginning fails here."""
    return lines, piece_of(lines)


def piece_of(lines: Iterator[bytes]) -> bytes:
    """The next lines, about 256 KiB of them; empty at the end."""
    gathered = bytearray()
    for line in lines:
        gathered += line
        if len(gathered) >= _PIECE:
            break
    return bytes(gathered)


async def pieces_of(
    first: bytes, following: Callable[[], Awaitable[bytes]], failures: FailureLog
) -> AsyncIterator[bytes]:
    """`first` and what follows it. A failure breaks the answer off, so that no part looks whole, and is noted."""
    piece = first
    while piece:
        yield piece
        try:
            piece = await following()
        except LlmError as error:
            failures.note(error, counted=True)
            raise


class SentBody:
    """The body of a request, for a thread that asks for one piece after the other."""

    def __init__(self, request: Request) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream = request.stream()
        self._asked: concurrent.futures.Future[bytes] | None = None
        self._is_stopped = False

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._next():
            yield piece

    def _next(self) -> bytes:
        if self._is_stopped:
            raise concurrent.futures.CancelledError
        self._asked = asyncio.run_coroutine_threadsafe(self._received(), self._loop)
        return self._asked.result()

    async def _received(self) -> bytes:
        """The next piece; empty at the end."""
        try:
            async with asyncio.timeout(_SILENCE_S):
                return await anext(self._stream, b"")
        except TimeoutError:
            raise InvalidRequest(f"nothing came for {_SILENCE_S:g} s; send everything again") from None

    async def discard(self) -> None:
        """Read the rest, so that a client that sends before it reads learns what is wrong."""
        left = _DISCARD
        with contextlib.suppress(InvalidRequest, ClientDisconnect):
            while left > 0 and (piece := await self._received()):
                left -= len(piece)

    async def taken(self, load: Awaitable[_Taken]) -> _Taken:
        """What `load` makes of it: line by line as they come. What was written before a failure stays, and sending everything
        again is safe."""
        try:
            return await load
        except InvalidRequest:
            await self.discard()
            raise
        finally:
            self.stop()

    def stop(self) -> None:
        """Nobody waits any more: the thread that asks is sent away."""
        self._is_stopped = True
        if self._asked is not None:
            self._asked.cancel()
