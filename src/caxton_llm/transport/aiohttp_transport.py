"""The transport on aiohttp: for proxies, and as an independent second implementation of what the lean one does.

Whatever aiohttp would do by itself is switched off: redirects, cookies, decompression, proxies from the environment, its own
connection limit. Importing this module imports aiohttp.
"""

import asyncio
import io
import ssl
import weakref
from types import SimpleNamespace

import aiohttp
from yarl import URL

from caxton_llm.errors import ConfigurationError, ConnectFailed
from caxton_llm.protocols import Origin, WireRequest
from caxton_llm.transport.aiohttp_errors import FOREIGN, Route, translate
from caxton_llm.transport.aiohttp_response import AiohttpResponse, HeldSlot
from caxton_llm.transport.event_loop import leave, transport_closed
from caxton_llm.transport.request_head import check_request
from caxton_llm.transport.response_head import HEAD_BYTES, body_decoder, read_headers
from caxton_llm.transport.slots import Slots
from caxton_llm.transport.tls import require_verification, tls_context

__all__ = ["AiohttpTransport"]

_ITS_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""What aiohttp would add to a request."""
_LARGE = 1024 * 1024
"""Bodies above this size are given to aiohttp as a file, as it asks for."""
_NEVER = 1e9
"""aiohttp rounds timeouts above its threshold up to whole seconds."""
_PROXY_AUTHENTICATION_REQUIRED = 407


class AiohttpTransport:
    """A `Transport` through an optional HTTP proxy. It belongs to the event loop of its first request, until that loop is
    closed.

    `max_connections` is per origin. `proxy` is a URL, with the user and the password inside when the proxy wants them.
    `ca_file`, `client_cert` and `client_key` are PEM files; `ssl_context` replaces all three and must verify. Raises
    `ConfigurationError` for settings that cannot work.
    """

    def __init__(
        self,
        *,
        max_connections: int = 100,
        proxy: str | None = None,
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if ssl_context is not None:
            require_verification(ssl_context)
        elif ca_file is not None or client_cert is not None or client_key is not None:
            ssl_context = tls_context(ca_file=ca_file, client_cert=client_cert, client_key=client_key)
        self._context = ssl_context
        self._max_connections = max_connections
        self._proxy = None if proxy is None else _proxy_url(proxy)
        self._proxy_name = None if self._proxy is None else str(self._proxy.origin())
        self._slots: weakref.WeakValueDictionary[Origin, Slots] = weakref.WeakValueDictionary()
        """Those that somebody holds or waits for."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._fresh_session: aiohttp.ClientSession | None = None
        self._open: weakref.WeakSet[AiohttpResponse] = weakref.WeakSet()
        self._drains: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(
        self, request: WireRequest, *, connect_timeout_s: float, idle_timeout_s: float | None
    ) -> AiohttpResponse:
        """Send `request` and return when the head of its response is there.

        Raises `ConnectFailed`, `ConnectTimeout`, `StreamInterrupted`, `MalformedResponse`, and before anything is sent
        `ConfigurationError` (a header) and `InvalidRequest` (a path) for what cannot be written as HTTP. `RuntimeError` when
        the transport is closed, or belongs to another event loop.
        """
        check_request(request)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            await self._enter(loop)
        slots = self._slots.get(request.origin)
        if slots is None:
            slots = self._slots[request.origin] = Slots(self._max_connections)
        await slots.take()
        slot = HeldSlot(slots)
        route = Route(str(request.origin), self._proxy_name, connect_timeout_s)
        try:
            response = await self._request(request, route)
        except FOREIGN as error:
            slot.give()
            raise translate(error, route) from None
        except BaseException:
            slot.give()
            raise
        return self._opened(response, slot, route, idle_timeout_s)

    async def aclose(self) -> None:
        """Close every connection; requests under way fail with `StreamInterrupted`. Safe to call twice."""
        self._closed = True
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            await self._enter(loop)
        for response in list(self._open):
            response.abort()
        for task in self._drains:
            task.cancel()
        await asyncio.gather(*self._drains, return_exceptions=True)
        for session in (self._session, self._fresh_session):
            if session is not None:
                await session.close()

    async def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        leave(self._loop)
        left = [session for session in (self._session, self._fresh_session) if session is not None]
        self._loop = loop
        self._session = self._fresh_session = None
        self._slots.clear()
        self._open.clear()
        self._drains.clear()
        for session in left:
            await session.close()

    async def _request(self, request: WireRequest, route: Route) -> aiohttp.ClientResponse:
        """A kept connection that the server has closed meanwhile is replaced once, if nothing was answered on it: aiohttp
        itself does that for idempotent methods only."""
        if self._closed:
            raise transport_closed()
        if self._session is None:
            self._session = self._open_session(force_close=False)
        seen = SimpleNamespace(reused=False)
        if request.origin.address is not None:  # aiohttp would keep its connection for every host at that address
            return await self._attempt(self._unkept(), request, route, seen)
        try:
            return await self._attempt(self._session, request, route, seen)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError) as error:
            if self._session.closed or not seen.reused or not isinstance(getattr(error, "message", ""), str):
                raise  # a message that is no text is the part of a response that came
        return await self._attempt(self._unkept(), request, route, seen)

    def _unkept(self) -> aiohttp.ClientSession:
        """The session whose connections serve one request each."""
        if self._fresh_session is None:
            self._fresh_session = self._open_session(force_close=True)
        return self._fresh_session

    async def _attempt(
        self, session: aiohttp.ClientSession, request: WireRequest, route: Route, seen: SimpleNamespace
    ) -> aiohttp.ClientResponse:
        headers = list(request.headers)
        if all(name != "accept-encoding" for name, _ in headers):
            headers.append(("accept-encoding", "identity"))
        origin, name = request.origin, None
        if origin.address is not None:
            headers.append(("host", origin.authority))
            name = origin.host if origin.scheme == "https" else None
            origin = Origin(origin.scheme, origin.address, origin.port)
        return await session.request(
            request.method,
            URL(f"{origin}{request.path}", encoded=True),
            headers=headers,
            data=io.BytesIO(request.body) if len(request.body) > _LARGE else request.body or None,
            proxy=self._proxy,
            server_hostname=name,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=route.connect_timeout_s, ceil_threshold=_NEVER),
            trace_request_ctx=seen,
        )

    def _opened(
        self, response: aiohttp.ClientResponse, slot: HeldSlot, route: Route, idle_timeout_s: float | None
    ) -> AiohttpResponse:
        headers = read_headers(response.raw_headers)
        opened = AiohttpResponse(response, headers, slot, route, idle_s=idle_timeout_s, drains=self._drains)
        try:
            if self._proxy is not None and opened.status == _PROXY_AUTHENTICATION_REQUIRED:
                raise ConnectFailed(f"the proxy {self._proxy_name} answered 407; check the credentials in its URL")
            self._open.add(opened)
            opened.decoder = body_decoder(opened.status, opened.headers)
        except BaseException:
            opened.abort()
            raise
        return opened

    def _open_session(self, *, force_close: bool) -> aiohttp.ClientSession:
        async def note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
            context.trace_request_ctx.reused = True

        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(note_reuse)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                force_close=force_close,
                ssl=self._context or True,
                keepalive_timeout=None if force_close else 60.0,
                timeout_ceil_threshold=_NEVER,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_ITS_HEADERS,
            auto_decompress=False,
            trust_env=False,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            trace_configs=[trace],
        )


def _proxy_url(text: str) -> URL:
    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("`proxy` is not a URL like http://user:password@proxy.example:3128")
    return url
