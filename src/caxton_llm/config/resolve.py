"""From a file that has no mistakes to a `Configuration`: shorthands unfolded, shared values handed down, older names
replaced."""

import os
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from caxton_llm.config.advice import entry_warnings, file_warnings
from caxton_llm.config.agent_resolve import resolve_agent, resolve_context
from caxton_llm.config.alert_checks import replace_alert_secrets
from caxton_llm.config.configuration import Agent, Configuration, Entry
from caxton_llm.config.context_configuration import ContextConfiguration
from caxton_llm.config.extras import is_installed
from caxton_llm.config.mcp_resolve import mcp_warnings, resolve_mcp
from caxton_llm.config.memory_resolve import memory_gaps, memory_warnings, resolve_memory
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import (
    SHARED_KEYS,
    AgentBlock,
    CachingBlock,
    CircuitBreakerBlock,
    ComplianceBlock,
    ConfigurationFile,
    HedgingBlock,
    LlmBlock,
    MonitoringBlock,
    ProviderEntry,
    RetryPolicyBlock,
    SecurityBlock,
    ServerBlock,
)
from caxton_llm.config.secret_keys import Secret, replace_secrets
from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.errors import ConfigurationProblem
from caxton_llm.providers.settings import SecretReference
from caxton_llm.routing.breaker import BreakerPolicy
from caxton_llm.routing.hedging import HedgePolicy
from caxton_llm.routing.limits import TargetLimits
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts

__all__ = ["resolve"]

_Value = TypeVar("_Value")

_FILES = ("ca_file", "client_cert", "client_key")
_NEEDS_MODEL = {
    "openai": "model",
    "anthropic": "model",
    "ollama": "model",
    "vllm": "model",
    "azure": "deployment_name",
}


def resolve(
    document: ConfigurationFile,
    problems: Problems,
    *,
    today: date,
    environ: Mapping[str, str] = {},
    tool_context: Mapping[str, ContextRequirements] = {},
) -> Configuration:
    """The configuration of a file; `problems` knows the lines. With mistakes in it, it serves only to find more of them.

    `environ` is the environment that programs are started from, `tool_context` what the documents of tools say, by name.
    """
    llm = document.llm or LlmBlock()
    folder = Path(problems.file).parent
    shared = llm if llm.providers is not None or not llm.provider else LlmBlock()
    found = list(_entries(llm))
    entries = tuple(sorted(found, key=lambda entry: -(entry.settings.priority or 0)))
    context = resolve_context(document.context, file=partial(_file, folder))
    agents = tuple(_agent(agent, shared, context, f"agents[{index}]") for index, agent in enumerate(document.agents))
    server = document.server or ServerBlock()
    configuration = Configuration(
        file=problems.file,
        entries=entries,
        agents=agents,
        fallback_strategy=llm.fallback_strategy,
        server=server,
        streaming=llm.streaming,
        hedging=_hedging(llm.hedging),
        max_attempts=llm.max_attempts_per_request,
        degraded_message=llm.degraded_message,
        caching=_caching(llm.caching),
        monitoring=llm.monitoring or MonitoringBlock(),
        security=llm.security or SecurityBlock(),
        compliance=llm.compliance or ComplianceBlock(),
        context=context,
    )
    configuration = configuration.with_entries(lambda entry: _from_folder(entry, folder))
    configuration = configuration.with_alerts(lambda alerts: replace_alert_secrets(alerts, _located(folder)))
    memory = resolve_memory(
        document.memory, configuration.entries, file=partial(_file, folder), located=_located(folder)
    )
    mcp = resolve_mcp(
        document.mcp, tool_context, environ=environ, file=partial(_file, folder), located=_located(folder)
    )
    configuration = replace(configuration, memory=memory, mcp=mcp)
    gaps = {problem.path: problem for entry in configuration.all_entries for problem in _gaps(entry, problems)}
    gaps |= {problem.path: problem for problem in _residency_gaps(configuration, problems)}
    gaps |= {problem.path: problem for problem in memory_gaps(configuration, problems)}
    unread = "" in problems.misspelt or problems.reported("") or problems.reported("llm")
    if not configuration.all_entries and not unread:
        gaps["llm"] = problems.at("no provider is configured", path="llm", hint="for a first try: 'provider: builtin'")
    configuration = replace(
        configuration, gaps=tuple(gaps.values()), lines=dict(problems.lines), files=dict(problems.files)
    )
    if problems.found:
        return configuration
    warnings = file_warnings(document, problems)
    for entry in configuration.all_entries:
        warnings += entry_warnings(entry, problems, today)
    warnings += memory_warnings(configuration, problems)
    warnings += mcp_warnings(configuration, problems)
    return replace(configuration, warnings=tuple(map(problems.shown, warnings)))


def _from_folder(entry: Entry, folder: Path) -> Entry:
    """The entry with the names of files as they count from the configuration's folder."""
    settings = replace_secrets(entry.settings, entry.path, _located(folder))
    named = {key: _file(folder, name) for key in _FILES if (name := getattr(settings, key))}
    return replace(entry, settings=replace(settings, **named))


def _located(folder: Path) -> Callable[[Secret, str], Secret]:
    """Secrets in files, by the names of these as they count from the folder."""

    def located(secret: Secret, _path: str) -> Secret:
        if isinstance(secret, SecretReference) and secret.source == "file" and secret.path:
            return replace(secret, path=_file(folder, secret.path))
        return secret

    return located


def _file(folder: Path, name: str) -> str:
    return str(folder / os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises for an unknown user


def _entries(llm: LlmBlock) -> list[Entry]:
    if llm.providers is not None:
        return [_entry(item, llm, f"llm.providers[{index}]") for index, item in enumerate(llm.providers)]
    if not llm.provider:
        return []
    single = ProviderEntry(**{key: getattr(llm, key) for key in ProviderEntry.__struct_fields__})
    return [_entry(single, LlmBlock(), "llm")]


def _agent(block: AgentBlock, shared: LlmBlock, context: ContextConfiguration, path: str) -> Agent:
    entry = None
    if block.llm is not None:
        entry = _entry(replace(block.llm, name=f"agent:{block.name}"), shared, f"{path}.llm")
    return resolve_agent(block, entry, context)


def _entry(own: ProviderEntry, shared: LlmBlock, path: str) -> Entry:
    api = own.provider_config
    if api is not None and not api.base_url:
        own = replace(own, provider_config=replace(api, base_url=own.base_url))
    inherited = {key: getattr(shared, key) for key in SHARED_KEYS if getattr(own, key) is None}
    settings = replace(own, **inherited, name=own.entry_name)
    return Entry(
        name=own.entry_name,
        settings=settings,
        timeouts=_timeouts(settings),
        retry=_retry(own, shared),
        breaker=_breaker(settings.circuit_breaker),
        limits=_limits(settings),
        path=path,
    )


def _timeouts(entry: ProviderEntry) -> Timeouts:
    default = Timeouts()
    return Timeouts(
        connect_s=_first(entry.connect_timeout_seconds, default=default.connect_s),
        attempt_s=_first(entry.timeout_seconds, default=default.attempt_s),
        idle_s=_first(entry.read_timeout_seconds, default=default.idle_s),
        deadline_s=_first(entry.deadline_seconds, default=default.deadline_s),
    )


def _retry(own: ProviderEntry, shared: LlmBlock) -> RetryPolicy:
    default = RetryPolicy()
    mine, theirs = own.retry_policy or RetryPolicyBlock(), shared.retry_policy or RetryPolicyBlock()
    initial = _first(
        mine.initial_delay_ms,
        own.retry_delay_ms,
        theirs.initial_delay_ms,
        shared.retry_delay_ms,
        default=default.initial_delay_ms,
    )
    return RetryPolicy(
        max_attempts=_first(
            mine.max_attempts,
            own.retry_attempts,
            theirs.max_attempts,
            shared.retry_attempts,
            default=default.max_attempts,
        ),
        initial_delay_ms=initial,
        # A first delay above the default cap is meant as it is written.
        max_delay_ms=_first(mine.max_delay_ms, theirs.max_delay_ms, default=max(default.max_delay_ms, initial)),
        backoff_multiplier=_first(
            mine.backoff_multiplier, theirs.backoff_multiplier, default=default.backoff_multiplier
        ),
        retry_on_errors=_first(mine.retry_on_errors, theirs.retry_on_errors, default=default.retry_on_errors),
    )


def _breaker(block: CircuitBreakerBlock | None) -> BreakerPolicy:
    block = block or CircuitBreakerBlock()
    return BreakerPolicy(
        enabled=block.enabled,
        failure_threshold=block.failure_threshold,
        failure_rate=block.failure_rate,
        window_s=block.window_seconds,
        cooldown_s=block.cooldown_seconds,
        half_open_requests=block.half_open_requests,
        ramp_s=block.ramp_seconds,
    )


def _limits(entry: ProviderEntry) -> TargetLimits:
    default = TargetLimits()
    return TargetLimits(
        requests_per_minute=entry.requests_per_minute,
        tokens_per_minute=entry.tokens_per_minute,
        max_concurrency=entry.max_concurrency,
        max_queue=_first(entry.max_queue, default=default.max_queue),
        max_queue_ms=_first(entry.max_queue_ms, default=default.max_queue_ms),
    )


def _hedging(block: HedgingBlock | None) -> HedgePolicy:
    if block is None:
        return HedgePolicy()
    after_ms = block.hedge_after_ms
    return HedgePolicy(
        enabled=block.enabled, after_s=None if after_ms is None else after_ms / 1000.0, max_share=block.max_share
    )


def _first(*values: _Value | None, default: _Value) -> _Value:
    return next((value for value in values if value is not None), default)


def _caching(block: CachingBlock | None) -> CachingBlock | None:
    """With `backend` set, whichever of its two names was used."""
    if block is None:
        return None
    return replace(block, backend=block.backend or block.cache_backend or "memory", cache_backend=None)


def _gaps(entry: Entry, problems: Problems) -> list[ConfigurationProblem]:
    gaps = []
    key = _NEEDS_MODEL.get(entry.kind)
    if key is not None and not entry.models and not _names_a_model_wrongly(entry, problems):
        gaps.append(problems.at("is missing: requests need a model to be sent to", path=f"{entry.path}.{key}"))
    for name in _FILES:
        file = getattr(entry.settings, name)
        if file is not None and not Path(file).is_file():
            gaps.append(problems.at(f"there is no such file: {file}", path=problems.place(entry.path, name)))
    here = f"{entry.path}.entra_id"
    if _lacks_library(entry) and not problems.reported(here):
        message, hint = "needs Microsoft's library, or client_secret", "pip install 'caxton-llm[azure]'"
        gaps.append(problems.at(message, path=here, hint=hint))
    return gaps


def _residency_gaps(configuration: Configuration, problems: Problems) -> list[ConfigurationProblem]:
    """Who asks for an agent or for nothing in particular must find a provider that may serve."""
    wanted = configuration.compliance.data_residency
    chains = [("llm.compliance.data_residency", configuration.entries)]
    chains += [(f"{agent.entry.path}.region", (agent.entry,)) for agent in configuration.agents if agent.entry]
    gaps = []
    for path, entries in chains:
        if entries and not any(map(configuration.permits, entries)):
            regions = ", ".join(sorted({entry.settings.region or "none given" for entry in entries}))
            message = f"no provider is in {wanted}, the data_residency (regions: {regions})"
            gaps.append(problems.at(message, path=path, hint="write 'region' into the entries"))
    return gaps


def _lacks_library(entry: Entry) -> bool:
    entra = entry.settings.entra_id
    return entra is not None and entra.client_secret is None and not is_installed("azure.identity")


def _names_a_model_wrongly(entry: Entry, problems: Problems) -> bool:
    keys = ("model", "models", "model_version", "deployment_name")
    return entry.path in problems.misspelt or any(problems.reported(f"{entry.path}.{key}") for key in keys)
