"""Opens TCP and TLS connections: resolves a name, races its addresses (RFC 8305), then hands the socket to the loop.

The race is run here and not by the loop, because uvloop has none; so both loops behave alike.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

from caxton_llm.protocols import Origin
from caxton_llm.transport.connect_errors import connect_error, connect_timeout

__all__ = ["AddressInfo", "connect_first", "interleave", "open_connection"]

AddressInfo = tuple[int, int, int, str, tuple[object, ...]]
"""One answer of `getaddrinfo`: family, type, protocol, canonical name, socket address."""

_ATTEMPT_DELAY_S = 0.25
"""How long one address has before the next is tried beside it (RFC 8305, section 5)."""

_P = TypeVar("_P", bound=asyncio.Protocol)


async def open_connection(
    origin: Origin, make_protocol: Callable[[], _P], *, context: ssl.SSLContext | None, timeout_s: float
) -> _P:
    """A protocol connected to `origin`, with TLS when `context` is given.

    `timeout_s` covers name resolution, TCP and TLS together. Raises `ConnectFailed` and `ConnectTimeout`.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s) as limit:
            connected = await connect_first(interleave(await _resolve(origin)), delay_s=_ATTEMPT_DELAY_S)
            _, protocol = await loop.create_connection(
                make_protocol, sock=connected, ssl=context, server_hostname=origin.host if context else None
            )
    except (OSError, ValueError, OverflowError) as error:
        if limit.expired():
            raise connect_timeout(str(origin), timeout_s) from None
        raise connect_error(str(origin), error) from None
    return protocol


async def _resolve(origin: Origin) -> Sequence[AddressInfo]:
    host = origin.address or origin.host
    try:  # an address needs neither a thread nor a resolver
        return socket.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM)


def interleave(addresses: Iterable[AddressInfo]) -> list[AddressInfo]:
    """The families in turn, each in the resolver's order, so that one broken family costs one delay at most."""
    families: dict[int, list[AddressInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


async def connect_first(addresses: list[AddressInfo], *, delay_s: float) -> socket.socket:
    """A socket connected to the first address that answers. The next one is tried when the last has failed, or beside it
    after `delay_s`. Raises the last failure when there is no address left."""
    if len(addresses) == 1:
        return await _connect(addresses[0])
    waiting = deque(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError = OSError("the name has no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect(waiting.popleft())))
            done, _ = await asyncio.wait(
                running, timeout=delay_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                running.remove(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failure = error
        raise failure
    finally:
        for loser in running:
            loser.cancel()
            loser.add_done_callback(_discard)


async def _connect(address: AddressInfo) -> socket.socket:
    family, kind, protocol, _, target = address
    attempt = socket.socket(family, kind, protocol)
    try:
        attempt.setblocking(False)
        attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(attempt, target)
    except BaseException:
        attempt.close()
        raise
    return attempt


def _discard(loser: "asyncio.Task[socket.socket]") -> None:
    if not loser.cancelled() and loser.exception() is None:  # it came in second
        loser.result().close()
