"""aiohttp's exceptions in this package's errors: one table, so that nothing of aiohttp leaves the transport.

The texts of aiohttp's exceptions are never quoted: they may hold URLs with credentials, and headers.
"""

from typing import Literal, NamedTuple

from aiohttp import client_exceptions as its
from aiohttp.http_exceptions import HttpProcessingError

from caxton_llm.errors import ConnectFailed, IdleTimeout, InvalidRequest, LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.transport.connect_errors import connect_error, connect_timeout

__all__ = ["FOREIGN", "TABLE", "Route", "translate"]

FOREIGN = (its.ClientError, HttpProcessingError, OSError)
"""What aiohttp raises when something outside this process goes wrong."""

_Row = Literal["connect", "connect_proxy", "connect_timeout"] | tuple[type[LlmError], str]

_CUT = (StreamInterrupted, "the server closed the connection before its response was whole")
_NOT_HTTP = (MalformedResponse, "the answer is not HTTP/1.1, or its head is too long; check base_url")
_PROXY_REFUSED = (
    ConnectFailed,
    "the proxy {proxy} did not open a connection to {origin}; check the proxy's rules and the credentials in its URL",
)
_SILENT = (IdleTimeout, "nothing arrived for too long (read_timeout_seconds)")
_BAD_URL = (InvalidRequest, "the URL of a request to {origin} is not valid; check base_url")
_UNUSED = (MalformedResponse, "the response cannot be handled")
"""Redirects, content types, uploads and WebSockets are not used; their rows keep the table whole."""

TABLE: dict[object, _Row] = {
    its.ClientConnectorError: "connect",
    its.ClientConnectorDNSError: "connect",
    its.ClientSSLError: "connect",
    its.ClientConnectorSSLError: "connect",
    its.ClientConnectorCertificateError: "connect",
    its.UnixClientConnectorError: "connect",
    its.ServerFingerprintMismatch: "connect",
    its.ClientProxyConnectionError: "connect_proxy",
    its.ClientHttpProxyError: _PROXY_REFUSED,
    its.ConnectionTimeoutError: "connect_timeout",
    its.ServerTimeoutError: "connect_timeout",
    its.SocketTimeoutError: _SILENT,
    its.ServerDisconnectedError: _CUT,
    its.ServerConnectionError: _CUT,
    its.ClientConnectionError: _CUT,
    its.ClientConnectionResetError: _CUT,
    its.ClientOSError: _CUT,
    its.ClientPayloadError: _CUT,
    its.ClientResponseError: _NOT_HTTP,
    HttpProcessingError: _NOT_HTTP,
    its.InvalidURL: _BAD_URL,
    its.InvalidUrlClientError: _BAD_URL,
    its.NonHttpUrlClientError: _BAD_URL,
    its.ClientError: _UNUSED,
    its.ContentTypeError: _UNUSED,
    its.TooManyRedirects: _UNUSED,
    its.RedirectClientError: _UNUSED,
    its.InvalidUrlRedirectClientError: _UNUSED,
    its.NonHttpUrlRedirectClientError: _UNUSED,
    its.WSServerHandshakeError: _UNUSED,
}
"""Every exception class of aiohttp's client. `connect` rows: the system's own error inside aiohttp's decides."""

_NEWER = ("UploadAbortedError",)
"""Classes that the oldest supported aiohttp does not have."""

TABLE.update({getattr(its, name): _UNUSED for name in _NEWER if hasattr(its, name)})


class Route(NamedTuple):
    """The way of one request, for messages; `proxy` is without its credentials."""

    origin: str
    proxy: str | None
    connect_timeout_s: float


def translate(error: Exception, route: Route) -> LlmError:
    """The error of this package for one of `FOREIGN`."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), "connect")
    if isinstance(row, tuple):
        make, template = row
        return make(template.format(origin=route.origin, proxy=route.proxy))
    if row == "connect_timeout":
        return connect_timeout(route.origin, route.connect_timeout_s)
    if row == "connect_proxy":
        return connect_error(f"the proxy {route.proxy}", _system_error(error), setting="'proxy'")
    return connect_error(route.origin, _system_error(error))


def _system_error(error: Exception) -> Exception:
    for name in ("certificate_error", "os_error"):
        inner = getattr(error, name, None)
        if isinstance(inner, Exception):
            return inner
    return error
