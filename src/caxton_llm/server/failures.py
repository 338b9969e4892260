"""What an operator learns of a failed request: a line in the log, and a count for those that reached no provider.

A message may repeat what a provider wrote, so none is logged: the kind of the error, and the ids by which both sides find it.
"""

import logging

from caxton_llm.errors import LlmError
from caxton_llm.observers.prometheus import PrometheusObserver

__all__ = ["FailureLog"]

_log = logging.getLogger("caxton_llm.server")


class FailureLog:
    """Notes failed requests. What a provider failed at is in the metrics already; what was refused before is counted here."""

    def __init__(self, metrics: PrometheusObserver | None) -> None:
        self._metrics = metrics

    def note(self, error: LlmError) -> None:
        """A client's own mistake is of the level INFO, everything else a WARNING."""
        if error.provider is None and self._metrics is not None:
            self._metrics.refused(error.kind)
        level = logging.WARNING if error.source == "provider" or error.http_status >= 500 else logging.INFO
        if _log.isEnabledFor(level):
            _log.log(level, "request %s failed: %s", error.gateway_request_id, _described(error))


def _described(error: LlmError) -> str:
    facts: dict[str, object] = {
        "answered": error.http_status,
        "provider": error.provider,
        "model": error.model,
        "provider_status": error.status,
        "provider_request_id": error.request_id,
        "attempts": ",".join(attempt.error for attempt in error.attempts) or None,
    }
    return " ".join([error.kind, *(f"{name}={value}" for name, value in facts.items() if value is not None)])
