"""The head of a request: checked, and written as bytes.

What the transport owns (`host`, `content-length`, `connection`, `transfer-encoding`) cannot be given by the caller, and
nothing that a caller gives can add a line: a line break or NUL in a name, a value or the path is refused before anything is
sent. Messages name the header, never its value, because values are credentials.
"""

from typing import NoReturn

from caxton_llm.errors import ConfigurationError, InvalidRequest
from caxton_llm.protocols import Origin, WireRequest

__all__ = ["RequestHeads", "check_request"]

_OWNED = frozenset({"host", "content-length", "connection", "transfer-encoding"})
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HOST = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_:%")
_PATH = frozenset(chr(code) for code in range(0x21, 0x7F)) - {"#"}
_WITHOUT_LENGTH = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods whose requests announce no length when they have no body (RFC 9110, section 8.6)."""
_REMEMBERED = 1024
"""Start lines and headers remembered as checked; a caller that invents more only pays for the check again."""


class RequestHeads:
    """Writes the heads of requests to one origin. Request lines and headers, the same in nearly every request, are checked
    once and remembered.

    Raises `ConfigurationError` for a host that cannot be one.
    """

    __slots__ = ("_authority", "_fields", "_starts")

    def __init__(self, origin: Origin) -> None:
        _check_host(origin)
        self._authority = origin.authority
        self._starts: dict[tuple[str, str], str] = {}
        self._fields: dict[tuple[tuple[str, str], ...], str] = {}

    def encode(self, request: WireRequest) -> bytes:
        """The head with its empty line. Raises `ConfigurationError` for a header, `InvalidRequest` for a method or path."""
        start = self._starts.get((request.method, request.path)) or self._start(request)
        fields = self._fields.get(request.headers) or self._checked_fields(request)
        if request.body or request.method not in _WITHOUT_LENGTH:
            return f"{start}{fields}content-length: {len(request.body)}\r\n\r\n".encode("ascii")
        return f"{start}{fields}\r\n".encode("ascii")

    def _checked_fields(self, request: WireRequest) -> str:
        names = [name for name, _ in request.headers]
        _check_names(names)
        fields = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
        if not _is_clean(fields, len(names)):
            _refuse_values(request)
        if "accept-encoding" not in names:
            fields += "accept-encoding: identity\r\n"
        if len(self._fields) >= _REMEMBERED:
            self._fields.clear()
        self._fields[request.headers] = fields
        return fields

    def _start(self, request: WireRequest) -> str:
        _check_line(request)
        if len(self._starts) >= _REMEMBERED:
            self._starts.clear()
        start = f"{request.method} {request.path} HTTP/1.1\r\nhost: {self._authority}\r\n"
        self._starts[request.method, request.path] = start
        return start


def check_request(request: WireRequest) -> None:
    """Refuse what `RequestHeads` refuses, for a transport whose library writes the head itself."""
    _check_host(request.origin)
    _check_line(request)
    _check_names([name for name, _ in request.headers])
    if not _is_clean("".join([f"{value}\r\n" for _, value in request.headers]), len(request.headers)):
        _refuse_values(request)


def _is_clean(fields: str, count: int) -> bool:
    """Whether `count` header lines have no line break beyond their own, no NUL, and nothing outside ASCII."""
    return fields.count("\n") == count == fields.count("\r") and fields.isascii() and "\0" not in fields


def _check_host(origin: Origin) -> None:
    if not origin.host or not _HOST.issuperset(origin.host):
        raise ConfigurationError(
            f"the host {origin.host!r} is empty or has characters that a host cannot have; write it in ASCII (xn--...)"
        )


def _check_line(request: WireRequest) -> None:
    if not request.method or not _TOKEN.issuperset(request.method):
        raise InvalidRequest("the HTTP method is empty or has characters that a method cannot have")
    if not request.path.startswith("/") or not _PATH.issuperset(request.path):
        raise InvalidRequest(
            f"the path of a request to {request.origin} does not start with `/` or has a space, a control character, `#` "
            "or a character outside ASCII; percent-encode it"
        )


def _check_names(names: list[str]) -> None:
    for name in names:
        if not name or not _TOKEN.issuperset(name):
            raise ConfigurationError("a header name is empty or has characters that a name cannot have")
        if name.lower() in _OWNED:
            raise ConfigurationError(f"the header `{name}` is written by the transport; remove it from the headers")


def _refuse_values(request: WireRequest) -> NoReturn:
    name, value = next((name, value) for name, value in request.headers if not _is_clean(value, 0))
    if value.isascii():
        raise ConfigurationError(
            f"the value of the header `{name}` contains a line break or NUL; remove it "
            "(a key that was read from a file often ends with one)"
        )
    raise ConfigurationError(f"the value of the header `{name}` contains a character outside ASCII; replace it")
