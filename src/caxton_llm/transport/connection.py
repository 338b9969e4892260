"""One HTTP/1.1 connection of the lean transport: writes a request, turns the bytes that follow into a `LeanResponse`.

At most one exchange is under way. Every exchange ends exactly once and says so to the owner: with a connection that can be
used again (the response was complete, nothing followed it, the server keeps the connection open), or with a closed one.
The only exception is `StaleConnection`: the exchange is not over, the owner repeats it on another connection.
"""

import asyncio
from typing import Protocol, cast

from httptools import HttpParserError, HttpResponseParser

from caxton_llm.errors import LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.transport.body import Body, LeanResponse
from caxton_llm.transport.response_head import HEAD_BYTES, HEAD_FIELDS, body_decoder, read_headers

__all__ = ["Connection", "Owner", "StaleConnection"]

_ONE_WRITE = 256 * 1024
"""A request body up to this size goes out together with its head; a longer one in pieces, as fast as the socket takes it."""
_BODYLESS = frozenset({204, 304})
_INTERIM = frozenset(range(100, 200)) - {101}
"""Responses before the response; 101 would be another protocol."""


class StaleConnection(Exception):
    """A kept connection was closed by the server before it answered anything: the request may be sent once more."""


class Owner(Protocol):
    """Who opened the connection."""

    def exchange_ended(self, connection: "Connection", *, reusable: bool) -> None:
        """The connection has no exchange any more; when it is not reusable it is being closed."""

    def connection_closed(self, connection: "Connection") -> None:
        """The socket is closed."""


class Connection(asyncio.Protocol):
    """A socket to one origin. `idle_since` belongs to the owner."""

    __slots__ = (
        "_body",
        "_can_write",
        "_done",
        "_fields",
        "_head_bytes",
        "_head_only",
        "_idle_s",
        "_keep_alive",
        "_loop",
        "_owner",
        "_parser",
        "_sending",
        "_transport",
        "_used",
        "_waiter",
        "closed",
        "idle_since",
    )

    _transport: asyncio.Transport

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[LeanResponse] | None = None
        """Who waits for the head."""
        self._body: Body | None = None
        """The body that is arriving."""
        self._done: Body | None = None
        """The body whose end was found in the bytes being parsed."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._head_only = False
        self._idle_s: float | None = None
        self._keep_alive = False
        self._sending = False
        self._can_write: asyncio.Future[None] | None = None
        self._used = False
        self.closed = False
        self.idle_since = 0.0

    # -- one exchange

    async def exchange(
        self, head: bytes, body: bytes, *, head_only: bool, idle_timeout_s: float | None
    ) -> LeanResponse:
        """Send a request and return when the head of its response is there. A cancelled caller closes the socket.

        Raises `StaleConnection`, `StreamInterrupted`, `MalformedResponse`.
        """
        if self.closed:
            self._owner.exchange_ended(self, reusable=False)
            raise StreamInterrupted("the server closed the connection without an answer")
        waiter: asyncio.Future[LeanResponse] = self._loop.create_future()
        self._waiter = waiter
        self._head_only = head_only
        self._idle_s = idle_timeout_s
        self._head_bytes = 0
        try:
            if len(body) <= _ONE_WRITE:
                self._transport.write(head + body)
            else:
                await self._write_in_pieces(head, body)
            return await waiter
        except asyncio.CancelledError:
            self._caller_left(waiter)
            raise

    async def _write_in_pieces(self, head: bytes, body: bytes) -> None:
        """Stops when the response, or the end of the connection, comes first."""
        self._sending = True
        self._transport.write(head + body[:_ONE_WRITE])
        for start in range(_ONE_WRITE, len(body), _ONE_WRITE):
            if self._can_write is not None:
                await self._can_write
            if self._waiter is None:
                return
            self._transport.write(body[start : start + _ONE_WRITE])
        self._sending = False

    def _caller_left(self, waiter: "asyncio.Future[LeanResponse]") -> None:
        if self._waiter is waiter:
            self.cut(StreamInterrupted("the caller left before the response came"))
        elif not waiter.cancelled():
            error = waiter.exception()
            if error is None:
                waiter.result().abort()
            elif isinstance(error, StaleConnection):  # nobody will repeat the request
                self._owner.exchange_ended(self, reusable=False)

    def cut(self, error: LlmError) -> None:
        """Close the socket now and end the exchange, if there is one, with `error`."""
        waiter, body = self._waiter, self._body
        self._waiter = self._body = None
        self.close()
        if waiter is not None:
            if not waiter.done():
                waiter.set_exception(error)
        elif body is not None:
            body.end(error)
        else:
            return
        self._owner.exchange_ended(self, reusable=False)

    def close(self) -> None:
        """Close the socket now."""
        if not self.closed:
            self.closed = True
            self._let_writer_go()
            self._transport.abort()

    def pause_reading(self) -> None:
        if not self.closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.closed:
            self._transport.resume_reading()

    # -- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is not None:
            room = HEAD_BYTES - self._head_bytes
            self._head_bytes += len(data)
            if len(data) > room:
                self._feed(data[:room])
                if self._waiter is not None:
                    self.cut(MalformedResponse(f"the head of the response is longer than {HEAD_BYTES // 1024} KiB"))
                data = data[room:]
        if not self.closed:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._not_http()
        if self._done is not None:
            self._finish(self._done)
        elif self._body is not None:
            self._body.arrived()
        elif self._waiter is None:
            self.close()  # nobody asked for these bytes

    def _not_http(self) -> None:
        if self._done is not None:  # garbage after a whole response
            self._keep_alive = False
        elif self._body is not None:
            self.cut(MalformedResponse("the framing of the response's body is broken"))
        else:
            self.cut(MalformedResponse("the answer is not HTTP/1.1; check that base_url names an HTTP server"))

    def _finish(self, body: Body) -> None:
        self._done = None
        self._used = True
        reusable = self._keep_alive and not self._sending and not self.closed
        if not reusable:
            self.close()
        body.end()
        self._owner.exchange_ended(self, reusable=reusable)

    def eof_received(self) -> None:
        self._server_left(None)
        self.closed = True  # the loop closes the socket

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_left(exc)
        self.closed = True
        self._let_writer_go()
        self._owner.connection_closed(self)

    def _server_left(self, exc: Exception | None) -> None:
        waiter, body = self._waiter, self._body
        if body is not None:
            if body.until_close and exc is None:
                self._body = None
                self._keep_alive = False
                self._finish(body)
            else:
                self.cut(StreamInterrupted("the connection was closed in the middle of the response's body"))
        elif waiter is not None:
            if self._head_bytes:
                self.cut(StreamInterrupted("the connection was closed in the middle of the response's head"))
            elif not self._used or waiter.done():
                self.cut(StreamInterrupted("the server closed the connection without an answer"))
            else:
                self._waiter = None
                self.close()
                waiter.set_exception(StaleConnection())

    def pause_writing(self) -> None:
        self._can_write = self._loop.create_future()

    def resume_writing(self) -> None:
        self._let_writer_go()

    def _let_writer_go(self) -> None:
        can_write, self._can_write = self._can_write, None
        if can_write is not None and not can_write.done():
            can_write.set_result(None)

    # -- called by the parser

    def on_message_begin(self) -> None:
        self._fields = []
        if self._waiter is None:  # a response that nobody asked for follows the one that is complete
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._waiter is not None:  # trailers are not headers
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        waiter = self._waiter
        if waiter is None:
            return
        status = self._parser.get_status_code()
        if status in _INTERIM:
            return
        if len(self._fields) > HEAD_FIELDS:
            self.cut(MalformedResponse(f"the response has more than {HEAD_FIELDS} header fields"))
            return
        headers = read_headers(self._fields)
        try:
            decoder = body_decoder(status, headers)
        except MalformedResponse as error:
            self.cut(error)
            return
        if waiter.done():
            self.cut(StreamInterrupted("the caller left before the response came"))
            return
        until_close = "content-length" not in headers and "transfer-encoding" not in headers and status not in _BODYLESS
        body = Body(self, self._loop, idle_s=self._idle_s, until_close=until_close)
        self._waiter = None
        self._let_writer_go()
        if self._head_only:
            self._bodyless(body)
        else:
            self._body = body
        waiter.set_result(LeanResponse(status, headers, body, decoder))

    def _bodyless(self, body: Body) -> None:
        """The answer to HEAD: the parser cannot be told that no body follows, so it is replaced."""
        self._done = body
        self._keep_alive = self._parser.should_keep_alive()
        self._parser = HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.append(data)
        else:
            self._keep_alive = False

    def on_message_complete(self) -> None:
        if self._body is not None:
            self._done, self._body = self._body, None
            self._keep_alive = self._parser.should_keep_alive()
