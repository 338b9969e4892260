"""Every YAML block of the specification loads as it stands."""

from datetime import date
from pathlib import Path

import pytest

from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_file, load_tool_file
from caxton_llm.config.schema import ToolContextFile
from caxton_llm.providers.settings import CustomApi, SecretReference

BLOCKS = Path(__file__).parent / "spec_blocks"
SPECIFICATION = Path(__file__).parents[3] / "shared" / "spec" / "llm-providers.md"
TODAY = date(2026, 11, 22)

ENVIRONMENT = {
    "02_openai": ["OPENAI_API_KEY"],
    "03_anthropic": ["ANTHROPIC_API_KEY"],
    "04_azure": ["AZURE_OPENAI_API_KEY"],
    "07_custom": ["CUSTOM_LLM_TOKEN"],
    "08_fallback_chain": ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"],
    "18_production": ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"],
}
"""The variables that a block names; the others load in an empty environment."""

TOOLS = ("01_context_requirements", "10_pdf_generator")


def load(name: str) -> Configuration:
    environ = {variable: f"value-of-{variable}" for variable in ENVIRONMENT.get(name, ())}
    return load_file(BLOCKS / f"{name}.yaml", environ, today=TODAY)


def load_tool(name: str) -> ToolContextFile:
    return load_tool_file(BLOCKS / f"{name}.yaml", {})


def test_the_copies_are_the_specifications_own_blocks() -> None:
    if not SPECIFICATION.exists():
        pytest.skip("the specification is not beside this repository")
    blocks: list[str] = []
    block: list[str] | None = None
    for line in SPECIFICATION.read_text(encoding="utf-8").splitlines():
        if block is None:
            block = [] if line == "```yaml" else None
        elif line == "```":
            blocks.append("".join(f"{text}\n" for text in block))
            block = None
        else:
            block.append(line)
    assert blocks == [path.read_text(encoding="utf-8") for path in sorted(BLOCKS.glob("*.yaml"))]


@pytest.mark.parametrize("name", sorted(path.stem for path in BLOCKS.glob("*.yaml")))
def test_every_block_loads_with_the_variables_that_it_names(name: str) -> None:
    if name in TOOLS:
        assert load_tool(name).context_requirements.conversation_depth
    else:
        assert load(name).file.endswith(f"{name}.yaml")


def test_openai_with_the_older_names_of_the_retry_policy() -> None:
    entry = load("02_openai").default_entry
    assert entry is not None
    assert (entry.name, entry.kind, entry.models) == ("openai", "openai", ("gpt-4o",))
    assert entry.settings.api_key == "value-of-OPENAI_API_KEY"
    assert entry.settings.base_url == "https://api.openai.com/v1"
    assert (entry.settings.max_tokens, entry.settings.temperature) == (4096, 0.7)
    assert (entry.timeouts.attempt_s, entry.timeouts.connect_s, entry.timeouts.deadline_s) == (30.0, 10.0, 120.0)
    assert (entry.retry.max_attempts, entry.retry.initial_delay_ms) == (3, 1000.0)


def test_anthropic_with_its_context_limit() -> None:
    entry = load("03_anthropic").default_entry
    assert entry is not None
    assert entry.settings.system_context_limit == 200_000
    assert entry.timeouts.attempt_s == 45.0


def test_azure_with_a_deployment_and_an_api_version() -> None:
    entry = load("04_azure").default_entry
    assert entry is not None
    assert entry.models == ("gpt-4o-deployment",)
    assert entry.settings.endpoint == "https://your-resource.openai.azure.com"
    assert entry.settings.api_version == "2024-05-01-preview"


def test_ollama_and_vllm_with_what_only_they_have() -> None:
    ollama, vllm = load("05_ollama").default_entry, load("06_vllm").default_entry
    assert ollama is not None
    assert vllm is not None
    assert (ollama.settings.context_window, ollama.settings.gpu_acceleration) == (8192, True)
    assert (vllm.settings.tensor_parallel_size, vllm.settings.api_key) == (2, "optional-auth-token")


def test_a_custom_api_with_its_fields() -> None:
    entry = load("07_custom").default_entry
    assert entry is not None
    assert entry.settings.provider_config == CustomApi(
        base_url="https://api.yourcompany.com/llm",
        auth_type="bearer",
        auth_token="value-of-CUSTOM_LLM_TOKEN",
        model_field="model_name",
        prompt_field="input_text",
        response_field="generated_text",
    )


def test_a_chain_in_the_order_of_its_priorities() -> None:
    chain = load("08_fallback_chain")
    assert [(entry.name, entry.kind) for entry in chain.entries] == [
        ("primary", "openai"),
        ("fallback", "anthropic"),
        ("local", "ollama"),
    ]
    assert chain.fallback_strategy == "priority"


def test_agents_with_providers_of_their_own() -> None:
    configuration = load("09_agents")
    assert configuration.default_entry is None
    assert [(agent.name, agent.capabilities) for agent in configuration.agents] == [
        ("CodeReviewer", ("code-analysis",)),
        ("DataAnalyzer", ("data-processing",)),
        ("ContentGenerator", ("content-generation",)),
    ]
    assert [(entry.name, entry.kind, entry.models) for entry in configuration.all_entries] == [
        ("agent:CodeReviewer", "openai", ("gpt-4o",)),
        ("agent:DataAnalyzer", "anthropic", ("claude-3-5-sonnet-20241022",)),
        ("agent:ContentGenerator", "ollama", ("llama3.1:8b",)),
    ]
    assert configuration.gaps == ()


def test_the_context_that_a_tool_needs() -> None:
    tool = load_tool("10_pdf_generator")
    needs = tool.context_requirements
    assert tool.name == "pdf_generator"
    assert needs.memory_search is not None
    assert needs.memory_search.focus_areas == ("report_templates", "user_preferences", "formatting_standards")
    assert needs.tool_data == ("template_library", "user_style_preferences", "recent_generation_stats")
    assert needs.provider_optimization["anthropic"].max_context_tokens == 8000
    plain = load_tool("01_context_requirements").context_requirements
    assert plain.memory_search is not None
    assert (plain.memory_search.min_similarity, plain.capability_context) == (0.7, True)


def test_secrets_stay_references_until_they_are_needed() -> None:
    vault = load("11_secrets").entries[0].settings.api_key
    assert vault == SecretReference(source="vault", path="caxton/llm/openai", key="api_key")
    azure = load("19_enterprise").entries[0].settings.api_key
    assert azure == SecretReference(
        source="azure_keyvault", vault_url="https://caxton-vault.vault.azure.net", secret_name="openai-api-key"
    )


def test_timeouts_of_a_provider() -> None:
    limits = load("12_timeouts").entries[0].timeouts
    assert (limits.attempt_s, limits.idle_s, limits.connect_s) == (30.0, 60.0, 10.0)


@pytest.mark.parametrize("name", ["13_retry", "14_caching", "15_streaming", "16_health_check"])
def test_a_block_without_a_provider_loads_and_says_what_is_missing(name: str) -> None:
    configuration = load(name)
    assert configuration.entries == ()
    assert [gap.message for gap in configuration.gaps] == ["no provider is configured"]


def test_caching_streaming_and_the_rest_of_production() -> None:
    caching = load("14_caching").caching
    assert caching is not None
    assert (caching.backend, caching.similarity_threshold, caching.ttl_seconds) == ("redis", 0.95, 3600)
    streaming = load("15_streaming").streaming
    assert streaming is not None
    assert (streaming.chunk_size, streaming.buffer_timeout_ms) == (64, 100.0)
    production = load("18_production")
    assert production.caching is not None
    assert production.caching.backend == "redis"
    assert (production.monitoring.budget_limit_usd, production.monitoring.budget_period) == (1000.0, "month")
    assert {entry.retry.initial_delay_ms for entry in production.entries} == {1000.0}
    assert [entry.timeouts.attempt_s for entry in production.entries] == [30.0, 45.0]
    development = load("17_development").caching
    assert development is not None
    assert (development.backend, development.ttl_seconds) == ("memory", 1800)


def test_security_and_compliance_of_the_enterprise() -> None:
    enterprise = load("19_enterprise")
    assert (enterprise.security.content_filtering, enterprise.security.pii_redaction) == (True, True)
    assert (enterprise.compliance.data_residency, enterprise.compliance.network_isolation) == ("us-east", True)


def test_a_pinned_version_is_what_is_sent_and_the_models_name_leads_to_it() -> None:
    entry = load("20_model_version").entries[0]
    assert entry.models == ("gpt-4o-2024-05-13",)
    assert entry.sent_models == {"gpt-4o-2024-05-13": "gpt-4o-2024-05-13", "gpt-4o": "gpt-4o-2024-05-13"}
    assert entry.settings.auto_upgrade is False
