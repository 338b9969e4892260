"""Secrets without a network: what can be told about a configuration before anybody is asked."""

import os
from collections.abc import Mapping

from caxton_llm.config.extras import is_installed
from caxton_llm.config.secrets import secret_sources
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.protocols import SecretSource

__all__ = ["LOCAL_SOURCES", "offline_sources"]

LOCAL_SOURCES = frozenset({"env", "file"})
"""Sources that need nothing but this machine."""


_PACKAGES = {"vault": ("hvac", "vault"), "aws_secrets": ("boto3", "aws"), "azure_keyvault": ("azure.identity", "azure")}
"""Source -> the package that reaches it, and the extra that installs it."""


class _StandIn:
    """Takes the place of a secret that is not fetched. Raises `ConfigurationError` when it never could be."""

    def __init__(self, source: str) -> None:
        self._package, self._extra = _PACKAGES[source]

    def read(self, reference: Mapping[str, str]) -> str:  # noqa: ARG002
        if not is_installed(self._package):
            message, hint = (
                f"the package {self._package!r} is not installed",
                f"pip install 'caxton-llm[{self._extra}]'",
            )
            raise ConfigurationError([ConfigurationProblem(message, hint=hint)])
        return "not-fetched"


def offline_sources(environ: Mapping[str, str] | None = None) -> dict[str, SecretSource]:
    """For `resolve_secrets`: the environment and files are read, everything else gets a stand-in. Whatever is built with the
    result must not be used for requests."""
    known = secret_sources(os.environ if environ is None else environ)
    return {name: source if name in LOCAL_SOURCES else _StandIn(name) for name, source in known.items()}
