"""Mistakes in configurations: all of them at once, each with its place, and never with a secret."""

import pytest

from caxton_llm.config.load import load_mapping, load_text, load_tool_text
from caxton_llm.errors import ConfigurationError
from caxton_llm.types import Json
from mistaken import mistake, mistakes


def one_entry(*lines: str, provider: str = "openai") -> str:
    """An entry with these lines, and below them what it needs besides."""
    needed = {"model": "gpt-5.4", "api_key": "sk-1"} if provider == "openai" else {}
    written = {line.partition(":")[0] for line in lines}
    rest = [f"{key}: {value}" for key, value in needed.items() if key not in written]
    return "\n".join([f"llm:\n  provider: {provider}", *(f"  {line}" for line in (*lines, *rest))])


MANY = """\
llm:
  providers:
    - name: one
      provider: opnai
      base_url: ftp://a.example
    - name: two
      provider: openai
      modle: gpt-4o
      temperature: 3
      max_tokens: many
      api_key: ${NOT_SET}
      base_url: api.openai.com/v1
      gpu_acceleration: true
      retry_policy: {max_attempts: 0, retry_on_errors: [timeout, sever_error]}
    - name: two
      provider: anthropic
      timeout_seconds: -1
  caching: {backend: redis, cache_backend: disk}
  host: 0.0.0.0
server:
  port: 99999
agent: []
"""


def test_all_mistakes_are_reported_at_once_with_file_line_and_key() -> None:
    assert mistakes(MANY) == [
        "caxton.yaml:4: llm.providers[0].provider: there is no provider 'opnai' (did you mean 'openai'?)",
        "caxton.yaml:5: llm.providers[0].base_url: is not an http or https address",
        "caxton.yaml:8: llm.providers[1].modle: unknown key 'modle' (did you mean 'model'?)",
        "caxton.yaml:9: llm.providers[1].temperature: must be at most 2, found 3",
        "caxton.yaml:10: llm.providers[1].max_tokens: must be a whole number, found 'many'",
        (
            "caxton.yaml:11: llm.providers[1].api_key: the environment variable NOT_SET is not set"
            " (set it, or write ${NOT_SET:-default})"
        ),
        (
            "caxton.yaml:12: llm.providers[1].base_url: is not an http or https address"
            " (put http:// or https:// in front of it)"
        ),
        (
            "caxton.yaml:13: llm.providers[1].gpu_acceleration: 'gpu_acceleration' applies only to ollama;"
            " this provider is openai"
        ),
        "caxton.yaml:14: llm.providers[1].retry_policy.max_attempts: must be at least 1, found 0",
        (
            "caxton.yaml:14: llm.providers[1].retry_policy.retry_on_errors[1]:"
            " must be one of rate_limit, server_error, timeout; found 'sever_error' (did you mean 'server_error'?)"
        ),
        (
            "caxton.yaml:15: llm.providers[2]: two providers are called 'two', the first in line 6"
            " (give each a 'name' of its own)"
        ),
        "caxton.yaml:15: llm.providers[2].model: is missing: requests need a model to be sent to",
        (
            "caxton.yaml:15: llm.providers[2].api_key: is missing"
            " (write api_key, or set the environment variable ANTHROPIC_API_KEY)"
        ),
        "caxton.yaml:17: llm.providers[2].timeout_seconds: must be more than 0, found -1",
        (
            "caxton.yaml:18: llm.caching.cache_backend: 'backend' is redis and 'cache_backend' is disk"
            " (they are two names of one key: give one of them)"
        ),
        "caxton.yaml:19: llm.host: unknown key 'host' ('host' belongs under 'server')",
        "caxton.yaml:21: server.port: must be at most 65535, found 99999",
        "caxton.yaml:22: agent: unknown key 'agent' (did you mean 'agents'?)",
    ]


def test_a_key_given_twice_is_an_error_that_names_both_lines() -> None:
    text = one_entry("model: a", "model: b")
    assert mistake(text) == "caxton.yaml:4: llm.model: the key is given twice, first in line 3"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("model: true", "must be text, found true (put it in quotes if the word itself is meant)"),
        ("models: gpt-4o", "must be a list, found 'gpt-4o' (write a list: [first, second])"),
        ("headers: [a]", "must be a mapping of keys, found a list"),
        ("auto_upgrade: 1", "must be true or false, found 1"),
        ("max_tokens: 2.5", "must be a whole number, found 2.5"),
        ("max_tokens: '100'", "must be a whole number, found '100'"),
        ("temperature: .nan", "must be a number, found .nan"),
        ("top_p: 1.5", "must be at most 1, found 1.5"),
        ("timeout_seconds: 0", "must be more than 0, found 0"),
        ("deadline_seconds:", "ok"),
        ("model_facts: 8192", "must be a mapping of keys, found 8192"),
        ("retry_policy: []", "must be a mapping of keys, found a list"),
        ("parameters: Strict", "must be one of lenient, strict; found 'Strict' (did you mean 'strict'?)"),
        ("weight: -1", "must be at least 0, found -1"),
        ("models: [a, [b]]", "must be text, found a list"),
        ("api_key: [sk-very-secret]", "must be text or a mapping with the key 'source', found a list"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_was_expected_and_found(line: str, expected: str) -> None:
    if expected == "ok":
        assert load_text(one_entry(line), environ={}).entries
    else:
        assert mistake(one_entry(line)).partition(": llm.")[2].partition(": ")[2] == expected


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("temprature", "did you mean 'temperature'?"),
        ("Model", "did you mean 'model'?"),
        ("timeout", "did you mean 'timeout_seconds'?"),
        ("workers", "'workers' belongs under 'server'"),
        ("ttl_seconds", "'ttl_seconds' belongs under 'llm.caching'"),
        ("agents", "'agents' belongs at the top of the file"),
    ],
)
def test_an_unknown_key_comes_with_the_nearest_known_one(key: str, hint: str) -> None:
    assert mistake(one_entry(f"{key}: 1")) == f"caxton.yaml:3: llm.{key}: unknown key {key!r} ({hint})"


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("memory: {data_dir: x}", "did you mean 'path'?"),
        ("context: {conversations: {path: x}}", "did you mean 'data_dir'?"),
        ("mcp: {server: []}", "did you mean 'servers'?"),  # not the block at the top of the file
        ("mcpServers: {}", "did you mean 'mcp: {servers: [...]}'?"),
        ("agents: [{name: a, model: x}]", "did you mean 'llm: {provider: ..., model: ...}'?"),
        ("agents: [{name: a, context: {max_tokens: 3}}]", "did you mean 'budget'?"),
        ("context: {max_tokens: 3}", "did you mean 'budget'?"),
    ],
)
def test_a_key_that_is_called_otherwise_in_its_block_is_not_sent_to_another_block(written: str, hint: str) -> None:
    assert mistake(f"llm: {{provider: builtin}}\n{written}").endswith(f" ({hint})")


def test_missing_keys_are_named_with_the_line_of_their_block() -> None:
    text = "llm:\n  providers:\n    - name: a\n      model: x\nagents:\n  - capabilities: [b]\n"
    assert mistakes(text) == [
        "caxton.yaml:3: llm.providers[0].provider: is missing",
        "caxton.yaml:6: agents[0].name: is missing",
    ]


def test_a_wrong_value_does_not_count_as_missing_too() -> None:
    text = one_entry("api_key: {source: vualt}")
    assert mistake(text).endswith("found 'vualt' (did you mean 'vault'?)")
    custom = one_entry("provider_config: {base_url: 'https://a.example', auth_token: '${NOT_SET}'}", provider="custom")
    assert mistake(custom) == (
        "caxton.yaml:3: llm.provider_config.auth_token: the environment variable NOT_SET is not set"
        " (set it, or write ${NOT_SET:-default})"
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("localhost:8000", "is not an http or https address (put http:// or https:// in front of it)"),
        ("ftp://a.example", "is not an http or https address"),
        ("https://", "has no host"),
        ("https://a.example:port", "is not a valid address"),
        ("https://a.example:70000", "is not a valid address"),
        ("https://[::1", "is not a valid address"),
        ("https://user:hunter2@a.example", "contains a user name or a password"),
        ("https://a.example/v1?key=hunter2", "must end with the path"),
        ("'https://a.example/ v1'", "is not a valid address"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_quoted(address: str, expected: str) -> None:
    text = mistake(one_entry(f"base_url: {address}"))
    assert f"llm.base_url: {expected}" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("address", ["http://localhost:11434", "https://[::1]:8000/v1", "https://a.example/llm/v1/"])
def test_usual_addresses_are_accepted(address: str) -> None:
    assert load_text(one_entry(f"base_url: '{address}'"), environ={}).entries[0].settings.base_url == address


@pytest.mark.parametrize(
    ("lines", "provider", "expected"),
    [
        (["endpoint: https://a.example"], "openai", "llm.endpoint: 'endpoint' applies only to azure"),
        (["organization: o"], "anthropic", "llm.organization: 'organization' applies only to openai"),
        (["script: {steps: []}", "keep_alive: 5m"], "openai", "llm.keep_alive: 'keep_alive' applies only to ollama"),
        (["deployment_name: d"], "azure", "llm.endpoint: is missing (the address of the resource"),
        (["model: m"], "custom", "llm.provider_config: is missing (how to speak to the API)"),
        (["transport: lean", "proxy: http://p:1"], "openai", "llm.proxy: 'proxy' needs 'transport: aiohttp'"),
        (["client_key: k.pem"], "openai", "llm.client_key: 'client_key' goes with 'client_cert', which is missing"),
        (["headers: {Host: a}"], "openai", "llm.headers.Host: this header is set for every request"),
        (["headers: {'a b': c}"], "openai", "llm.headers.a b: is not the name of a header"),
        (['headers: {X-A: "b\\nc"}'], "openai", "llm.headers.X-A: the value of a header must be printable ASCII text"),
        (["name: my entry"], "openai", "llm.name: a name has letters, digits and . _ / @ + - only"),
        (["name: default"], "openai", "llm.name: the name 'default' is taken"),
        (["name: ''"], "openai", "llm.name: a name must not be empty"),
        (
            ["retry_attempts: 2", "retry_policy: {max_attempts: 3}"],
            "openai",
            "llm.retry_attempts: 'retry_attempts' is 2 and 'retry_policy.max_attempts' is 3",
        ),
        (
            ["retry_policy: {initial_delay_ms: 500, max_delay_ms: 100}"],
            "openai",
            "llm.retry_policy.max_delay_ms: must not be shorter than initial_delay_ms (500), found 100",
        ),
        (
            ["model_facts: {input_usd_per_million: 1}"],
            "openai",
            "llm.model_facts.input_usd_per_million: 'input_usd_per_million' goes with 'output_usd_per_million'",
        ),
        (["api_key: a", "api_keys: [b]"], "openai", "llm.api_keys: 'api_key' and 'api_keys' exclude each other"),
        (
            ["endpoint: https://a.example", "api_key: a", "entra_id: {}"],
            "azure",
            "llm.entra_id: 'entra_id' and a key exclude each other",
        ),
        (
            ["endpoint: https://a.example", "entra_id: {client_secret: s, client_id: c}"],
            "azure",
            "llm.entra_id.tenant_id: is missing (it goes with 'client_secret')",
        ),
        (["api_key: $OPENAI_API_KEY"], "openai", "llm.api_key: this is the name of a variable, not a key"),
        (['api_key: "sk-1\\nsk-2"'], "openai", "llm.api_key: contains a character that no header may contain"),
        (["api_key: {source: env}"], "openai", "llm.api_key.name: is missing (the source env needs it)"),
        (["api_key: {source: aws_secrets}"], "openai", "llm.api_key.secret_name: is missing"),
        (
            ["api_key: {source: file, path: k, key: a}"],
            "openai",
            "llm.api_key.key: 'key' is not read by the source file",
        ),
        (
            ["api_key: {source: azure_keyvault, vault_url: my-vault, secret_name: s}"],
            "openai",
            "llm.api_key.vault_url: is not an http or https address",
        ),
        (["model: m", "provider_config: {}"], "custom", "llm.provider_config.base_url: is missing"),
        (
            ["provider_config: {base_url: 'https://a.example'}"],
            "custom",
            "llm.provider_config.auth_token: is missing (auth_type bearer sends it; 'auth_type: none' sends nothing)",
        ),
        (
            ["provider_config: {base_url: 'https://a.example', auth_type: none, scope: s}"],
            "custom",
            "llm.provider_config.scope: 'scope' is read only with 'auth_type: oauth2'",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(lines: list[str], provider: str, expected: str) -> None:
    assert any(expected in text for text in mistakes(one_entry(*lines, provider=provider)))


def test_oauth2_says_everything_that_it_needs() -> None:
    text = one_entry("provider_config: {base_url: 'https://a.example', auth_type: oauth2}", provider="custom")
    assert [line.partition(" is missing")[0] for line in mistakes(text)] == [
        f"caxton.yaml:3: llm.provider_config.{key}:" for key in ("token_url", "client_id", "client_secret")
    ]


def test_keys_of_one_provider_cannot_stand_beside_several() -> None:
    text = "llm:\n  provider: openai\n  api_key: k\n  timeout_seconds: 5\n  providers:\n    - provider: builtin\n"
    assert mistakes(text) == [
        f"caxton.yaml:{line}: llm.{key}: {key!r} cannot stand beside 'providers' (move it into an item of 'providers')"
        for line, key in ((2, "provider"), (3, "api_key"))
    ]


def test_an_empty_chain_and_an_entry_without_a_provider_are_mistakes() -> None:
    assert mistake("llm: {providers: []}") == "caxton.yaml:1: llm.providers: the list of providers is empty"
    assert mistake("llm: {model: gpt-4o}") == (
        "caxton.yaml:1: llm.provider: is missing ('model' needs to know whose it is)"
    )


def test_entries_of_one_provider_need_names_of_their_own() -> None:
    text = "llm:\n  providers:\n    - provider: builtin\n    - provider: builtin\n"
    assert "two providers are called 'builtin', the first in line 3" in mistake(text)


def test_agents_are_checked_like_entries() -> None:
    text = (
        "agents:\n"
        "  - {name: A, llm: {provider: vllm, model: m, name: x, keep_alive: 5m}}\n"
        "  - {name: A, capabilities: [code analysis]}\n"
    )
    assert mistakes(text) == [
        "caxton.yaml:2: agents[0].llm.name: an agent's provider has no name of its own (remove it)",
        "caxton.yaml:2: agents[0].llm.keep_alive: 'keep_alive' applies only to ollama; this provider is vllm",
        "caxton.yaml:3: agents[1].capabilities[0]: a name has letters, digits and . _ / @ + - only",
        "caxton.yaml:3: agents[1]: two agents are called 'A', the first in line 2 (give each a 'name' of its own)",
    ]


def test_a_tools_document_is_not_taken_for_a_configuration() -> None:
    assert mistake("context_requirements: {}") == (
        "caxton.yaml:1: context_requirements: this is a tool's context specification, not a configuration"
    )


def test_mistakes_in_a_tools_document_are_reported_in_the_same_way() -> None:
    text = (
        "context_requirements:\n  conversation_dept: 1\n  provider_optimization:\n    opnai: {max_context_tokens: 0}\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_tool_text(text, file="tool.yaml", environ={})
    assert [str(problem) for problem in caught.value.problems] == [
        (
            "tool.yaml:2: context_requirements.conversation_dept: unknown key 'conversation_dept'"
            " (did you mean 'conversation_depth'?)"
        ),
        "tool.yaml:4: context_requirements.provider_optimization.opnai.max_context_tokens: must be at least 1, found 0",
        (
            "tool.yaml:4: context_requirements.provider_optimization.opnai: there is no provider 'opnai'"
            " (did you mean 'openai'?)"
        ),
    ]


def test_no_message_shows_what_stands_where_secrets_stand() -> None:
    text = """\
llm:
  provider: custom
  api_key: 123.5
  max_tokens: ${SECRET}
  headers: {X-Key: true}
  proxy: hunter2
  provider_config:
    base_url: https://hunter2@a.example
    auth_token: {source: env, nme: hunter2}
    auth_type: ${SECRET}
"""
    reported = "\n".join(mistakes(text, {"SECRET": "hunter2"}))
    assert "llm.max_tokens: must be a whole number, found text (not shown)" in reported
    assert "hunter2" not in reported


def test_data_in_memory_is_checked_without_lines() -> None:
    data: Json = {"llm": {"provider": "openai", "modle": "x", "api_key": "${NOT_SET}", "models": {"a"}, 5: 6}}
    with pytest.raises(ConfigurationError) as caught:
        load_mapping(data, {})
    assert {str(problem).partition(" (")[0] for problem in caught.value.problems} == {
        "llm.modle: unknown key 'modle'",
        "llm.api_key: the environment variable NOT_SET is not set",
        "llm.models: a set cannot be part of a configuration",
        "llm: a key must be text",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "provider: azure, deployment_name: d, api_key: k, endpoint: 'https://a.example', base_url: 'https://b.example'",
            "llm.base_url: 'base_url' and 'endpoint' are two different addresses (give one of them)",
        ),
        (
            "provider: custom, api_key: k, base_url: 'https://a.example', provider_config: {base_url: 'https://b.example'}",
            "llm.base_url: 'base_url' and 'provider_config.base_url' are two different addresses (give one of them)",
        ),
        (
            "provider: custom, api_key: k, provider_config: {base_url: 'https://b.example', auth_token: t}",
            "llm.api_key: 'api_key' and 'provider_config.auth_token' are two different keys (give one of them)",
        ),
        (
            "provider: custom, api_key: k, provider_config: {base_url: 'https://b.example', auth_type: none}",
            "llm.api_key: is not sent with 'auth_type: none' (remove it)",
        ),
        (
            "provider: custom, provider_config: {auth_token: t}",
            "llm.provider_config.base_url: is missing (the address of the API)",
        ),
    ],
)
def test_two_places_for_one_thing_must_agree(text: str, expected: str) -> None:
    assert mistake(f"llm: {{{text}}}") == f"caxton.yaml:1: {expected}"
