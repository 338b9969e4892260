"""Azure: both URL schemes, every spelling of the endpoint, key and Entra ID."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from caxton_llm.errors import Authentication, ConfigurationError, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import BlockingCredentials, Credentials, ProviderAdapter, WireResponse
from caxton_llm.providers import azure
from caxton_llm.providers.azure_identity import MachineIdentity
from caxton_llm.providers.settings import EntraId, ProviderSettings, SecretReference
from caxton_llm.types import ChatRequest, ContentPart, FileInput, Message
from recorded import interactions

RESOURCE = "https://r.openai.azure.com"
REQUEST = ChatRequest(model="d", messages=[Message(role="user", content="hi")], max_completion_tokens=5)


def entry(**fields: Any) -> ProviderSettings:
    fields.setdefault("endpoint", RESOURCE)
    return ProviderSettings(provider="azure", **fields)


def url(settings: ProviderSettings, model: str = "d") -> str:
    adapter: ProviderAdapter = azure.adapter(settings)
    sent = adapter.open(REQUEST, ModelInfo(id=model, provider="azure"), stream=False).request
    return f"{sent.origin}{sent.path}"


CLASSIC = f"{RESOURCE}/openai/deployments/d/chat/completions?api-version=2024-10-21"
V1 = f"{RESOURCE}/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"endpoint": RESOURCE, "api_version": "2024-10-21"}, CLASSIC),
        ({"endpoint": f"{RESOURCE}/", "api_version": "2024-10-21"}, CLASSIC),
        ({"endpoint": f"{RESOURCE}/openai/", "api_version": "2024-10-21"}, CLASSIC),
        ({"endpoint": None, "base_url": RESOURCE, "api_version": "2024-10-21"}, CLASSIC),
        ({"endpoint": CLASSIC}, CLASSIC),
        ({"endpoint": f"{RESOURCE}/openai/deployments/d", "api_version": "2024-10-21"}, CLASSIC),
        (
            {"endpoint": CLASSIC, "api_version": "2025-01-01-preview"},
            CLASSIC.replace("2024-10-21", "2025-01-01-preview"),
        ),
        ({"endpoint": RESOURCE}, V1),
        ({"endpoint": f"{RESOURCE}/openai/v1/"}, V1),
        ({"endpoint": f"{RESOURCE}/openai/v1/chat/completions"}, V1),
        ({"endpoint": f"{RESOURCE}/openai/v1", "api_version": "preview"}, f"{V1}?api-version=preview"),
        (
            {"endpoint": "https://apim.example.com/team", "api_version": "2024-10-21"},
            CLASSIC.replace(RESOURCE, "https://apim.example.com/team"),
        ),
        ({"endpoint": "https://apim.example.com/team"}, V1.replace(RESOURCE, "https://apim.example.com/team")),
    ],
)
def test_every_spelling_of_the_endpoint_leads_to_the_right_address(fields: dict[str, Any], expected: str) -> None:
    assert url(entry(deployment_name="d", **fields)) == expected


def test_the_recorded_request_is_sent_to_where_it_was_sent() -> None:
    (item,) = interactions("azure__test_azure_provider_call")
    settings = entry(
        endpoint="https://pydanticai7521574644.openai.azure.com",
        api_version="2024-12-01-preview",
        deployment_name="gpt-4o",
    )
    assert url(settings, "gpt-4o") == item.uri


def test_the_entrys_own_model_is_served_by_its_deployment_and_others_by_their_name() -> None:
    settings = entry(deployment_name="prod chat", model="gpt-4o", models=("mini",), api_version="2024-10-21")
    assert "/deployments/prod%20chat/" in url(settings, "gpt-4o")
    assert "/deployments/prod%20chat/" in url(settings, "prod chat")
    assert "/deployments/mini/" in url(settings, "mini")


def test_on_v1_the_body_names_the_deployment() -> None:
    adapter = azure.adapter(entry(deployment_name="prod", model="gpt-4o"))
    sent = adapter.open(REQUEST, ModelInfo(id="gpt-4o", provider="azure"), stream=False).request
    assert json.loads(sent.body)["model"] == "prod"


def test_an_old_version_gets_the_old_limit_and_no_stream_options() -> None:
    old = azure.adapter(entry(deployment_name="d", api_version="2024-05-01-preview"))
    body = json.loads(old.open(REQUEST, ModelInfo(id="d", provider="azure"), stream=True).request.body)
    assert (body["max_tokens"], body["stream"]) == (5, True)
    assert "stream_options" not in body
    new = azure.adapter(entry(deployment_name="d", api_version="2024-10-21"))
    body = json.loads(new.open(REQUEST, ModelInfo(id="d", provider="azure"), stream=True).request.body)
    assert (body["max_completion_tokens"], body["stream_options"]) == (5, {"include_usage": True})


def test_documents_are_refused_on_the_classic_api_only() -> None:
    part = ContentPart(type="file", file=FileInput(file_id="f"))
    request = ChatRequest(messages=[Message(role="user", content=[part])])
    info = ModelInfo(id="d", provider="azure")
    with pytest.raises(UnsupportedFeature) as caught:
        azure.adapter(entry(deployment_name="d", api_version="2024-10-21")).open(request, info, stream=False)
    assert caught.value.param == "messages[0].content[0]"
    assert azure.adapter(entry(deployment_name="d")).open(request, info, stream=False).request.body


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoint": None},
        {"endpoint": "r.openai.azure.com"},
        {"endpoint": f"{RESOURCE}/openai/deployments/d"},
    ],
)
def test_an_endpoint_that_cannot_work_is_found_when_the_entry_is_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        azure.adapter(entry(**fields))
    assert caught.value.problems[0].path == "endpoint"


def test_the_model_that_answered_is_the_answers_not_the_deployment() -> None:
    exchange = azure.adapter(entry(deployment_name="prod")).open(
        REQUEST, ModelInfo(id="prod", provider="azure"), stream=False
    )
    (item,) = interactions("azure__test_azure_provider_call")
    assert exchange.decode(WireResponse(status=200, headers={}, body=item.body)).model == "gpt-4o-2024-11-20"


def test_the_probe_lists_models_and_nothing_tells_about_deployments() -> None:
    classic: ProviderAdapter = azure.adapter(entry(deployment_name="d", api_version="2024-10-21"))
    probe = classic.probe()
    assert probe is not None
    assert probe.path == "/openai/models?api-version=2024-10-21"
    v1 = azure.adapter(entry(deployment_name="d"))
    assert v1.probe().path == "/openai/v1/models"
    assert classic.model_info_request("d") is None
    assert classic.count_request(REQUEST, ModelInfo(id="d", provider="azure")) is None


# -- credentials --------------------------------------------------------------------------------------------------------


def test_the_key_goes_into_its_own_header() -> None:
    signed = azure.credentials(entry(), "secret-key")
    assert signed.headers(0.0) == (("api-key", "secret-key"),)
    assert "secret-key" not in repr(signed)


def test_without_key_and_identity_the_configuration_is_wrong() -> None:
    with pytest.raises(ConfigurationError):
        azure.credentials(entry(), None)


def test_a_client_secret_fetches_a_token_from_the_authority() -> None:
    signed = azure.credentials(
        entry(entra_id=EntraId(tenant_id="t-1", client_id="c-1", client_secret="s-1")), "unused-key"
    )
    assert signed.headers(0.0) is None
    flow = signed.refresh(0.0)
    sent = next(flow)
    assert (str(sent.origin), sent.path) == ("https://login.microsoftonline.com", "/t-1/oauth2/v2.0/token")
    assert parse_qs(sent.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["c-1"],
        "client_secret": ["s-1"],
        "scope": ["https://cognitiveservices.azure.com/.default"],
    }
    answer = b'{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ"}'
    with pytest.raises(StopIteration):
        flow.send(WireResponse(status=200, headers={}, body=answer))
    assert signed.headers(1.0) == (("authorization", "Bearer eyJ"),)


def test_what_a_client_secret_needs_is_listed_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        azure.credentials(entry(entra_id=EntraId(client_secret="s-1")), None)
    assert [problem.path for problem in caught.value.problems] == ["entra_id.tenant_id", "entra_id.client_id"]


def test_a_secret_that_nobody_fetched_is_the_operators_mistake() -> None:
    entra = EntraId(tenant_id="t", client_id="c", client_secret=SecretReference(source="env", name="X"))
    with pytest.raises(ConfigurationError):
        azure.credentials(entry(entra_id=entra), None)


def test_without_a_client_secret_the_machines_identity_signs() -> None:
    signed = azure.credentials(entry(entra_id=EntraId()), None)
    assert isinstance(signed, BlockingCredentials)
    assert signed.headers(0.0) is None


def test_the_machines_identity_is_asked_again_after_a_while_and_after_a_refusal() -> None:
    tokens = iter(["one", "two", "three"])
    identity = MachineIdentity(scope="s", source=lambda scope: f"{scope}-{next(tokens)}")
    as_credentials: Credentials = identity
    identity.refresh_blocking()
    assert as_credentials.headers(100.0) == (("authorization", "Bearer s-one"),)
    assert as_credentials.headers(159.0) == (("authorization", "Bearer s-one"),)
    assert as_credentials.headers(161.0) is None
    identity.refresh_blocking()
    assert as_credentials.headers(161.0) == (("authorization", "Bearer s-two"),)
    identity.invalidate()
    assert as_credentials.headers(162.0) is None
    assert "two" not in repr(identity)


def test_a_failing_identity_is_an_authentication_error() -> None:
    def no_token(_scope: str) -> str:
        raise Authentication("none", source="gateway")

    with pytest.raises(Authentication):
        MachineIdentity(scope="s", source=no_token).refresh_blocking()
