"""What providers put into an error body, in all its shapes, as one value.

The shapes: `{"error": {...}}` (OpenAI, Anthropic, Azure, vLLM, Google), `{"error": "text"}` (Ollama, vLLM's door, OAuth),
flat objects (Mistral, old vLLM, APIM), `{"detail": ...}` (FastAPI), `{"errors": [...]}` (Cloudflare), a list around one of
these (Google), plain text, and the HTML of whatever stands in front. Nothing here decides what an error means.
"""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from caxton_llm.types import Json
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["ErrorBody", "describe_html", "masked", "read_error", "read_error_body", "shown_message"]

_READ_LIMIT = 256 * 1024
_TEXT_LIMIT = 2000
_SHOWN_LIMIT = 500


class ErrorBody(Struct, kw_only=True):
    """An error as the provider put it. `text` is for matching, at most 2000 characters; `shown_message` is for people.

    `codes` are its machine codes and types, the most telling first; `categories` what a content filter found.
    """

    text: str
    codes: tuple[str, ...] = ()
    param: str | None = None
    request_id: str | None = None
    categories: tuple[str, ...] = ()


def read_error_body(body: bytes, content_type: str) -> ErrorBody:
    """The error that a response body tells, whatever it is. Never raises."""
    head = body[:_READ_LIMIT].strip()
    if html := describe_html(head, content_type):
        return ErrorBody(text=html)
    if head[:1] in (b"{", b"["):
        try:
            return read_error(msgspec.json.decode(head))
        except UNREADABLE:
            pass
    return ErrorBody(text=_clean(head[: 4 * _TEXT_LIMIT].decode("utf-8", "replace"))[:_TEXT_LIMIT])


def describe_html(body: bytes, content_type: str = "") -> str | None:
    """What to say of an HTML page that came instead of an answer; `None` when it is none."""
    head = body[:_READ_LIMIT].lstrip()
    if not head.startswith(b"<") or not (
        "html" in content_type.lower() or b"<html" in head[:2000].lower() or _doctype(head)
    ):
        return None
    title = re.search(rb"<title[^>]*>([^<]{1,300})", head, re.IGNORECASE)
    if title is None:
        return "an HTML page instead of an answer of the API"
    return f'an HTML page instead of an answer of the API, titled "{_clean(title.group(1).decode("utf-8", "replace"))[:100]}"'


def _doctype(head: bytes) -> bool:
    return head[:14].lower().startswith(b"<!doctype html")


def read_error(value: Json) -> ErrorBody:
    """The error that a decoded value tells: a whole body, a whole event, or the value of its `error` field. Never raises."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return ErrorBody(text=_clean(_text(value)))
    inner = value.get("error")
    if not inner and isinstance(value.get("errors"), list) and value["errors"]:
        inner = value["errors"][0]
    error = inner if isinstance(inner, dict) else value
    innermost = _inner_error(error)
    return ErrorBody(
        text=_clean(" ".join(_texts(value, error, inner)))[:_TEXT_LIMIT],
        codes=tuple(dict.fromkeys(_codes(error, innermost, inner))),
        param=_short(error.get("param")),
        request_id=_short(value.get("request_id")) or _short(error.get("request_id")),
        categories=tuple(_categories(innermost)),
    )


def _inner_error(error: dict[str, Json]) -> dict[str, Json]:
    inner = error.get("innererror") or error.get("inner_error")
    return inner if isinstance(inner, dict) else {}


def _texts(whole: dict[str, Json], error: dict[str, Json], inner: Json) -> Iterator[str]:
    if isinstance(inner, str):
        yield inner
        yield _text(whole.get("error_description"))
        return
    message = (
        error.get("message") or whole.get("message") or error.get("detail") or whole.get("detail") or whole.get("title")
    )
    yield _text(message)
    metadata = error.get("metadata")
    if isinstance(metadata, dict):  # OpenRouter: what the provider behind it said
        yield _text(metadata.get("raw"))


def _codes(error: dict[str, Json], innermost: dict[str, Json], inner: Json) -> Iterator[str]:
    details = error.get("details")
    candidates = (
        innermost.get("code"),
        details.get("error_code") if isinstance(details, dict) else None,
        error.get("code"),
        error.get("type") if error.get("type") != "error" else None,
        error.get("status"),
        error.get("status_code"),
        error.get("statusCode"),
        inner if isinstance(inner, str) and inner.isidentifier() else None,
    )
    for candidate in candidates:
        if isinstance(candidate, str | int) and not isinstance(candidate, bool) and (code := _short(str(candidate))):
            yield code


def _categories(innermost: dict[str, Json]) -> Iterator[str]:
    results = innermost.get("content_filter_result") or innermost.get("content_filter_results")
    for name, result in results.items() if isinstance(results, dict) else ():
        if isinstance(result, dict) and result.get("filtered") is True:
            yield str(name)[:50]


def _text(value: Json) -> str:
    """Words of a value that should be a message. FastAPI's list names place and reason; its `input` is the prompt."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(_text(item) for item in value[:5])
    if isinstance(value, dict):
        place = ".".join(str(step) for step in value["loc"]) if isinstance(value.get("loc"), list) else ""
        message = value.get("msg") or value.get("message") or ""
        return f"{place}: {message}" if place else str(message)
    return ""


def _short(value: Json) -> str | None:
    return masked(value[:200]) if isinstance(value, str) and value else None


def _clean(text: str) -> str:
    return " ".join(text[: 4 * _TEXT_LIMIT].split())


# -- for people ---------------------------------------------------------------------------------------------------------

_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|nvapi|csk|pplx|r8|fw)[-_][\w*.…-]{4,}"
    r"|\bAIza[\w-]{10,}"
    r"|\beyJ[\w-]{8,}(?:\.[\w-]+)*"
    r"|(?<=\bBearer )\s*[^\s\"',;]+"
    r"|(?<=api key provided: )[^\s\"',;]+",
    re.IGNORECASE,
)


def shown_message(body: ErrorBody) -> str:
    """The provider's message for people: keys masked, at most 500 characters; empty when there is none."""
    text = masked(body.text)
    if body.categories:
        text = f"{text} [filtered: {', '.join(body.categories)}]"
    return text if len(text) <= _SHOWN_LIMIT else text[: _SHOWN_LIMIT - 1] + "…"


def masked(text: str) -> str:
    """`text` with `***` in place of what looks like a vendor's key or a token."""
    return _SECRETS.sub("***", text)
