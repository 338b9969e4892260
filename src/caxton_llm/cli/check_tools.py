"""Starts the MCP servers that agents use and lists their tools: what would be missing is told before a request misses it."""

from collections.abc import Sequence

from msgspec import Struct

from caxton_llm.caxton import Caxton
from caxton_llm.tools.access import ToolAccess

__all__ = ["ToolsFound", "ask_servers"]

_LONGEST_S = 30.0


class ToolsFound(Struct, frozen=True, kw_only=True):
    """The tools of each server that was asked, `None` where it did not tell them, and what agents would miss, in words."""

    tools: dict[str, int | None] = {}
    missing: Sequence[str] = ()


async def ask_servers(caxton: Caxton) -> ToolsFound:
    """Nothing is raised: a failure is a result. Servers that no agent may use are not started."""
    service = caxton.agents
    servers = None if service is None else service.engine.sources.servers
    if service is None or servers is None:
        return ToolsFound()
    gaps: dict[tuple[str, str], str] = {}
    for agent in service.registry.agents:
        access = ToolAccess(agent.name, agent.tools)
        found = await servers.tools(access, timeout_s=_LONGEST_S)
        for gap in found.gaps if access.allowed else ():
            gaps.setdefault((gap.server, gap.name), gap.reason)
    told = {status.name: status.tools for status in servers.statuses if status.state != "idle" or status.error}
    missing = [f"{'.'.join(part for part in name if part)}: {reason}" for name, reason in gaps.items()]
    return ToolsFound(tools=told, missing=missing)
