"""An MCP server by the official SDK whose tools behave oddly, over standard input and output or over streamable HTTP.

Arguments: nothing, or `--http PORT` (0: a free one; the port is printed), and `--old` to refuse the protocol of 2026.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import Annotations, EmbeddedResource, ResourceLink, TextContent, TextResourceContents, ToolAnnotations

_LONG = CacheHint(ttl_ms=60_000, scope="public")
server = MCPServer("odd-tools", cache_hints={"resources/read": _LONG} if "--cached" in sys.argv else None)
seen: list[str] = []
reads = itertools.count(1)


def write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")


@server.tool(annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
def echo(text: str) -> str:
    """Say it again."""
    seen.append("echo")
    return text


@server.tool(structured_output=False)
def calls() -> str:
    """The calls so far."""
    return json.dumps(seen)


@server.tool(structured_output=False)
def environment() -> str:
    """The variables that this program has."""
    return json.dumps(dict(os.environ))


@server.tool(structured_output=False)
def process() -> str:
    """The number of this process."""
    return str(os.getpid())


@server.tool(structured_output=False)
def spawn() -> str:
    """Start another program, and say its number."""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], stdin=subprocess.DEVNULL)
    return str(child.pid)


@server.tool()
async def hold(marker: str, ctx: Context) -> str:
    """Say that it has begun, and never end; write the file when it is cancelled."""
    seen.append("hold")
    await ctx.report_progress(1, 3, "begun")
    try:
        await anyio.sleep_forever()
    finally:
        write(marker, "cancelled")
    return "never"


@server.tool()
async def steps(count: int, ctx: Context) -> str:
    """Report each step."""
    for step in range(count):
        await ctx.report_progress(step + 1, count, f"step {step + 1}")
    return "done"


@server.tool()
def die(code: int) -> str:
    """End this process in the middle of the call."""
    os._exit(code)


@server.tool(structured_output=False)
def big(size: int) -> str:
    """A long text."""
    return "x" * size


@server.tool()
def big_structure(size: int) -> dict[str, str]:
    """A long structured result."""
    return {"text": "x" * size}


@server.tool()
def refuse() -> str:
    """Fail."""
    raise ValueError("the tool is out of order")


@server.tool(structured_output=False)
def mixture() -> list[Any]:
    """Something of every kind."""
    inner = TextResourceContents(uri="odd://inner", text="the inner text")
    return [
        TextContent(type="text", text="words"),
        Image(data=b"\x89PNG....", format="png"),
        ResourceLink(type="resource_link", uri="odd://link", name="a link"),
        EmbeddedResource(type="resource", resource=inner),
    ]


@server.tool()
async def learn(name: str, ctx: Context) -> str:
    """Have one more tool from now on."""
    server.add_tool(echo, name=name)
    await ctx.notify_tools_changed()
    return name


@server.tool(structured_output=False)
def complain(text: str) -> str:
    """Write to the standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    return "done"


@server.resource("odd://data/reads", name="How-Often", mime_type="application/json")
def how_often() -> str:
    return json.dumps({"reads": next(reads)})


@server.resource("odd://data/gated", mime_type="application/json")
async def gated() -> str:
    """Not told before the file `GATE` is there."""
    number = next(reads)
    while not await anyio.Path(os.environ["GATE"]).exists():  # noqa: ASYNC110 - another process makes it
        await anyio.sleep(0.01)
    return json.dumps({"reads": number})


@server.resource("odd://data/for_people.json", mime_type="text/plain", annotations=Annotations(audience=["user"]))
def for_people() -> str:
    return "not for models"


@server.resource("odd://data/for_models.json", mime_type="text/plain", annotations=Annotations(priority=1.0))
def for_models() -> str:
    return "for models"


@server.resource("odd://data/picture", mime_type="image/png")
def picture() -> bytes:
    return b"\x89PNG"


@server.resource("odd://data/long", mime_type="text/plain")
def long() -> str:
    return "y" * 5000


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def old(app: Any) -> Any:
    """The same server without `server/discover`, as all were before 2026-07-28."""

    async def without_discovery(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            part = await receive()
            body += part.get("body", b"")
            more = part.get("more_body", False)
        if b'"server/discover"' in body:
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Message:
            for message in given:
                return message
            return await receive()

        await app(scope, again, send)

    return without_discovery


def guarded(app: Any, key: str) -> Any:
    """Only for who knows the key."""

    async def guard(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"authorization", f"Bearer {key}".encode()) not in scope["headers"]:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return guard


def serve(port: int) -> None:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()
    app: Any = server.streamable_http_app(json_response="--json" in sys.argv)
    if "--old" in sys.argv:
        app = old(app)
    if key := os.environ.get("ODD_KEY"):
        app = guarded(app, key)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    if "--http" in sys.argv:
        serve(int(sys.argv[sys.argv.index("--http") + 1]))
    else:
        server.run()
