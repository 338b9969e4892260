"""What every transport promises, on both implementations and both event loops, against a real server."""

import asyncio

import pytest

from caxton_llm.errors import ConnectFailed, MalformedResponse, StreamInterrupted, TransportError
from caxton_llm.protocols import Origin, WireRequest
from transport.raw_server import Peer, RawServer, always, response
from transport.sending import AnyTransport, post, send, whole

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_body_with_a_length_is_read_whole(transport: AnyTransport) -> None:
    async with RawServer(always(response(b"hello"))) as server:
        answer = await send(transport, server.origin)
        assert answer.status == 200
        assert await answer.read() == b"hello"


async def test_a_chunked_body_is_read_whole_and_its_trailers_are_not_headers(transport: AnyTransport) -> None:
    answer = CHUNKED + b"3;note=1\r\nhel\r\n2\r\nlo\r\n0\r\nx-late: 1\r\n\r\n"
    async with RawServer(always(answer)) as server:
        response_ = await send(transport, server.origin)
        assert await response_.read() == b"hello"
        assert "x-late" not in response_.headers
        assert await whole(transport, server.origin) == b"hello"
        assert server.connections == 1


async def test_a_body_may_end_with_the_connection(transport: AnyTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await peer.send(b"lo")

    async with RawServer(script) as server:
        assert await whole(transport, server.origin) == b"hello"
        assert await whole(transport, server.origin) == b"hello"
        assert server.connections == 2


async def test_a_stream_is_handed_over_as_it_arrives(transport: AnyTransport) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await go_on.wait()
        await peer.send(b"3\r\ntwo\r\n0\r\n\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        answer = await send(transport, server.origin)
        assert await answer.read_some() == b"one"
        go_on.set()
        assert await answer.read_some() == b"two"
        assert await answer.read_some() == b""
        assert await answer.read_some() == b""
        await transport.aclose()


async def test_read_gives_what_read_some_has_left(transport: AnyTransport) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await go_on.wait()
        await peer.send(b"3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")

    async with RawServer(script) as server:
        answer = await send(transport, server.origin)
        assert await answer.read_some() == b"one"
        go_on.set()
        assert await answer.read() == b"twothree"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("POST", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
    ],
)
async def test_a_response_without_a_body_ends_with_its_head(
    transport: AnyTransport, method: str, answer: bytes
) -> None:
    async with RawServer(always(answer)) as server:
        request = post(server.origin, b"" if method == "HEAD" else b"{}", method=method)
        assert await whole(transport, request) == b""
        assert await whole(transport, request) == b""
        assert server.connections == 1


async def test_interim_responses_are_skipped(transport: AnyTransport) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\nx-a: early\r\n\r\n"
    async with RawServer(always(interim + response(b"hi", "x-a: final"))) as server:
        answer = await send(transport, server.origin)
        assert (answer.status, answer.headers["x-a"], "link" in answer.headers) == (200, "final", False)
        assert await answer.read() == b"hi"
        assert await whole(transport, server.origin) == b"hi"
        assert server.connections == 1


async def test_switching_protocols_is_no_answer(transport: AnyTransport) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    async with RawServer(always(answer)) as server:
        with pytest.raises(MalformedResponse, match="101"):
            await send(transport, server.origin)


async def test_header_names_are_lower_case_and_repeated_ones_are_joined(transport: AnyTransport) -> None:
    fields = ("X-Request-ID: abc", "Set-Cookie: a=1", "X-Spaced:   wide \t ", "set-cookie: b=2", "X-Empty:")
    async with RawServer(always(response(b"", *fields))) as server:
        answer = await send(transport, server.origin)
        assert answer.headers == {
            "x-request-id": "abc",
            "set-cookie": "a=1, b=2",
            "x-spaced": "wide",
            "x-empty": "",
            "content-length": "0",
        }


async def test_what_is_sent_is_what_was_given_and_nothing_else(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        request = WireRequest(
            method="POST",
            origin=server.origin,
            path="/v1/m%2Fx/chat?api-version=1%202&q=%C3%A9",
            headers=(("authorization", "Bearer k"), ("x-a", "1"), ("x-a", "2")),
            body=b'{"a": 1}',
        )
        await whole(transport, request)
    (seen,) = server.requests
    assert seen.line == "POST /v1/m%2Fx/chat?api-version=1%202&q=%C3%A9 HTTP/1.1"
    assert seen.body == b'{"a": 1}'
    assert sorted((name.lower(), value) for name, value in seen.headers) == [
        ("accept-encoding", "identity"),
        ("authorization", "Bearer k"),
        ("content-length", "8"),
        ("host", server.origin.authority),
        ("x-a", "1"),
        ("x-a", "2"),
    ]


async def test_the_request_decides_about_accept_encoding(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        request = WireRequest(method="GET", origin=server.origin, path="/", headers=(("accept-encoding", "gzip"),))
        await whole(transport, request)
    (seen,) = server.requests
    assert [value for name, value in seen.headers if name.lower() == "accept-encoding"] == ["gzip"]
    assert seen.header("content-length") is None


async def test_an_empty_post_says_that_it_is_empty(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        await whole(transport, post(server.origin, b""))
    assert server.requests[0].header("content-length") == "0"


async def test_redirects_are_handed_over_and_not_followed(transport: AnyTransport) -> None:
    async with RawServer(always(response(b"", "location: /elsewhere", status="307 Temporary Redirect"))) as server:
        answer = await send(transport, server.origin)
        assert (answer.status, answer.headers["location"]) == (307, "/elsewhere")
    assert len(server.requests) == 1


async def test_cookies_are_not_kept(transport: AnyTransport) -> None:
    async with RawServer(always(response(b"", "set-cookie: a=1; path=/"))) as server:
        await whole(transport, server.origin)
        await whole(transport, server.origin)
    assert [request.header("cookie") for request in server.requests] == [None, None]


async def test_a_large_request_body_arrives_whole(transport: AnyTransport) -> None:
    body = bytes(range(256)) * (32 * 1024)
    async with RawServer(always(response())) as server:
        assert await whole(transport, post(server.origin, body)) == b"hi"
        assert server.requests[0].body == body
        assert await whole(transport, server.origin) == b"hi"
        assert server.connections == 1


async def test_an_answer_before_the_end_of_a_large_request_is_taken(transport: AnyTransport) -> None:
    async def script(peer: Peer) -> None:
        if server.connections == 1:
            await peer.head()
            await peer.send(response(b"too large", status="413 Content Too Large"))
            await asyncio.Event().wait()  # reads no more, so the client cannot finish its request
        await always(response())(peer)

    async with RawServer(script) as server:
        answer = await send(transport, post(server.origin, b"x" * (32 * 1024 * 1024)))
        assert (answer.status, await answer.read()) == (413, b"too large")
        assert await whole(transport, server.origin) == b"hi"
        assert server.connections == 2


async def test_ipv6_is_spoken(transport: AnyTransport) -> None:
    async with RawServer(always(response()), host="::1") as server:
        assert await whole(transport, server.origin) == b"hi"
    assert server.requests[0].header("host") == f"[::1]:{server.origin.port}"


async def test_a_closed_transport_sends_nothing_and_says_so(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        await whole(transport, server.origin)
        await transport.aclose()
        await transport.aclose()
        with pytest.raises(RuntimeError, match="the transport is closed"):
            await send(transport, server.origin)
        assert len(server.requests) == 1


async def test_closing_the_transport_interrupts_a_request_that_waits_for_its_answer(transport: AnyTransport) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response())
        await peer.request()
        asked.set()
        await peer.gone()

    async with RawServer(script) as server:
        await whole(transport, server.origin)
        answer = asyncio.create_task(send(transport, server.origin))
        await asked.wait()
        await transport.aclose()
        with pytest.raises(StreamInterrupted):
            await answer
        assert len(server.requests) == 2


async def test_a_connection_that_opens_while_the_transport_closes_is_not_used(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        answer = asyncio.create_task(send(transport, server.origin))
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises((TransportError, RuntimeError)):  # whichever the closing met
            await answer
        assert server.requests == []


async def test_closing_the_transport_interrupts_what_is_under_way(transport: AnyTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        answer = await send(transport, server.origin)
        assert await answer.read_some() == b"one"
        rest = asyncio.create_task(answer.read_some())
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(StreamInterrupted):
            await rest


async def test_a_given_address_is_connected_to_and_the_host_is_still_named(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        origin = Origin("http", "images.example", server.origin.port, address="127.0.0.1")
        assert await whole(transport, origin) == b"hi"
        assert server.requests[0].header("host") == f"images.example:{origin.port}"


async def test_a_connection_to_one_address_is_not_used_for_another(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        port = server.origin.port
        assert await whole(transport, Origin("http", "127.0.0.1", port)) == b"hi"
        assert await whole(transport, Origin("http", "images.example", port, address="127.0.0.1")) == b"hi"
        for host in ("images.example", "127.0.0.1"):
            with pytest.raises(ConnectFailed):
                await whole(transport, Origin("http", host, port, address="127.0.0.2"))
