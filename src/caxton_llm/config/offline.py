"""Secrets without a network: what can be told about a configuration before anybody is asked."""

import os
from collections.abc import Mapping

from caxton_llm.config.secrets import secret_sources
from caxton_llm.protocols import SecretSource

__all__ = ["LOCAL_SOURCES", "offline_sources"]

LOCAL_SOURCES = frozenset({"env", "file"})
"""Sources that need nothing but this machine."""


class _StandIn:
    """Takes the place of a secret that is not fetched."""

    def read(self, reference: Mapping[str, str]) -> str:  # noqa: ARG002
        return "not-fetched"


def offline_sources(environ: Mapping[str, str] | None = None) -> dict[str, SecretSource]:
    """For `resolve_secrets`: the environment and files are read, everything else gets a stand-in. Whatever is built with the
    result must not be used for requests."""
    known = secret_sources(os.environ if environ is None else environ)
    return {name: source if name in LOCAL_SOURCES else _StandIn() for name, source in known.items()}
