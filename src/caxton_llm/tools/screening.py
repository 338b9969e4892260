"""Listings of a server, entry by entry.

The SDK reads a listing as a whole, so one tool whose description is a number would hide all others. Here every entry becomes
one that the SDK reads, with what the server sent beside it in `_meta`; what is no entry at all is left out and counted.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCResponse

from caxton_llm.tools.listings import SENT, UNREADABLE
from caxton_llm.types import Json

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream, TransportStreams  # the types of what the public `Transport` gives

__all__ = ["screened"]

_LONGEST_NAME = 256
_Incoming = SessionMessage | Exception


@asynccontextmanager
async def screened(transport: "AbstractAsyncContextManager[TransportStreams]") -> "AsyncIterator[TransportStreams]":
    """The transport with listings that the SDK can read."""
    async with transport as (incoming, outgoing):
        yield _Screened(incoming), outgoing


class _Screened:
    """A stream of messages whose listings are put right."""

    def __init__(self, inner: "ReadStream[_Incoming]") -> None:
        self._inner = inner

    @property
    def last_context(self) -> Context | None:
        """The SDK asks for the context of the sender where a stream knows it."""
        context: Context | None = getattr(self._inner, "last_context", None)
        return context

    async def receive(self) -> _Incoming:
        item = await self._inner.receive()
        if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse):
            result = item.message.result
            for key, stand_in in _STAND_INS.items():
                if isinstance(result.get(key), list):
                    _screen(result, key, stand_in)
        return item

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Incoming:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _screen(listing: dict[str, Json], key: str, stand_in: Callable[[dict[str, Json]], dict[str, Json] | None]) -> None:
    entries = []
    for sent in listing[key]:
        entry = stand_in(sent) if isinstance(sent, dict) else None
        if entry is not None:
            entries.append({**entry, "_meta": {SENT: sent}})
    meta = listing.get("_meta")
    unreadable = len(listing[key]) - len(entries)
    listing["_meta"] = {**(meta if isinstance(meta, dict) else {}), UNREADABLE: unreadable}
    listing[key] = entries


def _tool(sent: dict[str, Json]) -> dict[str, Json] | None:
    name = sent.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        return None
    # The SDK takes from the schema which arguments are sent as headers; the schema itself is checked by us.
    schema = sent.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    given = properties.items() if isinstance(properties, dict) else ()
    kept = {key: value for key, value in given if isinstance(value, dict)}
    return {"name": name, "inputSchema": {"type": "object", "properties": kept}}


def _resource(sent: dict[str, Json]) -> dict[str, Json] | None:
    uri, name = sent.get("uri"), sent.get("name")
    if not isinstance(uri, str) or not uri:
        return None
    return {"uri": uri, "name": name if isinstance(name, str) and name else uri}


_STAND_INS = {"tools": _tool, "resources": _resource}
