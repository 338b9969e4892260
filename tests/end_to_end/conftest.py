"""One gateway with all fakes behind it for a whole module, and both packages as its clients.

The modules run on uvloop, as the gateway does in production, with one event loop per module.
"""

from collections.abc import AsyncIterator

import httpx
import pytest

from chat_clients import ChatClient, clients_of
from live_gateway import QUICK_RETRIES, FakeProviders, LiveGateway, entries_for, gateway_with
from module_loops import module_scoped, pytest_asyncio_loop_factories  # noqa: F401 - a hook that pytest looks for here


@module_scoped
async def shared_fakes() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as fakes:
        yield fakes


@pytest.fixture
def fakes(shared_fakes: FakeProviders) -> FakeProviders:
    """The providers behind `gateway`, with nothing scripted and nothing received."""
    shared_fakes.start_over()
    return shared_fakes


@module_scoped
async def gateway(shared_fakes: FakeProviders) -> AsyncIterator[LiveGateway]:
    llm = {"providers": entries_for(shared_fakes), "retry_policy": QUICK_RETRIES}
    async with gateway_with({"llm": llm}) as running:
        yield running


@pytest.fixture(autouse=True)
def trusted(request: pytest.FixtureRequest) -> None:
    """What earlier tests of a module taught its gateway about the providers is forgotten."""
    running = request.getfixturevalue("gateway") if "gateway" in request.fixturenames else None
    if isinstance(running, LiveGateway):
        for name in running.app.caxton.target_names():
            running.app.caxton.reset_target(name)


@module_scoped
async def clients(gateway: LiveGateway) -> AsyncIterator[dict[str, ChatClient]]:
    async with clients_of(gateway.url) as opened:
        yield opened


@pytest.fixture(params=["openai", "anthropic"])
def client(request: pytest.FixtureRequest, clients: dict[str, ChatClient]) -> ChatClient:
    """Each of the two packages in turn."""
    return clients[request.param]


@module_scoped
async def http(gateway: LiveGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client for what no package would send."""
    async with httpx.AsyncClient(base_url=gateway.url) as opened:
        yield opened
