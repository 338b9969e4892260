"""What goes wrong with a connection becomes the right error, on both implementations and both event loops."""

import asyncio
import gzip
import re
import socket
import zlib

import pytest

from caxton_llm.errors import (
    ConfigurationError,
    ConnectFailed,
    ConnectTimeout,
    IdleTimeout,
    InvalidRequest,
    LlmError,
    MalformedResponse,
    StreamInterrupted,
)
from caxton_llm.protocols import Origin, WireRequest
from transport.raw_server import Peer, RawServer, Script, always, response
from transport.sending import PATIENCE_S, AnyTransport, send, whole

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNTIL_CLOSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"


def once(answer: bytes, *, reset: bool = False) -> Script:
    """Answer one request with these bytes and close the connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        if reset:
            peer.reset()

    return script


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# -- before the request


async def test_a_refused_connection_names_where(transport: AnyTransport) -> None:
    origin = Origin("http", "127.0.0.1", closed_port())
    with pytest.raises(ConnectFailed, match=re.escape(f"{origin} refused the connection")) as caught:
        await send(transport, origin)
    assert caught.value.should_retry


async def test_a_name_that_does_not_resolve_is_said(transport: AnyTransport) -> None:
    with pytest.raises(ConnectFailed, match=r"host name of http://nowhere.invalid:81 does not resolve"):
        await send(transport, Origin("http", "nowhere.invalid", 81))


async def test_connecting_is_limited_until_tls_stands(transport: AnyTransport) -> None:
    async def silent(peer: Peer) -> None:
        await peer.writer.drain()
        await asyncio.Event().wait()

    async with RawServer(silent) as server:
        with pytest.raises(ConnectTimeout, match=r"within 0.05 s \(connect_timeout_seconds\)"):
            await send(transport, server.tls_origin, connect_timeout_s=0.05)


async def test_https_to_a_port_without_tls_is_said(transport: AnyTransport) -> None:
    async def plain(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async with RawServer(plain) as server:
        with pytest.raises(ConnectFailed, match=r"no TLS with https://127\.0\.0\.1"):
            await send(transport, server.tls_origin)


@pytest.mark.parametrize(
    "headers",
    [
        (("x-key", "abc\r\nx-injected: 1"),),
        (("x-key", "abc\n"),),
        (("x-key", "a\rbc"),),
        (("x-key", "abc\0"),),
        (("x-key", "abcé"),),
        (("x-key: abc\r\nx-injected", "1"),),
        (("x key", "abc"),),
        (("", "abc"),),
        (("transfer-encoding", "chunked"),),
        (("content-length", "100"),),
        (("Host", "abc"),),
        (("connection", "close"),),
    ],
)
async def test_a_header_that_would_break_the_request_is_refused_before_connecting(
    transport: AnyTransport, headers: tuple[tuple[str, str], ...]
) -> None:
    request = WireRequest(
        method="POST", origin=Origin("http", "127.0.0.1", closed_port()), path="/", headers=(("a", "1"), *headers)
    )
    with pytest.raises(ConfigurationError, match="header") as caught:
        await send(transport, request)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/abc HTTP/1.1\r\nx-injected: 1\r\n\r\nGET /"),
        ("GET", "/a bc"),
        ("GET", "abc"),
        ("GET", ""),
        ("GET", "/é-abc"),
        ("GET", "/#abc"),
        ("GET /abc", "/"),
        ("", "/"),
    ],
)
async def test_a_request_line_that_would_break_is_refused_before_connecting(
    transport: AnyTransport, method: str, path: str
) -> None:
    request = WireRequest(method=method, origin=Origin("http", "127.0.0.1", closed_port()), path=path)
    with pytest.raises(InvalidRequest) as caught:
        await send(transport, request)
    assert "abc" not in str(caught.value)


# -- before the head of the response


async def test_a_server_that_closes_without_an_answer_is_a_retryable_error(transport: AnyTransport) -> None:
    async with RawServer(once(b"")) as server:
        with pytest.raises(StreamInterrupted) as caught:
            await send(transport, server.origin)
        assert caught.value.should_retry
        assert len(server.requests) == 1


async def test_a_reset_before_the_answer_is_a_retryable_error(transport: AnyTransport) -> None:
    async with RawServer(once(b"", reset=True)) as server:
        with pytest.raises(StreamInterrupted):
            await send(transport, server.origin)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html><body>Bad gateway</body></html>",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 100_000 + b"\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_malformed(transport: AnyTransport, garbage: bytes) -> None:
    async with RawServer(once(garbage)) as server:
        with pytest.raises(MalformedResponse) as caught:
            await whole(transport, server.origin)
        assert "html" not in str(caught.value)
        assert len(server.requests) == 1


# -- inside the response

LENGTH = response(b"hello, world", "x-a: 1")
PIECES = CHUNKED + b"5;a=b\r\nhello\r\n7\r\n, world\r\n0\r\nx-t: 1\r\n\r\n"


@pytest.mark.parametrize("answer", [LENGTH, PIECES], ids=["length", "chunked"])
async def test_a_response_cut_anywhere_is_an_error(transport: AnyTransport, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer[: len(server.requests)])

    async with RawServer(script) as server:
        for _ in range(1, len(answer)):
            with pytest.raises(StreamInterrupted):
                await whole(transport, server.origin)
        assert await whole(transport, server.origin) == b"hello, world"


async def test_a_head_cut_anywhere_is_an_error_even_when_the_body_ends_with_the_connection(
    transport: AnyTransport,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(UNTIL_CLOSE_HEAD[: len(server.requests)])

    async with RawServer(script) as server:
        for _ in range(1, len(UNTIL_CLOSE_HEAD)):
            with pytest.raises(StreamInterrupted):
                await whole(transport, server.origin)
        assert await whole(transport, server.origin) == b""


@pytest.mark.parametrize(
    "answer", [LENGTH[:-2], PIECES[:-2], UNTIL_CLOSE_HEAD + b"hello"], ids=["length", "chunked", "until close"]
)
async def test_a_reset_in_the_body_is_an_error(transport: AnyTransport, answer: bytes) -> None:
    seen = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await seen.wait()
        peer.reset()

    async with RawServer(script) as server:
        response_ = await send(transport, server.origin)
        assert await response_.read_some() != b""
        seen.set()
        with pytest.raises(StreamInterrupted):
            await response_.read()


async def test_what_arrived_before_the_cut_can_be_read_and_the_error_stays(transport: AnyTransport) -> None:
    seen = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await seen.wait()

    async with RawServer(script) as server:
        answer = await send(transport, server.origin)
        assert await answer.read_some() == b"one"
        seen.set()
        for _ in range(2):
            with pytest.raises(StreamInterrupted):
                await answer.read_some()
        with pytest.raises(StreamInterrupted):
            await answer.read()


async def test_a_broken_chunk_is_an_error(transport: AnyTransport) -> None:
    async with RawServer(once(CHUNKED + b"3\r\none\r\nzz\r\nmore\r\n0\r\n\r\n")) as server:
        with pytest.raises((MalformedResponse, StreamInterrupted)):
            await whole(transport, server.origin)


async def test_a_stalled_body_is_an_idle_timeout_and_closes_the_connection(transport: AnyTransport) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()
        closed.set()

    async with RawServer(script) as server:
        answer = await send(transport, server.origin, idle_timeout_s=0.05)
        assert await answer.read_some() == b"one"
        with pytest.raises(IdleTimeout, match=r"nothing arrived for 0.05 s \(read_timeout_seconds\)"):
            await answer.read_some()
        async with asyncio.timeout(PATIENCE_S):
            await closed.wait()


async def test_a_stall_is_noticed_by_who_reads_everything(transport: AnyTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        answer = await send(transport, server.origin, idle_timeout_s=0.05)
        with pytest.raises(IdleTimeout):
            await answer.read()


async def test_waiting_for_the_head_is_not_limited_by_the_idle_timeout(transport: AnyTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.1)  # the slow server is what is tested
        await peer.send(response())

    async with RawServer(script) as server:
        answer = await send(transport, server.origin, idle_timeout_s=0.02)
        assert await answer.read() == b"hi"


# -- content-encoding

TEXT = b"a long answer, " * 5000
RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
ENCODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
    "deflate": zlib.compress(TEXT),
    "Deflate": RAW_DEFLATE.compress(TEXT) + RAW_DEFLATE.flush(),
    "identity": TEXT,
}


@pytest.mark.parametrize("encoding", list(ENCODED))
async def test_a_body_compressed_against_our_wish_is_decompressed(transport: AnyTransport, encoding: str) -> None:
    async with RawServer(always(response(ENCODED[encoding], f"content-encoding: {encoding}"))) as server:
        assert await whole(transport, server.origin) == TEXT
        answer = await send(transport, server.origin)
        parts = []
        while part := await answer.read_some():
            parts.append(part)
        assert b"".join(parts) == TEXT
        assert server.connections == 1


async def test_a_compressed_stream_is_handed_over_as_it_arrives(transport: AnyTransport) -> None:
    go_on = asyncio.Event()
    compress = zlib.compressobj(wbits=31)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n")
        await peer.send(compress.compress(b"one") + compress.flush(zlib.Z_SYNC_FLUSH))
        await go_on.wait()
        await peer.send(compress.compress(b"two") + compress.flush())

    async with RawServer(script) as server:
        answer = await send(transport, server.origin)
        assert await answer.read_some() == b"one"
        go_on.set()
        assert await answer.read() == b"two"


@pytest.mark.parametrize("keep", [1, 9, 11, 30, -9, -1])
async def test_compressed_data_that_ends_early_is_an_error(transport: AnyTransport, keep: int) -> None:
    async with RawServer(always(response(ENCODED["gzip"][:keep], "content-encoding: gzip"))) as server:
        with pytest.raises(StreamInterrupted, match="compressed"):
            await whole(transport, server.origin)


async def test_damaged_compressed_data_is_malformed(transport: AnyTransport) -> None:
    damaged = ENCODED["gzip"][:20] + b"\xff" * 20 + ENCODED["gzip"][40:]
    async with RawServer(always(response(damaged, "content-encoding: gzip"))) as server:
        with pytest.raises(MalformedResponse, match="damaged"):
            await whole(transport, server.origin)


async def test_a_stream_whose_compression_is_damaged_is_closed(transport: AnyTransport) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + b"\xff" * 100)
        await peer.gone()
        closed.set()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        answer = await send(transport, server.origin)
        with pytest.raises(MalformedResponse, match="damaged"):
            await answer.read_some()
        await closed.wait()


async def test_an_unknown_content_encoding_is_malformed(transport: AnyTransport) -> None:
    async with RawServer(always(response(b"x", "content-encoding: br"))) as server:
        with pytest.raises(MalformedResponse, match="content-encoding"):
            await whole(transport, server.origin)


# -- secrecy


async def test_no_error_and_no_repr_shows_headers_or_bodies(transport: AnyTransport) -> None:
    secret = re.compile("s3cret")
    async with RawServer(once(response(b"s3cret body", "set-cookie: s3cret")[:-1])) as server:
        request = WireRequest(
            method="POST",
            origin=server.origin,
            path="/?key=s3cret",
            headers=(("authorization", "s3cret"),),
            body=b"s3cret",
        )
        answer = await send(transport, request)
        assert not secret.search(repr(answer))
        with pytest.raises(LlmError) as caught:
            await answer.read()
        assert not secret.search(f"{caught.value} {caught.value!r}")
