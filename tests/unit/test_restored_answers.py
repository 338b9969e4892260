"""What was changed on the way to a provider is undone on the way back, for both packages, whole and streamed."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chat_clients import ChatClient, clients_of
from live_gateway import ENTRIES, Entry, FakeProviders, entries_for, gateway_with

TAGGED = {"vllm": "tagged-vllm", "ollama": "tagged-ollama"}
NAME = "files/read.txt"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}

World = tuple[FakeProviders, dict[str, ChatClient]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with FakeProviders() as fakes:
        entries = entries_for(fakes)
        for entry in [entry for entry in entries if entry["name"] in ("vllm-llama", "ollama-llama")]:
            kind = entry["provider"]
            unlisted = {key: value for key, value in entry.items() if key != "models"}
            entries.append({**unlisted, "name": TAGGED[kind], "quirks": {"think_tags": True}})
        async with gateway_with({"llm": {"providers": entries}}) as gateway, clients_of(gateway.url) as clients:
            yield fakes, clients


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", ["vllm", "ollama"])
async def test_reasoning_between_tags_arrives_apart_from_the_answer_however_the_tags_are_cut(
    kind: str, client: str, streams: bool, world: World
) -> None:
    fakes, clients = world
    fakes.start_over()
    getattr(fakes, kind).reply("<think>Well, a < b.</think>The answer", chunks=15)
    told = await clients[client].ask(TAGGED[kind], "Hi", streams=streams)
    assert (told.text, told.reasoning, told.finish) == ("The answer", "Well, a < b.", "stop")


def pairs() -> list[tuple[Entry, str]]:
    """Anthropic's own clients have their bytes kept, so their names are theirs to get right."""
    able = [entry for entry in ENTRIES if entry.tools]
    return [
        (entry, client)
        for entry in able
        for client in ("openai", "anthropic")
        if (entry.kind, client) != ("anthropic", "anthropic")
    ]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("entry", "name"), [pytest.param(*pair, id=f"{pair[0]}-{pair[1]}") for pair in pairs()])
async def test_a_tool_whose_name_no_vendor_takes_is_called_and_answered_under_its_own_name(
    entry: Entry, name: str, streams: bool, world: World
) -> None:
    fakes, clients = world
    fakes.start_over()
    client = clients[name]
    tools = [client.tool(NAME, SCHEMA), client.tool("plain", SCHEMA)]
    question = client.user(f"use {NAME}")
    if entry.kind not in (
        "ollama",
        "builtin",
    ):  # those two take the name as it is; the others hear another, so it is forced
        forced = (
            {"type": "function", "function": {"name": NAME}} if name == "openai" else {"type": "tool", "name": NAME}
        )
        told = await client.ask(entry.name, [question], streams=streams, tools=tools, tool_choice=forced)
    else:
        told = await client.ask(entry.name, [question], streams=streams, tools=tools)
    assert [call.name for call in told.tools] == [NAME]
    assert told.finish == "tool_calls"
    history = [question, client.again(told), *client.results(told, "the content")]
    after = await client.ask(entry.name, history, streams=streams, tools=tools)
    assert "the content" in after.text
