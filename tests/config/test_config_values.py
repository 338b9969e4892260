"""How values are read: the environment, quotes, dates, numbers, shared blocks."""

import pytest

from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_mapping, load_text
from caxton_llm.errors import ConfigurationError


def load(text: str, **environ: str) -> Configuration:
    return load_text(text, environ=environ)


def settings_of(*lines: str, **environ: str) -> dict[str, object]:
    text = "".join(f"  {line}\n" for line in ("provider: ollama", *lines))
    settings = load(f"llm:\n{text}", **environ).entries[0].settings
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


@pytest.mark.parametrize(
    ("written", "environ", "expected"),
    [
        ("'${KEY}'", {"KEY": "k"}, "k"),
        ("'a-${A}-${B}'", {"A": "1", "B": "2"}, "a-1-2"),
        ("'${KEY:-other}'", {}, "other"),
        ("'${KEY:-other}'", {"KEY": ""}, "other"),
        ("'${KEY:-}'", {}, ""),
        ("'${KEY:-a:b-c}'", {}, "a:b-c"),
        ("'${KEY}'", {"KEY": "12345"}, "12345"),
        ("'${KEY}'", {"KEY": "true"}, "true"),
        ("'${KEY}'", {"KEY": "${NOT_REPLACED_AGAIN}"}, "${NOT_REPLACED_AGAIN}"),
        ("'$${KEY}'", {}, "${KEY}"),
        ("'$$${KEY}'", {"KEY": "k"}, "$${KEY}"),
        ("'$5 {x} $'", {}, "$5 {x} $"),
    ],
)
def test_references_to_the_environment_are_replaced(written: str, environ: dict[str, str], expected: str) -> None:
    assert settings_of(f"model: {written}", **environ)["model"] == expected


@pytest.mark.parametrize("written", ["${}", "${KEY", "${1A}", "${A:-${B}}", "${A-b}", "${A B}"])
def test_a_reference_that_cannot_be_read_is_an_error(written: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the reference"):
        load(f"llm:\n  provider: ollama\n  model: '{written}'")


def test_every_unset_variable_is_named_with_its_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("llm:\n  provider: ollama\n  model: ${A}\n  api_key: ${B}${C}\n")
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (3, "the environment variable A is not set"),
        (4, "the environment variable B is not set"),
        (4, "the environment variable C is not set"),
    ]


@pytest.mark.parametrize("quote", ["", "'"])
def test_a_number_or_a_switch_may_come_from_the_environment(quote: str) -> None:
    values = settings_of(
        f"max_tokens: {quote}${{N:-4096}}{quote}",
        f"temperature: {quote}${{T}}{quote}",
        f"gpu_acceleration: {quote}${{G}}{quote}",
        T="0.5",
        G="true",
    )
    assert (values["max_tokens"], values["temperature"], values["gpu_acceleration"]) == (4096, 0.5, True)


def test_a_key_made_of_digits_stays_text() -> None:
    values = settings_of("api_key: ${KEY}", "model: 4", KEY="0042")
    assert (values["api_key"], values["model"]) == ("0042", "4")


def test_a_date_stays_the_text_that_it_looks_like() -> None:
    azure = load("llm: {provider: azure, endpoint: 'https://a.example', api_version: 2024-10-21}").entries[0]
    assert azure.settings.api_version == "2024-10-21"


@pytest.mark.parametrize(("written", "expected"), [("1e-1", 0.1), ("1", 1.0), ("0.7", 0.7), ("2e0", 2.0)])
def test_numbers_may_be_written_in_every_usual_way(written: str, expected: float) -> None:
    assert settings_of(f"temperature: {written}")["temperature"] == expected


@pytest.mark.parametrize(("written", "expected"), [("5m", "5m"), ("300", 300), ("-1", -1), ("'300'", "300")])
def test_a_key_that_takes_text_or_a_number_keeps_which_it_was(written: str, expected: object) -> None:
    assert settings_of(f"keep_alive: {written}")["keep_alive"] == expected


def test_an_empty_value_is_as_good_as_none() -> None:
    configuration = load("llm:\n  provider: builtin\n  caching:\n  name:\nserver:\n")
    assert configuration.caching is None
    assert configuration.entries[0].name == "builtin"
    assert configuration.server.port == 8787


def test_fields_of_other_peoples_apis_keep_their_shape() -> None:
    extra = settings_of("extra_body: {a: [1, 2.5, null, {b: true}], '${x}': '${V}'}", V="v")["extra_body"]
    assert extra == {"a": [1, 2.5, None, {"b": True}], "${x}": "v"}


def test_blocks_can_be_shared_by_anchors_and_merge_keys() -> None:
    text = """\
llm:
  providers:
    - &first {name: a, provider: openai, model: gpt-4o, api_key: "${KEY}", timeout_seconds: 5}
    - <<: *first
      name: b
      timeout_seconds: 7
"""
    first, second = load(text, KEY="k").entries
    assert (second.name, second.models, second.settings.api_key) == ("b", ("gpt-4o",), "k")
    assert (first.timeouts.attempt_s, second.timeouts.attempt_s) == (5.0, 7.0)


def test_a_merge_key_takes_mappings_only() -> None:
    with pytest.raises(ConfigurationError, match="'<<' takes a mapping or a list of mappings"):
        load("llm:\n  <<: [a]\n  provider: builtin\n")


@pytest.mark.parametrize("tag", ["!env KEY", "!!python/object/apply:os.system [echo]", "!!binary aGk="])
def test_no_tag_makes_anything(tag: str) -> None:
    with pytest.raises(ConfigurationError):
        load(f"llm:\n  provider: builtin\n  model: {tag}\n")


def test_data_in_memory_is_read_like_a_file() -> None:
    data = {"llm": {"provider": "openai", "model": "gpt-4o", "models": ("a", "b"), "api_key": "${KEY}"}}
    entry = load_mapping(data, {"KEY": "k"}).entries[0]
    assert (entry.models, entry.settings.api_key) == (("gpt-4o", "a", "b"), "k")


def test_no_secret_is_in_the_repr_of_anything() -> None:
    text = """\
llm:
  provider: custom
  headers: {X-Key: hunter2}
  proxy: http://user:hunter2@p.example
  extra_body: {key: hunter2}
  provider_config: {base_url: https://a.example, auth_token: hunter2}
agents: [{name: A, llm: {provider: openai, api_keys: [hunter2]}}, {name: B, llm: {provider: openai, api_key: hunter2}}]
"""
    configuration = load(text)
    shown = repr(configuration) + repr(configuration.entries) + repr(configuration.agents)
    assert "agent:A" in shown
    assert "hunter2" not in shown
