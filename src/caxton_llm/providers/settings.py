"""The settings of one configured provider entry: the `llm` block of the specification, or one item of `llm.providers`.

One flat type for all kinds, because the specification writes them flat; `APPLIES_TO` says which keys belong to which kind
only. Values are as in the file after `${ENV}` replacement; secrets that must be fetched are still references here.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from caxton_llm.protocols import Quirks
from caxton_llm.types import Json

__all__ = [
    "APPLIES_TO",
    "BUILT_IN_KINDS",
    "SECRET_FIELDS",
    "BuiltinScript",
    "BuiltinStep",
    "CustomApi",
    "EntraId",
    "ModelFacts",
    "ProviderSettings",
    "SecretReference",
    "SettingsBlock",
    "secret_values",
]

BUILT_IN_KINDS = ("openai", "anthropic", "azure", "ollama", "vllm", "custom", "builtin")
"""The kinds of provider of this package. Each but `builtin` is a module beside this one."""

SECRET_FIELDS = frozenset(
    {
        "api_key",
        "api_keys",
        "auth_token",
        "client_secret",
        "env",
        "extra_body",
        "headers",
        "proxy",
        "secret",
        "token_params",
        "url",
        "value",
    }
)
"""Keys whose values no `repr` and no message shows."""

Count = Annotated[int, Meta(ge=1)]
"""A number of things of which there is at least one."""


class SettingsBlock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block of the configuration. Its `repr` shows no secret."""

    def __repr__(self) -> str:
        shown = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                shown.append(f"{name}=***" if name in SECRET_FIELDS else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def secret_values(block: SettingsBlock) -> set[str]:
    """Every text below a secret key of the block, and the words inside it that are the secret proper."""
    found: set[str] = set()
    for name in block.__struct_fields__:
        value = getattr(block, name)
        if name in SECRET_FIELDS:
            found.update(_texts(value))
        elif isinstance(value, SettingsBlock):
            found |= secret_values(value)
    passwords = {text.rpartition("@")[0].rpartition(":")[2] for text in found if "://" in text}
    return found | passwords | {text.rpartition(" ")[2] for text in found}


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


class SecretReference(SettingsBlock, frozen=True, kw_only=True):
    """Where a secret is kept. `source` decides which of the other keys are read:

    `env`: `name`; `file`: `path`; `vault`: `vault_url`, `mount`, `path`, `key`; `aws_secrets`: `path` or `secret_name`,
    `key`, `region`; `azure_keyvault`: `vault_url`, `secret_name`.
    """

    source: Literal["env", "file", "vault", "aws_secrets", "azure_keyvault"]
    """Where to look."""
    name: str | None = None
    """`env`: the name of the variable."""
    mount: str = "secret"
    """`vault`: where the key-value engine (version 2) is mounted."""
    path: str | None = None
    """`file`: its path; `vault`: the path below the mount; `aws_secrets`: name or ARN of the secret."""
    key: str | None = None
    """`vault`, `aws_secrets`: which value of a secret that holds several; not needed when it holds one."""
    vault_url: str | None = None
    """`azure_keyvault`: address of the vault; `vault`: address of the server, else `VAULT_ADDR` of the environment."""
    secret_name: str | None = None
    """`azure_keyvault`, `aws_secrets`: the name of the secret."""
    region: str | None = None
    """`aws_secrets`: the AWS region, else that of the environment."""


class EntraId(SettingsBlock, frozen=True, kw_only=True):
    """Microsoft Entra ID for Azure: client credentials when `client_secret` is given, else the machine's own identity
    (needs the `azure` extra)."""

    tenant_id: str | None = None
    """The directory (tenant); needed with `client_secret`."""
    client_id: str | None = None
    """The application, or the user-assigned managed identity."""
    client_secret: str | SecretReference | None = None
    """The application's secret; without it the machine's own identity signs."""
    scope: str = "https://cognitiveservices.azure.com/.default"
    """What the token is for; the v1 API also takes `https://ai.azure.com/.default`."""
    authority: str = "https://login.microsoftonline.com"
    """Where tokens are issued; national clouds have their own."""


class CustomApi(SettingsBlock, frozen=True, kw_only=True):
    """A text API of one's own (`provider: custom`): how to sign, where the prompt goes, where the answer is.

    `*_field` are dotted paths (`result.text`, `choices.0.text`). `prompt_style`: `transcript` sends the whole conversation
    as text, `last_user` only the last user message, `messages` the list of role and content.
    """

    base_url: str | None = None
    """Address of the API, unless `base_url` stands in the entry; requests are sent to `base_url` + `path`."""
    path: str = ""
    """Added to `base_url`."""
    auth_type: Literal["bearer", "api_key", "oauth2", "none"] = "bearer"
    """How requests are signed: `bearer` and `api_key` send `auth_token`, `oauth2` fetches a token by client
    credentials."""
    auth_token: str | SecretReference | None = None
    """The token or key, unless it is the entry's `api_key`."""
    auth_header: str = "X-API-Key"
    """`api_key`: the header that carries the key."""
    token_url: str | None = None
    """`oauth2`: the token endpoint."""
    client_id: str | None = None
    """`oauth2`: the client."""
    client_secret: str | SecretReference | None = None
    """`oauth2`: the client's secret."""
    client_auth: Literal["basic", "post"] = "basic"
    """`oauth2`: the client signs by HTTP Basic or in the body."""
    scope: str | None = None
    """`oauth2`: the scope that is asked for."""
    token_params: dict[str, str] = {}
    """`oauth2`: further fields of the token request (`audience`, `resource`)."""
    model_field: str = "model"
    """Where the model's name goes in the request."""
    prompt_field: str = "prompt"
    """Where the prompt goes in the request."""
    prompt_style: Literal["transcript", "last_user", "messages"] = "transcript"
    """What the prompt is: the whole conversation as text, the last user message, or the list of messages."""
    system_field: str | None = None
    """Where system text goes; without it, it is part of the prompt."""
    max_tokens_field: str | None = "max_tokens"
    """Where the limit of the output goes; null: it is not sent."""
    temperature_field: str | None = "temperature"
    """Where the temperature goes; null: it is not sent."""
    stop_field: str | None = None
    """Where stop sequences go."""
    response_field: str = "text"
    """Where the answer's text is."""
    error_field: str | None = None
    """Where an error's message is, also in an answer with status 200."""
    finish_field: str | None = None
    """Where the reason for the end is."""
    finish_map: dict[str, str] = {}
    """What its values mean: `stop`, `length`, `tool_calls` or `content_filter`."""
    prompt_tokens_field: str | None = None
    """Where the number of prompt tokens is."""
    completion_tokens_field: str | None = None
    """Where the number of completion tokens is."""
    stream_field: str | None = None
    """Path of the text in each event of a stream; without it the provider does not stream."""
    stream_format: Literal["sse", "ndjson"] = "sse"
    """How events are framed."""
    stream_mode: Literal["delta", "cumulative"] = "delta"
    """Each event has what is new, or everything so far."""
    stream_flag_field: str = "stream"
    """The field that is set to true to ask for a stream."""
    stream_end: str = "[DONE]"
    """The data of the event that ends the stream."""
    stream_end_field: str | None = None
    """Path that is true in the last event."""
    health_path: str | None = None
    """Path under `base_url` that answers 2xx when the API is up."""


class BuiltinStep(SettingsBlock, frozen=True, kw_only=True):
    """One scripted answer of the `builtin` provider."""

    text: str | None = None
    """The answer; without it the answer is made from the request."""
    reasoning: str | None = None
    """Visible reasoning before the answer."""
    tool: str | None = None
    """Call this tool instead of answering."""
    arguments: dict[str, Json] = {}
    """The arguments of the call."""
    delay_ms: Annotated[float, Meta(ge=0)] = 0.0
    """Wait before the first byte."""
    chunks: Count | None = None
    """Number of chunks of a streamed text; `None`: one per word."""
    chunk_delay_ms: Annotated[float, Meta(ge=0)] = 0.0
    """Wait between the chunks of a stream."""
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
    """Fail in this way instead of answering."""
    retry_after_seconds: Annotated[float, Meta(ge=0)] | None = None
    """The Retry-After that an error carries."""
    after_chunks: Annotated[int, Meta(ge=0)] | None = None
    """The error comes after so many chunks of a stream instead of at once."""
    finish_reason: Literal["stop", "length", "content_filter"] | None = None
    """Why the answer ends."""


class BuiltinScript(SettingsBlock, frozen=True, kw_only=True):
    """Answers of the `builtin` provider, one per request in turn; after the last it answers from the request again unless
    `repeat` is true."""

    steps: tuple[BuiltinStep, ...] = ()
    """The answers, in the order of the requests."""
    repeat: bool = False
    """Begin again after the last step."""


class ModelFacts(SettingsBlock, frozen=True, kw_only=True):
    """Facts that the operator knows better than the catalogue; each replaces the catalogue's."""

    context_window: Count | None = None
    """Tokens of prompt and answer together."""
    max_input_tokens: Count | None = None
    """Tokens of the prompt alone."""
    max_output_tokens: Count | None = None
    """Tokens of the answer."""
    base_model: str | None = None
    """The catalogue's name of the model behind a deployment or a private name; its facts and prices are used."""
    tools: bool | None = None
    """Whether it calls tools."""
    vision: bool | None = None
    """Whether it takes images."""
    json_schema: bool | None = None
    """Whether it enforces a JSON schema."""
    reasoning: bool | None = None
    """Whether it reasons."""
    input_usd_per_million: Annotated[float, Meta(ge=0)] | None = None
    """Price of a million prompt tokens; goes with `output_usd_per_million`."""
    output_usd_per_million: Annotated[float, Meta(ge=0)] | None = None
    """Price of a million completion tokens."""
    refuses: tuple[str, ...] | None = None
    """Parameters that it answers with an error; they are dropped and reported, or refused."""


class ProviderSettings(SettingsBlock, frozen=True, kw_only=True):
    """One provider entry. Times are in seconds, delays in milliseconds."""

    provider: str
    """Who serves: `openai`, `anthropic`, `azure`, `ollama`, `vllm`, `custom`, `builtin`, or an installed plug-in."""
    name: str | None = None
    """How requests, metrics and errors name the entry; by default its provider. Must be unique."""
    model: str | None = None
    """The model that is sent when a request names the entry."""
    models: tuple[str, ...] = ()
    """Further models that this entry may be asked for by name."""
    model_version: str | None = None
    """The exact version that is sent instead of `model`."""
    auto_upgrade: bool | None = None
    """`false`: an answer from another version than `model_version` is an error; `true`: a warning."""
    model_facts: ModelFacts | None = None
    """What the operator knows of the model better than the catalogue."""

    api_key: str | SecretReference | None = None
    """The key, or where it is kept. Without one the vendor's usual variable is read (`OPENAI_API_KEY`, ...)."""
    base_url: str | None = None
    """Address of the API instead of the vendor's own; with or without a trailing `/v1`."""
    headers: dict[str, str] = {}
    """Further headers of every request."""
    organization: str | None = None
    """Sent as `OpenAI-Organization`."""
    project: str | None = None
    """Sent as `OpenAI-Project`."""
    anthropic_version: str | None = None
    """Sent as `anthropic-version`, instead of the version that fits the request."""
    anthropic_beta: tuple[str, ...] = ()
    """Sent as `anthropic-beta`."""

    deployment_name: str | None = None
    """The deployment that answers."""
    endpoint: str | None = None
    """Address of the resource, e.g. `https://name.openai.azure.com`."""
    api_version: str | None = None
    """Azure: given, the classic API of that version; absent, the newer `/openai/v1`. vLLM: the server's version, where it is
    older than 0.11 and takes `guided_json` and its like; absent, the newest."""
    entra_id: EntraId | None = None
    """Sign with Microsoft Entra ID instead of a key."""

    context_window: Count | None = None
    """Tokens of the context; on Ollama it is sent as `num_ctx`, elsewhere it replaces the catalogue's fact."""
    system_context_limit: Count | None = None
    """Upper limit of the prompt in tokens; not applied yet."""
    image_hosts: tuple[str, ...] = ()
    """Hosts on private addresses from which images by URL may be fetched (Ollama)."""
    gpu_acceleration: bool | None = None
    """`false` sends `num_gpu: 0`; `true` is verified and warned about when the model sits on the CPU."""
    keep_alive: str | int | None = None
    """How long the model stays loaded: `5m`, seconds, 0 (unload at once) or -1 (for ever)."""
    tensor_parallel_size: Count | None = None
    """GPUs of the vLLM server; `caxton check` prints the command line that fits."""

    provider_config: CustomApi | None = None
    """How to speak to the API."""
    script: BuiltinScript | None = None
    """Scripted answers for demos and tests."""

    max_tokens: Count | None = None
    """Limit of the answer when the request has none."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """Temperature when the request has none."""
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    """`top_p` when the request has none."""
    reasoning_effort: str | None = None
    """Reasoning effort when the request has none."""
    extra_body: dict[str, Json] = {}
    """Further fields of the request body, sent when the caller is silent."""
    parameters: Literal["lenient", "strict"] | None = None
    """`strict` refuses what `lenient` (the default) drops and reports."""
    quirks: Quirks | None = None
    """How a compatible server deviates from the vendor's API."""

    transport: Literal["lean", "aiohttp"] | None = None
    """Which HTTP client; by default `lean`, and `aiohttp` where a key below needs it."""
    proxy: str | None = None
    """HTTP proxy for this entry (`aiohttp`)."""
    ca_file: str | None = None
    """Certificate authorities to trust instead of the system's (PEM)."""
    client_cert: str | None = None
    """Client certificate (PEM, `aiohttp`)."""
    client_key: str | None = None
    """Key of the client certificate, when it is in a file of its own (PEM)."""
    max_connections: Count | None = None
    """Connections to the provider at a time."""

    @property
    def entry_name(self) -> str:
        """How the entry is addressed: its `name`, else its provider's."""
        return self.name or self.provider

    @property
    def streams(self) -> bool:
        """Whether the provider streams at all: a text API does only when the configuration says how."""
        return self.provider_config is None or self.provider_config.stream_field is not None

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
    "api_version": frozenset({"azure", "vllm"}),
    "entra_id": frozenset({"azure"}),
    "image_hosts": frozenset({"ollama"}),
    "gpu_acceleration": frozenset({"ollama"}),
    "keep_alive": frozenset({"ollama"}),
    "tensor_parallel_size": frozenset({"vllm"}),
    "provider_config": frozenset({"custom"}),
    "script": frozenset({"builtin"}),
}
"""Keys that only some kinds of provider understand."""
