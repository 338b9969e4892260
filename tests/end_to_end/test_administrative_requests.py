"""What is asked of a provider beside chat: counting, probes, facts. It ends in time, and its errors tell no secret."""

import logging
from typing import Any

import httpx
import pytest

from canned_server import Canned
from caxton_llm import Caxton
from caxton_llm.config.load import load_mapping
from caxton_llm.errors import Authentication, FirstByteTimeout, LlmError, Permission
from caxton_llm.http_provider import HttpProvider
from caxton_llm.server.serve import make_app
from fakes import FakeCustom, FakeOpenAI
from fakes.http_server import Delivery, Response

HELLO: Any = [{"role": "user", "content": "Hello"}]
KEY = "sk-ant-planted-0123456789"


def anthropic(server: Canned, **settings: Any) -> dict[str, Any]:
    entry = {"provider": "anthropic", "name": "claude", "model": "claude-sonnet-4-5", "api_key": KEY}
    return {"llm": entry | {"base_url": server.root_url} | settings}


def provider_of(caxton: Caxton) -> HttpProvider:
    provider = caxton.provider()
    assert isinstance(provider, HttpProvider)
    return provider


async def test_counting_at_a_provider_that_never_answers_ends_with_the_time_of_an_attempt() -> None:
    async with Canned() as silent:
        silent.answer = Response(delivery=Delivery().hold())
        app = make_app(load_mapping(anthropic(silent, timeout_seconds=0.2), {}))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.post("/v1/messages/count_tokens", json={"model": "default", "messages": HELLO})
        await silent.wait_closed_by_client()
    error = answer.json()["error"]
    assert answer.status_code == 502
    assert error["kind"] == "first_byte_timeout"
    assert error["provider"] == "claude"
    assert "timeout_seconds" in error["message"]


async def test_a_probe_of_a_provider_that_never_answers_ends_with_the_time_of_an_attempt() -> None:
    async with Canned() as silent:
        silent.answer = Response(delivery=Delivery().hold())
        async with Caxton.from_dict(anthropic(silent, timeout_seconds=0.2)) as caxton:
            with pytest.raises(FirstByteTimeout, match="timeout_seconds") as caught:
                await provider_of(caxton).probe()
        await silent.wait_closed_by_client()
    assert caught.value.provider == "claude"


async def test_a_probe_does_not_show_the_key_that_the_provider_repeats() -> None:
    async with FakeOpenAI(api_key=KEY) as fake:
        said = {"message": f"{KEY} may not do this", "code": f"bad_{KEY}", "type": "permission"}
        fake.fail(403, path="/v1/models", body={"error": said}, headers={"x-request-id": f"id-{KEY}"})
        entry = {"provider": "openai", "model": "gpt-4o", "api_key": KEY, "base_url": fake.base_url}
        async with Caxton.from_dict({"llm": entry}) as caxton:
            with pytest.raises(Permission, match=r"\*\*\* may not do this") as caught:
                await provider_of(caxton).probe()
    assert KEY not in f"{caught.value} {vars(caught.value)}"


async def test_a_probe_does_not_show_the_secret_that_the_token_endpoint_repeats(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeCustom(auth="oauth2") as fake:
        said = {"error": f"bad_{fake.client_secret}", "error_description": f"{fake.client_secret} is not yours"}
        fake.fail(403, path="/oauth/token", body=said)
        api = {
            "base_url": fake.base_url,
            "health_path": "/health",
            "auth_type": "oauth2",
            "token_url": fake.token_url,
            "client_id": fake.client_id,
            "client_secret": fake.client_secret,
        }
        async with Caxton.from_dict({"llm": {"provider": "custom", "model": "m", "provider_config": api}}) as caxton:
            with pytest.raises(Authentication, match=r"\*\*\* is not yours") as caught:
                await provider_of(caxton).probe()
    assert fake.client_secret not in f"{caught.value} {vars(caught.value)} {caplog.text}"


async def test_facts_that_never_come_are_an_error_of_the_entry() -> None:
    async with Canned() as silent:
        silent.answer = Response(delivery=Delivery().hold())
        entry = {"provider": "ollama", "name": "own", "model": "m", "base_url": silent.root_url, "timeout_seconds": 0.2}
        async with Caxton.from_dict({"llm": entry}) as caxton:
            with pytest.raises(LlmError, match="timeout_seconds") as caught:
                await caxton.get_model_info()
    assert (caught.value.provider, caught.value.model) == ("own", "m")
