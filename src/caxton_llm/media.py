"""Images by URL fetched and put into the request, for providers that take bytes only.

A URL comes from the caller, so it must not reach what only this machine can reach: private, loopback and link-local
addresses are refused unless their host is allowed by configuration, and the connection goes to the very address that was
checked; redirects are not followed, size and time are limited.
"""

import asyncio
import base64
import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from caxton_llm.errors import ConnectFailed, ConnectTimeout, InvalidRequest, LlmError
from caxton_llm.protocols import Origin, Transport, TransportResponse, WireRequest
from caxton_llm.types import ChatRequest, ContentPart, ImageUrl, Message

__all__ = ["inline_images"]

_LIMIT = 20 * 1024 * 1024
_TIMEOUT_S = 20.0
_MEDIA_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


async def inline_images(request: ChatRequest, transport: Transport, *, allowed_hosts: tuple[str, ...]) -> ChatRequest:
    """The request with every http(s) image replaced by a data URL; the same object when there is none.

    Raises `InvalidRequest` with the path of the image that could not be fetched.
    """
    messages = request.messages
    changed: dict[int, Message] = {}
    for number, message in enumerate(messages):
        if not isinstance(message.content, list) or not any(_is_remote(part) for part in message.content):
            continue
        parts = []
        for position, part in enumerate(message.content):
            path = f"messages[{number}].content[{position}].image_url.url"
            parts.append(await _inlined(part, path, transport, allowed_hosts))
        changed[number] = replace(message, content=parts)
    if not changed:
        return request
    # The source bytes still hold the URLs, so they must not be sent.
    return replace(request, messages=[changed.get(i, message) for i, message in enumerate(messages)], source=None)


def _is_remote(part: ContentPart) -> bool:
    return part.image_url is not None and part.image_url.url.startswith(("http://", "https://"))


async def _inlined(part: ContentPart, path: str, transport: Transport, allowed_hosts: tuple[str, ...]) -> ContentPart:
    if part.image_url is None or not _is_remote(part):
        return part
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            media_type, data = await _fetch(part.image_url.url, transport, allowed_hosts)
    except TimeoutError:
        raise InvalidRequest(f"the image could not be fetched within {_TIMEOUT_S:g} s", param=path) from None
    except LlmError as error:
        raise InvalidRequest(f"the image could not be fetched: {error.message}", param=path) from error
    url = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    return replace(part, image_url=ImageUrl(url=url, detail=part.image_url.detail))


async def _fetch(url: str, transport: Transport, allowed_hosts: tuple[str, ...]) -> tuple[str, bytes]:
    parsed = urlsplit(url)
    host = parsed.hostname or ""
    try:
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
    except ValueError:
        raise InvalidRequest("the URL has an invalid port") from None
    addresses = (None,) if host in allowed_hosts else await _public_addresses(host, port)
    path = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
    request = WireRequest(
        method="GET",
        origin=Origin(parsed.scheme, host, port),
        path=path,
        headers=(("accept", ", ".join(_MEDIA_TYPES)),),
    )
    response = await _send(request, transport, addresses)
    try:
        if response.status != 200:
            raise InvalidRequest(f"its server answered with status {response.status}")
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in _MEDIA_TYPES:
            raise InvalidRequest("its server did not answer with a PNG, JPEG, GIF or WebP image")
        data = bytearray()
        while piece := await response.read_some():
            data += piece
            if len(data) > _LIMIT:
                raise InvalidRequest(f"it is larger than {_LIMIT // 1024 // 1024} MiB")
        return media_type, bytes(data)
    finally:
        response.abort()


async def _send(request: WireRequest, transport: Transport, addresses: Sequence[str | None]) -> TransportResponse:
    """The answer of the first address that can be connected to."""
    limit = _TIMEOUT_S / len(addresses)
    for address in addresses[:-1]:
        with contextlib.suppress(ConnectFailed, ConnectTimeout):
            return await transport.send(_pinned(request, address), connect_timeout_s=limit, idle_timeout_s=_TIMEOUT_S)
    last = _pinned(request, addresses[-1])
    return await transport.send(last, connect_timeout_s=limit, idle_timeout_s=_TIMEOUT_S)


def _pinned(request: WireRequest, address: str | None) -> WireRequest:
    """The request to the address that was checked: a name may lead elsewhere when it is resolved again."""
    return replace(request, origin=replace(request.origin, address=address))


async def _public_addresses(host: str, port: int) -> list[str]:
    """The addresses of the host, at least one. Raises `InvalidRequest` when one of them is not public."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise InvalidRequest("the host of the URL is unknown") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    for address in addresses:
        if not ipaddress.ip_address(address.partition("%")[0]).is_global:
            raise InvalidRequest("the host of the URL is not on the public internet; allow it with `image_hosts`")
    return addresses
