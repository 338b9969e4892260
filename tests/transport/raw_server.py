"""An HTTP server on loopback that does with each connection what a test says, byte by byte."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

import trustme

from caxton_llm.protocols import Origin
from transport.sending import PATIENCE_S

__all__ = ["Peer", "RawRequest", "RawServer", "Script", "always", "response", "server_context"]


class RawRequest(NamedTuple):
    """A request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: "RawServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> RawRequest | None:
        """The next request; `None` when the client closes instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        line, *fields = head.decode().split("\r\n")[:-2]
        headers = [(name, value) for name, _, value in (field.partition(": ") for field in fields)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        request = RawRequest(line, headers, await self.reader.readexactly(length))
        self._server.requests.append(request)
        return request

    async def hello(self) -> None:
        """Read the first bytes of whatever the client says."""
        assert await self.reader.read(65536) != b""

    async def head(self) -> None:
        """Read the head of a request and leave its body where it is."""
        await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Returns when the client has closed the connection; fails when it sends something instead."""
        with suppress(ConnectionError, ssl.SSLError):
            async with asyncio.timeout(PATIENCE_S):
                assert await self.reader.read(1) == b"", "the client went on sending"

    def reset(self) -> None:
        """Close with an RST instead of a FIN."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs `script` once per connection and closes the connection when the script returns.

    A script that fails makes the test fail, when the server is left.
    """

    def __init__(self, script: Script, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._script = script
        self._context = context
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._failures: list[BaseException] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.requests: list[RawRequest] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, self._host, 0, ssl=self._context)
        port: int = self._server.sockets[0].getsockname()[1]
        self.origin = Origin("https" if self._context else "http", self._host, port)
        self.tls_origin = Origin("https", self._host, port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            with suppress(AttributeError):  # asyncio's transport may have been taken apart already
                writer.transport.abort()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
        await self._server.wait_closed()
        if error is None and self._failures:
            raise self._failures[0]

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._script(Peer(self, reader, writer))
        except ConnectionError:
            pass
        except Exception as error:  # noqa: BLE001 - reported when the server is left
            self._failures.append(error)
        finally:
            self.open -= 1
            writer.close()


def response(body: bytes = b"hi", *headers: str, status: str = "200 OK") -> bytes:
    """A whole response with a content-length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def always(answer: bytes) -> Script:
    """A script that gives every request the same answer."""

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(answer)

    return script


def server_context(authority: trustme.CA, *names: str, ask_client: bool = False) -> ssl.SSLContext:
    """TLS for a server with these names; `ask_client` makes it demand a certificate of the same authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    if ask_client:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context
