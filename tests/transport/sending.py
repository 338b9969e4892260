"""What the transport tests send."""

from typing import Protocol

from caxton_llm.protocols import Origin, Transport, TransportResponse, WireRequest

__all__ = ["PATIENCE_S", "AnyTransport", "MakeTransport", "post", "send", "whole"]

PATIENCE_S = 10.0
"""The longest that a test waits for anything; no test comes near it."""

AnyTransport = Transport


class MakeTransport(Protocol):
    """Makes a transport of the implementation under test."""

    def __call__(self, **options: object) -> AnyTransport: ...


def post(
    origin: Origin, body: bytes = b"{}", *, method: str = "POST", path: str = "/v1/chat/completions"
) -> WireRequest:
    return WireRequest(
        method=method, origin=origin, path=path, headers=(("content-type", "application/json"),), body=body
    )


async def send(
    transport: AnyTransport,
    request: WireRequest | Origin,
    *,
    connect_timeout_s: float = PATIENCE_S,
    idle_timeout_s: float | None = PATIENCE_S,
) -> TransportResponse:
    """Send a request, or a small POST to an origin."""
    if isinstance(request, Origin):
        request = post(request)
    return await transport.send(request, connect_timeout_s=connect_timeout_s, idle_timeout_s=idle_timeout_s)


async def whole(transport: AnyTransport, request: WireRequest | Origin) -> bytes:
    """The body of the answer."""
    response = await send(transport, request)
    body = await response.read()
    response.release()
    return body
