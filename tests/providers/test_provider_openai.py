"""OpenAI and compatible servers: addresses, headers, what is sent and what their model endpoint tells."""

import json
from typing import Any

import pytest

from caxton_llm.errors import ConfigurationError, MalformedResponse, ModelNotFound, RateLimited
from caxton_llm.model_info import ModelInfo, ParameterRules
from caxton_llm.protocols import ProviderAdapter, Quirks, WireResponse
from caxton_llm.providers import openai
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import ChatRequest, Message
from recorded import interactions


def entry(**fields: Any) -> ProviderSettings:
    return ProviderSettings(provider="openai", **fields)


def info(model: str = "gpt-4o", **fields: Any) -> ModelInfo:
    return ModelInfo(id=model, provider="openai", **fields)


REQUEST = ChatRequest(model="gpt-4o", messages=[Message(role="user", content="hi")])


def test_a_request_goes_to_openai_unless_configured_otherwise() -> None:
    adapter: ProviderAdapter = openai.adapter(entry(model="gpt-4o"))
    sent = adapter.open(REQUEST, info(), stream=False).request
    assert (sent.method, str(sent.origin), sent.path) == ("POST", "https://api.openai.com", "/v1/chat/completions")
    assert dict(sent.headers) == {"content-type": "application/json"}
    assert json.loads(sent.body) == {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("url", ["http://localhost:1234", "http://localhost:1234/v1/", "http://localhost:1234/v1"])
def test_a_compatible_server_needs_only_its_address(url: str) -> None:
    adapter = openai.adapter(entry(base_url=url))
    sent = adapter.open(REQUEST, info(), stream=True).request
    assert (str(sent.origin), sent.path) == ("http://localhost:1234", "/v1/chat/completions")
    assert json.loads(sent.body)["stream_options"] == {"include_usage": True}


def test_a_recorded_endpoint_is_addressed_as_it_was() -> None:
    item = interactions("openai__test_compatible_api_with_tool_calls_without_id")[0]
    adapter = openai.adapter(entry(base_url="https://generativelanguage.googleapis.com/v1beta/openai/"))
    sent = adapter.open(REQUEST, info(), stream=False).request
    assert f"{sent.origin}{sent.path}" == item.uri


def test_organization_project_and_configured_headers_are_sent() -> None:
    adapter = openai.adapter(
        entry(organization="org-1", project="proj-1", headers={"X-Team": "a", "OpenAI-Project": "p-2"})
    )
    for sent in (adapter.open(REQUEST, info(), stream=False).request, adapter.probe()):
        headers = dict(sent.headers)
        assert (headers["openai-organization"], headers["openai-project"], headers["x-team"]) == ("org-1", "p-2", "a")


def test_the_key_is_a_bearer_token_and_shows_nowhere() -> None:
    signed = openai.credentials(entry(), "sk-secret")
    assert signed.headers(0.0) == (("authorization", "Bearer sk-secret"),)
    assert "sk-secret" not in repr(signed)
    assert openai.credentials(entry(), None).headers(0.0) == ()


def test_settings_of_the_entry_reach_the_body() -> None:
    adapter = openai.adapter(
        entry(
            max_tokens=9, temperature=0.5, extra_body={"store": False}, quirks=Quirks(output_limit_field="max_tokens")
        )
    )
    body = json.loads(adapter.open(REQUEST, info(), stream=False).request.body)
    assert (body["max_tokens"], body["temperature"], body["store"]) == (9, 0.5, False)


def test_a_pinned_version_is_sent_for_the_entrys_own_model_only() -> None:
    adapter = openai.adapter(entry(model="gpt-4o", model_version="gpt-4o-2024-08-06", models=("o3",)))
    assert json.loads(adapter.open(REQUEST, info(), stream=False).request.body)["model"] == "gpt-4o-2024-08-06"
    assert json.loads(adapter.open(REQUEST, info("o3"), stream=False).request.body)["model"] == "o3"


def test_facts_that_change_are_used_at_once() -> None:
    adapter = openai.adapter(entry())
    request = ChatRequest(model="m", messages=REQUEST.messages, max_tokens=5)
    assert b'"max_tokens"' in adapter.open(request, info(), stream=False).request.body
    newer = info(parameters=ParameterRules(output_limit_field="max_completion_tokens"))
    assert b'"max_completion_tokens"' in adapter.open(request, newer, stream=False).request.body


def test_answers_and_failures_are_read_in_the_dialect() -> None:
    exchange = openai.adapter(entry()).open(REQUEST, info(), stream=False)
    item = interactions("openai__test_valid_response")[0]
    answer = exchange.decode(WireResponse(status=200, headers={}, body=item.body))
    assert answer.text
    refused = exchange.classify(WireResponse(status=429, headers={"retry-after": "2", "x-request-id": "r"}, body=b"{}"))
    assert isinstance(refused, RateLimited)
    assert (refused.retry_after_s, refused.request_id) == (2.0, "r")


def test_the_list_of_models_is_the_probe() -> None:
    sent = openai.adapter(entry()).probe()
    assert (sent.method, sent.path, sent.body) == ("GET", "/v1/models", b"")


def test_the_model_endpoint_tells_the_end_of_a_models_life() -> None:
    adapter = openai.adapter(entry())
    assert adapter.model_info_request("ft:gpt-4o:org/x").path == "/v1/models/ft:gpt-4o:org%2Fx"
    found = adapter.decode_model_info("o3", b'{"id":"o3","object":"model","created":1,"shutdown_date":"2026-12-11"}')
    assert (found.id, found.retires_on, found.sources) == ("o3", "2026-12-11", {"retires_on": "provider"})


@pytest.mark.parametrize("field", ["max_model_len", "context_length", "context_window", "max_context_length"])
def test_compatible_servers_tell_their_window_under_different_names(field: str) -> None:
    body = json.dumps({"object": "list", "data": [{"id": "other"}, {"id": "m", field: 4096}]}).encode()
    assert openai.adapter(entry()).decode_model_info("m", body).context_window == 4096


def test_a_list_without_the_model_and_a_body_that_is_no_list_are_told_apart() -> None:
    adapter = openai.adapter(entry())
    with pytest.raises(ModelNotFound):
        adapter.decode_model_info("m", b'{"data":[{"id":"other"}]}')
    with pytest.raises(MalformedResponse):
        adapter.decode_model_info("m", b"<html>")


def test_the_chat_api_counts_no_tokens() -> None:
    adapter: ProviderAdapter = openai.adapter(entry())
    assert adapter.count_request(REQUEST, info()) is None


def test_a_bad_address_is_found_when_the_entry_is_made() -> None:
    with pytest.raises(ConfigurationError):
        openai.adapter(entry(base_url="api.openai.com/v1"))
