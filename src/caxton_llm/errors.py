"""Every error that this package raises.

    LlmError                          http_status  kind
    |-- ConfigurationError            500          configuration            the operator's mistake
    |-- InvalidRequest                400          invalid_request          the caller's mistake
    |   |-- UnknownModel              404          unknown_model            no target has that name
    |   |-- RequestTooLarge           413          request_too_large
    |   |-- AgentCallRefused          400          agent_call_refused       agents in a circle, or too many in a chain
    |   |-- ConversationChanged       409          conversation_changed     another request has continued it meanwhile
    |   |-- ConversationDeleted       410          conversation_deleted     it was deleted while in use
    |   `-- UnsupportedFeature        422          unsupported_feature      this target cannot do it; another may
    |-- AccessDenied                  401          access_denied            our own door (403 when known but not allowed)
    |-- LimitExceeded                 429          limit_exceeded           our own rate limit or budget
    |-- ContentBlocked                400          content_blocked          our own filter
    |-- ProviderError                 502          provider_error
    |   |-- Authentication            502          authentication           the operator's key is refused
    |   |-- Permission                502          permission
    |   |-- ModelNotFound             404          model_not_found          the provider does not know the model
    |   |-- RateLimited               429          rate_limited             retryable
    |   |-- QuotaExhausted            429          quota_exhausted
    |   |-- ContextWindowExceeded     400          context_window_exceeded
    |   |-- ContentFiltered           400          content_filtered
    |   |-- Overloaded                503          overloaded               retryable
    |   |-- ProviderFailure           502          provider_failure         retryable
    |   `-- MalformedResponse         502          malformed_response       retryable
    |-- TransportError                502          transport                retryable
    |   |-- ConnectFailed             502          connect_failed
    |   |-- ConnectTimeout            502          connect_timeout
    |   |-- FirstByteTimeout          502          first_byte_timeout
    |   |-- IdleTimeout               502          idle_timeout
    |   `-- StreamInterrupted         502          stream_interrupted
    |-- MemoryStoreError              500          memory_store             the disk or the database of a memory
    |-- ConversationStoreError        500          conversation_store       the disk or the database of conversations
    |-- DeadlineExceeded              504          deadline_exceeded
    `-- AllTargetsFailed              502          all_targets_failed       `.attempts` says what was tried

A message says what is wrong, where, and how to mend it. It never contains a secret, a prompt, an answer or a header.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from caxton_llm.attempts import Attempt, Skip
from caxton_llm.near_names import nearest_name

__all__ = [
    "AccessDenied",
    "AgentCallRefused",
    "AllTargetsFailed",
    "Attempt",
    "Authentication",
    "ConfigurationError",
    "ConfigurationProblem",
    "ConnectFailed",
    "ConnectTimeout",
    "ContentBlocked",
    "ContentFiltered",
    "ContextWindowExceeded",
    "ConversationChanged",
    "ConversationDeleted",
    "ConversationStoreError",
    "DeadlineExceeded",
    "FirstByteTimeout",
    "IdleTimeout",
    "InvalidRequest",
    "LimitExceeded",
    "LlmError",
    "MalformedResponse",
    "MemoryStoreError",
    "MisusedError",
    "ModelNotFound",
    "Overloaded",
    "Permission",
    "ProviderError",
    "ProviderFailure",
    "QuotaExhausted",
    "RateLimited",
    "RequestTooLarge",
    "Skip",
    "StreamInterrupted",
    "TransportError",
    "UnknownModel",
    "UnsupportedFeature",
]

_MOST_NAMES = 50
"""Names that a message lists."""
_NEAR = 0.6

ErrorSource = Literal["gateway", "provider"]


class LlmError(Exception):
    """What every error here is.

    `source` says who refused: `gateway` (this package) or `provider`. `param` is the path of the field at fault
    (`messages[2].content`), `code` the provider's machine code, `status` the provider's HTTP status, `request_id` the
    provider's name for the request, `retry_after_s` how long the provider asked to wait.
    """

    kind: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_source: ClassVar[ErrorSource] = "gateway"

    def __init__(
        self,
        message: str,
        *,
        source: ErrorSource | None = None,
        param: str | None = None,
        code: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.source: ErrorSource = source or self.default_source
        self.param = param
        self.code = code
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.should_retry = self.retryable if should_retry is None else should_retry
        """Whether sending the same request to the same target again can help; starts as the class's `retryable`."""
        self.attempts: list[Attempt] = []
        self.skipped: list[Skip] = []
        """Targets that nothing was sent to."""
        self.gateway_request_id: str | None = None
        """Our own name for the request, where it came over HTTP (`x-caxton-request-id`)."""

    def locate(self, *, provider: str, model: str | None = None, request_id: str | None = None) -> Self:
        """Say where it happened; what is known already stays."""
        self.provider = self.provider or provider
        self.model = self.model or model
        self.request_id = self.request_id or request_id
        return self

    def reword(self, change: Callable[[str], str]) -> None:
        """Change whatever a provider may have written: the message, the field, the code and the request id."""
        self.message = change(self.message)
        self.args = (self.message,)
        self.param = None if self.param is None else change(self.param)
        self.code = None if self.code is None else change(self.code)
        self.request_id = None if self.request_id is None else change(self.request_id)

    def hide(self, secret: str) -> None:
        """Take out a secret that a provider has repeated."""
        self.reword(lambda text: text.replace(secret, "***"))

    def __str__(self) -> str:
        where = [f"{name} {value}" for name, value in self._where() if value is not None]
        return f"{self.message} ({', '.join(where)})" if where else self.message

    def _where(self) -> tuple[tuple[str, object], ...]:
        return (
            ("at", self.param),
            ("provider", self.provider),
            ("model", self.model),
            ("status", self.status),
            ("request id", self.request_id),
            ("attempts", len(self.attempts) or None),
            ("retry after", None if self.retry_after_s is None else f"{self.retry_after_s:g} s"),
        )


@dataclass(frozen=True, slots=True)
class ConfigurationProblem:
    """One mistake: `path` is the dotted key, `line` counts from 1, `hint` says how to mend it."""

    message: str
    path: str = ""
    file: str = ""
    line: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part)
        text = f"{self.path}: {self.message}" if self.path else self.message
        return " ".join(
            part for part in (f"{place}:" if place else "", text, f"({self.hint})" if self.hint else "") if part
        )


class ConfigurationError(LlmError):
    """The configuration cannot be used; `problems` lists everything that is wrong with it."""

    kind = "configuration"
    http_status = 500

    def __init__(self, problems: list[ConfigurationProblem] | str) -> None:
        self.problems = [ConfigurationProblem(problems)] if isinstance(problems, str) else problems
        super().__init__("\n".join(str(problem) for problem in self.problems))


class MisusedError(RuntimeError):
    """The program that uses this package is mistaken, not a request or a provider: a closed object, a foreign event loop."""


class InvalidRequest(LlmError):
    """The caller's mistake; nothing but a changed request helps."""

    kind = "invalid_request"
    http_status = 400


class UnknownModel(InvalidRequest):
    """No agent, capability, entry or model has the requested name."""

    kind = "unknown_model"
    http_status = 404

    @classmethod
    def among(cls, name: str, known: Sequence[str], *, what: str = "") -> Self:
        """The error for a name that is none of the known ones; `what` says it in other words than "nothing is called"."""
        message = f"{what or f'nothing is called {name!r}'}; there is: {', '.join(known[:_MOST_NAMES]) or 'nothing'}"
        if len(known) > _MOST_NAMES:
            message += f" and {len(known) - _MOST_NAMES:,} more"
        meant = nearest_name(name, known, _NEAR)
        return cls(message + (f" (did you mean {meant!r}?)" if meant else ""), param="model", code="model_not_found")


class RequestTooLarge(InvalidRequest):
    """The body is larger than the server accepts."""

    kind = "request_too_large"
    http_status = 413


class AgentCallRefused(InvalidRequest):
    """Agents that call each other in a circle, or too many of them in one chain; the message names the chain."""

    kind = "agent_call_refused"
    http_status = 400


class ConversationChanged(InvalidRequest):
    """Another request has continued the conversation since this one read it; nothing of this one was kept."""

    kind = "conversation_changed"
    http_status = 409


class ConversationDeleted(InvalidRequest):
    """The conversation was deleted since this request read it; nothing of this one was kept."""

    kind = "conversation_deleted"
    http_status = 410


class UnsupportedFeature(InvalidRequest):
    """This target cannot do what the request means; another target may."""

    kind = "unsupported_feature"
    http_status = 422


class AccessDenied(LlmError):
    """Our own door: no key, or a key that may not do this."""

    kind = "access_denied"
    http_status = 401


class LimitExceeded(LlmError):
    """Our own rate limit or budget; the message says which and when it resets."""

    kind = "limit_exceeded"
    http_status = 429


class ContentBlocked(LlmError):
    """Our own filter; the message names the rule, never the content."""

    kind = "content_blocked"
    http_status = 400


class ProviderError(LlmError):
    """The provider answered with an error."""

    kind = "provider_error"
    http_status = 502
    default_source = "provider"


class Authentication(ProviderError):
    """The provider refuses the configured credentials. 502, because the client's own key is not at fault."""

    kind = "authentication"


class Permission(ProviderError):
    """The credentials are valid but may not do this."""

    kind = "permission"


class ModelNotFound(ProviderError):
    """The provider does not know the model, the deployment or the path."""

    kind = "model_not_found"
    http_status = 404


class RateLimited(ProviderError):
    """Too many requests or tokens for now; `retry_after_s` is set when the provider said how long to wait."""

    kind = "rate_limited"
    http_status = 429
    retryable = True


class QuotaExhausted(ProviderError):
    """The account has no credit or has reached its spending limit; waiting does not help."""

    kind = "quota_exhausted"
    http_status = 429


class ContextWindowExceeded(ProviderError):
    """The prompt does not fit the model's context window."""

    kind = "context_window_exceeded"
    http_status = 400


class ContentFiltered(ProviderError):
    """The provider's own filter refused the prompt or the answer."""

    kind = "content_filtered"
    http_status = 400


class Overloaded(ProviderError):
    """The provider has no capacity at the moment."""

    kind = "overloaded"
    http_status = 503
    retryable = True


class ProviderFailure(ProviderError):
    """The provider failed (5xx, or an error in the middle of an answer)."""

    kind = "provider_failure"
    retryable = True


class MalformedResponse(ProviderError):
    """The answer is not what the provider's API promises: HTML, broken JSON, a missing field."""

    kind = "malformed_response"
    retryable = True


class TransportError(LlmError):
    """The connection to the provider failed."""

    kind = "transport"
    http_status = 502
    retryable = True
    default_source = "provider"


class ConnectFailed(TransportError):
    """Name resolution, TCP or TLS failed."""

    kind = "connect_failed"


class ConnectTimeout(TransportError):
    """No connection within `connect_timeout_seconds`."""

    kind = "connect_timeout"


class FirstByteTimeout(TransportError):
    """No whole answer, or no first content of a stream, within `timeout_seconds`."""

    kind = "first_byte_timeout"


class IdleTimeout(TransportError):
    """A stream was silent for longer than `read_timeout_seconds`."""

    kind = "idle_timeout"


class StreamInterrupted(TransportError):
    """The answer broke off before its end marker."""

    kind = "stream_interrupted"


class ConversationStoreError(LlmError):
    """The store of conversations cannot do what was asked: the disk, the database file, its version."""

    kind = "conversation_store"
    http_status = 500


class MemoryStoreError(LlmError):
    """A memory cannot be read or written: a full disk, a damaged file, a store of a newer version."""

    kind = "memory_store"
    http_status = 500


class DeadlineExceeded(LlmError):
    """The whole request, over all attempts, took longer than `deadline_seconds`."""

    kind = "deadline_exceeded"
    http_status = 504


class AllTargetsFailed(LlmError):
    """Every permitted target was tried; `attempts` says what happened with each."""

    kind = "all_targets_failed"
    http_status = 502
    default_source = "provider"
