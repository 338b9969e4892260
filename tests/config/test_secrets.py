"""Secrets are fetched when the program starts, and every failure names the reference, never the value."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_text
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError


def resolved(text: str, environ: Mapping[str, str] | None = None) -> Configuration:
    return resolve_secrets(load_text(text, file="c.yaml", environ={}), environ=environ or {})


def key_of(text: str, environ: Mapping[str, str] | None = None) -> object:
    return resolved(text, environ).entries[0].settings.api_key


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        resolved(text, environ)
    return [str(problem) for problem in caught.value.problems]


def test_a_key_in_the_file_stays_what_it_is_without_the_space_around_it() -> None:
    assert key_of("llm: {provider: openai, model: gpt-4o, api_key: ' sk-1 '}") == "sk-1"


def test_a_reference_to_the_environment_is_followed() -> None:
    text = "llm: {provider: openai, model: gpt-4o, api_key: {source: env, name: MY_KEY}}"
    assert key_of(text, {"MY_KEY": "sk-1\n"}) == "sk-1"
    assert problems(text) == ["c.yaml:1: llm.api_key: env: the environment variable MY_KEY is not set"]


def test_a_file_is_read_and_one_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1\n", encoding="utf-8")
    path.chmod(0o600)
    text = f"llm: {{provider: openai, model: gpt-5.4, api_key: {{source: file, path: {path}}}}}"
    configuration = resolved(text)
    assert configuration.entries[0].settings.api_key == "sk-1"
    assert configuration.warnings == ()
    path.chmod(0o644)
    (warning,) = resolved(text).warnings
    assert str(warning) == (f"c.yaml:1: llm.api_key: others may read the file {path} (mode 0644) (chmod 600)")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b" \n", "the secret is empty"),
        (b"hunter2\nhunter3", "contains a character that no header may contain (the value is not shown)"),
    ],
)
def test_a_file_without_a_usable_secret_is_named(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    (problem,) = problems(f"llm: {{provider: openai, model: m, api_key: {{source: file, path: {path}}}}}")
    assert problem.startswith("c.yaml:1: llm.api_key: file: the ")
    assert expected in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("entry", "variable"),
    [
        ("provider: openai, model: m", "OPENAI_API_KEY"),
        ("provider: openai, model: m, base_url: 'https://api.openai.com/v1'", "OPENAI_API_KEY"),
        ("provider: openai, model: m, base_url: 'https://eu.api.openai.com/v1'", "OPENAI_API_KEY"),
        ("provider: anthropic, model: m", "ANTHROPIC_API_KEY"),
        ("provider: azure, deployment_name: d, endpoint: 'https://a.openai.azure.com'", "AZURE_OPENAI_API_KEY"),
        ("provider: ollama, model: m, base_url: 'https://ollama.com'", "OLLAMA_API_KEY"),
    ],
)
def test_an_entry_without_a_key_gets_the_one_of_its_vendors_variable(entry: str, variable: str) -> None:
    assert key_of(f"llm: {{{entry}}}", {variable: "sk-1"}) == "sk-1"


@pytest.mark.parametrize(
    "entry",
    [
        "provider: openai, model: m, base_url: 'https://llm.example.com/v1'",
        "provider: openai, model: m, base_url: 'https://api.openai.com.example.com/v1'",
        "provider: anthropic, model: m, base_url: 'http://localhost:8000'",
        "provider: ollama, model: m",
        "provider: ollama, model: m, base_url: 'http://gpu:11434'",
        "provider: vllm, model: m, base_url: 'http://gpu:8000'",
        "provider: azure, deployment_name: d, endpoint: 'https://a.example', entra_id: {}",
        "provider: builtin",
    ],
)
def test_a_vendors_key_is_never_sent_anywhere_else(entry: str) -> None:
    environ = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "OLLAMA_API_KEY"), "sk-1")
    assert key_of(f"llm: {{{entry}}}", environ) is None


@pytest.mark.parametrize("written", ["", ", api_key: ''", ", api_key: '${NOT_SET:-}'"])
def test_a_missing_key_says_where_it_may_come_from(written: str) -> None:
    assert problems(f"llm: {{provider: openai, model: m{written}}}") == [
        "c.yaml:1: llm.api_key: is missing (write api_key, or set the environment variable OPENAI_API_KEY)"
    ]


def test_a_variable_with_a_broken_key_is_named() -> None:
    (problem,) = problems("llm: {provider: openai, model: m}", {"OPENAI_API_KEY": "hunter2\nhunter3"})
    assert "the environment variable OPENAI_API_KEY contains a character that no header may contain" in problem
    assert "hunter2" not in problem


def test_everything_that_keeps_the_program_from_serving_is_reported_at_once() -> None:
    text = """\
llm:
  providers:
    - {provider: openai, name: a}
    - {provider: anthropic, name: b, model: m, api_key: {source: env, name: B_KEY}}
    - {provider: azure, name: c, endpoint: "https://a.example", deployment_name: d}
agents:
  - {name: A, llm: {provider: anthropic, model: m}}
"""
    assert [problem.partition(" (")[0] for problem in problems(text)] == [
        "c.yaml:3: llm.providers[0].model: is missing: requests need a model to be sent to",
        "c.yaml:3: llm.providers[0].api_key: is missing",
        "c.yaml:4: llm.providers[1].api_key: env: the environment variable B_KEY is not set",
        "c.yaml:5: llm.providers[2].api_key: is missing",
        "c.yaml:7: agents[0].llm.api_key: is missing",
    ]


def test_all_secrets_of_an_entry_are_replaced_also_an_agents() -> None:
    text = """\
llm:
  provider: custom
  provider_config:
    base_url: https://a.example
    auth_type: oauth2
    token_url: https://a.example/token
    client_id: c
    client_secret: {source: env, name: KEY}
agents:
  - name: A
    llm:
      provider: azure
      endpoint: https://a.example
      deployment_name: d
      entra_id: {tenant_id: t, client_id: c, client_secret: {source: env, name: KEY}}
"""
    configuration = resolved(text, {"KEY": "s-1"})
    custom, azure = (entry.settings for entry in configuration.all_entries)
    assert custom.provider_config is not None
    assert custom.provider_config.client_secret == "s-1"
    assert azure.entra_id is not None
    assert (azure.entra_id.client_secret, azure.api_key) == ("s-1", None)


def test_the_first_of_several_keys_is_the_key() -> None:
    text = "llm: {provider: openai, model: m, api_keys: [{source: env, name: A}, k2]}"
    settings = resolved(text, {"A": "k1"}).entries[0].settings
    assert (settings.api_key, settings.api_keys) == ("k1", ("k1", "k2"))


def test_a_secret_that_several_entries_share_is_read_once() -> None:
    class Counting:
        def __init__(self) -> None:
            self.read_references: list[Mapping[str, str]] = []

        def read(self, reference: Mapping[str, str]) -> str:
            self.read_references.append(reference)
            return "k"

    source = Counting()
    reference = "api_key: {source: vault, path: p, key: k}"
    text = "llm:\n  providers:\n" + "".join(
        f"    - {{provider: openai, model: m, name: {n}, {reference}}}\n" for n in "ab"
    )
    configuration = resolve_secrets(load_text(text, environ={}), environ={}, sources={"vault": source})
    assert [entry.settings.api_key for entry in configuration.entries] == ["k", "k"]
    assert source.read_references == [{"source": "vault", "mount": "secret", "path": "p", "key": "k"}]
