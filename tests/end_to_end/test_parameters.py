"""What becomes of parameters on their way to a provider of another dialect: mapped, dropped or refused, and always told."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from chat_clients import ChatClient
from live_gateway import FakeProviders, LiveGateway, gateway_with

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shared_fakes: FakeProviders) -> AsyncIterator[LiveGateway]:
    """Each provider twice: lenient, which is the default, and strict."""
    settings_of: dict[str, dict[str, Any]] = {
        "openai": {
            "model": "gpt-5-mini",
            "base_url": shared_fakes.openai.base_url,
            "api_key": shared_fakes.openai.api_key,
        },
        "anthropic": {
            "model": "claude-sonnet-4-6",
            "base_url": shared_fakes.anthropic.base_url,
            "api_key": shared_fakes.anthropic.api_key,
        },
        "ollama": {"model": "llama3.2", "base_url": shared_fakes.ollama.base_url},
        "vllm": {
            "model": "llama-3.1-8b",
            "base_url": shared_fakes.vllm.base_url,
            "api_key": shared_fakes.vllm.api_key,
            "max_tokens": 50,
        },
    }
    entries: list[dict[str, Any]] = []
    for kind, settings in settings_of.items():
        entries.append({"provider": kind, "fallbacks": [], **settings})
        entries.append(
            {"provider": kind, "name": f"{kind}-strict", "parameters": "strict", "fallbacks": [], **settings}
        )
    async with gateway_with({"llm": {"providers": entries}}) as running:
        yield running


def told(headers: Any) -> dict[str, set[str]]:
    """`x-caxton-params` taken apart."""
    parts = [part.split("=", 1) for part in headers.get("x-caxton-params", "").split("; ") if part]
    return {name: set(listed.split(",")) for name, listed in parts}


def sampled(clients: dict[str, ChatClient]) -> openai.AsyncOpenAI:
    client: openai.AsyncOpenAI = clients["openai"].client
    return client


HELLO: Any = [{"role": "user", "content": "hello"}]


async def test_a_request_that_needs_no_change_has_no_report(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    response = await sampled(clients).chat.completions.with_raw_response.create(
        model="vllm", messages=HELLO, max_tokens=9, temperature=0.5
    )
    assert "x-caxton-params" not in response.headers


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
async def test_knobs_that_only_tune_are_dropped_and_reported(
    clients: dict[str, ChatClient], fakes: FakeProviders, streams: bool
) -> None:
    answer = await clients["openai"].ask(
        "anthropic", "hello", streams=streams, seed=7, logit_bias={"1": 2}, temperature=0.5
    )
    assert {"seed", "logit_bias"} <= told(answer.headers)["dropped"]
    body = fakes.anthropic.last_request.json
    assert body["temperature"] == 0.5
    assert not {"seed", "logit_bias"} & set(body)


async def test_what_is_called_otherwise_is_mapped_and_reported(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    answer = await clients["openai"].ask("openai", "hello", max_tokens=100, temperature=0.5)
    assert "max_tokens:max_completion_tokens" in told(answer.headers)["mapped"]
    assert "temperature" in told(answer.headers)["dropped"]
    body = fakes.openai.last_request.json
    assert body["max_completion_tokens"] == 100
    assert not {"max_tokens", "temperature"} & set(body)


@pytest.mark.parametrize(
    ("entry", "parameter"),
    [
        ("anthropic", {"n": 2}),
        ("ollama", {"n": 2}),
        ("ollama", {"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}),
    ],
)
async def test_what_changes_the_meaning_is_refused_before_anything_is_sent(
    clients: dict[str, ChatClient], fakes: FakeProviders, entry: str, parameter: dict[str, Any]
) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await clients["openai"].ask(entry, "hello", **parameter)
    error: Any = caught.value.body
    assert error["param"] == next(iter(parameter))
    assert error["source"] == "gateway"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert not any(fake.requests for fake in fakes.all)


@pytest.mark.parametrize(
    ("entry", "parameter"),
    [
        ("anthropic-strict", {"seed": 7}),
        ("ollama-strict", {"logit_bias": {"1": 2}}),
        ("openai-strict", {"temperature": 0.5}),
    ],
)
async def test_strict_refuses_what_lenient_drops(
    clients: dict[str, ChatClient], fakes: FakeProviders, entry: str, parameter: dict[str, Any]
) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await clients["openai"].ask(entry, "hello", **parameter)
    error: Any = caught.value.body
    assert error["param"] == next(iter(parameter))
    assert not any(fake.requests for fake in fakes.all)
    lenient = await clients["openai"].ask(entry.removesuffix("-strict"), "hello", **parameter)
    assert next(iter(parameter)) in told(lenient.headers)["dropped"]


async def test_a_client_of_anthropics_gets_the_report_too(clients: dict[str, ChatClient], fakes: FakeProviders) -> None:
    answer = await clients["anthropic"].ask("openai", "hello", extra_body={"top_k": 5}, metadata={"user_id": "u-1"})
    assert "top_k" in told(answer.headers)["dropped"]
    assert "top_k" not in fakes.openai.last_request.json
    answer = await clients["anthropic"].ask("ollama", "hello", extra_body={"top_k": 5})
    assert fakes.ollama.last_request.json["options"]["top_k"] == 5
    client: anthropic.AsyncAnthropic = clients["anthropic"].client
    with pytest.raises(anthropic.UnprocessableEntityError) as caught:
        await client.messages.create(model="ollama-strict", max_tokens=5, messages=HELLO, metadata={"user_id": "u"})
    problem: Any = caught.value.body
    assert (problem["type"], problem["error"]["type"]) == ("error", "invalid_request_error")
    assert problem["error"]["param"] == "metadata.user_id"


async def test_the_entrys_defaults_speak_where_the_caller_is_silent(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    await clients["openai"].ask("vllm", "hello")
    assert fakes.vllm.last_request.json["max_tokens"] == 50
    await clients["openai"].ask("vllm", "hello", max_tokens=9)
    assert fakes.vllm.last_request.json["max_tokens"] == 9


async def test_a_servers_own_parameters_pass_through_from_a_client_of_its_dialect(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    extra = {"top_k": 5, "repetition_penalty": 1.1, "guided_json": {"type": "object", "properties": {}}}
    answer = await clients["openai"].ask("vllm", "hello", extra_body=extra)
    body = fakes.vllm.last_request.json
    assert (body["top_k"], body["repetition_penalty"]) == (5, 1.1)
    assert body["structured_outputs"] == {"json": {"type": "object", "properties": {}}}
    assert told(answer.headers)["mapped"] == {"guided_json:structured_outputs.json"}
    assert not fakes.vllm.ignored_fields
