"""The `custom` provider: one block of configuration turned into an address, a signature and paths."""

from typing import Any

import msgspec
import pytest
import yaml

from caxton_llm.errors import ConfigurationError, LlmError, MalformedResponse, RateLimited, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Origin, ProviderAdapter, WireResponse
from caxton_llm.providers.credentials import OAuth2ClientCredentials
from caxton_llm.providers.custom import CustomAdapter, adapter, credentials
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import ChatRequest, Message

SPECIFICATION = """
provider: "custom"
provider_config:
  base_url: "https://api.yourcompany.com/llm"
  auth_type: "bearer"  # bearer, api_key, oauth2
  auth_token: "token-1"
  model_field: "model_name"
  prompt_field: "input_text"
  response_field: "generated_text"
model: "custom-model-v1"
max_tokens: 4096
temperature: 0.7
"""

INFO = ModelInfo(id="custom-model-v1", provider="custom")
HELLO = ChatRequest(model="custom-model-v1", messages=[Message(role="user", content="Hello")])


def settings(changes: dict[str, Any] | None = None, **api: Any) -> ProviderSettings:
    document = yaml.safe_load(SPECIFICATION) | (changes or {})
    document["provider_config"] = document["provider_config"] | api
    return msgspec.convert(document, ProviderSettings)


def made(changes: dict[str, Any] | None = None, **api: Any) -> CustomAdapter:
    return adapter(settings(changes, **api))


def sent(changes: dict[str, Any] | None = None, **api: Any) -> Any:
    return msgspec.json.decode(made(changes, **api).open(HELLO, INFO, stream=False).request.body)


def answered(body: bytes, content_type: str = "application/json", status: int = 200) -> WireResponse:
    return WireResponse(status=status, headers={"content-type": content_type}, body=body)


def mistake(changes: dict[str, Any] | None = None, **api: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        made(changes, **api)
    return caught.value


# -- the exchange -------------------------------------------------------------------------------------------------------


def test_the_specifications_block_sends_and_reads_its_fields() -> None:
    provider: ProviderAdapter = made()
    assert (provider.name, provider.kind, provider.dialect, provider.inline_images) == (
        "custom",
        "custom",
        "text",
        False,
    )
    exchange = provider.open(HELLO, INFO, stream=False)
    request = exchange.request
    assert (request.method, request.origin, request.path) == (
        "POST",
        Origin("https", "api.yourcompany.com", 443),
        "/llm",
    )
    assert dict(request.headers) == {"content-type": "application/json"}
    assert msgspec.json.decode(request.body) == {
        "model_name": "custom-model-v1",
        "input_text": "Hello",
        "max_tokens": 4096,
        "temperature": 0.7,
    }
    response = exchange.decode(answered(b'{"generated_text":"Hi"}'))
    assert (response.text, response.model, response.usage) == ("Hi", "custom-model-v1", None)
    assert credentials(settings(), None).headers(0.0) == (("authorization", "Bearer token-1"),)


@pytest.mark.parametrize(
    ("base_url", "path", "expected"),
    [
        ("https://x.example", "", "/"),
        ("https://x.example/v1/", "", "/v1"),
        ("https://x.example/v1", "generate", "/v1/generate"),
        ("https://x.example", "/models/{model}/generate", "/models/custom-model-v1/generate"),
    ],
)
def test_paths_are_sent_as_they_are_written(base_url: str, path: str, expected: str) -> None:
    assert made(base_url=base_url, path=path).open(HELLO, INFO, stream=False).request.path == expected


def test_a_model_in_the_path_is_quoted() -> None:
    provider = made({"model": "a/b c"}, path="{model}")
    request = provider.open(HELLO, ModelInfo(id="a/b c", provider="custom"), stream=False).request
    assert request.path == "/llm/a%2Fb%20c"


def test_a_pinned_version_is_what_is_sent() -> None:
    assert sent({"model_version": "custom-model-v1.3"})["model_name"] == "custom-model-v1.3"


def test_headers_and_further_fields_of_the_configuration_are_sent() -> None:
    provider = made({"headers": {"X-Tenant": "t1"}, "extra_body": {"mode": "fast"}}, health_path="/health")
    request = provider.open(HELLO, INFO, stream=False).request
    assert dict(request.headers)["x-tenant"] == "t1"
    assert msgspec.json.decode(request.body)["mode"] == "fast"
    probe = provider.probe()
    assert probe is not None
    assert dict(probe.headers)["x-tenant"] == "t1"


def test_plain_text_and_json_answers_are_told_apart_by_their_type() -> None:
    exchange = made().open(HELLO, INFO, stream=False)
    assert exchange.decode(answered(b"Hi", "text/plain; charset=utf-8")).text == "Hi"
    with pytest.raises(MalformedResponse, match="generated_text"):
        exchange.decode(answered(b"Hi"))
    with pytest.raises(MalformedResponse, match="HTML"):
        exchange.decode(answered(b"<!doctype html><html>Login</html>", "text/html"))


def test_an_answer_without_the_field_names_it_and_what_is_there() -> None:
    exchange = made().open(HELLO, INFO, stream=False)
    with pytest.raises(MalformedResponse, match=r"'generated_text'.*keys generated, id"):
        exchange.decode(answered(b'{"generated":"Hi","id":1}'))


def test_a_refusal_is_classified() -> None:
    exchange = made(error_field="fault").open(HELLO, INFO, stream=False)
    error: LlmError = exchange.classify(answered(b'{"fault":"slow down"}', status=429))
    assert type(error) is RateLimited
    assert "slow down" in error.message


def test_it_streams_only_when_the_field_of_the_text_is_configured() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        made().open(HELLO, INFO, stream=True)
    assert caught.value.param == "stream"
    provider = made(stream_field="token", stream_format="ndjson", stream_end="", stream_end_field="done")
    exchange = provider.open(HELLO, INFO, stream=True)
    assert msgspec.json.decode(exchange.request.body)["stream"] is True
    decoder = exchange.decoder()
    chunks = decoder.feed(b'{"token":"Hi"}\n{"token":"!","done":true}\n')
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hi!"
    assert decoder.done


def test_usage_and_reasons_are_read_where_they_are_configured() -> None:
    exchange = made(
        finish_field="why", finish_map={"LEN": "length"}, prompt_tokens_field="n.in", completion_tokens_field="n.out"
    ).open(HELLO, INFO, stream=False)
    response = exchange.decode(answered(b'{"generated_text":"Hi","why":"LEN","n":{"in":3,"out":2}}'))
    assert response.choices[0].finish_reason == "length"
    assert response.usage is not None
    assert response.usage.total_tokens == 5


# -- the configuration --------------------------------------------------------------------------------------------------


def test_a_missing_block_is_a_mistake() -> None:
    bare = ProviderSettings(provider="custom")
    with pytest.raises(ConfigurationError, match="provider_config"):
        adapter(bare)
    with pytest.raises(ConfigurationError, match="provider_config"):
        credentials(bare, None)


def test_an_unknown_finish_reason_is_a_mistake() -> None:
    assert "finish_map" in str(mistake(finish_map={"EOS": "fin"}))


def test_paths_in_each_others_way_are_found_at_the_start() -> None:
    assert "in the way" in str(mistake(prompt_field="input", model_field="input.model"))
    assert "in the way" in str(mistake({"extra_body": {"input": "text"}}, prompt_field="input.text"))


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"prompt_field": "a", "model_field": "a"}, "model_field"),
        ({"prompt_field": "max_tokens"}, "max_tokens_field"),
        ({"prompt_field": "stream", "stream_field": "text"}, "stream_flag_field"),
        ({"prompt_field": "a..b"}, "prompt_field"),
        ({"prompt_field": ""}, "prompt_field"),
        ({"response_field": "text."}, "response_field"),
        ({"response_field": ""}, "response_field"),
        ({"error_field": ".error"}, "error_field"),
    ],
)
def test_fields_that_would_overwrite_each_other_or_lead_nowhere_are_a_mistake(
    fields: dict[str, str], blamed: str
) -> None:
    error = mistake({"max_tokens": 7}, **fields)
    assert [problem.path for problem in error.problems] == [f"provider_config.{blamed}"]


def test_fields_may_share_a_block_and_an_empty_one_is_left_out() -> None:
    body = sent(prompt_field="in.text", temperature_field="in.heat", model_field="", system_field="")
    assert body == {"in": {"text": "Hello", "heat": 0.7}, "max_tokens": 4096}


def test_all_mistakes_of_a_block_are_told_at_once() -> None:
    error = mistake(path="/x#frag", finish_map={"EOS": "fin"}, prompt_field="a", model_field="a.b")
    assert [problem.path for problem in error.problems] == [
        "provider_config.path",
        "provider_config.model_field",
        "provider_config.finish_map",
    ]


def test_settings_that_the_api_has_no_field_for_are_a_mistake_not_a_silent_loss() -> None:
    error = mistake({"top_p": 0.5, "reasoning_effort": "low"})
    assert [problem.path for problem in error.problems] == ["top_p", "reasoning_effort"]
    assert "extra_body" in str(error)
    assert "max_tokens" in str(mistake(max_tokens_field=None))


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX-Evil: 1", "/ä", "/x#frag"])
def test_a_path_that_no_request_can_have_is_a_mistake(path: str) -> None:
    assert "provider_config.path" in str(mistake(path=path))
    assert "provider_config.health_path" in str(mistake(health_path=path))


def test_no_repr_shows_a_secret() -> None:
    assert "token-1" not in repr((settings(), settings().provider_config, made(), credentials(settings(), None)))


def test_the_probe_is_the_health_path_where_there_is_one() -> None:
    assert made().probe() is None
    request = made(health_path="health").probe()
    assert request is not None
    assert (request.method, request.path) == ("GET", "/llm/health")


def test_nothing_is_asked_about_models_and_tokens() -> None:
    provider: ProviderAdapter = made()
    assert provider.model_info_request("m") is None
    assert provider.count_request(HELLO, INFO) is None


# -- credentials --------------------------------------------------------------------------------------------------------


def test_a_key_goes_into_the_configured_header() -> None:
    keyed = settings(auth_type="api_key", auth_header="Ocp-Apim-Subscription-Key")
    assert credentials(keyed, None).headers(0.0) == (("ocp-apim-subscription-key", "token-1"),)
    assert credentials(settings(auth_type="api_key"), None).headers(0.0) == (("x-api-key", "token-1"),)


def test_no_credentials_at_all_are_possible() -> None:
    assert credentials(settings(auth_type="none"), None).headers(0.0) == ()


def test_a_fetched_secret_takes_the_place_of_its_reference() -> None:
    fetched = settings(auth_token={"source": "vault", "path": "secret/llm", "key": "token"})
    assert credentials(fetched, "from-vault").headers(0.0) == (("authorization", "Bearer from-vault"),)
    with pytest.raises(ConfigurationError, match="auth_token"):
        credentials(fetched, None)


def test_oauth2_fetches_its_token_first() -> None:
    signed = credentials(
        settings(
            auth_type="oauth2",
            token_url="https://login.example.com/token",
            client_id="id",
            client_secret="secret",
            client_auth="post",
            scope="llm",
            token_params={"audience": "a"},
        ),
        None,
    )
    assert isinstance(signed, OAuth2ClientCredentials)
    assert signed.headers(0.0) is None
    request = next(signed.refresh(0.0))
    assert request.body == b"grant_type=client_credentials&scope=llm&audience=a&client_id=id&client_secret=secret"


def test_everything_that_oauth2_lacks_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        credentials(settings(auth_type="oauth2"), None)
    assert [problem.path for problem in caught.value.problems] == [
        "provider_config.token_url",
        "provider_config.client_id",
        "provider_config.client_secret",
    ]


def test_a_bearer_token_that_is_missing_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"provider_config\.auth_token"):
        credentials(settings(auth_token=None), None)
