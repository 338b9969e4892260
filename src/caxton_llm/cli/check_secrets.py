"""Fetches secrets for `caxton check --live`, where a store that fails concerns its own entries only."""

import os
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from caxton_llm.config.alert_checks import replace_alert_secrets
from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.config.memory_checks import replace_memory_secrets
from caxton_llm.config.offline import LOCAL_SOURCES
from caxton_llm.config.problems import Problems
from caxton_llm.config.secret_keys import Secret, replace_secrets
from caxton_llm.config.secrets import resolve_secrets, secret_sources
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.protocols import SecretSource
from caxton_llm.providers.settings import SecretReference

__all__ = ["fetch_secrets"]

_Failures = dict[frozenset[tuple[str, str]], str]
"""By the fields of the reference."""


def fetch_secrets(written: Configuration) -> tuple[Configuration, dict[str, str]]:
    """The configuration with its secrets, and why entries, by their names, have none. Raises `ConfigurationError` like
    `resolve_secrets`, but not for what a store on the network says."""
    failures: _Failures = {}
    sources: dict[str, SecretSource] = {
        name: source if name in LOCAL_SOURCES else _Lenient(source, failures)
        for name, source in secret_sources(os.environ).items()
    }
    resolved = resolve_secrets(written, sources=sources)
    without = {entry.name: _failure(entry, failures) for entry in written.all_entries}
    warnings = (*resolved.warnings, *_other_warnings(written, failures))
    return replace(resolved, warnings=warnings), {name: failure for name, failure in without.items() if failure}


def _other_warnings(written: Configuration, failures: _Failures) -> list[ConfigurationProblem]:
    """The gateway will not start without the secrets of its alerts and of its memory."""
    problems = Problems(written.file, written.lines)
    found: list[ConfigurationProblem] = []

    def note(secret: Secret, path: str) -> Secret:
        failure = _failure_of(secret, failures)
        if failure:
            found.append(problems.at(failure, path=path))
        return secret

    written.with_alerts(lambda alerts: replace_alert_secrets(alerts, note))
    written.with_memory(lambda memory: replace_memory_secrets(memory, note))
    return found


class _Lenient:
    """A store on the network. For a secret that it does not give there is a stand-in, which must not be sent."""

    def __init__(self, source: SecretSource, failures: _Failures) -> None:
        self._source = source
        self._failures = failures

    def read(self, reference: Mapping[str, str]) -> str:
        try:
            return self._source.read(reference)
        except ConfigurationError as error:
            self._failures[frozenset(reference.items())] = str(error.problems[0])
            return "not-fetched"


def _failure(entry: Entry, failures: _Failures) -> str:
    """Of the entry's first secret that could not be fetched."""
    found: list[str] = []

    def note(secret: Secret, _path: str) -> Secret:
        failure = _failure_of(secret, failures)
        if failure:
            found.append(failure)
        return secret

    replace_secrets(entry.settings, entry.path, note)
    return found[0] if found else ""


def _failure_of(secret: Secret, failures: _Failures) -> str:
    if not isinstance(secret, SecretReference):
        return ""
    fields: dict[str, str | None] = msgspec.structs.asdict(secret)
    failure = failures.get(frozenset((name, value) for name, value in fields.items() if value is not None))
    return "" if failure is None else f"{secret.source}: {failure}"
