"""Documents that are no configuration at all: each is a mistake with its place, whatever stands in it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.config.load import load_file, load_mapping, load_text
from caxton_llm.errors import ConfigurationError
from caxton_llm.types import Json
from mistaken import TODAY, mistake, mistakes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "caxton.yaml: is empty (a first try: 'llm: {provider: builtin}')"),
        ("# nothing\n", "caxton.yaml: is empty (a first try: 'llm: {provider: builtin}')"),
        ("- a\n", "caxton.yaml:1: the file must be a mapping of keys, found a list"),
        ("hello", "caxton.yaml:1: the file must be a mapping of keys, found 'hello'"),
        (
            "llm:\n\tprovider: x",
            (
                "caxton.yaml:2: not valid YAML: while scanning for the next token found character '\\t' that cannot start"
                " any token (indent with spaces, not with tabs)"
            ),
        ),
        ("llm: {}\n---\nllm: {}", "caxton.yaml:2: not valid YAML: expected a single document in the stream"),
        ("llm: \x07", "caxton.yaml:1: not valid YAML: the character U+0007 is not allowed"),
        ("llm: *nowhere", "caxton.yaml:1: not valid YAML: found undefined alias 'nowhere'"),
        (
            "llm: {api_key: ${KEY}}",
            (
                "caxton.yaml:1: not valid YAML: while parsing a flow mapping expected ',' or '}', but got '{'"
                ' (inside braces or brackets, put "${NAME}" in quotes)'
            ),
        ),
        ("llm: " + "[" * 5000, "caxton.yaml: not usable: nested too deeply"),
    ],
)
def test_a_document_that_cannot_be_read_says_where_and_why(text: str, expected: str) -> None:
    assert mistake(text).startswith(expected)


def test_a_document_that_refers_to_itself_is_refused() -> None:
    assert any("nested too deeply, or refers to itself" in text for text in mistakes("llm: &self {script: *self}"))


def test_aliases_that_multiply_are_cut_off() -> None:
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert any("more than 100,000 values" in text for text in mistakes("\n".join(levels)))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.yaml", None, "cannot be read: No such file or directory"),
        ("latin.yaml", b"llm:\n  provider: builtin\n  # caf\xe9\n", ":3: is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_file(tmp_path, {})


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "caxton.yaml"
    path.write_bytes(b"\xef\xbb\xbfllm: {provider: builtin}")
    assert load_file(path, {}).entries[0].kind == "builtin"


KEYS = [
    "llm",
    "provider",
    "providers",
    "name",
    "model",
    "api_key",
    "source",
    "provider_config",
    "base_url",
    "entra_id",
    "retry_policy",
    "max_attempts",
    "caching",
    "agents",
    "server",
    "headers",
    "model_facts",
    "script",
    "steps",
    "temperature",
    "nonsense",
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["", "openai", "redis", "${A}", "x"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(KEYS), children, max_size=6),
    max_leaves=30,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=6))
def test_any_data_is_either_a_configuration_or_a_configuration_error(data: dict[str, Json]) -> None:
    try:
        words = ["a configuration", *(entry.name for entry in load_mapping(data, {"A": "1"}, today=TODAY).all_entries)]
    except ConfigurationError as error:
        words = [problem.message for problem in error.problems]
    assert words
    assert all(words)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([*"abc:-[]{}&*!|>%@`'\"#\n\t$\0\ufeff ", "llm", "provider", ": ", "\n  ", "${A}", "<<"]))
)
def test_any_text_is_either_a_configuration_or_a_configuration_error(pieces: list[str]) -> None:
    try:
        words = [load_text("".join(pieces), file="c.yaml", environ={}, today=TODAY).file]
    except ConfigurationError as error:
        words = [problem.message for problem in error.problems]
    assert words
    assert all(words)
