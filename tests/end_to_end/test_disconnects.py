"""Clients that leave, clients that read slowly, and a gateway that is told to stop."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import httpx
import openai
import pytest
import pytest_asyncio

from chat_clients import ChatClient, problem_of
from fakes.script import Reply
from live_gateway import ENTRIES, Entry, FakeProviders, LiveGateway, entries_for, gateway_with
from metrics_page import samples

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: Any = [{"role": "user", "content": "hello there you"}]
PROVIDERS = [
    entry
    for entry in ENTRIES
    if entry.name in ("openai-main", "azure-key", "claude", "vllm-llama", "ollama-llama", "text-api")
]
TRANSPORTS = ("lean", "aiohttp")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TRANSPORTS)
async def gateway(request: pytest.FixtureRequest, shared_fakes: FakeProviders) -> AsyncIterator[LiveGateway]:
    """Once with each transport."""
    llm = {"providers": entries_for(shared_fakes), "transport": request.param}
    async with gateway_with({"llm": llm}) as running:
        yield running


async def cancelled_requests(http: httpx.AsyncClient, entry: Entry) -> float:
    found = samples((await http.get("/metrics")).text)
    return found.get(("caxton_llm_requests_total", (("provider", entry.name), ("status", "cancelled"))), 0.0)


async def left(asking: "asyncio.Task[Any]") -> None:
    """The client gives up."""
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("entry", PROVIDERS, ids=str)
async def test_a_client_that_leaves_before_the_headers_ends_the_request_to_the_provider(
    client: ChatClient, http: httpx.AsyncClient, fakes: FakeProviders, entry: Entry, streams: bool
) -> None:
    before = await cancelled_requests(http, entry)
    reply = fakes.behind(entry).reply("one two three").hold()
    asking = asyncio.create_task(client.ask(entry.name, "hello", streams=streams))
    await reply.wait_reached()
    await left(asking)
    await fakes.behind(entry).wait_closed_by_client()
    assert len(fakes.behind(entry).requests) == 1
    assert await cancelled_requests(http, entry) == before + 1
    assert (await client.ask(entry.name, "hello", streams=streams)).finish == "stop"


@pytest.mark.parametrize("entry", PROVIDERS, ids=str)
async def test_a_client_that_leaves_while_a_plain_answer_arrives_ends_the_request_to_the_provider(
    client: ChatClient, http: httpx.AsyncClient, fakes: FakeProviders, entry: Entry
) -> None:
    before = await cancelled_requests(http, entry)
    reply = fakes.behind(entry).reply("one two three").stall_after(1)
    asking = asyncio.create_task(client.ask(entry.name, "hello"))
    await reply.wait_reached()
    await left(asking)
    await fakes.behind(entry).wait_closed_by_client()
    assert await cancelled_requests(http, entry) == before + 1


@pytest.mark.parametrize("entry", PROVIDERS, ids=str)
async def test_a_client_that_leaves_in_the_middle_of_a_stream_ends_the_request_to_the_provider(
    client: ChatClient, http: httpx.AsyncClient, fakes: FakeProviders, entry: Entry
) -> None:
    before = await cancelled_requests(http, entry)
    reply = fakes.behind(entry).reply("one two three four five six").stall_after(4)
    asking = asyncio.create_task(client.ask(entry.name, "hello", streams=True))
    await reply.wait_reached()
    await left(asking)
    await fakes.behind(entry).wait_closed_by_client()
    assert await cancelled_requests(http, entry) == before + 1
    assert (await client.ask(entry.name, "hello", streams=True)).finish == "stop"


async def test_a_client_that_leaves_while_the_gateway_waits_to_try_again_ends_the_trying(
    client: ChatClient, http: httpx.AsyncClient, fakes: FakeProviders
) -> None:
    entry = ENTRIES[0]
    before = await cancelled_requests(http, entry)
    fakes.openai.fail("rate_limited", headers={"retry-after": "60"}, times=None)
    asking = asyncio.create_task(client.ask(entry.name, "hello"))
    await fakes.openai.wait_for_requests()
    await left(asking)
    async with asyncio.timeout(5):
        while await cancelled_requests(http, entry) == before:
            pass
    assert len(fakes.openai.requests) == 1


# -- slow readers -------------------------------------------------------------------------------------------------------


class Flood(asyncio.Protocol):
    """A provider that streams without end, as fast as its socket takes it."""

    def __init__(self, flooding: "Flooding") -> None:
        self._flooding = flooding
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            self._flooding.writable.set()
            self._task = asyncio.get_running_loop().create_task(self._flood())

    async def _flood(self) -> None:
        event = b"data: " + json.dumps(CHUNK).encode() + b"\n\n"
        piece = b"%x\r\n%b\r\n" % (len(event), event)
        for _ in range(_FLOOD // len(piece)):
            await self._flooding.writable.wait()
            self._transport.write(piece)
            self._flooding.sent += len(piece)
            await asyncio.sleep(0)
        self._flooding.ended.set()

    def pause_writing(self) -> None:
        self._flooding.writable.clear()

    def resume_writing(self) -> None:
        self._flooding.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._task.cancel()
        self._flooding.ended.set()


class Flooding:
    def __init__(self) -> None:
        self.sent = 0
        self.writable = asyncio.Event()
        self.ended = asyncio.Event()

    async def settled(self) -> None:
        """Wait until the flood has stood still for a while, or has ended."""
        while not self.ended.is_set():
            before = self.sent
            try:
                async with asyncio.timeout(0.3):
                    await self.ended.wait()
            except TimeoutError:
                if self.sent == before:
                    return


_FLOOD = 96 * 1024 * 1024
CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "x" * 30_000}, "finish_reason": None}],
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"], ids=["same dialect", "other dialect"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_that_does_not_read_stops_the_provider_and_not_the_memory(transport: str, path: str) -> None:
    flooding = Flooding()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Flood(flooding), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    entry = {
        "provider": "openai",
        "model": "m",
        "base_url": f"http://127.0.0.1:{port}",
        "api_key": "k",
        "transport": transport,
    }
    async with gateway_with({"llm": {"providers": [entry]}}) as running:
        host, gateway_port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(gateway_port))) as client:
            body = json.dumps({"model": "m", "max_tokens": 5, "stream": True, "messages": HELLO}).encode()
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            client.sendall(head + body)
            async with asyncio.timeout(30):
                await flooding.settled()
            assert 0 < flooding.sent < _FLOOD // 2
            assert not flooding.ended.is_set()
        async with asyncio.timeout(10):
            await flooding.ended.wait()  # and it is told when the client leaves
    server.close()
    await server.wait_closed()


# -- stopping -----------------------------------------------------------------------------------------------------------


async def stalled_stream(
    shared_fakes: FakeProviders, drain_seconds: float, while_stalled: Callable[[LiveGateway, Reply], Awaitable[None]]
) -> list[str]:
    """What a client reads of a stream that stood still when the gateway was told to stop."""
    reply = shared_fakes.openai.reply("one two three").stall_after(3)
    configuration = {"llm": {"providers": entries_for(shared_fakes)}, "server": {"drain_seconds": drain_seconds}}
    pieces: list[str] = []
    async with (
        asyncio.timeout(20),
        gateway_with(configuration) as running,
        openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(model="openai-main", messages=HELLO, stream=True)
        reading = asyncio.create_task(_read(stream, pieces))
        await reply.wait_reached()
        await while_stalled(running, reply)
        await reading
    return pieces


async def _read(stream: Any, pieces: list[str]) -> None:
    async for chunk in stream:
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]


async def test_a_gateway_that_stops_lets_its_streams_end(shared_fakes: FakeProviders, fakes: FakeProviders) -> None:
    async def stop(running: LiveGateway, reply: Reply) -> None:
        running.stop()
        async with httpx.AsyncClient() as other:
            with pytest.raises(httpx.TransportError):  # nobody listens any more
                while True:
                    await other.get(f"{running.url}/health/live")
        reply.release()

    assert "".join(await stalled_stream(shared_fakes, 10, stop)) == "one two three"


async def test_a_stream_that_outlives_the_drain_ends_with_an_error(
    shared_fakes: FakeProviders, fakes: FakeProviders
) -> None:
    async def stop(running: LiveGateway, reply: Reply) -> None:
        running.stop()

    with pytest.raises(openai.APIError) as caught:
        await stalled_stream(shared_fakes, 1, stop)
    assert problem_of(caught.value)["source"] == "gateway"
    assert "shutting down" in problem_of(caught.value)["message"]
    await fakes.openai.wait_closed_by_client()
