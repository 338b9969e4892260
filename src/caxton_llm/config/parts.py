"""The parts that a provider over HTTP is made of, from its entry: adapter, credentials, transport.

Some mistakes show only when these are made. `try_entries` makes them for no other purpose, so that such mistakes are told
together with those that show earlier.
"""

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.config.problems import Problems
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.protocols import Credentials, ProviderAdapter, Transport
from caxton_llm.providers.settings import BUILT_IN_KINDS, ProviderSettings
from caxton_llm.transport.choose import make_transport

__all__ = ["HTTP_KINDS", "entry_transport", "make_parts", "try_entries", "try_entry"]

HTTP_KINDS = tuple(kind for kind in BUILT_IN_KINDS if kind != "builtin")
"""Each is a module of `caxton_llm.providers`."""

_MAX_CONNECTIONS = 1000
"""Connections per origin: a stream holds one for as long as the model talks."""

_Part = TypeVar("_Part")


class _ProviderModule(Protocol):
    def adapter(self, settings: ProviderSettings) -> ProviderAdapter: ...
    def credentials(self, settings: ProviderSettings, api_key: str | None) -> Credentials: ...


def make_parts(settings: ProviderSettings, keys: Sequence[str] = ()) -> tuple[ProviderAdapter, list[Credentials]]:
    """The adapter, and credentials for each of `keys`, or for `api_key` when there are none.

    Raises `ConfigurationError` with what is wrong with any of them; its keys are those of the entry.
    """
    module: _ProviderModule = importlib.import_module(f"caxton_llm.providers.{settings.provider}")
    api_key = settings.api_key if isinstance(settings.api_key, str) else None
    problems: list[ConfigurationProblem] = []
    adapter = _made(lambda: module.adapter(settings), problems)
    made = [_made(partial(module.credentials, settings, key), problems) for key in (keys or (api_key,))]
    credentials = [each for each in made if each is not None]
    if adapter is None or len(credentials) < len(made):
        raise ConfigurationError(problems)
    return adapter, credentials


def entry_transport(settings: ProviderSettings) -> Transport:
    """A transport that reaches the network as the entry says. Raises `ConfigurationError`."""
    return make_transport(
        kind=settings.transport,
        proxy=settings.proxy,
        ca_file=settings.ca_file,
        client_cert=settings.client_cert,
        client_key=settings.client_key,
        max_connections=settings.max_connections or _MAX_CONNECTIONS,
    )


def try_entries(configuration: Configuration, problems: Problems) -> None:
    """Add what shows only when the parts of the entries are made; their secrets are in place, as far as there are any."""
    for entry in configuration.all_entries:
        try_entry(entry, problems)


def try_entry(entry: Entry, problems: Problems) -> None:
    """Add what shows only when the parts of one entry are made."""
    if entry.kind not in HTTP_KINDS:
        return
    for make in (lambda: make_parts(entry.settings, entry.keys), lambda: entry_transport(entry.settings)):
        try:
            make()
        except ConfigurationError as error:
            problems.adopt(error, entry.path)


def _made(make: Callable[[], _Part], problems: list[ConfigurationProblem]) -> _Part | None:
    try:
        return make()
    except ConfigurationError as error:
        problems += error.problems
        return None
