"""Agents behind the gateway, asked with both packages: tools, progress, conversations, mistakes."""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from caxton_llm.types import Json
from chat_clients import ChatClient, clients_of, problem_of, status_of
from live_gateway import LiveGateway, gateway_with
from module_loops import module_scoped

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVER = Path(__file__).parents[2] / "examples/report_tools.py"
HEADER = "x-caxton-conversation"
DRAW = "Please use chart_creator for Q3"
PATIENCE_S = 40.0


class Holding:
    """A provider that answers when it is told to."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.url = ""
        self._begun = asyncio.Semaphore(0)

    def hold(self) -> None:
        """From here on no request is answered, and those that come are counted."""
        self.released.clear()
        self._begun = asyncio.Semaphore(0)

    async def wait_for(self, requests: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(requests):
                await self._begun.acquire()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            self._begun.release()
            await self.released.wait()
            message = {"role": "assistant", "content": "At last."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body.encode()))
            await writer.drain()
        writer.close()


@module_scoped
async def holding() -> AsyncIterator[Holding]:
    held = Holding()
    server = await asyncio.start_server(held.answer, "127.0.0.1", 0)
    async with server:
        held.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield held


def configuration(folder: Path, held: str) -> dict[str, Json]:
    patient = {"conversation_ms": 20_000, "memory_ms": 20_000, "tools_ms": 20_000}
    once = {"max_attempts": 1}
    slow = {"provider": "openai", "model": "gpt-4o", "api_key": "x", "base_url": held, "retry_policy": once}
    return {
        "llm": {"providers": [{"provider": "builtin", "name": "offline", "priority": 1}]},
        "agents": [
            {"name": "Reporter", "tools": ["reports.*"], "capabilities": ["report-generation"]},
            {"name": "Strict", "user_prompt_template": "{{user_request}} for {{audience}}"},
            {"name": "Held", "llm": slow},
            {"name": "Reader", "context": {"oversize": "multi_turn", "budget": 1_500}},
        ],
        "mcp": {
            "servers": [
                {
                    "name": "reports",
                    "command": sys.executable,
                    "args": [str(SERVER)],
                    "env": {"TMPDIR": str(folder)},
                }
            ]
        },
        "context": {"time_limits": patient, "conversations": {"data_dir": str(folder / "conversations")}},
    }


@module_scoped
async def agents(tmp_path_factory: pytest.TempPathFactory, holding: Holding) -> AsyncIterator[LiveGateway]:
    async with gateway_with(configuration(tmp_path_factory.mktemp("agents"), holding.url)) as running:
        service = running.app.caxton.agents
        assert service is not None
        assert service.engine.sources.servers is not None
        await service.engine.sources.servers.start()
        yield running


@module_scoped
async def agent_clients(agents: LiveGateway) -> AsyncIterator[dict[str, ChatClient]]:
    async with clients_of(agents.url) as opened:
        yield opened


@pytest.fixture(params=["openai", "anthropic"])
def client(request: pytest.FixtureRequest, agent_clients: dict[str, ChatClient]) -> ChatClient:
    return agent_clients[request.param]


def conversation(client: ChatClient, request: pytest.FixtureRequest) -> str:
    """A conversation of this test alone."""
    return f"{client.name} {abs(hash(request.node.name))}"


async def kept(agents: LiveGateway, name: str, agent: str = "Reporter") -> list[dict[str, Json]]:
    """The messages of a stored conversation."""
    async with httpx.AsyncClient(base_url=agents.url, timeout=PATIENCE_S) as http:
        found = await http.get(f"/api/v1/conversations/{name}", params={"agent": agent})
    return [message for one in found.json()["exchanges"] for message in one["messages"]]


@pytest.mark.parametrize("streams", [False, True])
async def test_an_agent_calls_its_tools_and_keeps_everything_in_the_conversation(
    agents: LiveGateway, client: ChatClient, streams: bool, request: pytest.FixtureRequest
) -> None:
    name = conversation(client, request)
    told = await client.ask("agent:Reporter", DRAW, streams=streams, extra_headers={HEADER: name})
    assert "chart_creator answered:" in told.text
    assert "bar.svg" in told.text
    assert told.finish == "stop"
    assert told.headers[HEADER] == name
    assert "sources=" in told.headers["x-caxton-context"]
    roles = [message["role"] for message in await kept(agents, name)]
    assert roles == ["user", "assistant", "tool", "assistant"]
    again = await client.ask("agent:Reporter", "Thank you", streams=streams, extra_headers={HEADER: name})
    received = re.search(r"received (\d+) messages", again.text)
    assert received is not None
    assert int(received[1]) >= 5  # four before it, and what the gateway adds
    assert len(await kept(agents, name)) == 6


@pytest.mark.parametrize("streams", [False, True])
async def test_results_alone_continue_the_turn_whose_tools_the_caller_runs(
    agents: LiveGateway, client: ChatClient, streams: bool, request: pytest.FixtureRequest
) -> None:
    headers = {HEADER: conversation(client, request)}
    tools = [client.tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}})]
    asked = "Please use get_weather for Rome"
    called = await client.ask("agent:Reporter", asked, tools=tools, streams=streams, extra_headers=headers)
    assert [one.name for one in called.tools] == ["get_weather"]
    results = client.results(called, "rain all day")
    told = await client.ask("agent:Reporter", results, tools=tools, streams=streams, extra_headers=headers)
    assert "rain all day" in told.text
    roles = [message["role"] for message in await kept(agents, headers[HEADER])]
    assert roles == ["user", "assistant", "tool", "assistant"]
    with pytest.raises(client.status_error) as caught:
        await client.ask("agent:Reporter", results, tools=tools, streams=streams)
    assert status_of(caught.value) == 400


async def test_the_end_of_a_stream_tells_the_context_of_what_was_read_in_parts(
    client: ChatClient, request: pytest.FixtureRequest
) -> None:
    name = conversation(client, request)
    text = "What is the dearest?\n\n" + "\n\n".join(f"Item {n} costs {n * 3} euros." for n in range(300))
    told = await client.ask("agent:Reader", text, streams=True, extra_headers={HEADER: name})
    assert any("read in" in warning for warning in told.caxton["warnings"])
    context = told.caxton["context"]
    assert (context["conversation"], context["budget"]) == (name, 1_500)
    assert 0 < context["tokens"] <= 1_500


async def test_a_capability_is_asked_for_by_its_name(client: ChatClient) -> None:
    told = await client.ask("capability:report-generation", "Hello")
    assert told.text.startswith("You said: Hello")


async def test_an_openai_client_is_told_in_the_stream_what_the_tools_do(agents: LiveGateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{agents.url}/v1", api_key="x") as package:
        stream = await package.chat.completions.create(
            model="agent:Reporter", stream=True, messages=[{"role": "user", "content": DRAW}]
        )
        chunks = [chunk async for chunk in stream]
    added = [chunk.model_extra or {} for chunk in chunks]
    progress = [more["caxton"]["progress"] for more in added if "caxton" in more]
    assert {one["tool"] for one in progress} == {"chart_creator"}
    assert [one["state"] for one in progress if one["state"] != "running"] == ["started", "done"]
    assert progress[-1]["seconds"] >= 0
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_an_anthropic_client_is_told_with_pings_that_its_package_passes_over(agents: LiveGateway) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=agents.url, api_key="x") as package,
        package.messages.stream(
            model="agent:Reporter", max_tokens=500, messages=[{"role": "user", "content": DRAW}]
        ) as stream,
    ):
        text = "".join([piece async for piece in stream.text_stream])
    assert "chart_creator answered:" in text
    body = {
        "model": "agent:Reporter",
        "max_tokens": 500,
        "stream": True,
        "messages": [{"role": "user", "content": DRAW}],
    }
    async with httpx.AsyncClient(base_url=agents.url, timeout=PATIENCE_S) as http:
        answer = (await http.post("/v1/messages", json=body)).text
    assert answer.count('{"type":"ping","caxton":{"progress":{"tool":"chart_creator"') >= 2


async def test_an_address_of_an_agent_is_a_base_url_for_plain_requests(agents: LiveGateway) -> None:
    async with httpx.AsyncClient(base_url=agents.url, timeout=PATIENCE_S) as http:
        answer = await http.post("/api/v1/agents/Reporter/chat", json={"messages": [{"role": "user", "content": DRAW}]})
    assert "bar.svg" in answer.json()["choices"][0]["message"]["content"]


# -- mistakes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
async def test_an_unknown_agent_is_404_with_those_that_there_are(client: ChatClient, streams: bool) -> None:
    with pytest.raises(client.status_error) as caught:
        await client.ask("agent:Nobody", "Hello", streams=streams)
    assert status_of(caught.value) == 404
    assert "agent:Reporter" in problem_of(caught.value)["message"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", ["", " ", "x" * 501])
async def test_a_name_that_no_conversation_may_have_is_refused(client: ChatClient, streams: bool, name: str) -> None:
    with pytest.raises(client.status_error) as caught:
        await client.ask("agent:Reporter", "Hello", streams=streams, extra_body={"conversation_id": name})
    assert status_of(caught.value) == 400
    assert problem_of(caught.value)["param"] == "conversation_id"


@pytest.mark.parametrize("streams", [False, True])
async def test_a_variable_that_the_template_needs_and_nobody_gives_is_named(client: ChatClient, streams: bool) -> None:
    with pytest.raises(client.status_error) as caught:
        await client.ask("agent:Strict", "Write", streams=streams)
    assert status_of(caught.value) == 400
    assert "audience" in problem_of(caught.value)["message"]
    given = {"context": {"request_parameters": {"audience": "the board"}}}
    told = await client.ask("agent:Strict", "Write", streams=streams, extra_body=given)
    assert told.text.startswith("You said: Write for the board")


async def test_a_conversation_that_is_deleted_while_it_is_answered_is_410_and_stays_deleted(
    agents: LiveGateway, holding: Holding, client: ChatClient, request: pytest.FixtureRequest
) -> None:
    name = conversation(client, request)
    holding.released.set()
    await client.ask("agent:Held", "Hello", extra_headers={HEADER: name})
    holding.hold()
    asked = asyncio.create_task(client.ask("agent:Held", "Again", extra_headers={HEADER: name}))
    await holding.wait_for(1)
    async with httpx.AsyncClient(base_url=agents.url, timeout=PATIENCE_S) as http:
        assert (await http.delete(f"/api/v1/conversations/{name}?agent=Held")).json()["exchanges"] == 1
        holding.released.set()
        with pytest.raises(client.status_error) as caught:
            await asked
        assert (await http.get(f"/api/v1/conversations/{name}?agent=Held")).status_code == 404
    assert status_of(caught.value) == 410


async def test_of_two_requests_at_once_in_a_conversation_the_second_is_409(
    agents: LiveGateway, holding: Holding, client: ChatClient, request: pytest.FixtureRequest
) -> None:
    name = conversation(client, request)
    holding.hold()
    both = [
        asyncio.create_task(client.ask("agent:Held", text, extra_headers={HEADER: name})) for text in ("One", "Two")
    ]
    await holding.wait_for(2)
    holding.released.set()
    told = await asyncio.gather(*both, return_exceptions=True)
    failed = [one for one in told if isinstance(one, BaseException)]
    assert len(failed) == 1
    assert isinstance(failed[0], client.status_error)
    assert status_of(failed[0]) == 409
    assert len(await kept(agents, name, "Held")) == 2
