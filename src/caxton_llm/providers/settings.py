"""The settings of one configured provider entry: the `llm` block of the specification, or one item of `llm.providers`.

One flat type for all kinds, because the specification writes them flat; `APPLIES_TO` says which keys belong to which kind
only. Values are as in the file after `${ENV}` replacement; secrets that must be fetched are still references here.
"""

from typing import Literal

from msgspec import Struct

from caxton_llm.protocols import Quirks
from caxton_llm.types import Json

__all__ = [
    "APPLIES_TO",
    "BuiltinScript",
    "BuiltinStep",
    "CustomApi",
    "EntraId",
    "ModelFacts",
    "ProviderSettings",
    "SecretReference",
    "SettingsBlock",
]

_SECRET_FIELDS = frozenset(
    {"api_key", "api_keys", "auth_token", "client_secret", "headers", "value", "proxy", "token_params", "extra_body"}
)


class SettingsBlock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block of the configuration. Its `repr` shows no secret."""

    def __repr__(self) -> str:
        shown = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                shown.append(f"{name}=***" if name in _SECRET_FIELDS else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class SecretReference(SettingsBlock, frozen=True, kw_only=True):
    """Where a secret is kept. `source` decides which of the other keys are read:

    `env`: `name`; `file`: `path`; `vault`: `path`, `key`; `aws_secrets`: `path` or `secret_name`, `key`, `region`;
    `azure_keyvault`: `vault_url`, `secret_name`.
    """

    source: Literal["env", "file", "vault", "aws_secrets", "azure_keyvault"]
    name: str | None = None
    path: str | None = None
    key: str | None = None
    vault_url: str | None = None
    secret_name: str | None = None
    region: str | None = None


class EntraId(SettingsBlock, frozen=True, kw_only=True):
    """Microsoft Entra ID for Azure: client credentials when `client_secret` is given, else the machine's own identity
    (needs the `azure` extra)."""

    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | SecretReference | None = None
    scope: str = "https://cognitiveservices.azure.com/.default"
    authority: str = "https://login.microsoftonline.com"


class CustomApi(SettingsBlock, frozen=True, kw_only=True):
    """A text API of one's own (`provider: custom`): how to sign, where the prompt goes, where the answer is.

    `*_field` are dotted paths (`result.text`, `choices.0.text`). `prompt_style`: `transcript` sends the whole conversation
    as text, `last_user` only the last user message, `messages` the list of role and content.
    """

    base_url: str
    path: str = ""
    auth_type: Literal["bearer", "api_key", "oauth2", "none"] = "bearer"
    auth_token: str | SecretReference | None = None
    auth_header: str = "X-API-Key"
    token_url: str | None = None
    client_id: str | None = None
    client_secret: str | SecretReference | None = None
    client_auth: Literal["basic", "post"] = "basic"
    scope: str | None = None
    token_params: dict[str, str] = {}
    model_field: str = "model"
    prompt_field: str = "prompt"
    prompt_style: Literal["transcript", "last_user", "messages"] = "transcript"
    system_field: str | None = None
    max_tokens_field: str | None = "max_tokens"
    temperature_field: str | None = "temperature"
    stop_field: str | None = None
    response_field: str = "text"
    error_field: str | None = None
    finish_field: str | None = None
    finish_map: dict[str, str] = {}
    prompt_tokens_field: str | None = None
    completion_tokens_field: str | None = None
    stream_field: str | None = None
    """Path of the text in each event of a stream; without it the provider does not stream."""
    stream_format: Literal["sse", "ndjson"] = "sse"
    stream_mode: Literal["delta", "cumulative"] = "delta"
    stream_flag_field: str = "stream"
    stream_end: str = "[DONE]"
    """The data of the event that ends the stream."""
    stream_end_field: str | None = None
    """Path that is true in the last event."""
    health_path: str | None = None


class BuiltinStep(SettingsBlock, frozen=True, kw_only=True):
    """One scripted answer of the `builtin` provider."""

    text: str | None = None
    reasoning: str | None = None
    tool: str | None = None
    arguments: dict[str, Json] = {}
    delay_ms: float = 0.0
    """Wait before the first byte."""
    chunks: int | None = None
    """Number of chunks of a streamed text; `None`: one per word."""
    chunk_delay_ms: float = 0.0
    error: (
        Literal[
            "rate_limited",
            "overloaded",
            "provider_failure",
            "authentication",
            "context_window_exceeded",
            "content_filtered",
            "stream_interrupted",
            "stall",
        ]
        | None
    ) = None
    retry_after_seconds: float | None = None
    after_chunks: int | None = None
    """The error comes after so many chunks of a stream instead of at once."""
    finish_reason: Literal["stop", "length", "content_filter"] | None = None


class BuiltinScript(SettingsBlock, frozen=True, kw_only=True):
    """Answers of the `builtin` provider, one per request in turn; after the last it answers from the request again unless
    `repeat` is true."""

    steps: tuple[BuiltinStep, ...] = ()
    repeat: bool = False


class ModelFacts(SettingsBlock, frozen=True, kw_only=True):
    """Facts that the operator knows better than the catalogue; each replaces the catalogue's."""

    context_window: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    base_model: str | None = None
    """The catalogue's name of the model behind a deployment or a private name; its facts and prices are used."""
    tools: bool | None = None
    vision: bool | None = None
    json_schema: bool | None = None
    reasoning: bool | None = None
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None
    refuses: tuple[str, ...] | None = None


class ProviderSettings(SettingsBlock, frozen=True, kw_only=True):
    """One provider entry. Times are in seconds, delays in milliseconds."""

    provider: str
    name: str | None = None
    model: str | None = None
    models: tuple[str, ...] = ()
    """Further models that this entry may be asked for by name."""
    model_version: str | None = None
    auto_upgrade: bool | None = None
    model_facts: ModelFacts | None = None

    api_key: str | SecretReference | None = None
    base_url: str | None = None
    headers: dict[str, str] = {}
    organization: str | None = None
    project: str | None = None
    anthropic_version: str | None = None
    anthropic_beta: tuple[str, ...] = ()

    deployment_name: str | None = None
    endpoint: str | None = None
    api_version: str | None = None
    entra_id: EntraId | None = None

    context_window: int | None = None
    system_context_limit: int | None = None
    gpu_acceleration: bool | None = None
    keep_alive: str | int | None = None
    tensor_parallel_size: int | None = None

    provider_config: CustomApi | None = None
    script: BuiltinScript | None = None

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
    extra_body: dict[str, Json] = {}
    """Further fields of the request body, sent when the caller is silent."""
    parameters: Literal["lenient", "strict"] | None = None
    quirks: Quirks | None = None

    transport: Literal["lean", "aiohttp"] | None = None
    proxy: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    max_connections: int | None = None

    @property
    def entry_name(self) -> str:
        """How the entry is addressed: its `name`, else its provider's."""
        return self.name or self.provider

    @property
    def main_model(self) -> str:
        """The model that is sent when a request names the entry; empty when the configuration names none."""
        return self.model_version or self.model or self.deployment_name or ""


APPLIES_TO: dict[str, frozenset[str]] = {
    "organization": frozenset({"openai"}),
    "project": frozenset({"openai"}),
    "anthropic_version": frozenset({"anthropic"}),
    "anthropic_beta": frozenset({"anthropic"}),
    "deployment_name": frozenset({"azure"}),
    "endpoint": frozenset({"azure"}),
    "api_version": frozenset({"azure"}),
    "entra_id": frozenset({"azure"}),
    "gpu_acceleration": frozenset({"ollama"}),
    "keep_alive": frozenset({"ollama"}),
    "tensor_parallel_size": frozenset({"vllm"}),
    "provider_config": frozenset({"custom"}),
    "script": frozenset({"builtin"}),
}
"""Keys that only some kinds of provider understand."""
