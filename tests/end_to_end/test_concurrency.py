"""Many requests at once: each client gets its own answer, and connections are kept."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chat_clients import ChatClient
from live_gateway import ENTRIES, FakeProviders, LiveGateway, entries_for, gateway_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANY = 200


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["lean", "aiohttp"])
async def gateway(request: pytest.FixtureRequest, shared_fakes: FakeProviders) -> AsyncIterator[LiveGateway]:
    """Once with each transport; fewer connections than requests, so that some wait for others."""
    llm = {"providers": entries_for(shared_fakes), "transport": request.param, "max_connections": 10}
    async with gateway_with({"llm": llm}) as running:
        yield running


@pytest.mark.timeout(180)
async def test_many_mixed_requests_at_once_are_never_mixed_up(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    for fake in fakes.all:
        fake.reply(times=None).byte_at_a_time()

    async def ask(number: int) -> None:
        entry = ENTRIES[number % len(ENTRIES)]
        client = clients["openai" if number % 3 else "anthropic"]
        streams = number % 2 == 1
        told = await client.ask(entry.name, f"marker-{number}-end", streams=streams)
        assert told.text.startswith(f"You said: marker-{number}-end"), (entry, number)
        assert told.headers["x-caxton-provider"] == entry.name
        assert told.headers["x-caxton-attempts"] == "1"

    async with asyncio.timeout(150):
        await asyncio.gather(*(ask(number) for number in range(MANY)))
    for fake in fakes.all:
        assert all(request.outcome == "answered" for request in fake.requests)
        assert fake.connections_made <= 2 * 10


async def test_requests_one_after_the_other_need_no_new_connections(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    made = []
    for number in range(6):
        for entry in ENTRIES:
            await clients["openai"].ask(entry.name, "hello", streams=number % 2 == 1)
        made.append([fake.connections_made for fake in fakes.all])
    assert made[1:] == made[:1] * 5
