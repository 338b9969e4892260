"""One connection to a server, from its start to its end, whichever side ends it.

The SDK's objects must be entered and left by the same task; that is the connection's own, and whoever waits for it may give
up without harm to others.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client import IncomingMessage
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    Implementation,
    ResourceListChangedNotification,
    ResourceUpdatedNotification,
    ToolListChangedNotification,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from caxton_llm.background import end_tasks
from caxton_llm.tools.failures import ServerEnded, ServerFailure, ServerForgot, ServerUnavailable
from caxton_llm.tools.http import HttpServer
from caxton_llm.tools.quiet import quiet_library
from caxton_llm.tools.screening import screened
from caxton_llm.tools.settings import McpServerSettings
from caxton_llm.tools.stdio import StdioServer

__all__ = ["Connection"]

_CLOSE_S = 5.0
_CRASH_S = 0.1
"""How long a connection that has failed as a whole needs to notice it."""
_LISTEN_S = 2.0
"""How long to wait for a server to say whether it will tell of changes."""
_CLIENT = Implementation(name="caxton-llm", version="1")
_Result = TypeVar("_Result")


class Connection:
    """Begins to connect at once, in the running event loop.

    `on_change` is called when the server says that its tools or resources are others now, `on_end` once at the end.
    """

    def __init__(
        self, settings: McpServerSettings, *, on_change: Callable[[], None], on_end: Callable[["Connection"], None]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.hears_changes = False
        """Whether the server tells of changes."""
        self.was_ready = False
        self.failure = ""
        """Why it ended."""
        self._settings = settings
        self._on_change = on_change
        self._on_end = on_end
        self._server = StdioServer(settings) if settings.command else HttpServer(settings)
        self._decided = asyncio.Event()
        self._closing = asyncio.Event()
        self._client: Client | None = None
        self._settled = asyncio.Event()
        self._starting: anyio.CancelScope | None = None
        self._calls = 0
        """Calls so far."""
        self._calling = 0
        """Calls under way."""
        self._task = asyncio.create_task(self._run(), name=f"mcp server {settings.name}")

    @property
    def is_alive(self) -> bool:
        """Whether it connects, or is connected, in the running event loop."""
        here = self.loop is asyncio.get_running_loop()
        return here and not self._task.done() and not self._closing.is_set()

    @property
    def is_ready(self) -> bool:
        """Whether requests can be sent."""
        return self._client is not None and self.is_alive

    async def ready(self) -> None:
        """Wait until it is connected. Raises `ServerUnavailable`."""
        await self._decided.wait()
        if self._client is None:
            raise ServerUnavailable(f"the server {self._settings.name!r} {self.ending}")

    @property
    def ending(self) -> str:
        """What has become of it, and why: for people and for the log, because nothing of it is from calls."""
        if self.was_ready:
            return f"has ended: {self.failure}"
        return f"{'does not start' if self._settings.command else 'cannot be used'}: {self.failure}"

    async def ask(self, send: Callable[[Client], Awaitable[_Result]], *, call: bool = False) -> _Result:
        """One request, and what came of it. Raises `ServerFailure`."""
        await self.ready()
        client = self._client
        assert client is not None  # noqa: S101 - it is ready
        if call:
            with self._counted_call():
                return await self._asked(client, send)
        return await self._asked(client, send)

    @contextlib.contextmanager
    def _counted_call(self) -> Iterator[None]:
        """Raises `ServerUnavailable` in the place of a failure where it is sure that the server knows nothing of the call."""
        server = self._server
        if isinstance(server, StdioServer):
            server.called = True
        self._calls += 1
        begun, was_alone = self._calls, self._calling == 0
        self._calling += 1
        unsent = server.unsent_calls if isinstance(server, HttpServer) else 0
        try:
            yield
        except ServerFailure:
            is_alone = was_alone and self._calls == begun
            if is_alone and isinstance(server, HttpServer) and server.unsent_calls > unsent:
                what = "cannot be reached: no connection could be made, and nothing was sent"
                raise ServerUnavailable(f"the server {self._settings.name!r} {what}") from None
            raise
        finally:
            self._calling -= 1

    async def _asked(self, client: Client, send: Callable[[Client], Awaitable[_Result]]) -> _Result:
        try:
            with quiet_library():
                return await send(client)
        except MCPError as error:
            raise await self._refused(error) from None
        except ValidationError:
            raise ServerFailure(
                f"the answer of the server {self._settings.name!r} is not what MCP prescribes"
            ) from None
        except RuntimeError as error:
            if not self.is_alive:
                raise await self._ended() from None
            raise ServerFailure(f"the server {self._settings.name!r} cannot be asked: {error}") from None

    async def give_up(self, reason: str) -> None:
        """End it because it is of no use, as if it had never been ready."""
        self.failure, self.was_ready = reason, False
        await self.close()

    async def _refused(self, error: MCPError) -> ServerFailure:
        name, server = self._settings.name, self._server
        if error.code == CONNECTION_CLOSED:
            return await self._ended()
        if isinstance(server, HttpServer):
            if server.session_lost and error.code == INVALID_REQUEST:
                self._closing.set()
                return ServerForgot(f"the server {name!r} has forgotten the session")
            if server.last_refusal in (401, 403):
                return ServerFailure(f"the server {name!r}: {server.last_words()}")
        return ServerFailure(f"the server {name!r} answers with an error: {error.message}")

    async def _ended(self) -> ServerEnded:
        """Why no answer comes any more. Over HTTP that may concern this one request only."""
        is_program = isinstance(self._server, StdioServer)
        if is_program:
            self._closing.set()
        await asyncio.wait([self._task], timeout=_CLOSE_S if is_program else _CRASH_S)
        why = self.failure or "the connection was closed before the answer came"
        return ServerEnded(f"the server {self._settings.name!r}: {why}")

    async def close(self) -> None:
        """End it within bounded time. A program that was started has ended then."""
        if self.loop is not asyncio.get_running_loop():
            return  # its loop is closed, and has taken it along
        self._closing.set()
        if self._client is None and self._starting is not None:
            self._starting.cancel()
        _, pending = await asyncio.wait([self._task], timeout=_CLOSE_S)
        await end_tasks(list(pending))

    # -- the task -------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            with quiet_library():
                await self._live()
        except (Exception, asyncio.CancelledError) as error:
            self.failure = self.failure or _reason(error) or self._server.last_words()
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._closing.set()
            self.failure = self.failure or self._server.last_words()
            self._decided.set()
            self._on_end(self)

    async def _live(self) -> None:
        start_s = self._settings.start_timeout_s
        with anyio.CancelScope(deadline=anyio.current_time() + start_s) as scope:
            self._starting = scope
            transport = screened(self._server.streams())
            client = Client(transport, cache=None, message_handler=self._hear, client_info=_CLIENT)
            async with client, anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, client)
                with anyio.move_on_after(_LISTEN_S):
                    await self._settled.wait()
                scope.deadline = math.inf
                self._client = client
                self.was_ready = True
                self._decided.set()
                if isinstance(self._server, StdioServer):
                    tasks.start_soon(self._watch, self._server)
                await self._closing.wait()
                scope.deadline = anyio.current_time() + _CLOSE_S
                tasks.cancel_scope.cancel()
        if self._client is None and not self._closing.is_set():
            self.failure = f"it was not ready within {start_s:g} s"

    async def _watch(self, server: StdioServer) -> None:
        await server.ended.wait()
        self._closing.set()

    async def _hear(self, message: IncomingMessage) -> None:
        if isinstance(
            message, ToolListChangedNotification | ResourceListChangedNotification | ResourceUpdatedNotification
        ):
            self._on_change()

    async def _listen(self, client: Client) -> None:
        """Since 2026-07-28 a server tells of changes in a stream that is asked for; before, it does so by itself, and says
        that it will."""
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            tools = client.server_capabilities.tools
            self.hears_changes = tools is not None and bool(tools.list_changed)
            self._settled.set()
            return
        with contextlib.suppress(MCPError, RuntimeError, TimeoutError):
            async with client.listen(tools_list_changed=True, resources_list_changed=True) as changes:
                self.hears_changes = bool(changes.honored.tools_list_changed)
                self._settled.set()
                async for _ in changes:
                    self._on_change()
        self.hears_changes = False
        self._settled.set()
        self._on_change()  # what happens from now on is not heard


def _reason(error: BaseException) -> str:
    """What went wrong, without what a server may have written; empty where that is all that is known."""
    if isinstance(error, BaseExceptionGroup):
        return next((reason for inner in error.exceptions if (reason := _reason(inner))), "")
    if isinstance(error, ServerUnavailable):
        return str(error)
    if isinstance(error, httpx2.ConnectError):
        return "no connection could be made"
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return "it did not answer in time"
    if isinstance(error, httpx2.HTTPError):
        return f"the connection failed ({type(error).__name__})"
    return ""
