"""The configuration as the program uses it.

What keeps a program from serving, but not a file from being read (no provider, no model), is in `gaps`; what the operator
should know is in `warnings`.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.config.alert_schema import AlertsBlock
from caxton_llm.config.memory_configuration import MemoryConfiguration
from caxton_llm.config.schema import (
    CachingBlock,
    ComplianceBlock,
    MonitoringBlock,
    ProviderEntry,
    SecurityBlock,
    ServerBlock,
    StreamingBlock,
)
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.routing.breaker import BreakerPolicy
from caxton_llm.routing.hedging import HedgePolicy
from caxton_llm.routing.limits import TargetLimits
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.strategy import Strategy
from caxton_llm.routing.timeouts import Timeouts

__all__ = ["Agent", "Configuration", "Entry"]


class Entry(Struct, frozen=True, kw_only=True):
    """One provider that requests can be sent to. `name` is unique; an agent's own provider is called `agent:NAME`."""

    name: str
    settings: ProviderEntry
    timeouts: Timeouts
    retry: RetryPolicy
    breaker: BreakerPolicy
    limits: TargetLimits
    path: str
    """Where the entry stands in the file: `llm.providers[0]`."""

    @property
    def kind(self) -> str:
        """The `provider` key."""
        return self.settings.provider

    @property
    def shares(self) -> bool:
        """Whether it shares requests with those of equal priority; an entry that says nothing keeps its place in the file."""
        return self.settings.priority is not None or self.settings.weight is not None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys under `api_keys`, once secrets are resolved."""
        return tuple(key for key in self.settings.api_keys if isinstance(key, str))

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that the entry serves; the first is sent when a request names the entry. May be empty."""
        names = (self.settings.main_model, *self.settings.models)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def sent_models(self) -> dict[str, str]:
        """For every model name that leads here: the model that is sent. `model` leads to a pinned `model_version`."""
        sent = {name: name for name in self.models}
        for name in (self.settings.model, self.settings.deployment_name):
            if name:
                sent.setdefault(name, self.settings.main_model)
        return sent


class Agent(Struct, frozen=True, kw_only=True):
    """An agent. Without an entry of its own the configuration's providers serve it."""

    name: str
    capabilities: tuple[str, ...]
    entry: Entry | None
    description: str | None = None
    system_prompt: str | None = None


class Configuration(Struct, frozen=True, kw_only=True):
    """Everything that a configuration says, ready for use.

    `entries` are the providers under `llm`, the highest priority first. Secrets that are kept elsewhere are still references
    until `resolve_secrets` has been called.
    """

    file: str
    entries: tuple[Entry, ...]
    agents: tuple[Agent, ...]
    fallback_strategy: Strategy
    server: ServerBlock
    streaming: StreamingBlock | None
    hedging: HedgePolicy
    max_attempts: int | None
    degraded_message: str | None
    caching: CachingBlock | None
    monitoring: MonitoringBlock
    security: SecurityBlock
    compliance: ComplianceBlock
    memory: MemoryConfiguration | None = None
    """`None`: there is none."""
    warnings: tuple[ConfigurationProblem, ...] = ()
    gaps: tuple[ConfigurationProblem, ...] = ()
    lines: Mapping[str, int] = {}
    """The line of every key, for problems that are found later."""

    def __repr__(self) -> str:
        names = [entry.name for entry in self.all_entries]
        return f"Configuration(file={self.file!r}, entries={names!r}, warnings={len(self.warnings)}, gaps={len(self.gaps)})"

    def shared_by(self, processes: int) -> "Configuration":
        """For one of several processes that serve it: an equal part of every limit, so that all together keep them.

        Raises `ConfigurationError` for a limit that cannot be shared by so many.
        """
        problems: list[ConfigurationProblem] = []

        def share(entry: Entry) -> Entry:
            changed = {}
            for key in ("requests_per_minute", "tokens_per_minute", "max_concurrency"):
                limit = getattr(entry.limits, key)
                if limit is not None:
                    changed[key] = limit // processes
                    if limit < processes:
                        message = f"{limit} cannot be shared by {processes} worker processes"
                        hint = "raise it, or lower server.workers"
                        problems.append(ConfigurationProblem(message, f"{entry.path}.{key}", self.file, hint=hint))
            return replace(entry, limits=replace(entry.limits, **changed))

        shared = self.with_entries(share)
        if problems:
            raise ConfigurationError(problems)
        return shared

    @property
    def default_entry(self) -> Entry | None:
        """The entry that serves a request which names none; `None` when there are only agents."""
        return self.entries[0] if self.entries else None

    @property
    def all_entries(self) -> tuple[Entry, ...]:
        """The entries, then those of the agents."""
        return (*self.entries, *(agent.entry for agent in self.agents if agent.entry is not None))

    def permits(self, entry: Entry) -> bool:
        """Whether requests may go to an entry at all: `compliance.data_residency` names the region of those that may.

        A region stands for its parts, too: `us-east` permits `us-east-1`.
        """
        wanted, region = self.compliance.data_residency, entry.settings.region
        if wanted is None:
            return True
        return region is not None and f"{region}-".casefold().startswith(f"{wanted}-".casefold())

    def with_entries(self, change: Callable[[Entry], Entry]) -> "Configuration":
        """The same configuration with every entry, also the agents', replaced by what `change` makes of it."""
        agents = tuple(
            agent if agent.entry is None else replace(agent, entry=change(agent.entry)) for agent in self.agents
        )
        return replace(self, entries=tuple(change(entry) for entry in self.entries), agents=agents)

    def with_memory(self, change: Callable[[MemoryConfiguration], MemoryConfiguration | None]) -> "Configuration":
        """The same configuration with the memory, where there is one, replaced by what `change` makes of it."""
        return self if self.memory is None else replace(self, memory=change(self.memory))

    def with_alerts(self, change: Callable[[AlertsBlock], AlertsBlock | None]) -> "Configuration":
        """The same configuration with the block of the alerts, where there is one, replaced by what `change` makes of it."""
        alerts = self.monitoring.alerts
        if alerts is None:
            return self
        return replace(self, monitoring=replace(self.monitoring, alerts=change(alerts)))
