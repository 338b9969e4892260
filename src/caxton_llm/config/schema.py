"""The configuration as people write it: one type per block of the YAML, one docstring per key.

Types hold what a single value may be (kind, range, choices); what values mean together is checked in `checks`, and what the
program uses is worked out in `resolve`. The names, defaults and docstrings here make `docs/configuration.md`.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from caxton_llm.config.agent_schema import (
    AgentContextBlock,
    AgentConversationBlock,
    AgentMemoryBlock,
    CapabilityBlock,
    ContextBlock,
)
from caxton_llm.config.alert_schema import AlertsBlock
from caxton_llm.config.mcp_schema import McpBlock
from caxton_llm.config.memory_schema import MemoryBlock
from caxton_llm.context_requirements import ContextRequirements, MemorySearch, ProviderOptimization
from caxton_llm.providers.settings import Count, ProviderSettings, SecretReference, SettingsBlock
from caxton_llm.resolved import resolved
from caxton_llm.routing.retry import RetryErrorClass

__all__ = [
    "SHARED_KEYS",
    "AgentBlock",
    "CachingBlock",
    "CircuitBreakerBlock",
    "ComplianceBlock",
    "ConfigurationFile",
    "ContextRequirements",
    "HealthCheckBlock",
    "HedgingBlock",
    "LlmBlock",
    "MemorySearch",
    "MonitoringBlock",
    "ProviderEntry",
    "ProviderOptimization",
    "RetryPolicyBlock",
    "SecurityBlock",
    "ServerBlock",
    "StreamingBlock",
    "ToolContextFile",
    "written_entries",
]

Seconds = Annotated[float, Meta(gt=0)]
Milliseconds = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class RetryPolicyBlock(SettingsBlock, frozen=True, kw_only=True):
    """Whether and when a failed request is sent to the same provider again, before the first content has come.

    The wait before attempt n+1 is a random share of `initial_delay_ms` x `backoff_multiplier`^(n-1), at most `max_delay_ms`.
    A provider's Retry-After replaces it; if it does not fit the deadline, there is no further attempt.
    """

    max_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    """Attempts per provider, the first included; 1 means no retry. Default 3."""
    initial_delay_ms: Milliseconds | None = None
    """The longest wait before the second attempt. Default 1000."""
    max_delay_ms: Milliseconds | None = None
    """The longest wait before any attempt. Default 10000."""
    backoff_multiplier: Annotated[float, Meta(ge=1, le=100)] | None = None
    """Growth of the wait from attempt to attempt. Default 2.0."""
    retry_on_errors: tuple[RetryErrorClass, ...] | None = None
    """Which failures are worth another attempt. Default: all three."""


class HealthCheckBlock(SettingsBlock, frozen=True, kw_only=True):
    """Regular checks of a provider."""

    enabled: bool = True
    """Whether to check."""
    interval_seconds: Seconds = 60.0
    """Time between two checks."""
    timeout_seconds: Seconds = 10.0
    """How long one check may take."""
    test_prompt: str | None = None
    """Send this prompt to the model; without it only the provider's cheapest endpoint is asked, which costs nothing."""


class CircuitBreakerBlock(SettingsBlock, frozen=True, kw_only=True):
    """When a provider that keeps failing is left alone, and how it comes back. Only its own failures count, never a caller's
    mistake.

    It opens, is tried again after the cool-down, and once that went well it gets a tenth of its requests, growing to all of
    them. When every provider is left alone, the one that was left first is asked all the same.
    """

    enabled: bool = True
    """Whether failures are counted at all."""
    failure_threshold: Count = 5
    """Failures in a row that open it. `failure_rate` counts once there were twice as many requests in the window."""
    failure_rate: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of failures among the requests in the window that opens it."""
    window_seconds: Seconds = 30.0
    """The time over which the rate is counted."""
    cooldown_seconds: Seconds = 15.0
    """How long it stays open before a request is let through as a trial."""
    half_open_requests: Count = 1
    """Trials at a time, and successful trials in a row that close it."""
    ramp_seconds: Annotated[float, Meta(ge=0)] = 30.0
    """How long the share of requests grows from a tenth to all of them after it has closed; 0: at once."""


class ProviderEntry(ProviderSettings, frozen=True, kw_only=True):
    """One provider, and how it is reached. Times are in seconds, delays in milliseconds.

    These keys stand directly under `llm` (one provider), in an item of `llm.providers` (several), or under an agent's `llm`.
    Beside `llm.providers`, the keys marked *Shared* may also stand under `llm`: for every entry and agent that does not say
    otherwise.
    """

    priority: int | None = None
    """The entry with the highest number comes first; without one it counts as 0. Entries with neither priority nor weight
    come in their order in the file."""
    weight: Annotated[float, Meta(ge=0)] | None = None
    """Share of the requests among entries of equal priority. Default 1; 0: only when the others fail."""
    region: str | None = None
    """Where the provider processes data; compared with `compliance.data_residency`."""

    timeout_seconds: Seconds | None = None
    """One attempt: until the whole answer, or for a stream until its first content. Default 60."""
    read_timeout_seconds: Seconds | None = None
    """The longest silence inside an answer that has begun. Default 60."""
    connect_timeout_seconds: Seconds | None = None
    """TCP and TLS. Default 10."""
    deadline_seconds: Seconds | None = None
    """The whole request over all attempts; for a stream until its first content. Default 120."""

    retry_policy: RetryPolicyBlock | None = None
    """Retries of failed requests. Under `llm` and in an entry they are joined key by key."""
    retry_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    """Older name of `retry_policy.max_attempts`."""
    retry_delay_ms: Milliseconds | None = None
    """Older name of `retry_policy.initial_delay_ms`."""
    health_check: HealthCheckBlock | None = None
    """Regular checks of this provider."""
    circuit_breaker: CircuitBreakerBlock | None = None
    """When this provider is left alone after failures. An entry's block replaces the shared one as a whole."""
    fallback_on: tuple[Literal["content_filtered", "invalid_request", "request_too_large"], ...] | None = None
    """Errors that the next provider is asked after, although they end a request otherwise."""
    fallbacks: tuple[str, ...] | None = None
    """Entries that may stand in for this one when a request names it or one of its models, in this order; an empty list:
    none. Default: all others under `llm`, in the order of `fallback_strategy`."""
    api_keys: tuple[str | SecretReference, ...] = ()
    """Several keys, instead of `api_key`: they take turns, and when one is refused, used up or limited the next is tried."""

    requests_per_minute: Count | None = None
    """The most requests within any minute; more wait for their turn."""
    tokens_per_minute: Count | None = None
    """The most tokens (prompt and answer) within any minute; estimated before the answer, corrected after it."""
    max_concurrency: Count | None = None
    """The most requests at a time. The number goes down by itself while the provider says that it is overloaded, and up
    again; where none is given, that begins at what is under way then, and never goes below 16."""
    max_queue: Annotated[int, Meta(ge=0)] | None = None
    """How many requests may wait for their turn; more are refused with 429. Default 100."""
    max_queue_ms: Milliseconds | None = None
    """The longest wait for a turn, or for a Retry-After, while another provider could be asked instead. Default 5000."""


SHARED_KEYS = (
    "max_tokens",
    "temperature",
    "top_p",
    "reasoning_effort",
    "parameters",
    "transport",
    "proxy",
    "ca_file",
    "client_cert",
    "client_key",
    "max_connections",
    "timeout_seconds",
    "read_timeout_seconds",
    "connect_timeout_seconds",
    "deadline_seconds",
    "retry_policy",
    "retry_attempts",
    "retry_delay_ms",
    "health_check",
    "circuit_breaker",
    "fallback_on",
    "requests_per_minute",
    "tokens_per_minute",
    "max_concurrency",
    "max_queue",
    "max_queue_ms",
)
"""Keys of an entry that may stand beside `llm.providers`, for all entries."""


class CachingBlock(SettingsBlock, frozen=True, kw_only=True):
    """Answers that are kept."""

    enabled: bool = True
    """Whether answers are kept."""
    ttl_seconds: Annotated[int, Meta(ge=1)] = 3600
    """How long an answer is kept."""
    similarity_threshold: Share | None = None
    """Given: an answer to a similar enough question is used when there is none to the same question."""
    backend: Literal["redis", "memory", "disk"] | None = None
    """Where answers are kept. Default `memory`."""
    cache_backend: Literal["redis", "memory", "disk"] | None = None
    """Another name of `backend`."""


class HedgingBlock(SettingsBlock, frozen=True, kw_only=True):
    """A second provider is asked while the first is slow; the first content wins, the other request is cancelled.

    Both may cost money; off unless this block is given.
    """

    enabled: bool = True
    """Whether a second provider is asked."""
    hedge_after_ms: Annotated[float, Meta(ge=0)] | None = None
    """How long to wait for the first provider. Default: the 95th percentile of its last answers, once 20 are known."""
    max_share: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """The most hedges, as a share of all requests."""


class StreamingBlock(SettingsBlock, frozen=True, kw_only=True):
    """How streams are handed to clients. Without this block every chunk goes on as it comes."""

    enabled: bool = True
    """`false`: requests for a stream are refused."""
    chunk_size: Annotated[int, Meta(ge=1)] = 64
    """Characters to gather before a chunk goes to the client; the first token never waits."""
    buffer_timeout_ms: Milliseconds = 100.0
    """The longest wait for them."""
    resume: bool = False
    """A text that breaks off is continued by the next provider that can continue a text (Ollama, vLLM, some of Anthropic's
    models); the warnings of the stream say so. Otherwise a break is an error in the stream."""


class MonitoringBlock(SettingsBlock, frozen=True, kw_only=True):
    """Metrics, costs and alerts."""

    metrics_enabled: bool = True
    """Whether `/metrics` is served."""
    cost_tracking: bool = True
    """Whether the cost of every answer is worked out."""
    budget_limit_usd: Annotated[float, Meta(ge=0)] | None = None
    """The most that may be spent in a period."""
    budget_period: Literal["month", "day", "total"] = "month"
    """The period of the budget: a calendar month or day (UTC), or all time."""
    alerts: AlertsBlock | None = None
    """What is told to whom when providers fail. Without this block nobody is told."""


class SecurityBlock(SettingsBlock, frozen=True, kw_only=True):
    """What is done about the content of requests and answers."""

    content_filtering: bool = False
    """Refuse content by rules."""
    pii_redaction: bool = False
    """Take personal data out of requests."""
    audit_logging: bool = False
    """Keep a log of who asked what when."""


class ComplianceBlock(SettingsBlock, frozen=True, kw_only=True):
    """Where data may go and how it is kept."""

    data_residency: str | None = None
    """Only entries whose `region` matches may serve."""
    encryption_at_rest: bool = False
    """Everything that is stored is encrypted."""
    network_isolation: bool = False
    """Only hosts on private addresses, or in `allowed_hosts`, are spoken to."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that `network_isolation` permits besides."""


class LlmBlock(ProviderEntry, frozen=True, kw_only=True):
    """The providers: one, written directly under `llm`, or several under `providers`; and what holds for all of them."""

    provider: str = ""
    """The only provider; see below. Not together with `providers`."""
    providers: tuple[ProviderEntry, ...] | None = None
    """Several providers; they are tried in the order of `fallback_strategy`."""
    fallback_strategy: Literal["priority", "round_robin", "load_balance", "weighted", "least_cost"] = "priority"
    """Which entry serves a request that names none, and which is tried next when it fails."""
    max_attempts_per_request: Count | None = None
    """The most times that one request is sent, over all providers and their keys; a provider is asked again only while one
    send is left for each that is still to come. Default: 6, or the number of all keys where that is more."""
    hedging: HedgingBlock | None = None
    """A second provider asked while the first is slow."""
    degraded_message: Annotated[str, Meta(min_length=1)] | None = None
    """The answer when no provider could give one, marked as such; without it that is an error."""
    caching: CachingBlock | None = None
    """Answers that are kept."""
    streaming: StreamingBlock | None = None
    """How streams are handed to clients."""
    monitoring: MonitoringBlock | None = None
    """Metrics, costs and alerts."""
    security: SecurityBlock | None = None
    """What is done about content."""
    compliance: ComplianceBlock | None = None
    """Where data may go."""


class AgentBlock(SettingsBlock, frozen=True, kw_only=True):
    """An agent: a name, what it can do, how it is instructed, and the provider that serves it.

    A file in `agents_dir` has these keys, too.
    """

    name: str
    """How requests name the agent: `agent:NAME`. A file's name stands for it."""
    capabilities: tuple[str | CapabilityBlock, ...] = ()
    """What the agent can do; requests may name a capability instead: `capability:NAME`. Several agents may offer the same:
    the first serves it."""
    llm: ProviderEntry | None = None
    """The agent's own provider; without it the providers under `llm` serve the agent."""
    description: str | None = None
    """What the agent is for: for people, and for the models that may call it."""
    system_prompt: str | None = None
    """The agent's instructions, sent as they are."""
    user_prompt_template: str | None = None
    """What becomes of a request's text, with `{{user_request}}` and other variables."""
    variables: tuple[str, ...] | None = None
    """Variables of the template that requests bring in `metadata`. Given, any other name in it is a mistake, but for those
    that are always there and the properties of the capabilities' `input_schema`. Default: any name may be used."""
    tools: tuple[str, ...] = ()
    """Patterns of tools that the agent may use: `pdf_*`, `files.read_file`, `*`. Without any it has none."""
    requires: tuple[str, ...] = ()
    """Capabilities of other agents that it calls as tools."""
    memory: AgentMemoryBlock = AgentMemoryBlock()
    """What it remembers."""
    conversation: AgentConversationBlock = AgentConversationBlock()
    """What it sees of the stored conversation."""
    context: AgentContextBlock = AgentContextBlock()
    """What is added to its requests."""


class ServerBlock(SettingsBlock, frozen=True, kw_only=True):
    """The gateway server (`caxton serve`)."""

    host: str = "127.0.0.1"
    """Address to listen on; the default is reachable from this machine only."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8787
    """Port to listen on; 0 takes a free one."""
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Processes that serve requests."""
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 33_554_432
    """Larger request bodies are refused with 413."""
    drain_seconds: Annotated[float, Meta(ge=0)] = 30.0
    """How long a stopping server waits for answers in progress."""


@resolved
class ConfigurationFile(SettingsBlock, frozen=True, kw_only=True):
    """The whole file."""

    llm: LlmBlock | None = None
    """The providers."""
    agents: tuple[AgentBlock, ...] = ()
    """Agents with capabilities."""
    agents_dir: str | None = None
    """A folder with a file for each further agent (`.yaml`, `.toml`, `.md`); it counts from that of this file."""
    context: ContextBlock | None = None
    """What is added to requests for agents."""
    server: ServerBlock | None = None
    """The gateway server."""
    memory: MemoryBlock | None = None
    """What is remembered."""
    mcp: McpBlock | None = None
    """Tools of MCP servers."""
    tool_context: tuple[str, ...] = ()
    """Files that say which context a tool needs, each a [tool context file](#tool-context-file)."""


def written_entries(document: ConfigurationFile) -> Iterator[tuple[str, ProviderEntry]]:
    """Every entry as it is written, without what it inherits."""
    llm = document.llm
    if llm is not None and llm.providers is not None:
        yield from ((f"llm.providers[{index}]", entry) for index, entry in enumerate(llm.providers))
    elif llm is not None:
        yield "llm", llm
    for index, agent in enumerate(document.agents):
        if agent.llm is not None:
            yield f"agents[{index}].llm", agent.llm


@resolved
class ToolContextFile(SettingsBlock, frozen=True, kw_only=True):
    """A document of its own: the context that a tool needs, in the form that tools publish."""

    context_requirements: ContextRequirements
    """What the tool needs."""
    name: str | None = None
    """The tool; else the file's name without its ending stands for it."""
    description: str | None = None
    """What the tool does."""
