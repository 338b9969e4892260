"""The `memory` block: what its keys mean together, what the program gets of it, and that its secrets are treated as such."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import asdict

from caxton_llm.cli.check_secrets import fetch_secrets
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_file, load_mapping, load_text
from caxton_llm.config.memory_configuration import EmbedderSettings, MemoryConfiguration
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.embedders.opening import open_embedder
from caxton_llm.errors import ConfigurationError
from caxton_llm.types import Json

PRIMARY: Json = {"provider": "openai", "name": "primary", "model": "gpt-5.4-mini", "api_key": "planted-key"}


def loaded(memory: Json, *entries: Json, **more: Json) -> Configuration:
    return load_mapping({"llm": {"providers": [*(entries or [PRIMARY])], **more}, "memory": memory}, {})


def memory_of(configuration: Configuration) -> MemoryConfiguration:
    assert configuration.memory is not None
    return configuration.memory


def test_an_empty_block_is_a_memory_with_all_defaults_and_no_block_is_none() -> None:
    memory = memory_of(loaded({}))
    assert memory == MemoryConfiguration(store="sqlite", folder="caxton-memory")
    assert load_mapping({"llm": PRIMARY}, {}).memory is None
    assert loaded({"enabled": False, "embedder": {"type": "openai", "model": "m"}}).memory is None


def test_every_key_arrives_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "caxton.yaml"
    path.write_text("""
llm: {provider: builtin}
memory:
  path: ./kept
  embedder: {type: model2vec, path: model}
  search:
    max_results: 200
    min_similarity: 0.7
    weights: {lexical: 0.5, dense: 0, recency_half_life_days: 2, relations: 0.1}
  retention: {max_age_days: 30, max_records: 1000}
""")
    memory = memory_of(load_file(path, {}))
    assert Path(memory.folder) == tmp_path / "kept"
    assert memory.embedder == EmbedderSettings(type="model2vec", path=str(tmp_path / "model"))
    assert (memory.max_results, memory.candidates, memory.min_similarity) == (200, 200, 0.7)
    assert memory.weights == {"lexical": 0.5, "dense": 0, "recency_half_life_s": 2 * 86_400, "relations": 0.1}
    assert (memory.max_age_s, memory.max_records) == (30 * 86_400, 1000)


@pytest.mark.parametrize(
    ("memory", "key", "message"),
    [
        ({"url": "postgresql://h/d"}, "url", "'store: postgres' only"),
        ({"store": "postgres"}, "url", "is missing"),
        ({"store": "postgres", "url": "postgresql://h/d", "path": "x"}, "path", "'store: sqlite' only"),
        ({"store": "postgres", "url": "mysql://u:planted@h/d"}, "url", "no address of a PostgreSQL database"),
        ({"store": "postgres", "url": {"source": "env"}}, "url.name", "is missing"),
        ({"store": "redis"}, "store", "must be one of"),
        ({"embedder": {"type": "word2vec"}}, "embedder.type", "must be one of"),
        ({"embedder": {"type": "model2vec"}}, "embedder.path", "is missing"),
        ({"embedder": {"type": "model2vec", "path": "/nowhere"}}, "embedder.path", "no such folder"),
        ({"embedder": {"path": "/nowhere"}}, "embedder.path", "not read by an embedder of the type static"),
        ({"embedder": {"type": "ollama"}}, "embedder.model", "is missing"),
        ({"embedder": {"type": "ollama", "model": "m", "path": "x"}}, "embedder.path", "not read by"),
        ({"embedder": {"type": "openai", "modl": "m"}}, "embedder.modl", "unknown key"),
        ({"embedder": {"type": "openai", "model": "m", "provider": "primry"}}, "embedder.provider", "no entry under"),
        ({"embedder": {"type": "ollama", "model": "m", "provider": "primary"}}, "embedder.provider", "cannot ask"),
        (
            {"embedder": {"type": "openai", "model": "m", "provider": "primary", "base_url": "https://a.example"}},
            "embedder.base_url",
            "exclude each other",
        ),
        (
            {"embedder": {"type": "openai", "model": "m", "provider": "primary", "api_key": "planted"}},
            "embedder.api_key",
            "exclude each other",
        ),
        (
            {"embedder": {"type": "openai", "model": "m", "base_url": "https://u:planted@a.example", "api_key": "k"}},
            "embedder.base_url",
            "a user name or a password",
        ),
        ({"embedder": {"type": "ollama", "model": "m", "api_key": "$KEY"}}, "embedder.api_key", "name of a variable"),
        ({"embedder": {"type": "ollama", "model": "m", "batch_size": 0}}, "embedder.batch_size", "at least 1"),
        ({"search": {"candidates": 5}}, "search.candidates", "not be less than max_results (10)"),
        ({"search": {"min_similarity": 7}}, "search.min_similarity", "at most 1"),
        ({"search": {"weights": {"lexical": 0, "dense": 0, "late": 0}}}, "search.weights", "nothing is compared"),
        ({"search": {"weights": {"late": -1}}}, "search.weights.late", "at least 0"),
        ({"retention": {"max_age_days": 0}}, "retention.max_age_days", "more than 0"),
        ({"retention": {"max_records": 0}}, "retention.max_records", "at least 1"),
    ],
    ids=str,
)
def test_a_block_that_cannot_work_is_one_mistake_with_its_place(memory: Json, key: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        resolve_secrets(loaded(memory), environ={})
    (problem,) = raised.value.problems
    assert problem.path == f"memory.{key}"
    assert message in problem.message
    assert "planted" not in str(raised.value)


def test_all_mistakes_are_told_at_once_with_file_line_key_and_how_to_mend_them() -> None:
    text = """\
llm: {provider: builtin}
memory:
  store: postgres
  path: x
  embedder:
    type: openai
    provider: buildin
  search: {candidates: 5}
"""
    with pytest.raises(ConfigurationError) as raised:
        load_text(text, file="caxton.yaml", environ={})
    assert str(raised.value).splitlines() == [
        "caxton.yaml:2: memory.url: is missing (the store postgres needs it: postgresql://user:password@host/name)",
        "caxton.yaml:4: memory.path: 'path' is read with 'store: sqlite' only (remove one of them)",
        "caxton.yaml:5: memory.embedder.model: is missing (an embedder of the type openai needs it)",
        "caxton.yaml:7: memory.embedder.provider: no entry under 'llm' is called 'buildin' (did you mean 'builtin'?)",
        "caxton.yaml:8: memory.search.candidates: must not be less than max_results (10), found 5",
    ]


# -- secrets ----------------------------------------------------------------------------------------------------------------


def test_no_repr_shows_a_secret() -> None:
    memory = {
        "store": "postgres",
        "url": "postgresql://u:planted-url@h/d",
        "embedder": {"type": "ollama", "model": "m", "base_url": "https://o.example", "api_key": "planted-key"},
    }
    configuration = resolve_secrets(loaded(memory), environ={})
    assert memory_of(configuration).url == "postgresql://u:planted-url@h/d"
    server = memory_of(configuration).embedder.server
    assert server is not None
    assert server.api_key == "planted-key"
    assert "planted" not in f"{configuration!r} {configuration.memory!r} {memory_of(configuration).embedder!r}"
    assert pickle.loads(pickle.dumps(configuration)) == configuration


def test_an_embedder_takes_address_key_and_connection_of_the_entry_it_names() -> None:
    entry = {
        **PRIMARY,
        "base_url": "https://llm.example/v1",
        "ca_file": None,
        "api_key": {"source": "env", "name": "K"},
    }
    memory = {"embedder": {"type": "openai", "provider": "primary", "model": "text-embedding-3-small"}}
    settings = memory_of(resolve_secrets(loaded(memory, entry), environ={"K": "fetched"})).embedder
    assert settings.server is not None
    assert (settings.server.base_url, settings.server.api_key) == ("https://llm.example/v1", "fetched")
    assert open_embedder(settings).name == "text-embedding-3-small@openai:llm.example"


def test_a_vllm_entry_serves_an_embedder_too() -> None:
    entry = {"provider": "vllm", "name": "mine", "model": "bge-m3", "base_url": "http://127.0.0.1:8000"}
    memory = {"embedder": {"type": "openai", "provider": "mine", "model": "bge-m3", "dimensions": 64}}
    assert open_embedder(memory_of(loaded(memory, entry)).embedder).name == "bge-m3@openai:127.0.0.1:8000#64"


def test_the_vendors_usual_key_goes_to_the_vendor_only() -> None:
    environ = {"OPENAI_API_KEY": "usual"}
    for base_url, expected in ((None, "usual"), ("https://elsewhere.example/v1", None)):
        embedder = {"type": "openai", "model": "m"} | ({"base_url": base_url} if base_url else {})
        settings = memory_of(resolve_secrets(loaded({"embedder": embedder}), environ=environ)).embedder
        assert settings.server is not None
        assert settings.server.api_key == expected
    with pytest.raises(ConfigurationError, match=r"memory\.embedder\.api_key: is missing"):
        resolve_secrets(loaded({"embedder": {"type": "openai", "model": "m"}}), environ={})


def test_secrets_in_files_count_from_the_folder_and_missing_ones_are_told(tmp_path: Path) -> None:
    for name in ("key", "url"):
        (tmp_path / name).write_text(f"postgresql://{name}\n")
        (tmp_path / name).chmod(0o600)
    path = tmp_path / "caxton.yaml"
    path.write_text(
        "llm: {provider: builtin}\nmemory:\n  store: postgres\n  url: {source: file, path: url}\n"
        "  embedder: {type: ollama, model: m, api_key: {source: file, path: key}}\n"
    )
    memory = memory_of(resolve_secrets(load_file(path, {}), environ={}))
    assert memory.url == "postgresql://url"
    assert memory.embedder.server is not None
    assert memory.embedder.server.api_key == "postgresql://key"
    (tmp_path / "url").unlink()
    with pytest.raises(ConfigurationError, match=r"memory.url: file: the file .* cannot be read"):
        resolve_secrets(load_file(path, {}), environ={})


def test_check_live_tells_of_secrets_of_the_memory_that_a_vault_does_not_give() -> None:
    reference = {"source": "vault", "path": "a/b", "vault_url": "http://127.0.0.1:9"}
    configuration, without = fetch_secrets(loaded({"store": "postgres", "url": reference}))
    assert without == {}
    assert "memory.url" in [warning.path for warning in configuration.warnings]


# -- what an operator should know --------------------------------------------------------------------------------------------


def test_texts_that_go_over_plain_http_are_warned_of() -> None:
    embedder = {"type": "ollama", "model": "m", "base_url": "http://o.example"}
    warned = [warning.path for warning in loaded({"embedder": embedder}).warnings]
    assert "memory.embedder.base_url" in warned
    near = loaded({"embedder": embedder | {"base_url": "http://127.0.0.1:11434"}})
    assert "memory.embedder.base_url" not in [warning.path for warning in near.warnings]


def test_texts_stay_where_data_residency_says() -> None:
    entry = {**PRIMARY, "region": "eu-west-1"}
    there = {"type": "openai", "provider": "primary", "model": "m"}
    elsewhere = {"type": "ollama", "model": "m"}
    compliance = {"data_residency": "eu"}
    assert loaded({"embedder": there}, entry, compliance=compliance).gaps == ()
    (gap,) = loaded({"embedder": elsewhere}, entry, compliance=compliance).gaps
    assert gap.path == "memory.embedder"
    assert "not known to be in eu" in gap.message


def test_the_defaults_of_weights_are_those_of_the_scoring() -> None:
    from caxton_llm.memory.scoring import Weights

    given = memory_of(loaded({"search": {"weights": {"lexical": 1, "late": 2, "recency_half_life_days": 1}}})).weights
    assert set(given) <= set(asdict(Weights()))


def test_a_configuration_with_a_memory_is_read_without_what_a_memory_needs() -> None:
    code = """
import sys
from caxton_llm.config.load import load_mapping
load_mapping({"llm": {"provider": "builtin"}, "memory": {"embedder": {"type": "ollama", "model": "m"}}}, {})
print([name for name in ("numpy", "sqlite3", "tokenizers", "caxton_llm.embedders") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert run.stdout.strip() == "[]"
