"""A server that is spoken to over streamable HTTP: the SDK's transport over a client that limits what is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from caxton_llm.tools.settings import McpServerSettings

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams  # the types of what the public `Transport` gives

__all__ = ["HttpServer"]

_CONNECT_S = 10.0
_SESSION = "mcp-session-id"
_CALL = b'"tools/call"'


class HttpServer:
    """One connection, which is as many TCP connections as there are requests under way."""

    def __init__(self, settings: McpServerSettings) -> None:
        self._settings = settings
        self.last_refusal: int | None = None
        """The HTTP status of the last answer, where it was a refusal."""
        self.session_lost = False
        """Whether the server has forgotten the session, as it does when it was started again: nothing was done."""
        self.unsent_calls = 0
        """Calls for which no connection could be made: the server knows nothing of them."""

    def last_words(self) -> str:
        """What is known of the connection's end, for people."""
        status = self.last_refusal
        if status in (401, 403):
            return f"it answers with HTTP status {status}: check 'api_key' and 'headers'"
        if status in (404, 405):
            return f"it answers with HTTP status {status}: check the path of 'url', which often ends in /mcp"
        return f"it answers with HTTP status {status}" if status is not None else "the connection ended"

    @asynccontextmanager
    async def streams(self) -> "AsyncIterator[TransportStreams]":
        """The two streams of messages."""
        settings = self._settings
        headers = {name: value for name, value in settings.headers.items() if isinstance(value, str)}
        if isinstance(settings.api_key, str):
            headers["Authorization"] = f"Bearer {settings.api_key}"
        largest = settings.max_message_bytes
        # How long an answer may take is a matter of the call, not of the connection.
        timeout = httpx2.Timeout(_CONNECT_S, read=None, pool=None)
        transport = _Limited(httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=None)), largest, self)
        client = httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport, trust_env=False)
        url = settings.url if isinstance(settings.url, str) else ""
        async with client, streamable_http_client(url, http_client=client, max_sse_event_size=largest) as streams:
            yield streams

    def notice(self, request: httpx2.Request, status: int) -> None:
        """One answer came."""
        self.last_refusal = status if status >= 400 else None
        if status >= 400:
            self.session_lost = self.session_lost or (status == 404 and _SESSION in request.headers)


class _Limited(httpx2.AsyncBaseTransport):
    """Whole answers are read up to a size; events have their own limit in the SDK."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, largest: int, server: HttpServer) -> None:
        self._inner = inner
        self._largest = largest
        self._server = server

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            self._server.unsent_calls += _CALL in await request.aread()
            raise
        self._server.notice(request, response.status_code)
        kind = response.headers.get("content-type", "")
        if isinstance(response.stream, httpx2.AsyncByteStream) and not kind.startswith("text/event-stream"):
            response.stream = _Counted(response.stream, self._largest)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, largest: int) -> None:
        self._inner = inner
        self._largest = largest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._inner:
            total += len(chunk)
            if total > self._largest:
                raise httpx2.StreamError(f"the answer is longer than {self._largest:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
