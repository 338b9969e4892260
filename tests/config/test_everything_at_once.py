"""A configuration with mistakes of every kind is told all of them the first time, each with its line."""

from pathlib import Path

import pytest

from caxton_llm.assembly import assemble
from caxton_llm.config.load import load_file
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError

MIXED = """\
llm:
  providers:
    - {name: a, provider: vllm, model: m, base_url: "ftp://a.example"}
    - {name: b, provider: vllm}
    - {name: c, provider: openai, model: m}
    - name: d
      provider: openai
      model: m
      api_key: {source: env, name: NOT_SET}
    - {name: e, provider: vllm, model: m, ca_file: nowhere.pem}
    - name: f
      provider: custom
      provider_config: {base_url: "https://f.example", auth_type: none, finish_map: {x: bogus}}
    - {name: g, provider: vllm, model: m, ca_file: no-pem.txt}
"""

ADAPTERS = """\
llm:
  providers:
    - name: finish
      provider: custom
      provider_config: {base_url: "https://a.example", auth_type: none, finish_map: {x: bogus}}
    - name: header
      provider: custom
      provider_config:
        base_url: https://a.example
        auth_type: api_key
        auth_token: t
        auth_header: bad header
    - {name: authority, provider: vllm, model: m, ca_file: no-pem.txt}
    - name: fields
      provider: custom
      provider_config:
        base_url: https://a.example
        auth_type: none
        prompt_field: a
        model_field: a.b
    - {name: host, provider: vllm, model: m, base_url: "http://\u00e9.\u00e9\u00e9.\u00e9..a"}
agents:
  - name: helper
    llm:
      provider: azure
      endpoint: https://a.openai.azure.com/openai/deployments/d
      api_key: k
      deployment_name: d
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "no-pem.txt").write_text("nothing that a certificate begins with", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def places(path: Path, text: str) -> list[str]:
    """Line and key of everything that keeps the file from being served."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        assemble(load_file(path.name, {}), [], {})
    return [f"{problem.line} {problem.path}" for problem in caught.value.problems]


def test_mistakes_of_every_kind_come_in_one_round(folder: Path) -> None:
    assert places(folder / "c.yaml", MIXED) == [
        "3 llm.providers[0].base_url",
        "4 llm.providers[1].model",
        "5 llm.providers[2].api_key",
        "9 llm.providers[3].api_key",
        "10 llm.providers[4].ca_file",
        "13 llm.providers[5].provider_config.finish_map",
        "14 llm.providers[6].ca_file",
    ]


def test_a_missing_secret_does_not_hide_what_shows_only_when_a_provider_is_made(folder: Path) -> None:
    sound = MIXED.replace("ftp:", "http:")
    (folder / "c.yaml").write_text(sound, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        resolve_secrets(load_file("c.yaml", {}), environ={})
    assert [problem.line for problem in caught.value.problems] == [4, 5, 9, 10, 13, 14]


def test_what_shows_only_when_providers_are_made_names_its_line_for_all_of_them(folder: Path) -> None:
    assert places(folder / "c.yaml", ADAPTERS) == [
        "5 llm.providers[0].provider_config.finish_map",
        "12 llm.providers[1].provider_config.auth_header",
        "13 llm.providers[2].ca_file",
        "20 llm.providers[3].provider_config.model_field",
        "21 llm.providers[4].base_url",
        "26 agents[0].llm.endpoint",
    ]


def test_one_entry_with_several_mistakes_is_told_all_of_them(folder: Path) -> None:
    text = "llm:\n  provider: openai\n  base_url: api.openai.com\n  temperature: 3\n  ca_file: nowhere.pem\n"
    assert places(folder / "c.yaml", text) == [
        "1 llm.model",
        "3 llm.base_url",
        "4 llm.temperature",
        "5 llm.ca_file",
    ]


def test_a_file_that_all_entries_share_is_missed_once(folder: Path) -> None:
    entries = "".join(f"    - {{name: {name}, provider: vllm, model: m}}\n" for name in "abc")
    assert places(folder / "c.yaml", f"llm:\n  ca_file: nowhere.pem\n  providers:\n{entries}") == ["2 llm.ca_file"]


def test_a_misspelt_key_is_not_missed_as_well(folder: Path) -> None:
    text = "llm:\n  provider: openai\n  modle: gpt-5.4\n  api_ky: sk-1\n"
    assert places(folder / "c.yaml", text) == ["3 llm.modle", "4 llm.api_ky"]
