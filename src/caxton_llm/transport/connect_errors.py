"""What goes wrong before a connection stands, in this package's errors: one table for both transports."""

import os
import socket
import ssl

from caxton_llm.errors import ConnectFailed, ConnectTimeout, TransportError

__all__ = ["connect_error", "connect_timeout"]

_TABLE: tuple[tuple[type[Exception], type[TransportError], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        ConnectFailed,
        "the certificate of {where} was refused: {detail}; set ca_file if a private authority signed it",
    ),
    (
        ssl.SSLError,
        ConnectFailed,
        "no TLS with {where}: {detail}; check that the port speaks https, and whether it asks for a client certificate",
    ),
    (
        socket.gaierror,
        ConnectFailed,
        "the host name of {where} does not resolve: {detail}; check {setting} and the network",
    ),
    (UnicodeError, ConnectFailed, "the host name of {where} is not valid; check {setting}"),
    (
        ConnectionRefusedError,
        ConnectFailed,
        "{where} refused the connection; check that something listens there and that host and port are right in {setting}",
    ),
    (ConnectionError, ConnectFailed, "{where} closed the connection while it was being made: {detail}"),
    (TimeoutError, ConnectTimeout, "{where} does not answer: {detail}"),
    (Exception, ConnectFailed, "cannot connect to {where}: {detail}"),
)
"""The first row that fits is taken, so a class stands before its bases."""


def connect_timeout(where: str, seconds: float) -> ConnectTimeout:
    """No connection to `where` within `seconds`."""
    return ConnectTimeout(f"no connection to {where} within {seconds:g} s (connect_timeout_seconds)")


def connect_error(where: str, error: Exception, *, setting: str = "the configuration") -> TransportError:
    """`error` while connecting to `where`: an origin, or a proxy without its credentials. `setting` is where the address
    comes from: of an origin it may be base_url, endpoint, token_url or authority, which nobody knows here."""
    make, template = next((make, template) for kind, make, template in _TABLE if isinstance(error, kind))
    return make(template.format(where=where, detail=_detail(error), setting=setting))


def _detail(error: Exception) -> str:
    """What the system says, without the addresses and the data that `str(error)` may hold."""
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", None) or getattr(error, "reason", None) or type(error).__name__
    if isinstance(error, socket.gaierror):
        return error.strerror or "unknown name"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__
