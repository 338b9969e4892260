"""A small HTTP/1.1 server on loopback that has every byte of its answers under control.

It owns sockets, framing and the record of what arrived; it knows no vendor. Rules:

- It runs in the event loop of the test and lives as long as its `async with` block; leaving the block closes everything.
- A failure of the fake itself (not of the client) is raised when the block is left, so a wrong fake never passes a test.
- Every wait is bounded. Nothing waits for time to pass: a stall ends by `Delivery.release` or when the connection closes.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Delivery", "HttpServer", "Json", "Received", "Response"]

Json = Any
"""A JSON value whose shape belongs to a vendor."""

_STANDARD_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(eq=False)
class Received:
    """A request as it arrived. Header names are lower case; `path` is without the query and still percent-encoded."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection it came on, from 1: two requests with the same number shared one."""
    outcome: Literal["pending", "answered", "broken off", "abandoned"] = "pending"
    """`broken off`: the server cut it as scripted; `abandoned`: the client closed before the answer was complete."""

    @property
    def segments(self) -> list[str]:
        """The path's parts, decoded: `/v1/models/a%2Fb` is `["v1", "models", "a/b"]`."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def json(self) -> Json:
        """The body as JSON; raises `ValueError` when it is none."""
        return json.loads(self.body, parse_constant=_refuse_constant)

    @property
    def form(self) -> dict[str, str]:
        """The body as an urlencoded form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@dataclass(eq=False)
class Delivery:
    """How an answer is put on the wire. The methods return the object, so that they chain: `reply.stall_after(2).crlf()`.

    Positions count events: of a stream its SSE events or NDJSON lines (the end marker is one too), of a plain body its two
    halves.
    """

    held: bool = False
    stalls_at: int | None = None
    cut_at: int | None = None
    cut_into: int = 0
    cut_cleanly: bool = False
    bytewise: bool = False
    resets: bool = False
    _reached: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self) -> Self:
        """Nothing is sent, not even the status, until `release`."""
        self.held = True
        return self

    def stall_after(self, events: int) -> Self:
        """Fall silent after so many events until `release`."""
        self.stalls_at = events
        return self

    def cut_after(self, events: int, *, into: int = 0, cleanly: bool = False) -> Self:
        """Close the connection after so many events and `into` bytes of the next; `cleanly` ends a stream's HTTP framing
        properly first, as some proxies do."""
        self.cut_at, self.cut_into, self.cut_cleanly = events, into, cleanly
        return self

    def byte_at_a_time(self) -> Self:
        """Every byte is written by itself; in a stream it is an HTTP chunk of its own."""
        self.bytewise = True
        return self

    def reset(self) -> Self:
        """Reset the connection before any byte of an answer."""
        self.resets = True
        return self

    def release(self) -> None:
        """Go on after `hold` or `stall_after`."""
        self._released.set()

    async def wait_reached(self, timeout: float = 5.0) -> None:
        """Wait until the server has fallen silent at `hold` or `stall_after`."""
        async with asyncio.timeout(timeout):
            await self._reached.wait()

    async def pause(self) -> None:
        self._reached.set()
        await self._released.wait()


@dataclass(kw_only=True)
class Response:
    """What the server answers. `events` are sent as chunks of a chunked body when `streams`, else joined to one body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)
    streams: bool = False
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def head(self) -> bytes:
        framing = (
            "transfer-encoding: chunked"
            if self.streams
            else f"content-length: {sum(len(event) for event in self.events)}"
        )
        reason = _STANDARD_REASONS.get(self.status, "Unknown")
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, framing, "", ""]).encode("latin-1")


class HttpServer:
    """A server whose answers come from `respond`. Use as `async with`; `requests` has what arrived, in order."""

    base_path = ""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections_made = 0
        self.port = 0
        self.accepts = False
        """Whether connections are taken; one that was still on its way when the port was closed is aborted."""
        self._tls = tls
        self._connections: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._failures: list[BaseException] = []

    def respond(self, request: Received) -> Response:
        raise NotImplementedError

    @property
    def root_url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client of this vendor takes as its base URL."""
        return self.root_url + self.base_path

    @property
    def last_request(self) -> Received:
        return self.requests[-1]

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def __aenter__(self) -> Self:
        await self.accept_connections()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.refuse_connections()
        if error is None and self._failures:
            raise self._failures[0]

    async def accept_connections(self) -> None:
        """Listen, after `refuse_connections` on the same port again."""
        loop = asyncio.get_running_loop()
        self.accepts = True
        self._listener = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def refuse_connections(self) -> None:
        """Close the port and every connection: whoever connects now is refused."""
        self.accepts = False
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.abort()
        await self._wait_until(lambda: not self._connections, "all connections closed")
        if self._listener is not None:
            await self._listener.wait_closed()
            self._listener = None

    async def close_idle_connections(self) -> None:
        """Close the connections on which no request is pending, as servers do after their keep-alive time."""
        idle = [connection for connection in self._connections if connection.request is None]
        for connection in idle:
            connection.close()
        await self._wait_until(lambda: self._connections.isdisjoint(idle), "idle connections closed")

    async def wait_for_requests(self, count: int = 1, timeout: float = 5.0) -> Received:
        """Wait until so many requests have arrived in all; the last of them is returned."""
        await self._wait_until(lambda: len(self.requests) >= count, f"{count} requests arrived", timeout)
        return self.requests[count - 1]

    async def wait_closed_by_client(self, count: int = 1, timeout: float = 5.0) -> Received:
        """Wait until the client has closed the connection in the middle of so many answers; the first is returned."""
        await self._wait_until(
            lambda: len(self._abandoned()) >= count, f"{count} answers abandoned by the client", timeout
        )
        return self._abandoned()[0]

    async def wait_all_closed_by_client(self, timeout: float = 5.0) -> None:
        """Wait until the client has closed the connection in the middle of every answer; there must be one."""
        await self._wait_until(
            lambda: bool(self.requests) and len(self._abandoned()) == len(self.requests), "all abandoned", timeout
        )

    async def wait_no_connections(self, timeout: float = 5.0) -> None:
        """Wait until no connection is open."""
        await self._wait_until(lambda: not self._connections, "no open connections", timeout)

    def _abandoned(self) -> list[Received]:
        return [request for request in self.requests if request.outcome == "abandoned"]

    async def _wait_until(self, is_true: Callable[[], bool], what: str, timeout: float = 5.0) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not is_true():
                    await self._changed.wait()
        except TimeoutError:
            outcomes = [(request.path, request.outcome) for request in self.requests]
            raise TimeoutError(f"not within {timeout} s: {what}; {self.open_connections} open; {outcomes}") from None

    def notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def opened(self, connection: "_Connection") -> int:
        self._connections.add(connection)
        self.connections_made += 1
        self.notify()
        return self.connections_made

    def closed(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        self.notify()

    def failed(self, error: BaseException) -> None:
        self._failures.append(error)


class _BadRequest(Exception):
    """The bytes are no HTTP request that this server takes."""


class _Connection(asyncio.Protocol):
    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._closed_here = False
        self.request: Received | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._server.opened(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())
        self._task.add_done_callback(self._served)
        if not self._server.accepts:
            self.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def connection_lost(self, error: Exception | None) -> None:
        if self.request is not None:
            self.request.outcome = "broken off" if self._closed_here else "abandoned"
        self._task.cancel()
        self._server.closed(self)

    def close(self) -> None:
        self._closed_here = True
        self._transport.close()

    def abort(self) -> None:
        self._closed_here = True
        self._transport.abort()

    def _reset(self) -> None:
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._server.failed(error)
            self.abort()

    async def _serve(self) -> None:
        while not self._closed_here:
            try:
                request = await self._read_request()
            except _BadRequest as error:
                body = f"400 Bad Request: {error}".encode()
                await self._send(Response(status=400, headers={"content-type": "text/plain"}, events=[body]))
                self.close()
                return
            self.request = request
            self._server.requests.append(request)
            self._server.notify()
            response = self._server.respond(request)
            await self._send(response)
            if not self._closed_here:
                request.outcome = "answered"
                self.request = None
                self._server.notify()
                if "close" in (request.headers.get("connection"), response.headers.get("connection")):
                    self.close()

    async def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            await self._more()
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    async def _read_request(self) -> Received:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        head = await self._take(end + 4)
        request_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = _parse_headers(lines)
        words = request_line.split(" ")
        if len(words) != 3 or words[2] != "HTTP/1.1":
            raise _BadRequest("request line")
        body = await self._take(int(headers.get("content-length", "0")))
        url = urlsplit(words[1])
        return Received(
            method=words[0],
            path=url.path,
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            headers=headers,
            body=body,
            connection=self._number,
        )

    async def _send(self, response: Response) -> None:
        delivery = response.delivery
        if delivery.held:
            await delivery.pause()
        if delivery.resets:
            self._reset()
            return
        await self._write(response.head, bytewise=delivery.bytewise)
        for position, event in enumerate(response.events):
            if delivery.stalls_at == position:
                await delivery.pause()
            if delivery.cut_at == position:
                await self._write(event[: delivery.cut_into], chunked=response.streams)
                self._cut(response)
                return
            await self._write(event, chunked=response.streams, bytewise=delivery.bytewise)
        if delivery.stalls_at == len(response.events):
            await delivery.pause()
        if delivery.cut_at is not None and delivery.cut_at >= len(response.events):
            self._cut(response)
        elif response.streams:
            self._transport.write(b"0\r\n\r\n")

    def _cut(self, response: Response) -> None:
        if response.delivery.cut_cleanly and response.streams:
            self._transport.write(b"0\r\n\r\n")
        self.close()

    async def _write(self, data: bytes, *, chunked: bool = False, bytewise: bool = False) -> None:
        pieces = [data[at : at + 1] for at in range(len(data))] if bytewise else [data]
        for piece in pieces:
            if chunked and piece:
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                self._transport.write(piece)
            if bytewise:
                await asyncio.sleep(0)


def _parse_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise _BadRequest("header line")
        name, value = name.lower(), value.strip()
        if name in headers and name in ("host", "content-length", "content-type", "authorization"):
            raise _BadRequest(f"{name} twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if not headers.get("host"):
        raise _BadRequest("no host header")
    if "transfer-encoding" in headers or not headers.get("content-length", "0").isdigit():
        raise _BadRequest("only length-delimited bodies")
    return headers
