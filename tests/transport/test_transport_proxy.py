"""Requests through a proxy, and how a transport is chosen."""

import asyncio
import base64
import subprocess
import sys
from contextlib import suppress

import pytest
import trustme

from caxton_llm.errors import ConfigurationError, ConnectFailed, ConnectTimeout
from caxton_llm.protocols import Origin
from caxton_llm.transport.aiohttp_transport import AiohttpTransport
from caxton_llm.transport.choose import make_transport
from caxton_llm.transport.lean import LeanTransport
from caxton_llm.transport.tls import tls_context
from transport.raw_server import Peer, RawServer, always, response, server_context
from transport.sending import PATIENCE_S, send, whole

CREDENTIALS = "Basic " + base64.b64encode(b"user:s3cret").decode()


async def forward(peer: Peer) -> None:
    """A proxy for `http` targets: answers itself, so that what it was asked for can be seen."""
    while request := await peer.request():
        if request.header("proxy-authorization") not in (None, CREDENTIALS):
            await peer.send(response(b"", status="407 Proxy Authentication Required"))
        else:
            await peer.send(response(b"by proxy"))


async def tunnel(peer: Peer) -> None:
    """A proxy for `https` targets."""
    request = await peer.request()
    assert request is not None
    method, target, _ = request.line.split(" ")
    assert method == "CONNECT"
    if request.header("proxy-authorization") not in (None, CREDENTIALS):
        await peer.send(response(b"", status="407 Proxy Authentication Required"))
        return
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(pump(peer.reader, writer))
            both.create_task(pump(reader, peer.writer))
    finally:
        writer.transport.abort()


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.transport.abort()


def proxy_url(origin: Origin, credentials: str = "user:s3cret@") -> str:
    return f"http://{credentials}{origin.authority}"


async def test_a_plain_request_goes_to_the_proxy_with_its_whole_url() -> None:
    async with RawServer(forward) as proxy:
        transport = AiohttpTransport(proxy=proxy_url(proxy.origin))
        assert await whole(transport, Origin("http", "api.example", 80)) == b"by proxy"
        await transport.aclose()
    (request,) = proxy.requests
    assert request.line == "POST http://api.example/v1/chat/completions HTTP/1.1"
    assert request.header("host") == "api.example"
    assert request.header("proxy-authorization") == CREDENTIALS


async def test_an_https_request_goes_through_a_tunnel_and_is_verified_end_to_end() -> None:
    authority = trustme.CA()
    context = tls_context()
    authority.configure_trust(context)
    async with (
        RawServer(always(response()), context=server_context(authority, "127.0.0.1")) as server,
        RawServer(tunnel) as proxy,
    ):
        transport = AiohttpTransport(proxy=proxy_url(proxy.origin), ssl_context=context)
        for _ in range(2):
            assert await whole(transport, server.origin) == b"hi"
        await transport.aclose()
    (request,) = proxy.requests
    assert request.line.startswith(f"CONNECT 127.0.0.1:{server.origin.port} ")
    assert request.header("proxy-authorization") == CREDENTIALS
    assert request.header("authorization") is None
    assert all(seen.header("proxy-authorization") is None for seen in server.requests)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_the_credentials_is_named_and_they_are_not_shown(scheme: str) -> None:
    async with RawServer(forward if scheme == "http" else tunnel) as proxy:
        transport = AiohttpTransport(proxy=proxy_url(proxy.origin, "user:wr0ng@"))
        with pytest.raises(ConnectFailed, match=f"the proxy {proxy.origin}.*credentials") as caught:
            await send(transport, Origin(scheme, "127.0.0.1", 9))
        assert "wr0ng" not in str(caught.value)
        await transport.aclose()


async def test_a_proxy_that_is_not_there_is_named() -> None:
    async with RawServer(forward) as proxy:
        pass
    transport = AiohttpTransport(proxy=proxy_url(proxy.origin))
    with pytest.raises(ConnectFailed, match=f"the proxy {proxy.origin} refused the connection") as caught:
        await send(transport, Origin("https", "api.example", 443))
    assert "host and port are right in 'proxy'" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    await transport.aclose()


async def test_a_silent_proxy_is_a_connect_timeout() -> None:
    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with RawServer(silent) as proxy, asyncio.timeout(PATIENCE_S):
        transport = AiohttpTransport(proxy=proxy_url(proxy.origin))
        with pytest.raises(ConnectTimeout):
            await send(transport, Origin("https", "127.0.0.1", 9), connect_timeout_s=0.05)
        await transport.aclose()


@pytest.mark.parametrize(
    "proxy", ["proxy.example:3128", "socks5://user:s3cret@h:1", "http://", "http://h:x", "http://[", ""]
)
def test_a_proxy_that_is_no_http_url_is_refused_without_being_shown(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="`proxy`") as caught:
        AiohttpTransport(proxy=proxy)
    assert "s3cret" not in str(caught.value)


async def test_proxies_in_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(forward) as proxy, RawServer(always(response())) as server:
        monkeypatch.setenv("http_proxy", proxy_url(proxy.origin))
        monkeypatch.setenv("HTTP_PROXY", proxy_url(proxy.origin))
        for transport in (AiohttpTransport(), LeanTransport()):
            assert await whole(transport, server.origin) == b"hi"
            await transport.aclose()
        assert proxy.requests == []


def test_the_lean_transport_is_chosen_for_direct_connections() -> None:
    assert isinstance(make_transport(), LeanTransport)
    assert isinstance(make_transport(kind="lean"), LeanTransport)
    assert isinstance(make_transport(kind="aiohttp"), AiohttpTransport)
    assert isinstance(make_transport(proxy="http://proxy.example:3128"), AiohttpTransport)


def test_the_lean_transport_cannot_be_forced_through_a_proxy() -> None:
    with pytest.raises(ConfigurationError, match="`transport: lean` cannot use a `proxy`"):
        make_transport(kind="lean", proxy="http://proxy.example:3128")


def test_no_connections_at_all_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="`max_connections`"):
        make_transport(max_connections=0)


def test_aiohttp_is_imported_only_when_it_is_chosen() -> None:
    program = (
        "import sys; from caxton_llm.transport.choose import make_transport as m; m(); print('aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "False"
