"""From a configuration to a gateway: adapters, credentials, transports, targets, and the names that lead to them."""

import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from msgspec import Struct

from caxton_llm.builtin_provider import BuiltinProvider
from caxton_llm.config.resolve import Configuration
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.gateway import Gateway, Route, Target
from caxton_llm.http_provider import HttpProvider
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import Credentials, LlmProvider, ProviderAdapter, Transport
from caxton_llm.providers.catalog import Catalog, EntryModels, merge, shipped_catalog
from caxton_llm.providers.prices import EntryPrices
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.streaming import Gathering
from caxton_llm.transport.choose import make_transport
from caxton_llm.types import ModelInfo

__all__ = ["PLUGIN_GROUP", "Assembly", "assemble"]

PLUGIN_GROUP = "caxton_llm.providers"
"""Entry points of other packages: the name is the `provider` key, the value a function of the settings and the API key
(or `None`) that returns an `LlmProvider`."""

_MAX_CONNECTIONS = 1000
"""Connections per origin: a stream holds one for as long as the model talks."""

_MODULES = {kind: f"caxton_llm.providers.{kind}" for kind in ("openai", "anthropic", "azure", "ollama", "vllm", "custom")}


class _ProviderModule(Protocol):
    def adapter(self, settings: ProviderSettings) -> ProviderAdapter: ...
    def credentials(self, settings: ProviderSettings, api_key: str | None) -> Credentials: ...


class Assembly(Struct, kw_only=True):
    """A gateway with what it stands on."""

    gateway: Gateway
    targets: list[Target]
    transports: list[Transport]
    deprecations: dict[str, str]
    """Requested name -> sentence about the end of its model's life."""

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        while self.transports:
            await self.transports.pop().aclose()


def assemble(configuration: Configuration, observers: Sequence[Observer]) -> Assembly:
    """Build everything. Raises `ConfigurationError` for what only shows now: a secret, a plug-in, an address."""
    secrets = resolve_secrets(configuration)
    transports = _Transports()
    catalog = shipped_catalog()
    targets = [
        _target(entry, secrets.get(entry.entry_name), catalog, transports) for entry in configuration.entries
    ]
    routes = _routes(configuration, targets)
    return Assembly(
        gateway=Gateway(routes, observers=observers, gathering=_gathering(configuration)),
        targets=targets,
        transports=transports.made,
        deprecations=_deprecations(routes),
    )


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
            self._by_settings[key] = make_transport(
                entry.transport,
                proxy=entry.proxy,
                ca_file=entry.ca_file,
                client_cert=entry.client_cert,
                client_key=entry.client_key,
                max_connections=entry.max_connections or _MAX_CONNECTIONS,
            )
        return self._by_settings[key]

    @property
    def made(self) -> list[Transport]:
        return list(self._by_settings.values())


def _target(entry: ProviderEntry, api_key: str | None, catalog: Catalog, transports: _Transports) -> Target:
    describe = EntryModels(catalog, entry)
    prices = EntryPrices(catalog, entry)
    models = tuple(dict.fromkeys(name for name in (entry.main_model, entry.model, *entry.models) if name))
    return Target(
        name=entry.entry_name,
        kind=entry.provider,
        provider=_provider(entry, api_key, describe, transports),
        models=models,
        timeouts=entry.timeouts,
        retry=entry.retry,
        describe=lambda model: prices.fill(describe(model)),
        price=prices,
    )


def _provider(
    entry: ProviderEntry, api_key: str | None, describe: Callable[[str], ModelInfo], transports: _Transports
) -> LlmProvider:
    if entry.provider == "builtin":
        return BuiltinProvider(entry)
    if entry.provider not in _MODULES:
        return _plugged_in(entry, api_key)
    module: _ProviderModule = importlib.import_module(_MODULES[entry.provider])  # only what is configured is imported
    return HttpProvider(
        module.adapter(entry),
        transports.for_entry(entry),
        module.credentials(entry, api_key),
        main_model=entry.main_model,
        describe=describe,
        merge=merge,
        timeouts=entry.timeouts,
        streams=entry.streams,
        pinned_version=entry.model_version if entry.auto_upgrade is False else None,
        image_hosts=entry.image_hosts,
    )


def _plugged_in(entry: ProviderEntry, api_key: str | None) -> LlmProvider:
    for point in entry_points(group=PLUGIN_GROUP, name=entry.provider):
        provider = point.load()(entry, api_key)
        if not isinstance(provider, LlmProvider):
            raise ConfigurationError(f"the plug-in {point.value!r} for provider {entry.provider!r} made no LlmProvider")
        return provider
    known = ", ".join((*_MODULES, "builtin"))
    raise ConfigurationError(
        [
            ConfigurationProblem(
                f"there is no provider {entry.provider!r}: there is {known}, and what installed packages add",
                path="llm.provider",
            )
        ]
    )


def _routes(configuration: Configuration, targets: list[Target]) -> dict[str, Route]:
    """The names a request may use, in their order of precedence: the first meaning of a name counts."""
    by_name = {target.name: Route(target, target.models[0] if target.models else "") for target in targets}
    routes: dict[str, Route] = {}
    for agent in configuration.agents:
        routes.setdefault(f"agent:{agent.name}", by_name[agent.entry])
    for agent in configuration.agents:
        for capability in agent.capabilities:
            routes.setdefault(f"capability:{capability}", by_name[agent.entry])
    for name, route in by_name.items():
        routes.setdefault(name, route)
    for target in targets:
        for model in target.models:
            routes.setdefault(model, Route(target, model))
    if configuration.default_entry is not None:
        routes.setdefault("default", by_name[configuration.default_entry.entry_name])
    return routes


def _gathering(configuration: Configuration) -> Gathering | None:
    streaming = configuration.streaming
    if streaming is None:
        return None
    return Gathering(streaming.chunk_size, streaming.buffer_timeout_ms / 1000.0)


def _deprecations(routes: dict[str, Route]) -> dict[str, str]:
    sentences = {}
    for name, route in routes.items():
        info = route.target.describe(route.model)
        if info.lifecycle in ("retired", "deprecated"):
            when = f" on {info.retires_on}" if info.retires_on else ""
            state = "was retired" if info.lifecycle == "retired" else "is deprecated and will be retired"
            sentences[name] = f"{route.model} {state}{when}"
    return sentences
