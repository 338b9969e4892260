"""How the lean transport opens and keeps connections; on both event loops."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.errors import ConnectTimeout
from caxton_llm.protocols import Origin
from caxton_llm.transport.connect import AddressInfo, connect_first, interleave, open_connection
from caxton_llm.transport.lean import LeanTransport
from transport.raw_server import Peer, RawServer, always, response
from transport.sending import PATIENCE_S, post, whole


def address(port: int, family: int = socket.AF_INET) -> AddressInfo:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


def refused() -> AddressInfo:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return address(sock.getsockname()[1])


@pytest.fixture
async def silent() -> AsyncIterator[AddressInfo]:
    """An address whose queue of connections is full: the system answers no further one."""
    loop = asyncio.get_running_loop()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        target = listening.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        tasks = []
        for filler in fillers:
            filler.setblocking(False)
            tasks.append(asyncio.ensure_future(loop.sock_connect(filler, target)))
        await asyncio.wait(tasks, timeout=0.05)
        full = not all(task.done() for task in tasks)
        if full:
            yield address(target[1])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for filler in fillers:
            filler.close()
        if not full:
            pytest.skip("this system answers however long the queue is")


async def connected_port(addresses: list[AddressInfo], delay_s: float) -> int:
    async with asyncio.timeout(PATIENCE_S):
        sock = await connect_first(addresses, delay_s=delay_s)
    with sock:
        port: int = sock.getpeername()[1]
        return port


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert await connected_port([refused(), refused(), address(port)], delay_s=PATIENCE_S) == port


async def test_the_next_address_is_tried_beside_one_that_is_silent(silent: AddressInfo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert await connected_port([silent, address(port)], delay_s=0.01) == port


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
async def test_only_one_connection_is_left_when_two_addresses_answer(delay_s: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [listening.getsockname()[1] for listening in (one, two)]
        for _ in range(10):
            assert await connected_port([address(port) for port in ports], delay_s=delay_s) in ports


async def test_the_last_refusal_is_raised_when_no_address_answers() -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect_first([refused(), refused()], delay_s=0.01)
    with pytest.raises(OSError, match="no address"):
        await connect_first([], delay_s=0.01)


async def test_a_race_that_is_given_up_leaves_no_socket(silent: AddressInfo) -> None:
    task = asyncio.create_task(connect_first([silent, silent], delay_s=0.01))
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_silent_address_is_a_connect_timeout(silent: AddressInfo) -> None:
    port = silent[4][1]
    assert isinstance(port, int)
    with pytest.raises(ConnectTimeout, match=r"no connection to http://127.0.0.1:\d+ within 0.05 s"):
        await open_connection(Origin("http", "127.0.0.1", port), asyncio.Protocol, context=None, timeout_s=0.05)


async def test_small_writes_are_sent_at_once() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        await connect_first([address(listening.getsockname()[1])], delay_s=1) as sock,
    ):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


FAMILIES = st.lists(st.sampled_from([socket.AF_INET, socket.AF_INET6]))


@given(FAMILIES)
def test_interleaving_keeps_every_address_and_the_resolvers_first_choice(families: list[int]) -> None:
    addresses = [address(port, family) for port, family in enumerate(families)]
    mixed = interleave(addresses)
    assert sorted(mixed) == sorted(addresses)
    assert mixed[:1] == addresses[:1]
    for family in (socket.AF_INET, socket.AF_INET6):
        assert [one for one in mixed if one[0] == family] == [one for one in addresses if one[0] == family]
    if len(set(families)) == 2:
        assert mixed[0][0] != mixed[1][0]


# -- kept connections grow old


async def test_a_connection_that_was_idle_too_long_is_not_used_again() -> None:
    now = 0.0
    transport = LeanTransport(keepalive_s=60, clock=lambda: now)
    async with RawServer(always(response())) as server:
        await whole(transport, server.origin)
        now = 59.0
        await whole(transport, server.origin)
        assert server.connections == 1
        now = 119.5
        await whole(transport, server.origin)
        assert server.connections == 2
        await transport.aclose()


async def test_connections_that_nobody_needs_are_closed_in_time() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response())
        await peer.gone()
        gone.set()

    transport = LeanTransport(keepalive_s=0.05)
    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        await whole(transport, server.origin)
        await gone.wait()
        await transport.aclose()


async def test_connections_that_are_still_young_outlive_the_sweep() -> None:
    swept = asyncio.Event()
    asked = 0

    def stopped_clock() -> float:
        nonlocal asked
        asked += 1
        if asked == 4:
            swept.set()
        return 0.0

    transport = LeanTransport(keepalive_s=0.01, clock=stopped_clock)
    async with RawServer(always(response())) as server, asyncio.timeout(PATIENCE_S):
        await whole(transport, server.origin)
        await swept.wait()
        await whole(transport, server.origin)
        assert server.connections == 1
        await transport.aclose()


async def test_the_connection_used_last_is_used_first() -> None:
    both = asyncio.Barrier(2)
    used: list[int] = []

    async def script(peer: Peer) -> None:
        number = server.connections
        while request := await peer.request():
            used.append(number)
            if request.body == b"together":
                await both.wait()
            await peer.send(response())

    transport = LeanTransport()
    async with RawServer(script) as server, asyncio.timeout(PATIENCE_S):
        together = post(server.origin, b"together")
        await asyncio.gather(whole(transport, together), whole(transport, together))
        for _ in range(4):
            await whole(transport, server.origin)
        assert server.connections == 2
        assert len(set(used[2:])) == 1
        await transport.aclose()
