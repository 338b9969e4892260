"""The lean transport: HTTP/1.1 on asyncio and httptools, for direct connections.

It owns a pool of connections per origin. A request in flight holds one of the origin's slots from before its connection is
chosen until its response has ended; a kept connection holds none. A new connection is opened only by the holder of a slot
who finds no kept one, so an origin never has more connections than slots. A pool lives as long as one of its connections or
somebody who waits for one: hosts of images, each with its address, would otherwise add up.
"""

import asyncio
import ssl
import time
import weakref

from caxton_llm.errors import StreamInterrupted
from caxton_llm.protocols import Clock, Origin, WireRequest
from caxton_llm.transport.body import LeanResponse
from caxton_llm.transport.connect import open_connection
from caxton_llm.transport.connection import Connection, StaleConnection
from caxton_llm.transport.event_loop import leave, transport_closed
from caxton_llm.transport.request_head import RequestHeads
from caxton_llm.transport.slots import Slots
from caxton_llm.transport.tls import require_verification, tls_context

__all__ = ["LeanTransport"]

_CLOSE_S = 1.0
"""How long `aclose` waits for sockets to close."""


class LeanTransport:
    """A `Transport` for direct connections. It belongs to the event loop of its first request, until that loop is closed.

    `max_connections` is per origin; further requests wait in line, as long as their caller likes. A connection that was idle
    for `keepalive_s` seconds is closed. `ssl_context` replaces the system's trust; one that does not verify is refused with
    `ConfigurationError`.
    """

    def __init__(
        self,
        *,
        max_connections: int = 100,
        keepalive_s: float = 60.0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        if ssl_context is not None:
            require_verification(ssl_context)
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self._context = ssl_context
        self._clock = clock
        self._pools: weakref.WeakValueDictionary[Origin, _Pool] = weakref.WeakValueDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def send(
        self, request: WireRequest, *, connect_timeout_s: float, idle_timeout_s: float | None
    ) -> LeanResponse:
        """Send `request` and return when the head of its response is there.

        Raises `ConnectFailed`, `ConnectTimeout`, `StreamInterrupted`, `MalformedResponse`, and before anything is sent
        `ConfigurationError` (a header) and `InvalidRequest` (a path) for what cannot be written as HTTP. `RuntimeError` when
        the transport is closed, or belongs to another event loop.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._enter(loop)
        pool = self._pools.get(request.origin) or self._open_pool(request.origin)
        head = pool.heads.encode(request)
        head_only = request.method == "HEAD"
        if not pool.slots.take_now():
            await pool.slots.take()
        connection = pool.pop()
        if connection is not None:
            try:
                return await connection.exchange(head, request.body, head_only=head_only, idle_timeout_s=idle_timeout_s)
            except StaleConnection:
                pass  # the slot is still ours
        connection = await self._connect(pool, connect_timeout_s)
        return await connection.exchange(head, request.body, head_only=head_only, idle_timeout_s=idle_timeout_s)

    async def aclose(self) -> None:
        """Close every connection; requests under way fail with `StreamInterrupted`. Safe to call twice."""
        self._closed = True
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._enter(loop)
        await asyncio.gather(*[pool.aclose() for pool in self._pools.values()])

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        leave(self._loop)
        self._pools.clear()
        self._loop = loop

    def _open_pool(self, origin: Origin) -> "_Pool":
        pool = _Pool(origin, self._max_connections, self._keepalive_s, self._clock)
        self._pools[origin] = pool
        return pool

    async def _connect(self, pool: "_Pool", timeout_s: float) -> Connection:
        """A new connection for the holder of a slot; the slot is given back when there is none."""
        try:
            if not self._closed:
                connection = await pool.connect(self._tls(pool.origin), timeout_s)
                if not self._closed:
                    return connection
                connection.close()
            raise transport_closed()
        except BaseException:
            pool.slots.give()
            raise

    def _tls(self, origin: Origin) -> ssl.SSLContext | None:
        if origin.scheme != "https":
            return None
        if self._context is None:  # reading the system's authorities takes milliseconds
            self._context = tls_context()
        return self._context


class _Pool:
    """The connections to one origin."""

    __slots__ = (
        "__weakref__",
        "_all_closed",
        "_clock",
        "_idle",
        "_keepalive_s",
        "_open",
        "_sweeper",
        "heads",
        "origin",
        "slots",
    )

    def __init__(self, origin: Origin, max_connections: int, keepalive_s: float, clock: Clock) -> None:
        self.origin = origin
        self.heads = RequestHeads(origin)
        self.slots = Slots(max_connections)
        self._keepalive_s = keepalive_s
        self._clock = clock
        self._idle: list[Connection] = []
        """The last one used is the first one taken, so that those not needed grow old."""
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._all_closed: asyncio.Future[None] | None = None

    def pop(self) -> Connection | None:
        """A kept connection that is still good."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                if self._clock() - connection.idle_since < self._keepalive_s:
                    return connection
                connection.close()
        return None

    async def connect(self, context: ssl.SSLContext | None, timeout_s: float) -> Connection:
        """A new connection. Raises `ConnectFailed` and `ConnectTimeout`."""
        loop = asyncio.get_running_loop()
        connection = await open_connection(
            self.origin, lambda: Connection(self, loop), context=context, timeout_s=timeout_s
        )
        if not connection.closed:
            self._open.add(connection)
        return connection

    def exchange_ended(self, connection: Connection, *, reusable: bool) -> None:
        if reusable:
            connection.idle_since = self._clock()
            self._idle.append(connection)
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(self._keepalive_s, self._sweep)
        self.slots.give()

    def connection_closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._all_closed is not None and not self._open and not self._all_closed.done():
            self._all_closed.set_result(None)

    def _sweep(self) -> None:
        self._sweeper = None
        limit = self._clock() - self._keepalive_s
        for connection in [connection for connection in self._idle if connection.idle_since <= limit]:
            self._idle.remove(connection)
            connection.close()
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(self._keepalive_s, self._sweep)

    async def aclose(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._open):
            connection.cut(StreamInterrupted("the transport was closed"))
        if self._open:
            self._all_closed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_closed], timeout=_CLOSE_S)
