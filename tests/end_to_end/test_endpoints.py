"""The endpoints beside chat: models, counting, health, metrics; and streams gathered or switched off."""

import asyncio
import re
import time
from datetime import datetime
from typing import Any

import anthropic
import httpx
import openai
import pytest

from chat_clients import ChatClient
from live_gateway import ENTRIES, FakeProviders, LiveGateway, entries_for, gateway_with
from metrics_page import samples

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: Any = [{"role": "user", "content": "hello there you"}]


# -- models -------------------------------------------------------------------------------------------------------------


async def test_both_packages_list_every_name_that_a_request_may_use(clients: dict[str, ChatClient]) -> None:
    expected = {"default", *(entry.name for entry in ENTRIES), *(entry.model for entry in ENTRIES)}
    listed = [model async for model in clients["openai"].client.models.list()]
    assert expected <= {model.id for model in listed}
    assert {model.owned_by for model in listed} == {entry.name for entry in ENTRIES}
    names = [model.id for model in listed]
    assert len(names) == len(set(names))
    assert [model.id async for model in clients["anthropic"].client.models.list()] == names


async def test_both_packages_retrieve_one_model_and_are_told_what_exists_otherwise(
    clients: dict[str, ChatClient],
) -> None:
    assert (await clients["openai"].client.models.retrieve("claude")).owned_by == "claude"
    assert (await clients["anthropic"].client.models.retrieve("claude")).type == "model"
    assert (await clients["openai"].client.models.retrieve("Qwen/Qwen3-8B")).id == "Qwen/Qwen3-8B"
    assert (await clients["anthropic"].client.models.retrieve("Qwen/Qwen3-8B")).id == "Qwen/Qwen3-8B"
    with pytest.raises(openai.NotFoundError, match="openai-main") as refused:
        await clients["openai"].client.models.retrieve("nothing")
    assert refused.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError, match="openai-main"):
        await clients["anthropic"].client.models.retrieve("nothing")


# -- counting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "exactly"), [("claude", 3), ("vllm-llama", 3), ("openai-main", None), ("offline", None)]
)
async def test_tokens_are_counted_by_the_provider_where_it_counts_and_estimated_elsewhere(
    clients: dict[str, ChatClient], fakes: FakeProviders, entry: str, exactly: int | None
) -> None:
    client: anthropic.AsyncAnthropic = clients["anthropic"].client
    response = await client.messages.with_raw_response.count_tokens(model=entry, messages=HELLO)
    counted = (await response.parse()).input_tokens
    assert response.headers["x-caxton-provider"] == entry
    if exactly is None:
        assert response.headers["x-caxton-tokens"] == "estimated"
        assert 3 < counted < 20
    else:
        assert response.headers["x-caxton-tokens"] == "exact"
        assert counted == exactly


async def test_an_error_while_counting_is_the_clients_kind_of_error(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    client: anthropic.AsyncAnthropic = clients["anthropic"].client
    fakes.anthropic.fail(429, path="/v1/messages/count_tokens", headers={"retry-after": "9"})
    with pytest.raises(anthropic.RateLimitError) as limited:
        await client.messages.count_tokens(model="claude", messages=HELLO)
    assert limited.value.response.headers["retry-after"] == "9"
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.count_tokens(model="nothing", messages=HELLO)
    with pytest.raises(anthropic.BadRequestError):
        await client.messages.count_tokens(model="claude", messages=[])


# -- health -------------------------------------------------------------------------------------------------------------


async def test_health_tells_the_truth(http: httpx.AsyncClient, gateway: LiveGateway, fakes: FakeProviders) -> None:
    live = await http.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()["providers"]) == (200, [entry.name for entry in ENTRIES])
    gateway.app.accepting = False
    try:
        draining = await http.get("/health/ready")
        assert (draining.status_code, draining.json()["status"]) == (503, "draining")
        assert (await http.get("/health/live")).status_code == 200
    finally:
        gateway.app.accepting = True
    assert not any(fake.requests for fake in fakes.all)


async def test_models_exist_since_the_gateway_started(http: httpx.AsyncClient) -> None:
    now = time.time()
    listed = (await http.get("/v1/models")).json()["data"][0]["created"]
    anthropic = (await http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()["data"][0][
        "created_at"
    ]
    assert now - 3600 < listed <= now
    assert datetime.fromisoformat(anthropic).timestamp() == listed


# -- metrics ------------------------------------------------------------------------------------------------------------

SPECIFIED = {
    "caxton_llm_request_duration_seconds": {"provider", "model"},
    "caxton_llm_requests_total": {"provider", "status"},
    "caxton_llm_token_usage_total": {"provider", "type"},
    "caxton_llm_errors_total": {"provider", "error_type"},
}


async def test_metrics_have_the_names_and_labels_of_the_specification(
    clients: dict[str, ChatClient], http: httpx.AsyncClient, fakes: FakeProviders
) -> None:
    before = samples((await http.get("/metrics")).text)
    await clients["openai"].ask("openai-main", "hello there")
    await clients["anthropic"].ask("openai-main", "hello there", streams=True)
    fakes.openai.fail(400)
    with pytest.raises(openai.BadRequestError):
        await clients["openai"].ask("openai-main", "hello")
    page = await http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=")
    after = samples(page.text)
    kinds = dict(re.findall(r"# TYPE (\w+) (\w+)", page.text))
    assert kinds["caxton_llm_request_duration_seconds"] == "histogram"
    assert {kinds[name] for name in SPECIFIED if name.endswith("_total")} == {"counter"}
    for metric, labels in SPECIFIED.items():
        names = [dict(given).keys() - {"le"} for name, given in after if name in (metric, f"{metric}_count")]
        assert names
        assert all(given == labels for given in names)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert grown("caxton_llm_requests_total", provider="openai-main", status="success") == 2
    assert grown("caxton_llm_requests_total", provider="openai-main", status="error") == 1
    assert grown("caxton_llm_errors_total", provider="openai-main", error_type="invalid_request") == 1
    assert grown("caxton_llm_token_usage_total", provider="openai-main", type="input") == 4
    assert grown("caxton_llm_token_usage_total", provider="openai-main", type="output") == 8
    assert grown("caxton_llm_request_duration_seconds_count", provider="openai-main", model="gpt-4o") == 3
    assert grown("caxton_llm_cost_usd_total", provider="openai-main", model="gpt-4o") > 0


# -- streams ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["openai-main", "claude", "ollama-llama"])
async def test_text_is_gathered_into_larger_chunks_but_the_first_never_waits(
    shared_fakes: FakeProviders, fakes: FakeProviders, entry: str
) -> None:
    streaming = {"chunk_size": 12, "buffer_timeout_ms": 60_000}
    llm = {"providers": entries_for(shared_fakes), "streaming": streaming}
    fake = {"openai-main": fakes.openai, "claude": fakes.anthropic, "ollama-llama": fakes.ollama}[entry]
    text = "one two three four five six seven eight"
    reply = fake.reply(text).stall_after({"openai-main": 2, "claude": 4, "ollama-llama": 1}[entry])
    async with (
        gateway_with({"llm": llm}) as running,
        openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client,
        asyncio.timeout(10),
    ):
        stream = await client.chat.completions.create(model=entry, messages=HELLO, stream=True)
        pieces: list[str] = []
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                pieces.append(chunk.choices[0].delta.content)
                reply.release()  # the first has come while the provider was silent
    assert "".join(pieces) == text
    assert pieces[0] == "one"
    assert all(len(piece) >= 12 for piece in pieces[1:-1])
    assert len(pieces) < 6


async def test_streaming_that_is_switched_off_is_refused_with_the_key_that_says_so(
    shared_fakes: FakeProviders, fakes: FakeProviders
) -> None:
    llm = {"providers": entries_for(shared_fakes), "streaming": {"enabled": False}}
    async with (
        gateway_with({"llm": llm}) as running,
        openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client,
    ):
        with pytest.raises(openai.UnprocessableEntityError, match=r"llm\.streaming\.enabled"):
            await client.chat.completions.create(model="openai-main", messages=HELLO, stream=True)
        answer = await client.chat.completions.create(model="openai-main", messages=HELLO)
        assert answer.choices[0].message.content == "You said: hello there you"
