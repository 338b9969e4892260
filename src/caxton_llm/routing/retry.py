"""Whether and when to send again to the same target: a pure decision over what happened so far."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from caxton_llm.errors import (
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    LlmError,
    MalformedResponse,
    Overloaded,
    ProviderFailure,
    RateLimited,
    TransportError,
)

__all__ = ["RetryErrorClass", "RetryPolicy"]

RetryErrorClass = Literal["timeout", "rate_limit", "server_error"]

_TIMEOUTS = (ConnectTimeout, FirstByteTimeout, IdleTimeout)
_SERVER_ERRORS = (ProviderFailure, Overloaded, MalformedResponse, TransportError)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """The specification's `retry_policy`: attempts per target (the first included), full jitter, a cap, and which errors.

    Delays are in milliseconds. Before attempt n+1 the wait is a random share of
    `min(max_delay_ms, initial_delay_ms * backoff_multiplier ** (n - 1))`. A provider's Retry-After replaces it.
    """

    max_attempts: int = 3
    initial_delay_ms: float = 1000.0
    max_delay_ms: float = 10_000.0
    backoff_multiplier: float = 2.0
    retry_on_errors: tuple[RetryErrorClass, ...] = ("timeout", "rate_limit", "server_error")

    def delay_s(
        self, error: LlmError, *, attempts: int, remaining_s: float, jitter: Callable[[], float]
    ) -> float | None:
        """Seconds to wait before sending again, or `None` when sending again is not allowed or does not fit.

        `attempts` counts those already made, `remaining_s` is what the deadline leaves, `jitter` returns 0..1.
        """
        if attempts >= self.max_attempts or not error.should_retry or not self._covers(error):
            return None
        backoff = jitter() * self._ceiling_ms(attempts) / 1000.0
        delay = error.retry_after_s if error.retry_after_s is not None else backoff
        return delay if delay < remaining_s else None

    def _ceiling_ms(self, attempts: int) -> float:
        try:
            return min(self.max_delay_ms, self.initial_delay_ms * self.backoff_multiplier ** (attempts - 1))
        except OverflowError:
            return self.max_delay_ms

    def _covers(self, error: LlmError) -> bool:
        if isinstance(error, RateLimited):
            return "rate_limit" in self.retry_on_errors
        if isinstance(error, _TIMEOUTS):
            return "timeout" in self.retry_on_errors
        return isinstance(error, _SERVER_ERRORS) and "server_error" in self.retry_on_errors
