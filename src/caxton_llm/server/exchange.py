"""One ASGI request: its body with a limit, its answer, and noticing that the client has gone away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

from caxton_llm.errors import InvalidRequest, RequestTooLarge
from caxton_llm.server.headers import Header
from caxton_llm.server.protocol import WHOLE_RESPONSE, RespondWhole
from caxton_llm.timers import FixedDelay

__all__ = ["WATCH_AFTER_S", "ClientGone", "HttpExchange", "Receive", "Scope", "Send", "read_body"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_T = TypeVar("_T")

WATCH_AFTER_S = 0.1
"""A watcher costs a task, so one is started only for a request that takes longer than this."""

_DISCARD_FACTOR = 4
"""A body over the limit is read and thrown away up to this multiple, so that the client gets to read our answer."""


class ClientGone(Exception):
    """The client closed its connection before the answer was complete."""


class HttpExchange:
    """Reads one request and writes one response. `patience` is how long a request runs unwatched: `WATCH_AFTER_S`."""

    __slots__ = ("_gone", "_patience", "_receive", "_send", "_started", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, patience: FixedDelay) -> None:
        self.scope = scope
        self._patience = patience
        self._receive = receive
        self._send = send
        self._started = False
        self._gone = False

    @property
    def started(self) -> bool:
        """The status line has been sent."""
        return self._started

    def headers(self) -> Mapping[str, str]:
        """The request's headers, names in lower case; of a repeated one the last."""
        return _Headers(self.scope["headers"])

    async def body(self, limit: int) -> bytes:
        """The request's body. Raises `RequestTooLarge` over `limit` bytes, `ClientGone` when it breaks off."""
        return await read_body(self._receive, limit)

    async def respond(self, status: int, headers: list[Header], body: bytes) -> None:
        """A whole response."""
        headers.append((b"content-length", b"%d" % len(body)))
        self._started = True
        extension: dict[str, RespondWhole] | None = self.scope.get("extensions", {}).get(WHOLE_RESPONSE)
        if extension is not None:
            extension["respond"](status, headers, body)
            return
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, headers: list[Header]) -> None:
        """The beginning of a response whose length is unknown."""
        self._started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes) -> None:
        """A piece of the body; waits while the client reads slower than we write."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data})

    async def while_connected(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run `work` in this task; when the client goes away it is cancelled and `ClientGone` raised."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - ASGI applications always run in a task
        watcher: list[asyncio.Task[None]] = []

        def start_watching() -> None:
            watcher.append(asyncio.get_running_loop().create_task(self._watch(task)))

        timer = self._patience.start(start_watching)
        try:
            return await work()
        except asyncio.CancelledError:
            if self._gone and task.uncancel() == 0:
                raise ClientGone from None
            raise
        finally:
            timer.cancel()
            if watcher:
                watcher[0].cancel()

    async def _watch(self, task: "asyncio.Task[Any]") -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        task.cancel()


class _Headers(Mapping[str, str]):
    """Headers that become text when somebody asks for them: of a client's twenty a dialect looks at two."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = dict(raw)

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1")].decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode("latin-1", "replace") in self._raw

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


async def read_body(receive: Receive, limit: int) -> bytes:
    """The body of a request. Raises `RequestTooLarge` over `limit` bytes, `ClientGone` when it breaks off."""
    message = await _next_message(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await _next_message(receive)
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit * _DISCARD_FACTOR:
            break
        else:
            parts.clear()
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


async def _next_message(receive: Receive) -> MutableMapping[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


def _too_large(limit: int) -> InvalidRequest:
    return RequestTooLarge(f"the body is larger than {limit} bytes (server.max_body_bytes)", code="request_too_large")
