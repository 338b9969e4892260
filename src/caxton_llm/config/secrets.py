"""Secrets that are kept elsewhere: fetched when the program starts, put in the place of their references.

No message contains a secret; it names the reference. A secret is stripped of the white space around it, which is how most
files of one line end.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from caxton_llm.config.addresses import host_of
from caxton_llm.config.alert_checks import replace_alert_secrets
from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.config.kinds import API_KEY_VARIABLES, SIGNING_HEADERS, is_vendor_host
from caxton_llm.config.memory_checks import EMBEDDER_PATH, replace_memory_secrets
from caxton_llm.config.memory_configuration import MemoryConfiguration
from caxton_llm.config.parts import try_entries
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.config.secret_keys import Secret, replace_secrets
from caxton_llm.config.vaults import AwsSecretsSource, AzureKeyVaultSource, VaultSource
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.protocols import SecretSource
from caxton_llm.providers.settings import SecretReference

__all__ = ["EnvironmentSource", "FileSource", "fetch", "resolve_secrets", "secret_sources"]

_NEED_A_KEY = ("openai", "anthropic", "azure")


class EnvironmentSource:
    """`source: env`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, reference: Mapping[str, str]) -> str:
        value = self._environ.get(reference["name"])
        if value is None:
            raise ConfigurationError(f"the environment variable {reference['name']} is not set")
        return value


class FileSource:
    """`source: file`: the file's text."""

    def read(self, reference: Mapping[str, str]) -> str:
        path = Path(reference["path"])
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"the file {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"the file {path} is not UTF-8 text") from None


def secret_sources(environ: Mapping[str, str]) -> dict[str, SecretSource]:
    """Every source by the name that `source` gives it."""
    return {
        "env": EnvironmentSource(environ),
        "file": FileSource(),
        "vault": VaultSource(environ),
        "aws_secrets": AwsSecretsSource(environ),
        "azure_keyvault": AzureKeyVaultSource(),
    }


def resolve_secrets(
    configuration: Configuration,
    *,
    environ: Mapping[str, str] | None = None,
    sources: Mapping[str, SecretSource] | None = None,
) -> Configuration:
    """The configuration with every secret in its place, ready to serve: `api_key` is text or `None` in every entry.

    An entry without a key gets the one in its vendor's usual variable (`OPENAI_API_KEY`, ...), unless its `base_url` leads
    elsewhere. Blocks while it talks to vaults. Raises `ConfigurationError` with everything that keeps the program from
    serving: the gaps of the configuration, secrets that cannot be fetched, keys that are missing.
    """
    known = os.environ if environ is None else environ
    problems = Problems(configuration.file, configuration.lines)
    resolved, warnings = fetch(configuration, problems, known, secret_sources(known) if sources is None else sources)
    if problems.found:
        try_entries(resolved, problems)
        raise problems.error()
    return replace(resolved, warnings=(*configuration.warnings, *warnings))


def fetch(
    configuration: Configuration, problems: Problems, environ: Mapping[str, str], sources: Mapping[str, SecretSource]
) -> tuple[Configuration, list[ConfigurationProblem]]:
    """The configuration with every secret that could be fetched, and warnings. Gaps and what could not be fetched are added
    to the problems; a secret that has one already is left alone."""
    problems.found += configuration.gaps
    fetching = _Fetching(problems, environ, sources)
    fetched = configuration.with_entries(fetching.entry).with_alerts(
        lambda alerts: replace_alert_secrets(alerts, fetching.secret)
    )
    fetched = fetched.with_memory(lambda memory: fetching.memory(memory, fetched.entries))
    return fetched, fetching.warnings


class _Fetching:
    """One pass over all entries; each reference is read once."""

    def __init__(self, problems: Problems, environ: Mapping[str, str], sources: Mapping[str, SecretSource]) -> None:
        self.problems = problems
        self.warnings: list[ConfigurationProblem] = []
        self._environ = environ
        self._sources = sources
        self._read: dict[SecretReference, str] = {}

    def entry(self, entry: Entry) -> Entry:
        settings = replace_secrets(entry.settings, entry.path, self.secret)
        return replace(entry, settings=self._with_key(settings, entry.path))

    def memory(self, memory: MemoryConfiguration, entries: Sequence[Entry]) -> MemoryConfiguration:
        """An embedder that names an entry gets its settings, whose secrets are in place already."""
        memory = replace_memory_secrets(memory, self.secret)
        server, provider = memory.embedder.server, memory.embedder.provider
        if server is None:
            return memory
        if provider is None:
            server = self._with_key(server, EMBEDDER_PATH)
        else:
            server = next((entry.settings for entry in entries if entry.name == provider), server)
        return replace(memory, embedder=replace(memory.embedder, server=server))

    def _with_key(self, settings: ProviderEntry, path: str) -> ProviderEntry:
        return replace(settings, api_key=self._key(settings, path)) if settings.api_key is None else settings

    def _key(self, settings: ProviderEntry, path: str) -> Secret | None:
        """The key of an entry that names none: the first of several, or the vendor's usual variable."""
        if settings.api_keys:
            return settings.api_keys[0]
        kind, address = settings.provider, settings.base_url
        variable = API_KEY_VARIABLES.get(kind)
        unknown = any(
            self.problems.reported(f"{path}.{key}") for key in ("api_key", "api_keys", "base_url", "entra_id")
        )
        headers = {name.lower() for name in settings.headers}
        if variable is None or settings.entra_id is not None or unknown or SIGNING_HEADERS[kind] in headers:
            return None
        own_host = kind == "azure" or (kind != "ollama" if address is None else is_vendor_host(kind, host_of(address)))
        value = self._environ.get(variable, "").strip() if own_host else ""
        if value:
            return self._checked(value, f"{path}.api_key", f"the environment variable {variable}")
        signed = "authorization" in headers or path in self.problems.misspelt
        if own_host and kind in _NEED_A_KEY and not signed:
            self.problems.add_missing(f"{path}.api_key", f"write api_key, or set the environment variable {variable}")
        return None

    def secret(self, secret: Secret, path: str) -> str | None:
        if isinstance(secret, str):
            return secret.strip() or None
        if self.problems.reported(path):
            return None
        value = self._read.get(secret)
        if value is None:
            try:
                value = self._read[secret] = self._sources[secret.source].read(_as_mapping(secret)).strip()
            except ConfigurationError as error:
                self.problems.add(
                    f"{secret.source}: {error.problems[0].message}", path=path, hint=error.problems[0].hint
                )
                return None
            self._warn_of_open_file(secret, path)
        if not value:
            self.problems.add(f"{secret.source}: the secret is empty", path=path)
            return None
        return self._checked(value, path, f"{secret.source}: the secret")

    def _checked(self, value: str, path: str, what: str) -> str | None:
        if value.isascii() and value.isprintable():
            return value
        self.problems.add(f"{what} contains a character that no header may contain (the value is not shown)", path=path)
        return None

    def _warn_of_open_file(self, reference: SecretReference, path: str) -> None:
        if reference.source != "file" or reference.path is None:
            return
        mode = stat.S_IMODE(Path(reference.path).stat().st_mode)
        if mode & 0o077:
            message = f"others may read the file {reference.path} (mode {mode:04o})"
            self.warnings.append(self.problems.at(message, path=path, hint="chmod 600"))


def _as_mapping(reference: SecretReference) -> dict[str, str]:
    fields: dict[str, str | None] = msgspec.structs.asdict(reference)
    return {name: value for name, value in fields.items() if value is not None}
