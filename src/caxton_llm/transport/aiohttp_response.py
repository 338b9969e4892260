"""A response on aiohttp, behaving as `TransportResponse` says."""

import asyncio
from collections.abc import Mapping

import aiohttp

from caxton_llm.errors import IdleTimeout, LlmError, StreamInterrupted
from caxton_llm.transport.aiohttp_errors import FOREIGN, Route, translate
from caxton_llm.transport.body import DRAIN_BYTES, DRAIN_S, WHOLE_BYTES, too_large
from caxton_llm.transport.content_encoding import ContentDecoder
from caxton_llm.transport.slots import Slots

__all__ = ["AiohttpResponse", "HeldSlot"]


class HeldSlot:
    """A slot that is given back once, however many say that it may be."""

    __slots__ = ("_held", "_slots")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._held = True

    def give(self) -> None:
        if self._held:
            self._held = False
            self._slots.give()


class AiohttpResponse:
    """A response whose headers have arrived. One task reads it. Dropped without `release`, it closes its connection."""

    __slots__ = (
        "__weakref__",
        "_content",
        "_drains",
        "_failure",
        "_idle_s",
        "_loop",
        "_protocol",
        "_released",
        "_response",
        "_route",
        "_slot",
        "decoder",
        "headers",
        "status",
    )

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        headers: Mapping[str, str],
        slot: HeldSlot,
        route: Route,
        *,
        idle_s: float | None,
        drains: "set[asyncio.Task[None]]",
    ) -> None:
        self.status = response.status
        self.headers = headers
        self.decoder: ContentDecoder | None = None
        """What undoes the content-encoding."""
        self._response = response
        self._content = response.content
        self._slot = slot
        self._route = route
        self._idle_s = idle_s
        self._drains = drains
        self._loop = asyncio.get_running_loop()
        self._released = False
        self._failure: LlmError | None = None
        self._content.on_eof(slot.give)
        ends_with_connection = "content-length" not in headers and "transfer-encoding" not in headers
        connection = response.connection if ends_with_connection else None
        self._protocol = None if connection is None else connection.protocol

    def __repr__(self) -> str:  # aiohttp's shows the headers
        return f"AiohttpResponse({self.status})"

    def __del__(self) -> None:  # perhaps by the collector in another thread
        if not self._ended and not self._released and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_close, self._response, self._slot)

    @property
    def _ended(self) -> bool:
        return self._failure is not None or self._content.is_eof()

    async def read(self) -> bytes:
        """The whole body, or what `read_some` has left of it."""
        parts = []
        room = WHOLE_BYTES
        while part := await self.read_some():
            parts.append(part)
            room -= len(part)
            if room < 0:
                self._fail(too_large())
                raise too_large()
        return b"".join(parts)

    async def read_some(self) -> bytes:
        """All bytes at hand, waiting for the first; `b""` at the end. Of a compressed body a bounded part of them."""
        if self.decoder is None:
            return await self._arrived()
        try:
            return await self._inflated(self.decoder)
        except asyncio.CancelledError:
            self.abort()
            raise
        except LlmError as error:
            self._fail(error)
            raise

    async def _inflated(self, decoder: ContentDecoder) -> bytes:
        """The event loop goes on between two steps."""
        while True:
            if decoder.pending:
                await asyncio.sleep(0)
            elif data := await self._arrived():
                decoder.feed(data)
            else:
                decoder.close()
                return b""
            if plain := decoder.step():
                return plain

    async def _arrived(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            async with asyncio.timeout(self._idle_s):
                data = await self._content.readany()
            if not data:
                self._check_end()
            return data
        except asyncio.CancelledError:
            self.abort()
            raise
        except TimeoutError:
            failure: LlmError = IdleTimeout(f"nothing arrived for {self._idle_s:g} s (read_timeout_seconds)")
        except FOREIGN as error:
            failure = translate(error, self._route)
        self._fail(failure)
        raise failure

    def _check_end(self) -> None:
        """aiohttp takes a reset for the end of a body that ends with its connection."""
        error = None if self._protocol is None else self._protocol.exception()
        if isinstance(error, OSError):
            raise error

    def _fail(self, failure: LlmError) -> None:
        self._failure = failure
        _close(self._response, self._slot)

    def release(self) -> None:
        """The caller has what it needs: the connection is kept if the rest arrives within a second, else closed."""
        if self._ended or self._released:
            return
        self._released = True
        task = self._loop.create_task(_drain(self._response, self._slot))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    def abort(self) -> None:
        """Close the connection now unless the body is complete."""
        if not self._ended:
            self._fail(StreamInterrupted("the caller gave the response up before its end"))


def _close(response: aiohttp.ClientResponse, slot: HeldSlot) -> None:
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()
    slot.give()


async def _drain(response: aiohttp.ClientResponse, slot: HeldSlot) -> None:
    room = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_S):
            while room > 0 and (data := await response.content.readany()):
                room -= len(data)
    except FOREIGN:
        pass  # nobody waits for this body any more
    finally:
        if not response.content.is_eof():
            _close(response, slot)
