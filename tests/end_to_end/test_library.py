"""The library against every kind of provider: answers, facts, names, tokens, cancellation, plug-ins."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from caxton_llm import (
    Authentication,
    Caxton,
    ChatRequest,
    ChatResponse,
    ConfigurationError,
    InvalidRequest,
    LlmProvider,
    Message,
    ModelNotFound,
    ProviderFailure,
    StreamInterrupted,
    UnknownModel,
    UnsupportedFeature,
)
from caxton_llm.testing import FakeProvider
from fakes import FakeCustom
from live_gateway import ENTRIES, QUICK_RETRIES, Entry, FakeProviders, entries_for
from plug_ins import install_plug_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=str)
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello there"}]
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caxton(shared_fakes: FakeProviders) -> AsyncIterator[Caxton]:
    llm = {"providers": entries_for(shared_fakes), "retry_policy": QUICK_RETRIES}
    async with Caxton.from_dict({"llm": llm}) as opened:
        yield opened


async def text_of(caxton: Caxton, **parameters: Any) -> str:
    pieces = []
    async with caxton.stream_chat(**parameters) as stream:
        async for chunk in stream:
            pieces += [choice.delta.content or "" for choice in chunk.choices]
    return "".join(pieces)


# -- answers ------------------------------------------------------------------------------------------------------------


@every_entry
async def test_a_whole_answer_says_what_it_is_and_where_it_came_from(
    caxton: Caxton, fakes: FakeProviders, entry: Entry
) -> None:
    response = await caxton.complete_chat(model=entry.name, messages=HELLO)
    assert isinstance(response, ChatResponse)
    assert response.text.startswith("You said: hello there")
    assert (response.provider, response.model, response.attempts) == (entry.name, entry.answers_as, 1)
    assert response.choices[0].finish_reason == "stop"
    assert response.usage is not None
    assert response.usage.total_tokens == (response.usage.prompt_tokens or 0) + (response.usage.completion_tokens or 0)
    priced = entry.kind in ("openai", "azure", "anthropic", "builtin")
    assert (response.cost_usd is not None) == priced, response.cost_usd
    assert response.upstream_s is not None


async def test_a_stream_may_be_asked_for_with_the_options_of_streams(caxton: Caxton, fakes: FakeProviders) -> None:
    async with caxton.stream_chat(messages=HELLO, stream_options={"include_usage": True}) as stream:
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text for chunk in chunks) == "You said: hello there"
    assert chunks[-1].usage is not None
    assert stream.usage == chunks[-1].usage


@every_entry
async def test_a_streamed_answer_is_the_same_as_the_whole_one(
    caxton: Caxton, fakes: FakeProviders, entry: Entry
) -> None:
    whole = await caxton.complete_chat(model=entry.name, messages=HELLO)
    stream = caxton.stream_chat(model=entry.name, messages=HELLO)
    text, finishes = "", []
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finishes += [choice.finish_reason] if choice.finish_reason else []
    assert (text, finishes) == (whole.text, ["stop"])
    assert stream.usage == whole.usage
    assert (stream.provider, stream.model, stream.attempts) == (entry.name, entry.answers_as, 1)
    assert stream.cost_usd == whole.cost_usd


async def test_a_request_may_be_a_value(caxton: Caxton, fakes: FakeProviders) -> None:
    request = ChatRequest(model="claude", messages=[Message(role="user", content="hi")], max_tokens=100)
    assert (await caxton.complete_chat(request)).text == "You said: hi"
    assert request.model == "claude"
    with pytest.raises(InvalidRequest, match="not both"):
        await caxton.complete_chat(request, temperature=1)


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": HELLO, "temperature": 9}, "temperature"),
        ({}, "messages"),
        ({"messages": HELLO, "tools": object()}, None),
    ],
)
async def test_a_mistake_of_the_caller_is_told_by_its_path(
    caxton: Caxton, parameters: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await caxton.complete_chat(**parameters)
    assert caught.value.param == param
    with pytest.raises(InvalidRequest):
        await text_of(caxton, **parameters)


async def test_errors_have_their_place_and_their_attempts(caxton: Caxton, fakes: FakeProviders) -> None:
    fakes.openai.fail("provider_failure", times=3)
    with pytest.raises(ProviderFailure) as caught:
        await caxton.complete_chat(model="openai-main", messages=HELLO)
    error = caught.value
    assert (error.provider, error.model, error.status, error.source) == ("openai-main", "gpt-4o", 500, "provider")
    assert [(attempt.target, attempt.error) for attempt in error.attempts] == [("openai-main", "provider_failure")] * 3
    assert error.request_id is not None
    assert "hello" not in str(error)
    fakes.anthropic.fail("model_not_found")
    with pytest.raises(ModelNotFound):
        await text_of(caxton, model="claude", messages=HELLO)


async def test_nothing_is_sent_before_a_stream_is_iterated(caxton: Caxton, fakes: FakeProviders) -> None:
    stream = caxton.stream_chat(model="openai-main", messages=HELLO)
    await stream.aclose()
    assert not fakes.openai.requests


# -- names --------------------------------------------------------------------------------------------------------------


async def test_agents_capabilities_entries_models_and_default_lead_to_their_providers(
    shared_fakes: FakeProviders, fakes: FakeProviders
) -> None:
    own = {
        "provider": "anthropic",
        "model": "claude-sonnet-4-6",
        "base_url": fakes.anthropic.base_url,
        "api_key": fakes.anthropic.api_key,
    }
    configuration = {
        "llm": {"providers": entries_for(shared_fakes)},
        "agents": [
            {"name": "CodeReviewer", "capabilities": ["code-analysis", "review"], "llm": own},
            {"name": "Writer", "capabilities": ["writing"]},
        ],
    }
    expected = {
        "agent:CodeReviewer": "claude-sonnet-4-6",
        "capability:code-analysis": "claude-sonnet-4-6",
        "capability:review": "claude-sonnet-4-6",
        "agent:Writer": "gpt-4o-2024-08-06",
        "capability:writing": "gpt-4o-2024-08-06",
        "default": "gpt-4o-2024-08-06",
        "openai-main": "gpt-4o-2024-08-06",
        "claude-sonnet-5": "claude-sonnet-5",
        "gpt-5-mini": "gpt-5-mini-2025-08-07",
        "ollama-llama": "llama3.2:latest",
        "gemma3:4b": "gemma3:4b",
    }
    async with Caxton.from_dict(configuration) as caxton:
        for name, answers in expected.items():
            assert (await caxton.complete_chat(model=name, messages=HELLO)).model == answers, name
        assert (await caxton.complete_chat(messages=HELLO)).model == "gpt-4o-2024-08-06"
        with pytest.raises(UnknownModel, match="agent:CodeReviewer"):
            await caxton.complete_chat(model="agent:Nobody", messages=HELLO)
        with pytest.raises(UnknownModel):
            caxton.stream_chat(model="gpt-99", messages=HELLO)


# -- facts --------------------------------------------------------------------------------------------------------------

FACTS: dict[str, dict[str, tuple[Any, str]]] = {
    "openai-main": {"context_window": (128_000, "catalogue"), "capabilities.tools": (True, "catalogue")},
    "azure-key": {},
    "claude": {"context_window": (200_000, "provider"), "max_output_tokens": (64_000, "provider")},
    "vllm-llama": {"context_window": (8_192, "provider")},
    "ollama-llama": {"context_window": (131_072, "provider"), "capabilities.tools": (True, "provider")},
    "ollama-gemma": {"context_window": (8_192, "provider"), "capabilities.vision": (True, "provider")},
    "text-api": {},
    "offline": {"context_window": (131_072, "provider"), "capabilities.tools": (True, "provider")},
}


@pytest.mark.parametrize("name", FACTS)
async def test_facts_of_a_model_say_where_they_come_from(caxton: Caxton, fakes: FakeProviders, name: str) -> None:
    info = await caxton.get_model_info(name)
    for fact, (value, source) in FACTS[name].items():
        holder: Any = info
        for part in fact.split("."):
            holder = getattr(holder, part)
        assert (holder, info.sources.get(fact)) == (value, source), fact
    if not FACTS[name]:
        assert info.context_window is None


async def test_facts_are_those_of_the_model_that_was_asked_for(caxton: Caxton, fakes: FakeProviders) -> None:
    info = await caxton.get_model_info("claude-sonnet-5")
    assert (info.id, info.context_window, info.sources["context_window"]) == ("claude-sonnet-5", 1_000_000, "provider")
    assert fakes.anthropic.last_request.path == "/v1/models/claude-sonnet-5"
    priced = await caxton.get_model_info("gpt-5-mini")
    assert priced.price is not None
    assert priced.price.input > 0
    assert priced.sources["price"] == "catalogue"


async def test_facts_of_the_configuration_win(fakes: FakeProviders) -> None:
    entry = {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "base_url": fakes.anthropic.base_url,
        "api_key": fakes.anthropic.api_key,
    }
    facts = {"context_window": 1000, "vision": False}
    async with Caxton.from_dict({"llm": {**entry, "model_facts": facts}}) as caxton:
        info = await caxton.get_model_info()
        assert (info.context_window, info.sources["context_window"]) == (1000, "configuration")
        assert (info.max_output_tokens, info.sources["max_output_tokens"]) == (64_000, "provider")
        with pytest.raises(UnsupportedFeature):
            image = {"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}}
            await caxton.complete_chat(messages=[{"role": "user", "content": [image]}])


async def test_a_provider_that_does_not_know_the_model_is_told(fakes: FakeProviders) -> None:
    entry = {"provider": "vllm", "model": "other", "base_url": fakes.vllm.base_url, "api_key": fakes.vllm.api_key}
    async with Caxton.from_dict({"llm": entry}) as caxton:
        with pytest.raises(ModelNotFound) as caught:
            await caxton.get_model_info()
    assert caught.value.provider == "vllm"


@every_entry
async def test_every_provider_has_the_five_methods_of_the_specification(
    caxton: Caxton, fakes: FakeProviders, entry: Entry
) -> None:
    provider = caxton.provider(entry.name)
    assert isinstance(provider, LlmProvider)
    assert provider.supports_streaming()
    if entry.kind in {"builtin", "openai"}:
        assert provider.supports_function_calling()
    request = ChatRequest(model=entry.model, messages=[Message(role="user", content="hi")])
    assert (await provider.complete_chat(request)).text.startswith("You said: hi")
    chunks = [chunk async for chunk in provider.stream_chat(request)]
    assert chunks


# -- cancellation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind not in ("builtin", "custom")], ids=str)
async def test_a_cancelled_call_closes_its_connection(caxton: Caxton, fakes: FakeProviders, entry: Entry) -> None:
    reply = fakes.behind(entry).reply("one two three").hold()
    asking = asyncio.create_task(caxton.complete_chat(model=entry.name, messages=HELLO))
    await reply.wait_reached()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await fakes.behind(entry).wait_closed_by_client()


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind not in ("builtin", "custom")], ids=str)
async def test_a_stream_that_is_left_closes_its_connection(caxton: Caxton, fakes: FakeProviders, entry: Entry) -> None:
    fakes.behind(entry).reply("one two three four five six").stall_after(5)
    async with caxton.stream_chat(model=entry.name, messages=HELLO) as stream:
        async for _ in stream:
            break
    await fakes.behind(entry).wait_closed_by_client()
    assert [chunk async for chunk in stream] == []


async def test_a_gathered_stream_that_is_left_closes_its_connection(
    shared_fakes: FakeProviders, fakes: FakeProviders
) -> None:
    streaming = {"chunk_size": 1000, "buffer_timeout_ms": 60_000}
    async with Caxton.from_dict({"llm": {"providers": entries_for(shared_fakes), "streaming": streaming}}) as caxton:
        fakes.openai.reply("one two three four five six").stall_after(5)
        async with caxton.stream_chat(model="openai-main", messages=HELLO) as stream:
            async for _ in stream:
                break
        await fakes.openai.wait_closed_by_client()
        fakes.openai.reply("one two three four five six").cut_after(5)
        pieces = []
        with pytest.raises(StreamInterrupted):
            async for chunk in caxton.stream_chat(model="openai-main", messages=HELLO):
                pieces += [choice.delta.content or "" for choice in chunk.choices]
        assert "".join(pieces) == "one two three four"  # what has come is not kept back


async def test_closing_the_library_ends_what_is_under_way(fakes: FakeProviders) -> None:
    entry = {
        "provider": "openai",
        "model": "gpt-4o",
        "base_url": fakes.openai.base_url,
        "api_key": fakes.openai.api_key,
    }
    caxton = Caxton.from_dict({"llm": {**entry, "retry_policy": {"max_attempts": 1}}})
    reply = fakes.openai.reply().hold()
    asking = asyncio.create_task(caxton.complete_chat(messages=HELLO))
    await reply.wait_reached()
    await caxton.aclose()
    with pytest.raises(StreamInterrupted):
        await asking
    await caxton.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await caxton.complete_chat(messages=HELLO)


# -- tokens -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text-oauth", "azure-entra"])
async def test_requests_at_once_share_one_fetch_of_a_token(
    shared_fakes: FakeProviders, fakes: FakeProviders, name: str
) -> None:
    fake = fakes.custom_oauth if name == "text-oauth" else fakes.azure
    async with Caxton.from_dict({"llm": {"providers": entries_for(shared_fakes)}}) as caxton:
        asking = [caxton.complete_chat(model=name, messages=HELLO) for _ in range(20)]
        assert {response.provider for response in await asyncio.gather(*asking)} == {name}
        assert await text_of(caxton, model=name, messages=HELLO) == "You said: hello there"
    assert len([request for request in fake.requests if request.path.endswith("token")]) == 1


@pytest.mark.parametrize("name", ["text-oauth", "azure-entra"])
async def test_a_token_that_is_refused_is_replaced_within_the_attempt(
    caxton: Caxton, fakes: FakeProviders, name: str
) -> None:
    fake: Any = fakes.custom_oauth if name == "text-oauth" else fakes.azure
    await caxton.complete_chat(model=name, messages=HELLO)
    for streams in (False, True):
        fake.expire_tokens()
        fakes.start_over()
        if streams:
            assert await text_of(caxton, model=name, messages=HELLO) == "You said: hello there"
        else:
            assert (await caxton.complete_chat(model=name, messages=HELLO)).attempts == 1
        assert len([request for request in fake.requests if request.path.endswith("token")]) == 1


async def test_a_token_endpoint_that_refuses_is_an_error_of_the_credentials(fakes: FakeProviders) -> None:
    oauth = fakes.custom_oauth
    api = {
        "base_url": oauth.base_url,
        "auth_type": "oauth2",
        "token_url": oauth.token_url,
        "client_id": "x",
        "client_secret": "wrong-secret",
    }
    async with Caxton.from_dict({"llm": {"provider": "custom", "model": "m", "provider_config": api}}) as caxton:
        with pytest.raises(Authentication) as caught:
            await caxton.complete_chat(messages=HELLO)
    assert caught.value.provider == "custom"
    assert "wrong-secret" not in str(caught.value)


async def test_a_token_endpoint_that_is_down_for_a_moment_costs_an_attempt(
    caxton: Caxton, fakes: FakeProviders
) -> None:
    for name, fake, path in (
        ("text-oauth", fakes.custom_oauth, "/oauth/token"),
        ("azure-entra", fakes.azure, f"/{fakes.azure.tenant_id}/oauth2/v2.0/token"),
    ):
        await caxton.complete_chat(model=name, messages=HELLO)
        for status in (500, 503):
            fake.expire_tokens()
            fake.fail(status, path=path)
            response = await caxton.complete_chat(model=name, messages=HELLO)
            assert (response.text, response.attempts) == ("You said: hello there", 2)


async def test_tokens_of_a_short_life_are_fetched_again_in_time() -> None:
    async with FakeCustom(auth="oauth2", token_seconds=1) as fake:
        api = {
            "base_url": fake.base_url,
            "path": "/generate",
            "auth_type": "oauth2",
            "token_url": fake.token_url,
            "client_id": fake.client_id,
            "client_secret": fake.client_secret,
        }
        async with Caxton.from_dict({"llm": {"provider": "custom", "model": "m", "provider_config": api}}) as caxton:
            for _ in range(3):
                assert (await caxton.complete_chat(messages=HELLO)).text == "You said: hello there"


# -- plug-ins -----------------------------------------------------------------------------------------------------------

PLUG_IN = """
from caxton_llm.testing import FakeProvider
from caxton_llm import LlmProvider


def make(settings, api_key):
    return FakeProvider(f"{settings.model} with {api_key}")


def make_nothing(settings, api_key):
    return object()
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that adds two kinds of provider."""
    install_plug_in(tmp_path, monkeypatch, PLUG_IN, parrot="make", parrot_of_nothing="make_nothing")


async def test_an_installed_package_adds_a_provider(plug_in: None) -> None:
    entries = [{"provider": "parrot", "model": "polly", "api_key": "k-1", "name": "bird"}]
    async with Caxton.from_dict({"llm": {"providers": entries}}) as caxton:
        response = await caxton.complete_chat(model="polly", messages=HELLO)
        assert (response.text, response.provider) == ("polly with k-1", "bird")
        assert await text_of(caxton, model="bird", messages=HELLO) == "polly with k-1"
        assert isinstance(caxton.provider("bird"), FakeProvider)
        assert (await caxton.get_model_info("bird")).id == "fake-model"


async def test_a_plug_in_that_makes_no_provider_and_one_that_is_not_there_are_told(plug_in: None) -> None:
    with pytest.raises(ConfigurationError, match="made no LlmProvider"):
        Caxton.from_dict({"llm": {"provider": "parrot_of_nothing", "model": "m"}})
    with pytest.raises(ConfigurationError, match="parot"):
        Caxton.from_dict({"llm": {"provider": "parot", "model": "m"}})
