"""What every test gets: no network but loopback, no credentials from the outside, and the fake providers as fixtures."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fakes import FakeAnthropic, FakeAzure, FakeCustom, FakeEmbeddings, FakeOllama, FakeOpenAI, FakeVllm

_FOREIGN_PREFIXES = ("OPENAI_", "ANTHROPIC_", "AZURE_", "OLLAMA_", "AWS_", "VAULT_", "CAXTON_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="session", autouse=True)
def _empty_environment() -> Iterator[None]:
    """Vendors' keys and proxies of whoever runs the tests are not there."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_FOREIGN_PREFIXES) or name.lower() in _PROXIES:
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """What tests start can be interrupted: a shell has its background jobs ignore SIGINT, and they hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    """A connection to anywhere else is a failure of the test; names ending in `.invalid` are unknown, as they are by RFC."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def checked_connect(self: socket.socket, address: Any) -> None:
        _require_loopback(self.family, address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        _require_loopback(self.family, address)
        return connect_ex(self, address)

    def checked_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if name is not None and not (_is_loopback(name) or _is_numeric(name)):
            raise RuntimeError(f"a test asked for the address of {name!r}; only loopback may be used")
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked_connect)
        patch.setattr(socket.socket, "connect_ex", checked_connect_ex)
        patch.setattr(socket, "getaddrinfo", checked_getaddrinfo)
        yield


def _require_loopback(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise RuntimeError(f"a test tried to connect to {address[0]!r}; only loopback may be used")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1", "") or host.startswith("127.")


def _is_numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


@pytest.fixture
async def fake_openai() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def fake_azure() -> AsyncIterator[FakeAzure]:
    async with FakeAzure() as server:
        yield server


@pytest.fixture
async def fake_vllm() -> AsyncIterator[FakeVllm]:
    async with FakeVllm() as server:
        yield server


@pytest.fixture
async def fake_anthropic() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def fake_ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as server:
        yield server


@pytest.fixture
async def fake_custom() -> AsyncIterator[FakeCustom]:
    async with FakeCustom() as server:
        yield server


@pytest.fixture
async def fake_embeddings() -> AsyncIterator[FakeEmbeddings]:
    async with FakeEmbeddings() as server:
        yield server
