"""What an operator learns of a failed request: a line in the log, and a count for those that the gateway has not counted.

A message may repeat what a provider or a client wrote, so none is logged: the kind of the error, and the ids by which both
sides find it.
"""

import logging
import traceback

from caxton_llm.errors import LlmError
from caxton_llm.observers.prometheus import PrometheusObserver

__all__ = ["FailureLog"]

_log = logging.getLogger("caxton_llm.server")


class FailureLog:
    """Notes failed requests.

    `counted` says that the gateway has the request in its metrics already, under the entry that it was sent to. The others
    are counted here: under the provider that failed, or under `gateway` when none was reached.
    """

    def __init__(self, metrics: PrometheusObserver | None) -> None:
        self._metrics = metrics

    def note(self, error: LlmError, *, counted: bool) -> None:
        """A client's own mistake is of the level INFO, everything else a WARNING."""
        self._count(error, counted)
        level = logging.WARNING if error.source == "provider" or error.http_status >= 500 else logging.INFO
        if _log.isEnabledFor(level):
            _log.log(level, "request %s failed: %s", error.gateway_request_id, _described(error))

    def note_internal(self, error: LlmError, cause: Exception, *, counted: bool) -> None:
        """A mistake of this package's own: `error` is what the client is told; of `cause` the type and the places are
        logged, because its message may hold a prompt."""
        self._count(error, counted)
        places = "".join(traceback.format_tb(cause.__traceback__))
        _log.error("internal error %s in request %s\n%s", type(cause).__name__, error.gateway_request_id, places)

    def _count(self, error: LlmError, counted: bool) -> None:
        if not counted and self._metrics is not None:
            self._metrics.failed(error.provider or "gateway", error.kind)


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
