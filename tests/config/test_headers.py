"""Headers that a configuration asks for: what cannot be sent is refused at the start, and no request carries one twice."""

import sys

import pytest

from caxton_llm.assembly import assemble
from caxton_llm.config.load import load_text
from caxton_llm.config.offline import offline_sources
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError

CUSTOM = "provider: custom, provider_config: {base_url: 'https://a.example', auth_token: t, auth_type: %s}"


def refused(entry: str) -> list[str]:
    """Key and message of everything that is wrong with an entry; secrets that are kept elsewhere are not fetched."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_secrets(load_text(f"llm: {{{entry}}}", environ={}), environ={}, sources=offline_sources({}))
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ("provider: openai, model: m, api_key: k, organization: Z\u00fcrich", "llm.organization"),
        ("provider: openai, model: m, api_key: k, project: 'p\u00e9'", "llm.project"),
        ("provider: anthropic, model: m, api_key: k, anthropic_beta: [ok, '\u00e9']", "llm.anthropic_beta[1]"),
        ('provider: anthropic, model: m, api_key: k, anthropic_version: "a\\nb"', "llm.anthropic_version"),
    ],
)
def test_a_value_that_no_header_can_have_is_refused(entry: str, path: str) -> None:
    assert refused(entry) == [f"{path}: is sent as a header: the value of a header must be printable ASCII text"]


@pytest.mark.parametrize(
    ("entry", "header", "key"),
    [
        ("provider: openai, model: m, api_key: k", "Authorization", "api_key"),
        ("provider: vllm, model: m, api_keys: [k]", "authorization", "api_keys"),
        ("provider: ollama, model: m, api_key: k", "authorization", "api_key"),
        ("provider: anthropic, model: m, api_key: k", "X-Api-Key", "api_key"),
        ("provider: azure, deployment_name: d, endpoint: 'https://a.example', api_key: k", "api-key", "api_key"),
        (CUSTOM % "bearer", "authorization", "provider_config.auth_type"),
        (CUSTOM % "api_key", "x-api-key", "provider_config.auth_type"),
    ],
)
def test_a_key_and_the_header_that_carries_it_exclude_each_other(entry: str, header: str, key: str) -> None:
    assert refused(f"{entry}, headers: {{{header}: zzz}}") == [
        f"llm.headers.{header}: this header is sent for {key!r} already"
    ]


def test_a_header_that_every_request_has_cannot_be_configured() -> None:
    (problem,) = refused("provider: openai, model: m, api_key: k, headers: {Content-Type: text/plain}")
    assert problem == "llm.headers.Content-Type: this header is set for every request and cannot be configured"
    (problem,) = refused((CUSTOM % "api_key").replace("auth_token: t", "auth_token: t, auth_header: Host"))
    assert problem.startswith("llm.provider_config.auth_header: this header is set for every request")


@pytest.mark.parametrize(
    "entry",
    [
        "provider: openai, model: m, headers: {Authorization: Bearer zzz}",
        "provider: anthropic, model: m, headers: {x-api-key: zzz}",
        "provider: azure, deployment_name: d, endpoint: 'https://a.example', headers: {api-key: zzz}",
    ],
)
def test_a_configured_header_takes_the_place_of_the_key_in_the_vendors_variable(entry: str) -> None:
    environ = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY"), "sk-1")
    configuration = resolve_secrets(load_text(f"llm: {{{entry}}}", environ={}), environ=environ)
    assert configuration.entries[0].settings.api_key is None
    assert assemble(load_text(f"llm: {{{entry}}}", environ={}), [], {}).states


def test_an_identity_that_needs_a_package_which_is_not_there_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    monkeypatch.setitem(sys.modules, "hvac", None)
    azure = "provider: azure, deployment_name: d, endpoint: 'https://a.example'"
    assert refused(f"{azure}, entra_id: {{}}") == ["llm.entra_id: needs Microsoft's library, or client_secret"]
    assert refused(f"{azure}, api_key: {{source: vault, path: p}}") == [
        "llm.api_key: vault: the package 'hvac' is not installed"
    ]
