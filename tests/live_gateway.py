"""Our gateway under uvicorn in the test's own event loop, with every kind of provider behind it played by a fake.

`ENTRIES` says which model each entry is asked for and what it can do. Delays of retries are tiny, everything else is as in
production.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from caxton_llm.config.load import load_mapping
from caxton_llm.memory_system import Memory
from caxton_llm.server.app import GatewayApp
from caxton_llm.server.serve import ServeOptions, address_of, listening_socket, make_app, make_server
from caxton_llm.types import Json
from fakes import FakeAnthropic, FakeAzure, FakeCustom, FakeOllama, FakeOpenAI, FakeVllm
from fakes.provider import FakeProvider

__all__ = ["ENTRIES", "QUICK_RETRIES", "Entry", "FakeProviders", "LiveGateway", "entries_for", "gateway_with"]

QUICK_RETRIES = {"max_attempts": 3, "initial_delay_ms": 1, "max_delay_ms": 2}
_START_S = 10.0


@dataclass(frozen=True)
class Entry:
    """A configured entry: its kind, what it is asked for, and the name that its answers give."""

    name: str
    kind: str
    model: str
    answers_as: str
    tools: bool = True
    images: bool = True
    json_schema: bool = True

    def __str__(self) -> str:
        return self.name


ENTRIES = (
    Entry("openai-main", "openai", "gpt-4o", "gpt-4o-2024-08-06"),
    Entry("azure-key", "azure", "my-gpt-4o", "gpt-4o-2024-08-06"),
    Entry("azure-entra", "azure", "my-gpt-4o", "gpt-4o-2024-08-06"),
    Entry("claude", "anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    Entry("vllm-llama", "vllm", "llama-3.1-8b", "llama-3.1-8b"),
    Entry("ollama-gemma", "ollama", "gemma3:4b", "gemma3:4b", tools=False),
    Entry("ollama-llama", "ollama", "llama3.2", "llama3.2:latest", images=False),
    Entry("text-api", "custom", "text-1", "text-1", tools=False, images=False, json_schema=False),
    Entry("text-oauth", "custom", "text-2", "text-2", tools=False, images=False, json_schema=False),
    Entry("offline", "builtin", "builtin", "builtin"),
)

FURTHER_MODELS = {
    "openai-main": ["gpt-5-mini", "gpt-5.1", "o3"],
    "claude": ["claude-sonnet-5", "claude-sonnet-4-6"],
    "vllm-llama": ["Qwen/Qwen3-8B"],
    "ollama-llama": ["qwen3:8b"],
}
"""Models that these entries may be asked for by name: those that reason."""


def _custom(**shape: Json) -> FakeCustom:
    return FakeCustom(
        stream_field="delta",
        finish_field="finish",
        prompt_tokens_field="usage.in",
        completion_tokens_field="usage.out",
        **shape,
    )


_CUSTOM_FIELDS: Mapping[str, Json] = {
    "path": "/generate",
    "stream_field": "delta",
    "finish_field": "finish",
    "prompt_tokens_field": "usage.in",
    "completion_tokens_field": "usage.out",
    "finish_map": {"stop": "stop", "length": "length"},
}


@dataclass
class FakeProviders:
    """One fake of each vendor. Use as `async with`; `start_over` before every test that shares them."""

    openai: FakeOpenAI = field(default_factory=FakeOpenAI)
    azure: FakeAzure = field(default_factory=FakeAzure)
    anthropic: FakeAnthropic = field(default_factory=FakeAnthropic)
    vllm: FakeVllm = field(default_factory=FakeVllm)
    ollama: FakeOllama = field(default_factory=FakeOllama)
    custom: FakeCustom = field(default_factory=_custom)
    custom_oauth: FakeCustom = field(default_factory=lambda: _custom(auth="oauth2", stream_format="ndjson"))

    @property
    def all(self) -> tuple[FakeProvider, ...]:
        return (self.openai, self.azure, self.anthropic, self.vllm, self.ollama, self.custom, self.custom_oauth)

    def behind(self, entry: Entry) -> FakeProvider:
        """The fake that an entry leads to."""
        if entry.name == "text-oauth":
            return self.custom_oauth
        named: FakeProvider = getattr(self, entry.kind)
        return named

    def start_over(self) -> None:
        for fake in self.all:
            fake.start_over()

    async def __aenter__(self) -> Self:
        self._stack = contextlib.AsyncExitStack()
        for fake in self.all:
            await self._stack.enter_async_context(fake)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._stack.__aexit__(kind, error, None)


def entries_for(fakes: FakeProviders) -> list[dict[str, Json]]:
    """The `llm.providers` for `ENTRIES`."""
    azure, custom, oauth = fakes.azure, fakes.custom, fakes.custom_oauth
    entra = {
        "tenant_id": azure.tenant_id,
        "client_id": azure.client_id,
        "client_secret": azure.client_secret,
        "authority": azure.root_url,
    }
    signed = {
        "auth_type": "oauth2",
        "token_url": oauth.token_url,
        "client_id": oauth.client_id,
        "client_secret": oauth.client_secret,
        "stream_format": "ndjson",
        "stream_end_field": None,
    }
    settings: dict[str, dict[str, Json]] = {
        "openai-main": {"api_key": fakes.openai.api_key, "base_url": fakes.openai.base_url},
        "azure-key": {"api_key": azure.api_key, "endpoint": azure.base_url, "api_version": "2024-10-21"},
        "azure-entra": {"entra_id": entra, "endpoint": azure.base_url},
        "claude": {"api_key": fakes.anthropic.api_key, "base_url": fakes.anthropic.base_url},
        "vllm-llama": {"api_key": fakes.vllm.api_key, "base_url": fakes.vllm.base_url},
        "ollama-gemma": {"base_url": fakes.ollama.base_url, "image_hosts": ["127.0.0.1"]},
        "ollama-llama": {"base_url": fakes.ollama.base_url},
        "text-api": {"provider_config": {"base_url": custom.base_url, "auth_token": custom.api_key, **_CUSTOM_FIELDS}},
        "text-oauth": {"provider_config": {"base_url": oauth.base_url, **signed, **_CUSTOM_FIELDS}},
        "offline": {},
    }
    entries: list[dict[str, Json]] = []
    for entry in ENTRIES:
        named = {"deployment_name": entry.model} if entry.kind == "azure" else {"model": entry.model}
        further = {"models": FURTHER_MODELS[entry.name]} if entry.name in FURTHER_MODELS else {}
        pinned: dict[str, Json] = {"fallbacks": []}  # a test that asks for an entry means that entry
        entries.append(
            {"provider": entry.kind, "name": entry.name, **named, **further, **pinned, **settings[entry.name]}
        )
    return entries


class LiveGateway:
    """A running gateway: `url` is its address, `app` the application, `stop` what a signal to end does."""

    def __init__(self, app: GatewayApp, url: str, stop: Callable[[], None]) -> None:
        self.app = app
        self.url = url
        self.stop = stop


@contextlib.asynccontextmanager
async def gateway_with(configuration: Mapping[str, Json], memory: Memory | None = None) -> AsyncIterator[LiveGateway]:
    """A gateway that serves this configuration until the block is left. It closes `memory`."""
    loaded = load_mapping(configuration, {})
    app = make_app(loaded, memory=memory)
    server = make_server(app, loaded, ServeOptions(port=0))
    sock = listening_socket(server.config)
    url = address_of(sock)
    serving = asyncio.create_task(server.serve(sockets=[sock]))

    def stop() -> None:
        app.accepting = False
        server.should_exit = True

    try:
        async with asyncio.timeout(_START_S):
            while not server.started:
                if serving.done():
                    serving.result()
                await asyncio.sleep(0)
        yield LiveGateway(app, url, stop)
    finally:
        stop()
        await serving
