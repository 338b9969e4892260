"""An MCP server by the official SDK that lists 200 tools over pages of 30."""

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool

NAMES = [f"tool_{number:03}" for number in range(200)]
PAGE = 30


async def list_tools(context: object, params: object) -> ListToolsResult:
    start = int(getattr(params, "cursor", None) or 0)
    tools = [Tool(name=name, description=name, input_schema={"type": "object"}) for name in reversed(NAMES)]
    after = start + PAGE
    return ListToolsResult(tools=tools[start:after], next_cursor=str(after) if after < len(tools) else None)


async def call_tool(context: object, params: object) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=str(getattr(params, "name", "")))])


server = Server("many-tools", on_list_tools=list_tools, on_call_tool=call_tool)


async def main() -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
