"""HTTP below the application: heads that are too long or no HTTP, several requests on a connection, answers in one piece."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator

import pytest

from caxton_llm.config.load import load_mapping
from caxton_llm.server.serve import ServeOptions, address_of, listening_socket, make_app, make_server

BODY = b'{"model":"default","messages":[{"role":"user","content":"Hello"}]}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(BODY)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    configuration = load_mapping({"llm": {"provider": "builtin"}}, {})
    server = make_server(make_app(configuration), configuration, ServeOptions(port=0))
    with listening_socket(server.config) as sock:
        serving = asyncio.create_task(server.serve([sock]))
        yield int(address_of(sock).rpartition(":")[2])
        server.should_exit = True
        async with asyncio.timeout(20):
            await serving


async def exchanged(port: int, *pieces: bytes) -> bytes:
    """Everything that the server answers to these bytes until it closes the connection."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer


def parsed(answer: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), json.loads(body)


async def test_a_head_that_never_ends_is_refused(port: int) -> None:
    answer = await exchanged(port, b"GET /v1/models HTTP/1.1\r\n", *[b"x-a: %s\r\n" % (b"a" * 8000)] * 10)
    status, headers, body = parsed(answer)
    assert status == 431
    assert headers["connection"] == "close"
    assert "64 KiB" in str(body["error"])


async def test_a_long_head_within_the_limit_is_read(port: int) -> None:
    head = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-a: %s\r\n\r\n" % (b"a" * 30_000)
    assert parsed(await exchanged(port, head[:9], head[9:]))[0] == 200


async def test_what_is_not_http_is_answered_with_an_error_in_json(port: int) -> None:
    status, _, body = parsed(await exchanged(port, b"\x16\x03\x01 hello\r\n\r\n"))
    assert status == 400
    assert "not HTTP/1.1" in str(body["error"])


async def test_the_connection_is_kept_between_answers_and_closed_where_the_client_says_so(port: int) -> None:
    answer = await exchanged(port, CHAT + b"\r\n" + BODY, CHAT + b"connection: close\r\n\r\n" + BODY)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"connection: close") == 1
    assert answer.index(b"connection: close") > answer.rindex(b"HTTP/1.1 200 OK")


async def test_pipelined_requests_are_answered_in_their_order(port: int) -> None:
    wrong = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
    answer = await exchanged(port, CHAT + b"\r\n" + BODY + wrong)
    assert answer.index(b"HTTP/1.1 200 OK") < answer.index(b"HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize("body", [BODY, BODY[:-1] + b',"stream":true}'], ids=["whole", "streamed"])
async def test_a_request_leaves_nothing_for_the_garbage_collector(port: int, body: bytes) -> None:
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
    last = request + b"connection: close\r\n\r\n" + body
    await exchanged(port, last)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await exchanged(port, *[request + b"\r\n" + body] * 10, last)
        gc.collect()
        left = {type(found).__name__ for found in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left.isdisjoint(
        {"ChatRequest", "ChatResponse", "ChatStream", "HttpExchange", "RequestResponseCycle", "TimeLimit"}
    )


async def test_a_client_of_http_1_0_gets_its_answer_and_the_end_of_the_connection(port: int) -> None:
    status, headers, _ = parsed(await exchanged(port, CHAT.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n" + BODY))
    assert (status, headers["connection"]) == (200, "close")


async def test_a_whole_answer_leaves_in_one_piece(port: int) -> None:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHAT + b"\r\n" + BODY)
        first = await reader.read(1 << 16)
        writer.close()
    assert parsed(first)[0] == 200
