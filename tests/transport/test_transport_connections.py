"""Connections: kept, replaced, limited, given up; on both implementations and both event loops."""

import asyncio
import gc

import pytest
from msgspec.structs import replace

from caxton_llm.errors import ConnectFailed, LlmError, StreamInterrupted
from caxton_llm.protocols import Origin, TransportResponse
from caxton_llm.transport.lean import LeanTransport
from transport.raw_server import Peer, RawServer, always, response
from transport.sending import PATIENCE_S, AnyTransport, MakeTransport, post, send, whole

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


# -- kept connections


async def test_nothing_is_kept_of_an_origin_without_connections_and_requests(make: MakeTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(b"hi", "connection: close"))

    transport = make(max_connections=1)
    origins = [Origin("http", f"host-{number}", 1, "127.0.0.1") for number in range(5)]
    async with RawServer(script) as server:
        reachable = [replace(origin, port=server.origin.port) for origin in origins]
        bodies = await asyncio.gather(*[whole(transport, origin) for origin in reachable * 3])
        assert bodies == [b"hi"] * 15
        await all_origins_forgotten(transport)
    failures = await asyncio.gather(*[whole(transport, origin) for origin in origins], return_exceptions=True)
    assert [type(failure) for failure in failures] == [ConnectFailed] * 5
    del failures  # their frames hold what they were doing
    await all_origins_forgotten(transport)


async def all_origins_forgotten(transport: AnyTransport) -> None:
    kept = vars(transport)["_pools" if isinstance(transport, LeanTransport) else "_slots"]
    async with asyncio.timeout(PATIENCE_S):
        while len(kept):
            gc.collect()
            await asyncio.sleep(0)


async def test_a_connection_is_used_again(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        for _ in range(3):
            assert await whole(transport, server.origin) == b"hi"
        assert server.connections == 1


async def test_a_response_that_is_read_to_its_end_needs_no_release(transport: AnyTransport) -> None:
    async with RawServer(always(response())) as server:
        for _ in range(3):
            answer = await send(transport, server.origin)
            assert await answer.read() == b"hi"
            answer.abort()
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        response(b"hi", "connection: close"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    ],
)
async def test_a_connection_that_the_server_will_close_is_not_used_again(
    transport: AnyTransport, answer: bytes
) -> None:
    async with RawServer(always(answer)) as server:
        assert await whole(transport, server.origin) == b"hi"
        assert await whole(transport, server.origin) == b"hi"
        assert server.connections == 2


async def test_bytes_after_a_response_are_never_the_next_answer(transport: AnyTransport) -> None:
    async with RawServer(always(response(b"hi") + response(b"smuggled"))) as server:
        for _ in range(3):
            assert await whole(transport, server.origin) == b"hi"
        assert server.connections == 3


async def test_a_kept_connection_that_was_closed_is_replaced(transport: AnyTransport) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response())
        peer.writer.close()
        await peer.writer.wait_closed()
        closed.set()

    async with RawServer(script) as server:
        assert await whole(transport, server.origin) == b"hi"
        await closed.wait()
        assert await whole(transport, server.origin) == b"hi"
        assert server.connections == 2


@pytest.mark.parametrize("reset", [False, True])
async def test_a_kept_connection_that_is_closed_instead_of_an_answer_is_replaced_once(
    transport: AnyTransport, reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 2:
                if reset:
                    peer.reset()
                return
            await peer.send(response(b"%d" % len(server.requests)))

    async with RawServer(script) as server:
        assert await whole(transport, server.origin) == b"1"
        assert await whole(transport, post(server.origin, b"again")) == b"3"
        assert [request.body for request in server.requests] == [b"{}", b"again", b"again"]
        assert server.connections == 2


async def test_a_request_is_sent_twice_at_most(transport: AnyTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if len(server.requests) == 1:
            await peer.send(response())
            await peer.request()

    async with RawServer(script) as server:
        assert await whole(transport, server.origin) == b"hi"
        with pytest.raises(StreamInterrupted):
            await whole(transport, server.origin)
        assert len(server.requests) == 3


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nx-a: 1\r\n"])
async def test_a_request_that_was_answered_in_part_is_not_sent_again(transport: AnyTransport, part: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response())
        await peer.request()
        await peer.send(part)

    async with RawServer(script) as server:
        assert await whole(transport, server.origin) == b"hi"
        with pytest.raises(StreamInterrupted):
            await whole(transport, server.origin)
        assert len(server.requests) == 2


# -- the limit


async def test_an_origin_never_has_more_connections_than_the_limit(make: MakeTransport) -> None:
    transport = make(max_connections=3)

    async def script(peer: Peer) -> None:
        while await peer.request():
            await asyncio.sleep(0)
            await peer.send(response())

    async with RawServer(script) as server:
        answers = await asyncio.gather(*[whole(transport, server.origin) for _ in range(40)])
        assert answers == [b"hi"] * 40
        assert server.most_open == server.connections == 3


async def test_each_origin_has_its_own_limit(make: MakeTransport) -> None:
    transport = make(max_connections=1)
    both = asyncio.Barrier(2)

    async def script(peer: Peer) -> None:
        while await peer.request():
            await both.wait()
            await peer.send(response())

    async with RawServer(script) as one, RawServer(script) as two, asyncio.timeout(PATIENCE_S):
        await asyncio.gather(whole(transport, one.origin), whole(transport, two.origin))


async def test_waiting_requests_are_served_in_their_order(make: MakeTransport) -> None:
    transport = make(max_connections=1)
    async with RawServer(always(response())) as server:
        requests = [post(server.origin, b"%d" % number) for number in range(8)]
        await asyncio.gather(*[whole(transport, request) for request in requests])
        assert [request.body for request in server.requests] == [b"%d" % number for number in range(8)]


async def test_cancelled_waiters_lose_no_slot(make: MakeTransport) -> None:
    transport = make(max_connections=2)
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            if server.open == 2:
                busy.set()
            await go_on.wait()
            await peer.send(response())

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        tasks = [asyncio.create_task(whole(transport, server.origin)) for _ in range(12)]
        await busy.wait()
        for task in tasks[3:9]:
            task.cancel()
        go_on.set()
        tasks[10].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(end, bytes) for end in ended] == [*[True] * 3, *[False] * 6, True, False, True]
        assert await asyncio.gather(*[whole(transport, server.origin) for _ in range(6)]) == [b"hi"] * 6
        assert server.most_open == 2


async def test_every_failure_gives_its_slot_back(make: MakeTransport) -> None:
    transport = make(max_connections=1)
    answers = [b"", b"HTTP", b"garbage\r\n", response()[:-1], CHUNKED, response(b"x", "content-encoding: br")]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answers[min(len(server.requests), len(answers)) - 1])

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for _ in answers:
            with pytest.raises(LlmError):
                await whole(transport, server.origin)
        answers.append(response())
        assert await whole(transport, server.origin) == b"hi"


# -- responses that are not read to their end


async def test_a_released_response_keeps_its_connection_when_the_rest_comes_soon(make: MakeTransport) -> None:
    transport = make(max_connections=1)
    released = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(CHUNKED + b"6\r\n[DONE]\r\n")
            await released.wait()
            await peer.send(b"0\r\n\r\n")

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            released.clear()
            answer = await send(transport, server.origin)
            assert await answer.read_some() == b"[DONE]"
            answer.release()
            answer.release()
            released.set()
        assert server.connections == 1


async def test_a_released_response_that_does_not_end_is_closed(
    make: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("body", "aiohttp_response"):
        monkeypatch.setattr(f"caxton_llm.transport.{module}.DRAIN_S", 0.05)
    transport = make(max_connections=1)
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()
        gone.set()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        answer = await send(transport, server.origin)
        answer.release()
        await gone.wait()
        await send(transport, server.origin)
        assert server.connections == 2


async def test_a_released_response_with_much_to_come_is_closed(make: MakeTransport) -> None:
    transport = make(max_connections=1)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            (await send(transport, server.origin)).release()
        assert server.connections == 2


async def test_a_released_response_that_ends_with_its_connection_frees_its_slot(
    make: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caxton_llm.transport.aiohttp_response.DRAIN_S", 0.05)
    transport = make(max_connections=1)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhi")
        await peer.gone()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            (await send(transport, server.origin)).release()
        await send(transport, server.origin)
        assert server.connections == 3


async def test_a_response_that_is_released_while_its_silence_is_measured_is_not_interrupted(
    make: MakeTransport,
) -> None:
    transport = make(max_connections=1)
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(CHUNKED)
            await asyncio.sleep(0)
            await peer.send(b"3\r\none\r\n")
            await go_on.wait()
            await peer.send(b"0\r\n\r\n")

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            go_on.clear()
            answer = await send(transport, server.origin)
            assert await answer.read_some() == b"one"
            answer.release()
            go_on.set()
        assert server.connections == 1


async def test_an_aborted_response_closes_its_connection_at_once(transport: AnyTransport) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()
        gone.set()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        answer = await send(transport, server.origin)
        answer.abort()
        answer.abort()
        await gone.wait()
        with pytest.raises(StreamInterrupted):
            await answer.read()


async def test_a_response_that_is_dropped_closes_its_connection_and_frees_its_slot(make: MakeTransport) -> None:
    transport = make(max_connections=1)
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()
        gone.set()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        answer = await send(transport, server.origin)
        await answer.read_some()
        del answer
        gc.collect()
        await gone.wait()
        await send(transport, server.origin)
        assert server.connections == 2


# -- callers that leave


async def cancelled(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_leaves_before_the_answer_closes_the_connection(make: MakeTransport) -> None:
    transport = make(max_connections=1)
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        gone.set()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            asked.clear()
            gone.clear()
            task: asyncio.Task[object] = asyncio.create_task(send(transport, server.origin))
            await asked.wait()
            await cancelled(task)
            await gone.wait()
        assert server.connections == 2


async def test_a_caller_that_leaves_in_the_same_turn_as_the_answer_comes_leaves_no_trace(make: MakeTransport) -> None:
    transport = make(max_connections=1)
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(response())
            sent.set()

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for turns in range(6):
            sent.clear()
            task = asyncio.create_task(whole(transport, server.origin))
            await sent.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await whole(transport, server.origin) == b"hi"


async def test_a_caller_that_leaves_while_connecting_closes_the_connection(transport: AnyTransport) -> None:
    reached, gone = asyncio.Event(), asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.hello()
        reached.set()
        await peer.gone()
        gone.set()

    async with RawServer(silent) as server, asyncio.timeout(PATIENCE_S):
        task: asyncio.Task[object] = asyncio.create_task(send(transport, server.tls_origin))
        await reached.wait()
        await cancelled(task)
        await gone.wait()


@pytest.mark.parametrize("whole_body", [False, True])
async def test_a_caller_that_leaves_in_the_middle_of_a_body_closes_the_connection(
    make: MakeTransport, whole_body: bool
) -> None:
    transport = make(max_connections=1)
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()
        gone.set()

    def reading(answer: TransportResponse) -> "asyncio.Task[object]":
        return asyncio.create_task(answer.read() if whole_body else answer.read_some())

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            gone.clear()
            answer = await send(transport, server.origin)
            assert await answer.read_some() == b"one"
            task = reading(answer)
            await asyncio.sleep(0)
            await cancelled(task)
            await gone.wait()
            with pytest.raises(StreamInterrupted):
                await answer.read_some()
        assert server.connections == 2


# -- slow readers


async def test_a_reader_that_falls_behind_stops_the_server_and_loses_nothing(transport: AnyTransport) -> None:
    piece, pieces = b"x" * 0x40000, 256
    stuck = asyncio.Event()
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(piece) * pieces))
        for _ in range(pieces):
            peer.writer.write(piece)
            if not stuck.is_set():
                try:
                    async with asyncio.timeout(0.2):
                        await peer.writer.drain()
                except TimeoutError:
                    stuck.set()
            await peer.writer.drain()
            sent += len(piece)

    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        answer = await send(transport, server.origin)
        first = await answer.read_some()
        await stuck.wait()
        assert sent < len(piece) * pieces / 2
        rest = 0
        while part := await answer.read_some():
            rest += len(part)
        assert len(first) + rest == len(piece) * pieces
