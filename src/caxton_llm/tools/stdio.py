"""A server that is a program of ours: started with its own environment, spoken to line by line, ended within bounded time.

The SDK has such a transport. This one differs where a gateway must: the environment is exactly the configured one, a message
has a largest size, what the program writes to its standard error goes to the log only until the first call (afterwards it may
repeat what calls contain), and no process is left behind, also where the task is cancelled.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from caxton_llm.tools.failures import ServerUnavailable
from caxton_llm.tools.settings import McpServerSettings

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams  # the types of what the public `Transport` gives

__all__ = ["StdioServer"]

_GRACE_S = 1.0
"""How long a program has to end by itself after its input has ended, and again after it was told to."""
_CHUNK = 64 * 1024
_LONGEST_LINE = 300
_LAST_LINES = 3
_MARKS = b" \t\r~^"
"""Of these alone are lines under a place in a traceback, and empty ones."""
_LOGGED_LINES = 100
_SHOWN_VARIABLES = ("PATH", "HOME", "LANG", "SYSTEMROOT")
_GIVEN = ", ".join(_SHOWN_VARIABLES[:3])
_SHORTEST_SECRET = 4

_log = logging.getLogger("caxton_llm.tools")

_Incoming = SessionMessage | Exception


class StdioServer:
    """One run of the program."""

    def __init__(self, settings: McpServerSettings) -> None:
        self._settings = settings
        self._last_words: deque[str] = deque(maxlen=_LAST_LINES)
        self._hidden = [
            value
            for name, value in settings.env.items()
            if isinstance(value, str) and name not in _SHOWN_VARIABLES and len(value) >= _SHORTEST_SECRET
        ]
        self.ended = asyncio.Event()
        """Set when the program has closed its output, or has written what cannot be read."""
        self.exit_code: int | None = None
        self.fault = ""
        self.called = False
        """Whether a call was sent: from then on what the program writes to its standard error may repeat it."""

    def last_words(self) -> str:
        """What is known of the program's end, for people."""
        if self.fault:
            return self.fault
        code = "" if self.exit_code is None else f" with exit code {self.exit_code}"
        words = f": {' / '.join(self._last_words)}" if self._last_words else ""
        given = "" if self.called or not self.exit_code else f" (it is given {_GIVEN} and its 'env' only)"
        return f"the program ended{code}{words}{given}"

    @asynccontextmanager
    async def streams(self) -> "AsyncIterator[TransportStreams]":
        """The two streams of messages. Raises `ServerUnavailable` when the program cannot be started."""
        process = await self._started()
        to_session, incoming = anyio.create_memory_object_stream[_Incoming](0)
        outgoing, from_session = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, process, to_session)
                tasks.start_soon(self._write, process, from_session)
                tasks.start_soon(self._read_errors, process)
                try:
                    yield incoming, outgoing
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._stop(process)
                    tasks.cancel_scope.cancel()
        finally:
            # Also where the task was cancelled in the middle of stopping.
            _signal(process, signal.SIGKILL)
            self.exit_code = process.returncode
            for stream in (to_session, incoming, outgoing, from_session):
                stream.close()
            _release(process)

    async def _started(self) -> asyncio.subprocess.Process:
        settings = self._settings
        env = {name: value for name, value in settings.env.items() if isinstance(value, str)}
        pipe = asyncio.subprocess.PIPE
        try:
            return await asyncio.create_subprocess_exec(
                *settings.command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=env,
                cwd=settings.cwd or None,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "a forbidden character"
            raise ServerUnavailable(f"the program {settings.command[0]!r} cannot be started: {reason}") from None

    # -- messages -------------------------------------------------------------------------------------------------------

    async def _read(self, process: asyncio.subprocess.Process, to_session: MemoryObjectSendStream[_Incoming]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        unfinished = bytearray()
        listening = True
        while chunk := await process.stdout.read(_CHUNK):
            if not listening:
                continue  # what is left is read and dropped, so that the program can end
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                unfinished += line
                listening = listening and await self._deliver(bytes(unfinished), to_session)
                unfinished.clear()
            unfinished += rest
            if len(unfinished) > self._settings.max_message_bytes:
                self.fault = f"it sent a message of more than {self._settings.max_message_bytes:,} bytes"
                listening = False
                unfinished.clear()
                self._end(to_session)
        self._end(to_session)

    def _end(self, to_session: MemoryObjectSendStream[_Incoming]) -> None:
        to_session.close()
        self.ended.set()

    async def _deliver(self, line: bytes, to_session: MemoryObjectSendStream[_Incoming]) -> bool:
        """Whether anybody is still listening."""
        if not line.strip():
            return True
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            _log.warning("the server %s writes lines that are no messages to its standard output", self._settings.name)
            return True
        try:
            await to_session.send(SessionMessage(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return False
        return True

    async def _write(
        self, process: asyncio.subprocess.Process, from_session: MemoryObjectReceiveStream[SessionMessage]
    ) -> None:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        # What happens to the program shows at its output.
        with contextlib.suppress(OSError, anyio.ClosedResourceError):
            async for item in from_session:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        unfinished = b""
        withheld = logged = 0
        while chunk := await process.stderr.read(_CHUNK):
            *lines, unfinished = (unfinished + chunk).split(b"\n")
            unfinished = unfinished[:_CHUNK]
            for line in lines:
                if not line.strip(_MARKS):
                    continue
                if self.called or logged >= _LOGGED_LINES:
                    withheld += 1
                    continue
                logged += 1
                text = self._shown(line)
                self._last_words.append(text)
                _log.info("the server %s says: %s", self._settings.name, text)
        if withheld:
            _log.info("the server %s wrote %d more lines to its standard error", self._settings.name, withheld)

    def _shown(self, line: bytes) -> str:
        text = line.decode("utf-8", "replace").strip()
        for value in self._hidden:
            text = text.replace(value, "***")
        return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST_LINE]

    # -- the end --------------------------------------------------------------------------------------------------------

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                _signal(process, number)
            with anyio.move_on_after(_GRACE_S) as waiting:
                await process.wait()
            if not waiting.cancelled_caught:
                return
        _log.warning("the server %s (process %d) does not end", self._settings.name, process.pid)


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """To the program and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:
            process.kill()


def _release(process: asyncio.subprocess.Process) -> None:
    """Close the pipes; where a grandchild holds an end of one, nothing public does it."""
    close = getattr(getattr(process, "_transport", None), "close", None)
    if callable(close):
        close()
