"""Errors name a field as the client wrote it, though the common model counts a system prompt among the messages."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from caxton_llm.config.load import load_mapping
from caxton_llm.server.serve import make_app
from fakes import FakeOpenAI

ASKED: dict[str, Any] = {
    "model": "default",
    "max_tokens": 50,
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": "What is 6 * 7?"},
        {"role": "assistant", "content": "42"},
        {"role": "user", "content": [{"type": "text", "text": "And 6 * 8?"}]},
    ],
}


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as started:
        yield started


async def error_of(fake: FakeOpenAI, path: str, body: dict[str, Any], **settings: Any) -> dict[str, Any]:
    entry = {"provider": "openai", "model": "gpt-4o", "api_key": fake.api_key, "base_url": fake.base_url} | settings
    transport = httpx.ASGITransport(app=make_app(load_mapping({"llm": entry}, {})))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post(path, json=body)
    assert answer.status_code in (400, 422)
    error: dict[str, Any] = answer.json()["error"]
    return error


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Invalid 'messages[3].content[0]': no.", "Invalid 'messages[2].content[0]': no."),
        ("messages[1] and messages[2].content[0].", "messages[0] and messages[1].content."),
        ("messages[0]: too long", "system: too long"),
        ("messages[77] is nowhere", "messages[77] is nowhere"),
        ("in all messages", "in all messages"),
    ],
)
async def test_the_text_and_the_field_of_an_error_count_as_the_client_does(
    fake: FakeOpenAI, said: str, told: str, streams: bool
) -> None:
    fake.fail(400, body={"error": {"message": said, "param": "messages[3].content[0]", "type": "invalid"}})
    error = await error_of(fake, "/v1/messages", ASKED | {"stream": streams})
    assert error["message"] == f"the provider refused the request: {told}"
    assert error["param"] == "messages[2].content[0]"


async def test_the_text_of_a_refusal_begins_with_the_clients_own_name_of_the_field(fake: FakeOpenAI) -> None:
    body = ASKED | {"output_config": {"effort": "high"}}
    settings = {"parameters": "strict", "quirks": {"drop": ["reasoning_effort"]}}
    error = await error_of(fake, "/v1/messages", body, **settings)
    assert error["param"] == "output_config.effort"
    assert error["message"].startswith("output_config.effort cannot be sent: ")


async def test_a_client_of_the_common_models_own_shape_is_told_the_same_path(fake: FakeOpenAI) -> None:
    fake.fail(400, body={"error": {"message": "messages[0] is bad", "param": "messages[0]", "type": "invalid"}})
    body = {"model": "default", "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}
    error = await error_of(fake, "/v1/chat/completions", body)
    assert error["message"].endswith(": messages[0] is bad")
    assert error["param"] == "messages[0]"
