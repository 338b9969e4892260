"""Every asynchronous test of this folder runs on asyncio's own loop and on uvloop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from caxton_llm.transport.aiohttp_transport import AiohttpTransport
from caxton_llm.transport.lean import LeanTransport
from transport.sending import AnyTransport, MakeTransport


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if sys.platform != "win32":
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(params=[LeanTransport, AiohttpTransport], ids=["lean", "aiohttp"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[MakeTransport]:
    """Makes transports of one implementation and closes them after the test."""
    made: list[AnyTransport] = []

    def make_one(**options: object) -> AnyTransport:
        transport: AnyTransport = request.param(**options)
        made.append(transport)
        return transport

    yield make_one
    for transport in made:
        await transport.aclose()


@pytest.fixture
def transport(make: MakeTransport) -> AnyTransport:
    """A transport with its defaults."""
    return make()
