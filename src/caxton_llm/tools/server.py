"""One configured server: connected when it is first needed, again after it has ended, and asked within limits.

A server that ends is started again at once, when it is needed. One that does not start, or ends again before it has answered
anything, is left alone for a while: a second, then twice as long each time, half a minute at most.
"""

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from msgspec import Struct

from caxton_llm.background import SharedTasks
from caxton_llm.tool_specs import ToolGap, ToolProgress
from caxton_llm.tools.failures import ServerFailure, ServerForgot, ServerUnavailable
from caxton_llm.tools.listings import SENT, UNREADABLE, ListedResource, ToolListing, read_resources, read_tools
from caxton_llm.tools.settings import McpServerSettings
from caxton_llm.types import Json

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult, ListResourcesResult, ListToolsResult, ReadResourceResult

    from caxton_llm.tools.connection import Connection

__all__ = ["McpServer", "ServerStatus"]

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_LISTING_AGE_S = 60.0
"""How long a listing is believed of a server that does not tell of changes."""
_MOST_PAGES = 200
_MOST_ENTRIES = 5_000

_NOTHING = ToolListing()

_log = logging.getLogger("caxton_llm.tools")
_Result = TypeVar("_Result")
OnProgress = Callable[[ToolProgress], None]


class ServerStatus(Struct, frozen=True, kw_only=True):
    """How a server is doing. `idle`: not needed yet, or ended; it is started when it is needed."""

    name: str
    state: Literal["idle", "starting", "ready", "waiting", "closed"]
    failures: int
    """In a row."""
    error: str | None
    """What went wrong last."""
    tools: int | None
    """How many tools it offered last; `None` while that is not known."""


class McpServer:
    """One server. `clock` gives seconds since the epoch."""

    def __init__(self, settings: McpServerSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._clock = clock
        self._connection: Connection | None = None
        self._places: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._error: str | None = None
        self._is_closed = False
        self._changes = 0
        self._listings = SharedTasks[str, None](self._closed)
        self._tools: _Kept[ToolListing] | None = None
        self._resources: _Kept[tuple[ListedResource, ...]] | None = None

    @property
    def status(self) -> ServerStatus:
        """How it is doing at the moment."""
        connection = self._connection
        if self._is_closed:
            state: Literal["idle", "starting", "ready", "waiting", "closed"] = "closed"
        elif connection is not None and connection.is_alive:
            state = "ready" if connection.is_ready else "starting"
        else:
            state = "waiting" if self._clock() < self._retry_at else "idle"
        return ServerStatus(
            name=self.settings.name,
            state=state,
            failures=self._failures,
            error=self._error,
            tools=None if self._tools is None else len(self._tools.value.tools),
        )

    @property
    def last_tools(self) -> ToolListing:
        """What it offered when it was asked last; empty when it never was."""
        return _NOTHING if self._tools is None else self._tools.value

    def output_schema(self, tool: str) -> Mapping[str, Json] | None:
        """What the tool promised of its structured results when it was listed last."""
        return next((one.output_schema for one in self.last_tools.tools if one.name == tool), None)

    async def tools(self) -> ToolListing:
        """What it offers. Raises `ServerFailure`."""
        if not self.holds_tools:
            await self._listings.result("tools", self._renew_tools)
        return self.last_tools

    @property
    def holds_tools(self) -> bool:
        """Whether what it offers is known without asking."""
        return self._holds(self._tools)

    @property
    def held_resources(self) -> tuple[ListedResource, ...] | None:
        """What it has to read, as far as that is known without asking; `None`: it is not."""
        return self._resources.value if self._resources is not None and self._holds(self._resources) else None

    async def resources(self) -> tuple[ListedResource, ...]:
        """What it has to read. Raises `ServerFailure`."""
        if not self._holds(self._resources):
            await self._listings.result("resources", self._renew_resources)
        return () if self._resources is None else self._resources.value

    async def read(self, uri: str) -> "ReadResourceResult":
        """The contents of a resource. Raises `ServerFailure`."""
        async with self._within(self.settings.call_timeout_s), self._place():
            result = await self._ask(lambda client: client.read_resource(uri))
        self._failures = 0
        return result

    async def call(
        self,
        tool: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> "CallToolResult":
        """One call, by the server's own name of the tool. Raises `ServerFailure`, and `TimeoutError` after `timeout_s`, or
        the server's own limit where that is less; the server is told that nobody waits any more."""

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            if on_progress is not None:
                on_progress(ToolProgress(progress=progress, total=total, message=message))

        limit_s = self.settings.call_timeout_s if timeout_s is None else min(timeout_s, self.settings.call_timeout_s)
        async with asyncio.timeout(limit_s), self._place():
            result = await self._ask(
                lambda client: client.call_tool(
                    tool, arguments, progress_callback=None if on_progress is None else tell
                ),
                call=True,
            )
        self._failures = 0
        return result

    async def close(self) -> None:
        """End it, within bounded time. It cannot be asked afterwards."""
        self._is_closed = True
        if self._connection is not None:
            await self._connection.close()
        await self._listings.end()

    # -- the connection -------------------------------------------------------------------------------------------------

    async def _ask(self, send: "Callable[[Client], Awaitable[_Result]]", *, call: bool = False) -> _Result:
        connection = await self._open()
        try:
            return await connection.ask(send, call=call)
        except ServerForgot:
            pass  # nothing was done: once more in a new session
        return await (await self._open()).ask(send, call=call)

    async def _open(self) -> "Connection":
        connection = self._connection
        if connection is not None and connection.is_alive:
            return connection
        if self._is_closed:
            raise self._closed()
        if connection is not None:
            await connection.close()  # from here on it is known why it ended
        wait_s = self._retry_at - self._clock()
        if wait_s > 0:
            message = f"the server {self.settings.name!r} is down and is tried again in {wait_s:.1f} s: {self._error}"
            raise ServerUnavailable(message)
        # The SDK is large: it is imported beside the event loop, once.
        module = await asyncio.to_thread(importlib.import_module, "caxton_llm.tools.connection")
        if self._connection is not connection:
            return await self._open()  # another one was quicker
        self._changes += 1
        opened: Connection = module.Connection(self.settings, on_change=self._changed, on_end=self._ended)
        self._connection = opened
        return opened

    def _closed(self) -> ServerUnavailable:
        return ServerUnavailable(f"the server {self.settings.name!r} is closed")

    def _changed(self) -> None:
        self._changes += 1

    def _ended(self, connection: "Connection") -> None:
        if self._is_closed or connection is not self._connection:
            return
        self._failures += 1
        wait_s = 0.0
        if self._failures > 1 or not connection.was_ready:
            wait_s = min(_FIRST_WAIT_S * 2.0 ** (self._failures - 1), _LONGEST_WAIT_S)
        self._retry_at = self._clock() + wait_s
        self._error = connection.failure
        _log.warning("the server %s %s", self.settings.name, connection.ending)

    def _place(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if self._places is None or self._places[0] is not loop:
            self._places = loop, asyncio.Semaphore(self.settings.max_parallel_calls)
        return self._places[1]

    @asynccontextmanager
    async def _within(self, limit_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            raise ServerFailure(f"the server {self.settings.name!r} gave no answer within {limit_s:g} s") from None

    # -- listings -------------------------------------------------------------------------------------------------------

    def _holds(self, kept: "_Kept[_Result] | None") -> bool:
        connection = self._connection
        if kept is None or connection is None or not connection.is_alive or kept.changes != self._changes:
            return False
        return connection.hears_changes or 0 <= self._clock() - kept.at < _LISTING_AGE_S

    async def _renew_tools(self) -> None:
        async with self._listing():
            changes = self._changes  # one that comes while it is listed makes it stale
            listing = await self._list_tools()
            self._tools = _Kept(value=listing, changes=changes, at=self._clock())

    async def _renew_resources(self) -> None:
        async with self._listing():
            changes = self._changes  # one that comes while it is listed makes it stale
            listing = await self._list_resources()
            self._resources = _Kept(value=listing, changes=changes, at=self._clock())

    @asynccontextmanager
    async def _listing(self) -> AsyncIterator[None]:
        """A server that cannot even list in time is left alone for a while, or every request would wait for it."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self.settings.start_timeout_s):
                connection = await self._open()
                await connection.ready()
            async with asyncio.timeout(self.settings.start_timeout_s):
                yield
        except TimeoutError:
            reason = f"no answer within {self.settings.start_timeout_s:g} s"
            if connection is not None:
                await connection.give_up(reason)
            raise ServerFailure(f"the server {self.settings.name!r} gave {reason}") from None

    async def _list_tools(self) -> ToolListing:
        entries: list[dict[str, Json]] = []
        unreadable = 0
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._ask(_tools_after(cursor))
            entries += [_sent(tool.meta) for tool in page.tools]
            unreadable += (page.meta or {}).get(UNREADABLE, 0)
            cursor = page.next_cursor
            if not cursor or len(entries) > _MOST_ENTRIES:
                break
        name = self.settings.name
        listing = await asyncio.to_thread(read_tools, name, entries[:_MOST_ENTRIES], self.settings.tools)
        gaps = list(listing.gaps)
        if unreadable:
            gaps.append(ToolGap(server=name, name="", reason=f"{unreadable} entries of its listing are no tools"))
        if cursor:
            gaps.append(ToolGap(server=name, name="", reason="it lists too many tools: the rest is left out"))
        return ToolListing(tools=listing.tools, gaps=tuple(gaps))

    async def _list_resources(self) -> tuple[ListedResource, ...]:
        if not await self._ask(_has_resources):
            return ()
        entries: list[dict[str, Json]] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._ask(_resources_after(cursor))
            entries += [_sent(resource.meta) for resource in page.resources]
            cursor = page.next_cursor
            if not cursor or len(entries) > _MOST_ENTRIES:
                break
        return read_resources(entries)


class _Kept(Struct, Generic[_Result], frozen=True, kw_only=True):
    value: _Result
    changes: int
    at: float


def _tools_after(cursor: str | None) -> "Callable[[Client], Awaitable[ListToolsResult]]":
    return lambda client: client.list_tools(cursor=cursor)


def _resources_after(cursor: str | None) -> "Callable[[Client], Awaitable[ListResourcesResult]]":
    return lambda client: client.list_resources(cursor=cursor)


async def _has_resources(client: "Client") -> bool:
    return client.server_capabilities.resources is not None


def _sent(meta: Mapping[str, Json] | None) -> dict[str, Json]:
    sent = (meta or {}).get(SENT)
    return sent if isinstance(sent, dict) else {}
