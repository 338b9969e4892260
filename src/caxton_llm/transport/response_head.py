"""The head of a response: header names and values as text, and what both transports refuse to read."""

from collections.abc import Mapping, Sequence

from caxton_llm.errors import MalformedResponse
from caxton_llm.transport.content_encoding import ContentDecoder, content_decoder

__all__ = ["HEAD_BYTES", "HEAD_FIELDS", "body_decoder", "read_headers"]

HEAD_BYTES = 64 * 1024
"""The longest response head, interim responses included."""
HEAD_FIELDS = 200
"""The most header fields of a response."""
_SWITCHING_PROTOCOLS = 101

_names: dict[bytes, str] = {}
"""Header names as received -> in lower case. Bounded, because servers choose them."""
_NAMES = 1024


def read_headers(fields: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names; the values of repeated ones joined with `, `."""
    headers = {_names.get(name) or _lower(name): value.rstrip().decode("latin-1") for name, value in fields}
    if len(headers) < len(fields):
        values: dict[str, list[str]] = {name: [] for name in headers}
        for name, value in fields:
            values[_lower(name)].append(value.rstrip().decode("latin-1"))
        return {name: ", ".join(parts) for name, parts in values.items()}
    return headers


def body_decoder(status: int, headers: Mapping[str, str]) -> ContentDecoder | None:
    """What turns the body into plain bytes; `None` when it is plain.

    Raises `MalformedResponse` for a response whose body cannot be understood.
    """
    if status < 100 or status == _SWITCHING_PROTOCOLS:
        raise MalformedResponse(f"the server answered with status {status}, which is no answer to this request")
    coding = headers.get("transfer-encoding")
    if coding is not None and coding.lower() != "chunked":
        raise MalformedResponse("the response has a transfer-encoding other than chunked")
    return content_decoder(headers) if "content-encoding" in headers else None


def _lower(name: bytes) -> str:
    if len(_names) >= _NAMES:
        _names.clear()
    lower = _names[name] = name.lower().decode("latin-1")
    return lower
