"""An MCP server for `context.py`: ten tools of a department, each with a value that it keeps as a resource.

python benchmarks/context_tools.py sales        over standard input and output
"""

import json
import sys

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolResult,
    ListResourcesResult,
    ListToolsResult,
    ReadResourceResult,
    Resource,
    TextContent,
    TextResourceContents,
    Tool,
)

TOOLS = 10
DEEDS = ("find", "list", "create", "update", "archive", "compare", "export", "schedule", "approve", "summarize")
THINGS = ("records", "reports", "orders", "contracts", "charts", "invoices", "tables", "meetings", "requests", "notes")
AREA = sys.argv[1] if len(sys.argv) > 1 else "sales"


def described(number: int) -> Tool:
    """A tool as its author describes it: three parameters, and the data that it wants to be told with."""
    deed, thing = DEEDS[number % len(DEEDS)], THINGS[number % len(THINGS)]
    return Tool(
        name=f"{AREA}_{deed}_{thing}",
        description=f"{deed.capitalize()} {thing} of the {AREA} department by title, period and layout.",
        input_schema={
            "type": "object",
            "properties": {
                "title": {"type": "string", "description": f"Title of the {thing}"},
                "period": {"type": "string", "description": "A quarter or a month, such as 2024-Q3"},
                f"{AREA}_layout_{number}": {"type": "string", "description": f"How the {thing} are laid out"},
            },
            "required": ["title"],
        },
        _meta={"caxton/context_requirements": {"conversation_depth": 10, "tool_data": [f"{AREA}_layouts_{number}"]}},
    )


async def list_tools(_context: object, _params: object) -> ListToolsResult:
    return ListToolsResult(tools=[described(number) for number in range(TOOLS)])


async def list_resources(_context: object, _params: object) -> ListResourcesResult:
    keys = [f"{AREA}_layouts_{number}" for number in range(TOOLS)]
    return ListResourcesResult(resources=[Resource(uri=f"{AREA}://data/{key}", name=key) for key in keys])


async def read_resource(_context: object, params: object) -> ReadResourceResult:
    uri = str(getattr(params, "uri", ""))
    text = json.dumps([f"{uri[-1]}-{name}" for name in ("summary", "detailed", "by-region", "year-over-year")])
    contents = TextResourceContents(uri=uri, text=text, mime_type="application/json")
    return ReadResourceResult(contents=[contents], ttl_ms=3_600_000, cache_scope="public")


async def call_tool(_context: object, params: object) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=str(getattr(params, "name", "")))])


server = Server(
    f"{AREA}-tools",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_resources=list_resources,
    on_read_resource=read_resource,
)


async def main() -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
