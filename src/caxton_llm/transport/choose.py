"""Chooses the transport of a provider entry."""

from typing import Literal

from caxton_llm.errors import ConfigurationError
from caxton_llm.protocols import Transport
from caxton_llm.transport.lean import LeanTransport
from caxton_llm.transport.tls import tls_context

__all__ = ["make_transport"]

_MAX_CONNECTIONS = 100


def make_transport(
    *,
    kind: Literal["lean", "aiohttp"] | None = None,
    proxy: str | None = None,
    ca_file: str | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
    max_connections: int | None = None,
) -> Transport:
    """The transport that `kind` names; without it the lean one, or aiohttp where a proxy or a client certificate is
    configured. `max_connections` is per origin, 100 by default. aiohttp is imported only when it is chosen.

    Raises `ConfigurationError` for what cannot work: a proxy with the lean transport, files that cannot be read.
    """
    limit = _MAX_CONNECTIONS if max_connections is None else max_connections
    if limit < 1:
        raise ConfigurationError("`max_connections` must be at least 1")
    if kind == "lean" and proxy is not None:
        raise ConfigurationError(
            "`transport: lean` cannot use a `proxy`; remove one of the two, or say `transport: aiohttp`"
        )
    if kind == "aiohttp" or (kind is None and (proxy is not None or client_cert is not None)):
        from caxton_llm.transport.aiohttp_transport import AiohttpTransport  # noqa: PLC0415

        return AiohttpTransport(
            max_connections=limit, proxy=proxy, ca_file=ca_file, client_cert=client_cert, client_key=client_key
        )
    context = None
    if ca_file is not None or client_cert is not None or client_key is not None:
        context = tls_context(ca_file=ca_file, client_cert=client_cert, client_key=client_key)
    return LeanTransport(max_connections=limit, ssl_context=context)
