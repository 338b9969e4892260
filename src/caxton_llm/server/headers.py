"""The response headers of docs/http.md: who answered, how often it was tried, what became of the parameters."""

import math
import random
from functools import lru_cache

from caxton_llm.errors import LlmError
from caxton_llm.types import ChatResponse, ChatStream, ContextReport, ParameterReport

__all__ = ["Header", "error_headers", "format_parameters", "new_request_id", "response_headers", "stream_headers"]

Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
_EVENTS: Header = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_CACHE: Header = (b"x-caxton-cache", b"bypass")
_RESERVED = frozenset(",;=\r\n\0")
_HEADER_LIMIT = 1000
_LIST_LIMIT = 500


def new_request_id() -> str:
    """An id for one request: unique enough to find it in a log, and nothing more."""
    return f"cax_{random.getrandbits(96):024x}"


def response_headers(
    response: ChatResponse, request_id: str, elapsed_s: float, deprecation: str | None
) -> list[Header]:
    """Headers of a whole answer."""
    cost = "unknown" if response.cost_usd is None else f"{response.cost_usd:.8f}"
    headers = _common(_JSON, request_id, response, elapsed_s)
    headers.append((b"x-caxton-cost-usd", cost.encode()))
    return _with_notes(headers, response, deprecation)


def stream_headers(stream: ChatStream, request_id: str, elapsed_s: float, deprecation: str | None) -> list[Header]:
    """Headers of a stream; what is known at its end only goes into the last usage event."""
    headers = _common(_EVENTS, request_id, stream, elapsed_s)
    headers.append((b"cache-control", b"no-cache"))
    headers.append((b"x-accel-buffering", b"no"))
    return _with_notes(headers, stream, deprecation)


def error_headers(error: LlmError, request_id: str) -> list[Header]:
    """Headers of an error. `x-should-retry` is obeyed by the clients of OpenAI and Anthropic: a request that cannot
    succeed is not sent again by them."""
    headers = [
        _JSON,
        (b"x-caxton-request-id", request_id.encode()),
        (b"x-caxton-attempts", str(len(error.attempts)).encode()),
        (b"x-should-retry", b"true" if error.should_retry else b"false"),
    ]
    if error.provider:
        headers.append((b"x-caxton-provider", _latin(error.provider)))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    return headers


def format_parameters(report: ParameterReport) -> str:
    """`mapped=a:b,c:d; dropped=e,f`; empty when nothing happened. What is too long ends with how many more there are."""
    parts = []
    if report.mapped:
        pairs = [f"{_clean(name)}:{_clean(became)}" for name, became in report.mapped.items()]
        parts.append("mapped=" + _listed(pairs))
    if report.dropped:
        parts.append("dropped=" + _listed([_clean(name) for name in report.dropped]))
    return "; ".join(parts)


def _listed(items: list[str]) -> str:
    text = ",".join(items)
    if len(text) <= _LIST_LIMIT:
        return text
    shown = text[:_LIST_LIMIT].count(",")  # the one that was cut is not shown at all
    return ",".join([*items[:shown], f"...+{len(items) - shown}"])


def _common(kind: Header, request_id: str, answer: ChatResponse | ChatStream, elapsed_s: float) -> list[Header]:
    overhead = "unknown" if answer.upstream_s is None else f"{max(0.0, elapsed_s - answer.upstream_s) * 1000:.3f}"
    return [
        kind,
        (b"x-caxton-request-id", request_id.encode()),
        (b"x-caxton-provider", _latin(answer.provider)),
        (b"x-caxton-model", _latin(answer.model)),
        (b"x-caxton-attempts", b"%d" % answer.attempts),
        _NO_CACHE,
        (b"x-caxton-overhead-ms", overhead.encode()),
    ]


def _with_notes(headers: list[Header], answer: ChatResponse | ChatStream, deprecation: str | None) -> list[Header]:
    report = answer.params
    if report.mapped or report.dropped:
        headers.append((b"x-caxton-params", format_parameters(report).encode("ascii")))
    if answer.failed_attempts or answer.skipped:
        headers.append((b"x-caxton-fallback", _way_here(answer).encode("ascii")))
    if answer.degraded:
        headers.append((b"x-caxton-degraded", b"true"))
    if answer.warnings:
        headers.append((b"x-caxton-warnings", _latin("; ".join(answer.warnings))))
    if answer.context is not None:
        headers += _of_context(answer.context)
    if deprecation:
        headers.append((b"x-caxton-deprecation", _latin(deprecation)))
    return headers


def _of_context(report: ContextReport) -> list[Header]:
    """`tokens=2847; budget=3200; sources=conversation,memory; dropped=3; missing=tools`."""
    parts = [f"tokens={report.tokens}", f"budget={report.budget}", f"sources={','.join(report.sources)}"]
    if report.dropped:
        parts.append(f"dropped={report.dropped}")
    if report.missing:
        parts.append(f"missing={','.join(report.missing)}")
    headers = [(b"x-caxton-context", "; ".join(parts).encode("ascii"))]
    if report.conversation is not None:
        headers.append((b"x-caxton-conversation", _utf8(report.conversation)))
    return headers


def _way_here(answer: ChatResponse | ChatStream) -> str:
    """`failed=first:overloaded,first:overloaded; skipped=second`."""
    parts = []
    if answer.failed_attempts:
        failed = [f"{_clean(attempt.target)}:{attempt.error}" for attempt in answer.failed_attempts]
        parts.append("failed=" + _listed(failed))
    if answer.skipped:
        parts.append("skipped=" + _listed([_clean(skip.target) for skip in answer.skipped]))
    return "; ".join(parts)


def _utf8(name: str) -> bytes:
    """The name of a conversation as a client may send it back; what cannot stand in a header is a question mark."""
    return "".join(character if character.isprintable() else "?" for character in name).encode()


@lru_cache(maxsize=1024)
def _latin(text: str) -> bytes:
    """Text from outside (a model's name, say) as a header value: printable ASCII only."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text).encode()[:_HEADER_LIMIT]


def _clean(text: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() and char not in _RESERVED else " " for char in text)
