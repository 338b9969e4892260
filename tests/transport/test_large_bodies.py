"""Bodies that are larger than any answer, plain or behind a compression that makes them look small."""

import asyncio
import gzip
import random
import zlib

import pytest

from caxton_llm.errors import MalformedResponse, StreamInterrupted
from caxton_llm.transport.body import WHOLE_BYTES
from caxton_llm.transport.content_encoding import STEP_BYTES, ContentDecoder
from transport.raw_server import Peer, RawServer, always, response
from transport.sending import PATIENCE_S, AnyTransport, send, whole

ENDLESS = gzip.compress(bytes(WHOLE_BYTES + 1))


async def test_a_body_that_is_too_large_is_refused_as_a_whole(transport: AnyTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(bytes(1024 * 1024))

    async with RawServer(script) as server:
        with pytest.raises(MalformedResponse, match="larger than 64 MiB") as caught:
            await whole(transport, server.origin)
    assert caught.value.should_retry is False


async def test_a_small_body_that_stands_for_a_large_one_is_refused_and_holds_nothing_up(
    transport: AnyTransport,
) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with RawServer(always(response(ENDLESS, "content-encoding: gzip"))) as server:
        counting = asyncio.create_task(count())
        with pytest.raises(MalformedResponse, match="larger than 64 MiB"):
            await whole(transport, server.origin)
        counting.cancel()
    assert turns > WHOLE_BYTES / STEP_BYTES


async def test_a_stream_is_not_limited_but_comes_in_bounded_parts(transport: AnyTransport) -> None:
    async with RawServer(always(response(ENDLESS, "content-encoding: gzip"))) as server:
        answer = await send(transport, server.origin)
        sizes = []
        while part := await answer.read_some():
            sizes.append(len(part))
    assert sum(sizes) == WHOLE_BYTES + 1
    assert max(sizes) <= STEP_BYTES


async def test_a_reader_that_leaves_between_two_parts_closes_the_connection(transport: AnyTransport) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + ENDLESS[:-1])
        await peer.gone()
        closed.set()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        answer = await send(transport, server.origin)
        assert await answer.read_some()
        reading = asyncio.create_task(answer.read_some())
        await asyncio.sleep(0)  # it is between two steps now
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await closed.wait()


# -- step by step


def plain_of(data: bytes, *, fed: int) -> bytes:
    decoder = ContentDecoder()
    plain = b""
    for begin in range(0, len(data), fed):
        decoder.feed(data[begin : begin + fed])
        while decoder.pending:
            part = decoder.step()
            assert len(part) <= STEP_BYTES
            plain += part
    decoder.close()
    return plain


def compressed(data: bytes, wbits: int) -> bytes:
    compress = zlib.compressobj(wbits=wbits)
    return compress.compress(data) + compress.flush()


@pytest.mark.parametrize("wbits", [31, 15, -15], ids=["gzip", "zlib", "raw"])
@pytest.mark.parametrize("size", [0, 1, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 2 * STEP_BYTES])
def test_nothing_is_lost_at_the_end_of_a_step(wbits: int, size: int) -> None:
    for text in (bytes(size), random.Random(size).randbytes(size)):
        data = compressed(text, wbits)
        assert plain_of(data, fed=len(data)) == text
        assert plain_of(data, fed=997) == text


def test_members_in_a_row_are_one_body_wherever_they_are_cut() -> None:
    data = gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(bytes(STEP_BYTES)) + gzip.compress(b"two")
    for fed in (1, 7, len(data)):
        assert plain_of(data, fed=fed) == b"one" + bytes(STEP_BYTES) + b"two"
    with pytest.raises(StreamInterrupted):
        plain_of(data[:-1], fed=len(data))
