"""Every error that a provider can answer with, as the two packages see it through the gateway. One attempt each."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from chat_clients import ChatClient, problem_of
from fakes import FakeAnthropic, FakeAzure, FakeCustom, FakeOllama, FakeOpenAI, FakeVllm
from fakes.provider import FakeProvider
from live_gateway import ENTRIES, Entry, FakeProviders, LiveGateway, entries_for, gateway_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])

EXPECTED: dict[str, tuple[int, str, bool]] = {
    "invalid_request": (400, "BadRequestError", False),
    "authentication": (502, "InternalServerError", False),
    "permission": (502, "InternalServerError", False),
    "model_not_found": (404, "NotFoundError", False),
    "rate_limited": (429, "RateLimitError", True),
    "quota_exhausted": (429, "RateLimitError", False),
    "context_window_exceeded": (400, "BadRequestError", False),
    "content_filtered": (400, "BadRequestError", False),
    "overloaded": (503, "InternalServerError", True),
    "provider_failure": (502, "InternalServerError", True),
}
"""Failure -> status, class of the package's exception, whether the client may try again."""

OPENAI_CODES = {
    "context_window_exceeded": "context_length_exceeded",
    "content_filtered": "content_filter",
    "quota_exhausted": "insufficient_quota",
    "rate_limited": "rate_limit_exceeded",
    "model_not_found": "model_not_found",
}
ANTHROPIC_TYPES = {
    "invalid_request": "invalid_request_error",
    "context_window_exceeded": "invalid_request_error",
    "content_filtered": "invalid_request_error",
    "model_not_found": "not_found_error",
    "rate_limited": "rate_limit_error",
    "quota_exhausted": "rate_limit_error",
    "overloaded": "overloaded_error",
    "authentication": "api_error",
    "permission": "api_error",
    "provider_failure": "api_error",
}
PROVIDERS = [entry for entry in ENTRIES if entry.kind != "builtin" and entry.name not in ("ollama-gemma", "text-oauth")]
FAKES: dict[str, type[FakeProvider]] = {
    "openai": FakeOpenAI,
    "azure": FakeAzure,
    "anthropic": FakeAnthropic,
    "vllm": FakeVllm,
    "ollama": FakeOllama,
    "custom": FakeCustom,
}
CLASSES = {"openai": openai, "anthropic": anthropic}
FAILURES = [
    pytest.param(entry, name, id=f"{entry}-{name}")
    for entry in PROVIDERS
    for name in EXPECTED
    if name in FAKES[entry.kind].failures
]
SECRETS = ("sk-fake", "azure-fake", "vllm-fake", "custom-fake", "sk-ant-fake", "Bearer", "hello")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shared_fakes: FakeProviders) -> AsyncIterator[LiveGateway]:
    llm = {"providers": entries_for(shared_fakes), "retry_policy": {"max_attempts": 1}}
    async with gateway_with({"llm": llm}) as running:
        yield running


async def refusal_of(client: ChatClient, model: str, **how: Any) -> Any:
    with pytest.raises(CLASSES[client.name].APIStatusError) as caught:
        await client.ask(model, "hello", **how)
    return caught.value


@both_ways
@pytest.mark.parametrize(("entry", "name"), FAILURES)
async def test_every_failure_of_every_provider_is_the_clients_own_kind_of_error(
    client: ChatClient, entry: Entry, name: str, streams: bool, fakes: FakeProviders
) -> None:
    fakes.behind(entry).fail(name, times=None)
    error = await refusal_of(client, entry.name, streams=streams)
    status, class_name, retries = EXPECTED[name]
    assert error.status_code == status
    assert isinstance(error, getattr(CLASSES[client.name], class_name))
    problem = problem_of(error)
    assert problem["kind"] == name
    assert problem["source"] == "provider"
    assert problem["provider"] == entry.name
    assert problem["model"] == entry.model
    assert len(problem["attempts"]) == 1
    headers = error.response.headers
    assert bool(problem["provider_request_id"]) == (entry.kind in ("openai", "azure", "anthropic"))
    if client.name == "openai":
        assert problem["code"] == OPENAI_CODES.get(name, problem["code"])
        assert problem["request_id"] == headers["x-caxton-request-id"]
    else:
        assert problem["type"] == ANTHROPIC_TYPES[name]
        assert error.body["type"] == "error"
        assert error.body["request_id"] == headers["x-caxton-request-id"]
    assert headers["x-should-retry"] == ("true" if retries else "false")
    assert headers["x-caxton-provider"] == entry.name
    assert headers["x-caxton-attempts"] == "1"
    assert headers["x-caxton-request-id"].startswith("cax_")
    # A token that was refused is replaced once, before it counts as an attempt.
    refreshed = entry.name == "azure-entra" and name in ("authentication", "permission")
    asked = [request for request in fakes.behind(entry).requests if not request.path.endswith("/token")]
    assert len(asked) == (2 if refreshed else 1)
    assert not any(secret in error.response.text for secret in SECRETS)


RETRY_AFTER = [
    ({"retry-after": "9"}, "9"),
    ({"retry-after": "1.5"}, "2"),
    ({"retry-after-ms": "9000"}, "9"),
    ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:30 GMT"}, "7"),
    ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "0"}, "9"),
    ({"x-ratelimit-reset-tokens": "1m30s", "x-ratelimit-remaining-tokens": "0"}, "90"),
]


@pytest.mark.parametrize(("headers", "expected"), RETRY_AFTER)
async def test_how_long_to_wait_reaches_the_client_in_one_form_whatever_form_it_came_in(
    client: ChatClient, headers: dict[str, str], expected: str, fakes: FakeProviders
) -> None:
    fakes.openai.fail("rate_limited", "slow down", headers=headers)
    error = await refusal_of(client, "openai-main")
    assert error.status_code == 429
    assert error.response.headers.get("retry-after") == expected


async def test_a_wait_that_only_the_text_tells_is_understood(client: ChatClient, fakes: FakeProviders) -> None:
    fakes.openai.fail("rate_limited")  # "Please try again in 20s."
    assert (await refusal_of(client, "openai-main")).response.headers["retry-after"] == "20"
    fakes.azure.fail("rate_limited")  # "Please retry after 26 seconds."
    assert (await refusal_of(client, "azure-key")).response.headers["retry-after"] == "26"


async def test_overloaded_anthropic_is_overloaded_for_everybody(client: ChatClient, fakes: FakeProviders) -> None:
    fakes.anthropic.fail(529)
    error = await refusal_of(client, "claude")
    assert (error.status_code, problem_of(error)["kind"]) == (503, "overloaded")


@both_ways
async def test_a_page_of_html_in_place_of_an_answer_is_the_providers_fault(
    client: ChatClient, streams: bool, fakes: FakeProviders
) -> None:
    page = b"<!DOCTYPE html><html><head><title>Sign in - Corporate proxy</title></head><body>hello</body></html>"
    for entry in PROVIDERS:
        fakes.behind(entry).reply_raw(page)
        error = await refusal_of(client, entry.name, streams=streams)
        problem = problem_of(error)
        assert (error.status_code, problem["kind"], problem["source"]) == (502, "malformed_response", "provider")
        assert problem["provider"] == entry.name
        assert "HTML" in problem["message"]


@pytest.mark.parametrize("status", [302, 400, 404, 418, 500, 502, 503, 504])
async def test_an_html_page_with_any_status_is_told_by_its_title_only(
    client: ChatClient, status: int, fakes: FakeProviders
) -> None:
    fakes.openai.reply_raw(b"<html><title>Bad luck</title><body>private text</body></html>", status=status)
    error = await refusal_of(client, "openai-main")
    assert 400 <= error.status_code < 600
    assert "private text" not in error.response.text
    assert problem_of(error)["provider"] == "openai-main"


@both_ways
@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"{}", b'"text"', b"\xff\xfe", b'{"choices": "x"}', b"[" * 9000]
)
async def test_an_answer_that_is_not_the_providers_format_is_malformed(
    client: ChatClient, body: bytes, streams: bool, fakes: FakeProviders
) -> None:
    for entry in PROVIDERS:
        fakes.behind(entry).reply_raw(body, content_type="application/json")
        error = await refusal_of(client, entry.name, streams=streams)
        assert error.status_code == 502
        assert problem_of(error)["kind"] in ("malformed_response", "stream_interrupted", "provider_failure")


async def test_an_error_inside_a_200_is_that_error(client: ChatClient, fakes: FakeProviders) -> None:
    body = b'{"error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}'
    for entry in PROVIDERS:
        if entry.kind in ("openai", "azure", "vllm", "anthropic"):
            fakes.behind(entry).reply_raw(body, content_type="application/json")
            assert (await refusal_of(client, entry.name)).status_code == 429
    fakes.ollama.reply_raw(b'{"error": "server busy, please try again"}', content_type="application/json")
    assert (await refusal_of(client, "ollama-llama")).status_code >= 500


async def test_a_providers_refusal_in_words_is_an_answer_not_an_error(client: ChatClient, fakes: FakeProviders) -> None:
    fakes.openai.reply(refusal="I will not.")
    told = await client.ask("openai-main", "hello")
    assert told.finish == ("stop" if client.name == "openai" else "content_filter")
    fakes.anthropic.reply(refusal="I will not.")
    assert (await client.ask("claude", "hello")).finish == "content_filter"


async def test_what_the_gateway_refuses_says_that_it_was_the_gateway(client: ChatClient, fakes: FakeProviders) -> None:
    error = await refusal_of(client, "nobody")
    problem = problem_of(error)
    assert (error.status_code, problem["source"], problem["provider"]) == (404, "gateway", None)
    assert problem["param"] == "model"
    assert all(entry.name in problem["message"] for entry in ENTRIES)
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.headers["x-caxton-attempts"] == "0"
