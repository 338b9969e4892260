"""From a configuration to a gateway: adapters, credentials, transports, targets, and the names that lead to them."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from caxton_llm.config.alert_schema import AlertsBlock
from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.config.parts import HTTP_KINDS, entry_transport, make_parts, try_entry
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import HealthCheckBlock, ProviderEntry
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.dispatch.plan import Route
from caxton_llm.dispatch.target import Target, TargetState
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.gateway import Gateway
from caxton_llm.http_provider import HttpProvider, VersionPin
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import Clock, LlmProvider, Transport
from caxton_llm.providers.catalog import Catalog, EntryModels, shipped_catalog
from caxton_llm.providers.prices import EntryPrices
from caxton_llm.providers.settings import secret_values
from caxton_llm.routes import make_routes
from caxton_llm.routing.breaker import BreakerState
from caxton_llm.streaming import Gathering
from caxton_llm.transport.choose import make_transport
from caxton_llm.usage import Usage

if TYPE_CHECKING:
    from caxton_llm.agent_service import AgentService
    from caxton_llm.alerts.watch import AlertWatch
    from caxton_llm.health_checks import HealthChecks
    from caxton_llm.memory_system import Memory

__all__ = ["PLUGIN_GROUP", "Assembly", "assemble"]

PLUGIN_GROUP = "caxton_llm.providers"
"""Entry points of other packages: the name is the `provider` key, the value a function of the settings and the API key
(or `None`) that returns an `LlmProvider`."""


class Assembly(Struct, kw_only=True):
    """A gateway with what it stands on."""

    gateway: Gateway
    states: list[TargetState]
    """The configured targets in their order, with how they are doing."""
    transports: list[Transport]
    deprecations: dict[str, str]
    """Requested name -> sentence about the end of its model's life."""
    health_checks: "HealthChecks | None"
    alert_watch: "AlertWatch | None"
    agents: "AgentService | None"
    """All three `None` where none are configured."""

    def start(self) -> None:
        """Begin the health checks, the alerts, and what agents use, in the running event loop."""
        for task in (self.health_checks, self.alert_watch, self.agents):
            if task is not None:
                task.start()

    async def aclose(self) -> None:
        """Stop what `start` began, and close all connections. Safe to call twice."""
        for task in (self.agents, self.health_checks, self.alert_watch):
            if task is not None:
                await task.aclose()
        while self.transports:
            await self.transports.pop().aclose()


def assemble(
    configuration: Configuration,
    observers: Sequence[Observer],
    environ: Mapping[str, str] | None = None,
    *,
    memory: "Memory | None" = None,
    clock: Clock = time.monotonic,
) -> Assembly:
    """Build everything. Raises `ConfigurationError` with all that only shows now: secrets, plug-ins, certificates.

    `memory` is what agents remember with; without one they open the configured one when it is needed.
    """
    configuration = resolve_secrets(configuration, environ=environ)
    transports = _Transports()
    catalog = shipped_catalog()
    priced = configuration.monitoring.cost_tracking
    problems = Problems(configuration.file, configuration.lines, configuration.files)
    targets = {}
    for number, entry in enumerate(configuration.all_entries):
        try:
            place = 0 if entry.shares else number + 1
            targets[entry.name] = _target(entry, catalog, transports, place=place, priced=priced)
        except ConfigurationError as error:
            try_entry(entry, problems)  # this error may be the first of several
            problems.adopt(error, entry.path)
    problems.raise_any()
    states = {name: _state(target, observers, clock) for name, target in targets.items()}
    routes = make_routes(configuration, states)
    serving = [(states[entry.name], entry) for entry in configuration.all_entries if configuration.permits(entry)]
    checked = [(state, block) for state, entry in serving if (block := entry.settings.health_check) is not None]
    watched = [state for state, _ in serving]
    gateway = _gateway(configuration, routes, observers, clock)
    return Assembly(
        gateway=gateway,
        states=list(states.values()),
        transports=transports.made,
        deprecations=_deprecations(routes),
        health_checks=_health_checks(checked, observers, clock) if checked else None,
        alert_watch=_alert_watch(configuration.monitoring.alerts, watched, transports, observers, clock),
        agents=_agents(configuration, gateway, memory) if configuration.agents else None,
    )


def _gateway(
    configuration: Configuration, routes: Mapping[str, Route], observers: Sequence[Observer], clock: Clock
) -> Gateway:
    streaming = configuration.streaming
    return Gateway(
        routes,
        observers=observers,
        streams=streaming is None or streaming.enabled,
        resume=streaming is not None and streaming.resume,
        gathering=Gathering(streaming.chunk_size, streaming.buffer_timeout_ms / 1000.0) if streaming else None,
        hedging=configuration.hedging,
        max_attempts=configuration.max_attempts,
        degraded_message=configuration.degraded_message,
        clock=clock,
    )


def _agents(configuration: Configuration, gateway: Gateway, memory: "Memory | None") -> "AgentService":
    from caxton_llm.agent_service.assembly import make_agents  # noqa: PLC0415 - only what is configured is imported

    return make_agents(configuration, gateway, memory)


def _health_checks(
    checked: list[tuple[TargetState, HealthCheckBlock]], observers: Sequence[Observer], clock: Clock
) -> "HealthChecks":
    from caxton_llm.health_checks import HealthChecks  # noqa: PLC0415 - only what is configured is imported

    return HealthChecks(checked, observers=observers, clock=clock)


def _alert_watch(
    block: AlertsBlock | None,
    states: Sequence[TargetState],
    transports: "_Transports",
    observers: Sequence[Observer],
    clock: Clock,
) -> "AlertWatch | None":
    if block is None or not block.enabled:
        return None
    from caxton_llm.alerting import alert_policy, make_channels, needs_transport  # noqa: PLC0415 - only what is configured
    from caxton_llm.alerts.rules import AlertRules  # noqa: PLC0415 - is imported
    from caxton_llm.alerts.watch import AlertWatch  # noqa: PLC0415
    from caxton_llm.target_status import sample_target  # noqa: PLC0415

    policy = alert_policy(block)
    return AlertWatch(
        AlertRules(policy),
        make_channels(block, transports.for_alerts() if needs_transport(block) else None),
        lambda: [sample_target(state, policy.min_requests) for state in states],
        observers=observers,
        clock=clock,
    )


def _state(target: Target, observers: Sequence[Observer], clock: Clock) -> TargetState:
    def changed(name: str, state: BreakerState) -> None:
        for observer in observers:
            observer.breaker_changed(name, state)

    made = TargetState(target, clock=clock, on_breaker=changed)
    for number, provider in enumerate(target.providers):
        if isinstance(provider, HttpProvider):
            provider.on_headers = partial(made.hear, number)
    return made


class _Transports:
    """One transport for all entries that reach the network in the same way."""

    def __init__(self) -> None:
        self._by_settings: dict[tuple[object, ...], Transport] = {}

    def for_entry(self, entry: ProviderEntry) -> Transport:
        key = (
            entry.transport,
            entry.proxy,
            entry.ca_file,
            entry.client_cert,
            entry.client_key,
            entry.max_connections,
        )
        if key not in self._by_settings:
            self._by_settings[key] = entry_transport(entry)
        return self._by_settings[key]

    def for_alerts(self) -> Transport:
        """A plain one of its own."""
        return self._by_settings.setdefault(("alerts",), make_transport())

    @property
    def made(self) -> list[Transport]:
        return list(self._by_settings.values())


def _target(entry: Entry, catalog: Catalog, transports: _Transports, *, place: int, priced: bool) -> Target:
    describe = EntryModels(catalog, entry.settings)
    prices = EntryPrices(catalog, entry.settings)
    return Target(
        name=entry.name,
        kind=entry.kind,
        providers=_providers(entry, describe, transports),
        models=entry.models or ((entry.kind,) if entry.kind == "builtin" else ()),
        timeouts=entry.timeouts,
        retry=entry.retry,
        breaker=entry.breaker,
        limits=entry.limits,
        priority=entry.settings.priority or 0,
        weight=1.0 if entry.settings.weight is None else entry.settings.weight,
        place=place,
        region=entry.settings.region,
        fallback_on=frozenset(entry.settings.fallback_on or ()),
        describe=lambda model: prices.fill(describe(model)),
        cost=prices.cost if priced else _unpriced,
    )


def _unpriced(_asked: str, _answered: str, _usage: Usage | None) -> None:
    """`monitoring.cost_tracking: false`: every cost is unknown."""


def _providers(entry: Entry, describe: EntryModels, transports: _Transports) -> tuple[LlmProvider, ...]:
    """One provider for each key of the entry, over the same connections."""
    settings = entry.settings
    if entry.kind == "builtin":
        from caxton_llm.builtin_provider import BuiltinProvider  # noqa: PLC0415 - only what is configured is imported

        builtin = BuiltinProvider(settings)
        describe.learn(builtin.describe())
        return (builtin,)
    if entry.kind not in HTTP_KINDS:
        keys = entry.keys or (settings.api_key if isinstance(settings.api_key, str) else None,)
        return tuple(_plugged_in(entry, key) for key in keys)
    adapter, credentials = make_parts(settings, entry.keys)
    return tuple(
        HttpProvider(
            adapter,
            transports.for_entry(settings),
            each,
            main_model=settings.main_model,
            describe=describe,
            learn=describe.learn,
            timeouts=entry.timeouts,
            streams=settings.streams,
            pin=VersionPin(settings.model_version, settings.auto_upgrade is False) if settings.model_version else None,
            image_hosts=settings.image_hosts,
            secrets=partial(secret_values, settings),
        )
        for each in credentials
    )


def _plugged_in(entry: Entry, api_key: str | None) -> LlmProvider:
    from importlib.metadata import entry_points  # noqa: PLC0415 - costs a tenth of the package's import

    for point in entry_points(group=PLUGIN_GROUP, name=entry.kind):
        provider = point.load()(entry.settings, api_key)
        if not isinstance(provider, LlmProvider):
            raise ConfigurationError(f"the plug-in {point.value!r} for provider {entry.kind!r} made no LlmProvider")
        return provider
    known = ", ".join((*HTTP_KINDS, "builtin"))
    message = f"there is no provider {entry.kind!r}: there is {known}, and what installed packages add"
    raise ConfigurationError([ConfigurationProblem(message, path="provider")])


def _deprecations(routes: Mapping[str, Route]) -> dict[str, str]:
    sentences = {}
    for name, route in routes.items():
        model = route.first.model
        info = route.first.target.describe(model)
        if info.lifecycle in ("retired", "deprecated"):
            when = f" on {info.retires_on}" if info.retires_on else ""
            state = "was retired" if info.lifecycle == "retired" else "is deprecated and will be retired"
            sentences[name] = f"{model} {state}{when}"
    return sentences
