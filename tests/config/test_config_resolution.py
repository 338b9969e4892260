"""What the program gets: shorthands unfolded, shared values handed down, warnings and gaps."""

from datetime import date
from pathlib import Path

import msgspec
import pytest

from caxton_llm.assembly import assemble
from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.config.load import load_file, load_mapping, load_text
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.types import Json

TODAY = date(2026, 11, 22)


def load(text: str, today: date = TODAY) -> Configuration:
    return load_text(text, file="c.yaml", environ={}, today=today)


def warnings(text: str, today: date = TODAY) -> list[str]:
    return [str(warning) for warning in load(text, today).warnings]


def by_name(configuration: Configuration) -> dict[str, Entry]:
    return {entry.name: entry for entry in configuration.all_entries}


def test_one_provider_becomes_one_entry_named_after_it() -> None:
    (entry,) = load("llm: {provider: builtin}").entries
    assert (entry.name, entry.path, entry.settings.name) == ("builtin", "llm", "builtin")
    assert (entry.timeouts, entry.retry) == (Timeouts(), RetryPolicy())


def test_the_short_form_may_have_a_name() -> None:
    assert load("llm: {provider: builtin, name: main}").entries[0].name == "main"


def test_entries_come_in_the_order_of_priority_and_equals_stay_in_the_files() -> None:
    text = "llm:\n  providers:\n" + "".join(
        f"    - {{provider: builtin, name: {name}, priority: {priority}}}\n"
        for name, priority in (("a", 1), ("b", 5), ("c", 1), ("d", -1), ("e", 5))
    )
    configuration = load(text)
    assert [entry.name for entry in configuration.entries] == ["b", "e", "a", "c", "d"]
    assert configuration.default_entry == configuration.entries[0]
    assert configuration.entries[2].path == "llm.providers[0]"


SHARED = """\
llm:
  timeout_seconds: 20
  read_timeout_seconds: 21
  deadline_seconds: 22
  temperature: 0.5
  parameters: strict
  ca_file: pyproject.toml
  retry_policy: {max_attempts: 5, backoff_multiplier: 3}
  retry_delay_ms: 200
  providers:
    - {provider: builtin, name: plain}
    - provider: builtin
      name: own
      timeout_seconds: 1
      temperature: 0
      retry_attempts: 2
      retry_policy: {retry_on_errors: [timeout]}
agents:
  - {name: A, llm: {provider: builtin}}
  - {name: B}
"""


def test_values_beside_the_providers_hold_for_every_entry_and_agent_that_says_nothing_else() -> None:
    entries = by_name(load(SHARED))
    for name in ("plain", "agent:A"):
        assert entries[name].timeouts == Timeouts(attempt_s=20.0, idle_s=21.0, deadline_s=22.0)
        assert entries[name].retry == RetryPolicy(max_attempts=5, initial_delay_ms=200.0, backoff_multiplier=3.0)
        assert entries[name].settings.temperature == 0.5
        assert entries[name].settings.parameters == "strict"
    own = entries["own"]
    assert (own.timeouts.attempt_s, own.timeouts.idle_s, own.settings.temperature) == (1.0, 21.0, 0.0)
    assert own.retry == RetryPolicy(
        max_attempts=2, initial_delay_ms=200.0, backoff_multiplier=3.0, retry_on_errors=("timeout",)
    )


def test_an_agent_without_a_provider_is_served_by_the_others() -> None:
    agents = load(SHARED).agents
    assert agents[0].entry is not None
    assert agents[0].entry.path == "agents[0].llm"
    assert agents[1].entry is None


def test_values_of_the_only_provider_are_not_handed_to_agents() -> None:
    text = "llm: {provider: builtin, temperature: 0.1}\nagents: [{name: A, llm: {provider: builtin}}]"
    assert by_name(load(text))["agent:A"].settings.temperature is None


def test_a_long_first_delay_raises_the_default_cap() -> None:
    assert load("llm: {provider: builtin, retry_delay_ms: 30000}").entries[0].retry.max_delay_ms == 30_000.0


def test_the_models_of_an_entry_come_once_and_the_main_one_first() -> None:
    text = "llm: {provider: ollama, model: a, models: [b, a, c]}"
    entry = load(text).entries[0]
    assert entry.models == ("a", "b", "c")
    assert entry.sent_models == {"a": "a", "b": "b", "c": "c"}
    azure = load("llm: {provider: azure, endpoint: 'https://a.example', deployment_name: d, model: gpt-4o}").entries[0]
    assert azure.sent_models == {"gpt-4o": "gpt-4o", "d": "gpt-4o"}


def test_the_server_has_defaults_for_everything() -> None:
    server = load("server: {}").server
    assert (server.host, server.port, server.workers, server.max_body_bytes) == ("127.0.0.1", 8787, 1, 32 * 1024 * 1024)


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("server: {}", "c.yaml: llm: no provider is configured (for a first try: 'provider: builtin')"),
        ("llm: {provider: openai}", "c.yaml:1: llm.model: is missing: requests need a model to be sent to"),
        (
            "llm: {provider: azure, endpoint: 'https://a.example'}",
            "c.yaml:1: llm.deployment_name: is missing: requests need a model to be sent to",
        ),
        (
            "llm: {provider: builtin, ca_file: /no/such.pem}",
            "c.yaml:1: llm.ca_file: there is no such file: /no/such.pem",
        ),
    ],
)
def test_what_keeps_a_program_from_serving_does_not_keep_the_file_from_loading(text: str, gap: str) -> None:
    assert [str(found) for found in load(text).gaps] == [gap]


@pytest.mark.parametrize("text", ["llm: {provider: builtin}", "llm: {provider: openai, models: [gpt-4o]}"])
def test_a_complete_configuration_has_no_gaps(text: str) -> None:
    assert load(text).gaps == ()


def test_an_unremarkable_configuration_has_no_warnings() -> None:
    assert warnings("llm: {provider: openai, model: gpt-5.4, api_key: k}\nserver: {host: localhost}") == []


@pytest.mark.parametrize(
    ("text", "today", "expected"),
    [
        ("provider: openai, model: gpt-4-turbo", TODAY, "llm.model: gpt-4-turbo was retired on 2026-10-23"),
        (
            "provider: anthropic, models: [claude-3-5-sonnet-20241022]",
            TODAY,
            "llm.models[0]: claude-3-5-sonnet-20241022 was retired on 2025-10-28",
        ),
        ("provider: openai, model: gpt-5", TODAY, "llm.model: gpt-5 will be retired on 2026-12-11"),
        ("provider: openai, model: gpt-5", date(2026, 12, 11), "llm.model: gpt-5 was retired on 2026-12-11"),
        ("provider: openai, model: gpt-6.2-sol", TODAY, "llm.model: gpt-6.2-sol is not in the catalogue"),
        ("provider: openai, model: o3-pro", TODAY, "llm.model: o3-pro answers on OpenAI's Responses API only"),
        (
            "provider: azure, endpoint: 'https://a.example', deployment_name: d",
            TODAY,
            "llm.deployment_name: which model is behind d is not known",
        ),
        (
            "provider: azure, endpoint: 'https://a.example', deployment_name: d, model_facts: {base_model: o3-mini}",
            TODAY,
            "llm.deployment_name: d was retired on 2026-11-19",
        ),
    ],
)
def test_models_that_are_gone_or_unknown_are_warned_about(text: str, today: date, expected: str) -> None:
    (warning,) = warnings(f"llm: {{{text}}}", today)
    assert warning.startswith(f"c.yaml:1: {expected}")


@pytest.mark.parametrize(
    "text",
    [
        "provider: openai, model: gpt-5, api_key: k",
        "provider: anthropic, model: claude-opus-4-5",
        "provider: openai, model: anything, base_url: 'http://localhost:1234/v1'",
        "provider: openai, model: ours, model_facts: {context_window: 9000}",
        "provider: ollama, model: 'llama3.1:8b'",
        "provider: azure, endpoint: 'https://a.example', deployment_name: d, model: gpt-5.4",
    ],
)
def test_models_that_are_well_known_or_nobodys_business_are_not(text: str) -> None:
    assert warnings(f"llm: {{{text}}}", date(2026, 8, 1)) == []


def test_a_custom_provider_takes_address_and_key_where_every_provider_takes_them() -> None:
    text = "llm: {provider: custom, base_url: 'https://a.example', api_key: k, provider_config: {path: /x}}"
    configuration = load(text)
    assert assemble(configuration, [], {}).states
    api = configuration.entries[0].settings.provider_config
    assert api is not None
    assert api.base_url == "https://a.example"


def test_files_are_looked_for_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-1", encoding="utf-8")
    (tmp_path / "ca.pem").write_text("x", encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    data: Json = {"provider": "vllm", "model": "m", "ca_file": "ca.pem", "api_key": {"source": "file", "path": "key"}}
    (tmp_path / "c.yaml").write_bytes(msgspec.json.encode({"llm": data}))
    configuration = resolve_secrets(load_file("../c.yaml", {}), environ={})
    assert configuration.entries[0].settings.api_key == "sk-1"
    assert len(load_mapping({"llm": data}, {}).gaps) == 1
    monkeypatch.chdir(tmp_path)
    assert resolve_secrets(load_mapping({"llm": data}, {}), environ={}).entries[0].settings.api_key == "sk-1"


def test_a_key_over_plain_http_is_warned_about_unless_the_network_is_private() -> None:
    text = "llm: {{provider: vllm, model: m, api_key: k, base_url: 'http://{host}:8000/v1'}}"
    assert "plain http" in warnings(text.format(host="llm.example.com"))[0]
    for host in ("localhost", "10.0.0.7", "192.168.1.5", "127.0.0.1", "vllm", "gpu.internal", "[::1]"):
        assert warnings(text.format(host=host)) == []


CUSTOM = "llm: {{provider: custom, provider_config: {{base_url: '{scheme}://a.example', {rest}}}}}"
AZURE = "llm: {provider: azure, deployment_name: d, model: gpt-5.4, endpoint: 'https://a.example', entra_id: {%s}}"


@pytest.mark.parametrize(
    ("text", "path", "seen"),
    [
        (
            CUSTOM.format(scheme="http", rest="auth_token: t"),
            "llm.provider_config.base_url",
            "the key and all requests",
        ),
        (
            CUSTOM.format(
                scheme="https",
                rest="auth_type: oauth2, token_url: 'http://b.example/t', client_id: i, client_secret: s",
            ),
            "llm.provider_config.token_url",
            "the client's secret",
        ),
        (
            AZURE % "tenant_id: t, client_id: i, client_secret: s, authority: 'http://b.example'",
            "llm.entra_id.authority",
            "the client's secret",
        ),
        (
            "llm: {provider: vllm, model: m, base_url: 'http://a.example', headers: {Authorization: Bearer x}}",
            "llm.base_url",
            "the key and all requests",
        ),
        (
            "llm: {provider: openai, model: gpt-5.4, base_url: 'http://api.openai.com/v1'}",
            "llm.base_url",
            "the key and all requests",
        ),
    ],
)
def test_every_secret_that_goes_over_plain_http_is_warned_about(text: str, path: str, seen: str) -> None:
    assert warnings(text) == [f"c.yaml:1: {path}: plain http: {seen} can be read on the way (use https)"]


def test_plain_http_without_a_secret_is_nobodys_business() -> None:
    assert warnings(CUSTOM.format(scheme="http", rest="auth_type: none")) == []
    assert warnings("llm: {provider: vllm, model: m, base_url: 'http://a.example'}") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llm: {provider: builtin, system_context_limit: 9}", "llm.system_context_limit: has no effect"),
        (
            "agents: [{name: A, llm: {provider: builtin, system_context_limit: 9}}]",
            "agents[0].llm.system_context_limit: has",
        ),
        ("llm: {provider: builtin, timeout_seconds: 300}", "llm.timeout_seconds: is longer than the deadline of 120 s"),
        ("llm: {provider: builtin, auto_upgrade: true}", "llm.auto_upgrade: has no effect without 'model_version'"),
        ("llm: {provider: builtin}\nserver: {host: 0.0.0.0}", "server.host: whoever reaches this address"),
        ("llm: {provider: builtin, caching: {}}", "llm.caching: has no effect in this version"),
        ("llm: {provider: builtin, security: {pii_redaction: true}}", "llm.security.pii_redaction: has no effect"),
        ("llm: {provider: builtin}\nagents: [{name: A, tools: [t]}]", "agents[0].tools: has no effect: there are no"),
        (
            "llm: {provider: builtin}\nmcp: {servers: [{name: s, command: sh}]}\nagents: [{name: A, tools: [t.u]}]",
            "agents[0].tools[0]: there is no server 't'; there is: s",
        ),
        (
            "llm: {provider: builtin}\nagents: [{name: A, memory: {auto_store: true}}]",
            "agents[0].memory.auto_store: has no effect: there is no memory",
        ),
    ],
)
def test_what_an_operator_should_know_is_said(text: str, expected: str) -> None:
    (warning,) = warnings(text)
    assert expected in warning


@pytest.mark.parametrize(
    "text",
    [
        "llm: {provider: builtin, caching: {enabled: false}, security: {audit_logging: false}, compliance: {}}",
        "llm: {providers: [{provider: builtin}], monitoring: {metrics_enabled: true}}",
        "llm: {provider: builtin, timeout_seconds: 300, deadline_seconds: 300}",
    ],
)
def test_what_is_switched_off_or_consistent_is_not_warned_about(text: str) -> None:
    assert warnings(text) == []
