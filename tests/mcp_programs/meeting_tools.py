"""An MCP server by the official SDK whose tools notice who else is called at the same time."""

import json

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

_LONG_ENOUGH = 500

server = MCPServer("meeting-tools")
inside: list[str] = []
log: list[str] = []
waiting: list[str] = []
everybody = anyio.Event()


async def overlap(name: str) -> str:
    """Be inside for a while; say who else was."""
    inside.append(name)
    log.append(name)
    met: set[str] = set()
    for _ in range(_LONG_ENOUGH):
        await anyio.lowlevel.checkpoint()
        met.update(inside)
    inside.remove(name)
    return ", ".join(sorted(met - {name})) or "nobody"


@server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
async def meet(name: str, number: int) -> str:
    """Wait until so many are waiting."""
    waiting.append(name)
    if len(waiting) == number:
        everybody.set()
    await everybody.wait()
    return f"{name} has met {number - 1}"


@server.tool(annotations=ToolAnnotations(idempotent_hint=True), structured_output=False)
async def meet_again(name: str, number: int) -> str:
    """The same, by a tool that may be called twice."""
    return await meet(name, number)


@server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
async def look(name: str) -> str:
    """Change nothing."""
    return await overlap(name)


@server.tool(structured_output=False)
async def change(name: str) -> str:
    """Change something."""
    return await overlap(name)


@server.tool(structured_output=False)
def order() -> str:
    """Who was inside, in their order."""
    return json.dumps(log)


if __name__ == "__main__":
    server.run()
