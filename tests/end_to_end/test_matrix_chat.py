"""Every client with every kind of provider, plain and streamed."""

import pytest
from chat_clients import ChatClient

from live_gateway import ENTRIES, Entry, FakeProviders

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("entry", ENTRIES, ids=str)
async def test_every_provider_answers_every_client(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    told = await client.ask(entry.name, "hello there", streams=streams)
    assert told.text.startswith("You said: hello there")
    assert told.finish == "stop"
    assert told.model == entry.answers_as
    assert told.headers["x-caxton-provider"] == entry.name
    print(told)
