"""`GET /api/v1/providers` of a running gateway, and its gauges."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from caxton_llm.types import Json
from fakes import FakeOpenAI
from live_gateway import gateway_with

HELLO = {"model": "main", "messages": [{"role": "user", "content": "Hello"}]}


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest_asyncio.fixture
async def http(fake: FakeOpenAI) -> AsyncIterator[httpx.AsyncClient]:
    main: dict[str, Json] = {"name": "main", "provider": "openai", "model": "gpt-4o", "fallbacks": []}
    main |= {"api_key": fake.api_key, "base_url": fake.base_url, "retry_policy": {"max_attempts": 1}}
    configuration = {"llm": {"providers": [main, {"name": "spare", "provider": "builtin", "priority": -1}]}}
    async with gateway_with(configuration) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        yield client


async def test_every_entry_is_shown_with_how_it_is_doing(http: httpx.AsyncClient, fake: FakeOpenAI) -> None:
    assert (await http.post("/v1/chat/completions", json=HELLO)).status_code == 200
    main, spare = (await http.get("/api/v1/providers")).json()["providers"]
    assert (main["name"], main["state"], main["successes"]) == ("main", "up", 1)
    assert main["breaker"] == {"state": "closed", "opened_at": None, "share": 1.0}
    assert main["latency"]["whole"]["p50_ms"] > 0
    assert (spare["name"], spare["state"], spare["latency"]["whole"]) == ("spare", "unknown", None)


async def test_a_failing_provider_shows_its_last_error_and_its_open_breaker(
    http: httpx.AsyncClient, fake: FakeOpenAI
) -> None:
    for _ in range(5):
        fake.fail("overloaded")
        assert (await http.post("/v1/chat/completions", json=HELLO)).status_code >= 500
    main = (await http.get("/api/v1/providers/main")).json()
    assert (main["state"], main["breaker"]["state"], main["last_error"]["kind"]) == ("down", "open", "overloaded")
    assert main["last_error"].keys() == {"kind", "status", "at"}
    metrics = (await http.get("/metrics")).text
    assert 'caxton_llm_breaker_state{provider="main"} 2.0' in metrics
    assert 'caxton_llm_provider_healthy{provider="main"} 0.0' in metrics
    assert 'caxton_llm_provider_healthy{provider="spare"} 1.0' in metrics


async def test_a_provider_that_nobody_configured_is_a_404_in_the_usual_shape(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/v1/providers/nobody")
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "provider_not_found"
    assert "main, spare" in error["message"]


async def test_the_latency_gauges_have_quantiles(http: httpx.AsyncClient, fake: FakeOpenAI) -> None:
    await http.post("/v1/chat/completions", json=HELLO)
    assert 'caxton_llm_latency_seconds{provider="main",quantile="0.95"}' in (await http.get("/metrics")).text


async def test_a_provider_is_trusted_again_at_once_when_an_operator_says_so(
    http: httpx.AsyncClient, fake: FakeOpenAI
) -> None:
    for _ in range(5):
        fake.fail("overloaded")
        await http.post("/v1/chat/completions", json=HELLO)
    reset = await http.post("/api/v1/providers/main/reset")
    assert (reset.status_code, reset.json()["breaker"]) == (200, {"state": "closed", "opened_at": None, "share": 1.0})
    assert (await http.post("/api/v1/providers/nobody/reset")).json()["error"]["kind"] == "unknown_model"
