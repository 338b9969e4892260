"""MCP servers that tests run: real programs, and what is asked of them."""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import mcp

from caxton_llm.tool_specs import ToolOutcome, ToolProgress, ToolSpec
from caxton_llm.tools.access import ToolAccess
from caxton_llm.tools.servers import McpServers
from caxton_llm.tools.settings import McpServerSettings, McpSettings
from caxton_llm.types import Json

__all__ = [
    "ALL",
    "PROGRAMS",
    "HttpProgram",
    "Now",
    "call",
    "ended",
    "lying",
    "names",
    "program",
    "running",
    "spec_of",
]

PROGRAMS = Path(__file__).parent / "mcp_programs"
ALL = ToolAccess("tester", ("*",))
_ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(mcp.__file__).parents[1])}


class Now:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def program(file: str | Path, *arguments: str, name: str = "odd", **settings: object) -> McpServerSettings:
    """A server over standard input and output: one of the programs here, or any other."""
    path = PROGRAMS / file
    given: dict[str, object] = {"command": (sys.executable, str(path), *arguments), "env": _ENVIRONMENT, **settings}
    return McpServerSettings(name=name, **given)  # type: ignore[arg-type]


def lying(folder: Path, *tools: Json, name: str = "liar", **script: Json) -> McpServerSettings:
    """A server that lists and answers exactly this."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"tools": tools, "results": {}, **script}), encoding="utf-8")
    return program("lying_tools.py", str(path), name=name)


@contextlib.asynccontextmanager
async def running(
    *servers: McpServerSettings, clock: Callable[[], float] | None = None, **settings: object
) -> AsyncIterator[McpServers]:
    """All of them together; closed at the end."""
    configured = McpSettings(servers=servers, **settings)  # type: ignore[arg-type]
    together = McpServers(configured) if clock is None else McpServers(configured, clock=clock)
    try:
        yield together
    finally:
        await together.close()


async def names(servers: McpServers, access: ToolAccess = ALL) -> list[str]:
    """What the agent is offered."""
    return [spec.name for spec in (await servers.tools(access)).tools]


async def spec_of(servers: McpServers, name: str) -> ToolSpec:
    """The tool of this name."""
    offered = await servers.tools(ALL)
    (found,) = [spec for spec in offered.tools if spec.name == name]
    return found


async def call(
    servers: McpServers,
    name: str,
    /,
    *,
    timeout_s: float | None = None,
    on_progress: Callable[[ToolProgress], None] | None = None,
    **arguments: Json,
) -> ToolOutcome:
    """One call of the tool of this name."""
    spec = await spec_of(servers, name)
    return await servers.call(spec, arguments, access=ALL, timeout_s=timeout_s, on_progress=on_progress)


def ended(pid: int) -> bool:
    """Whether a process ends within a few seconds; one that has ended already has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(10_000))
    finally:
        os.close(descriptor)


class HttpProgram:
    """The odd tools over streamable HTTP on this machine; can be killed and started again at the same port."""

    def __init__(self, *options: str, **environment: str) -> None:
        self._options = options
        self._environment = {**_ENVIRONMENT, **environment}
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        command = [sys.executable, str(PROGRAMS / "odd_tools.py"), "--http", str(self.port), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=self._environment, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> "HttpProgram":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
