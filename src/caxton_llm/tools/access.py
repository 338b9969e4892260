"""Which tools an agent may call: what is not listed is not callable."""

from msgspec import Struct

from caxton_llm.errors import AccessDenied
from caxton_llm.tool_specs import ToolSpec

__all__ = ["ToolAccess"]


class ToolAccess(Struct, frozen=True):
    """The tools of one agent, by patterns: `server.tool`, `server.*`, `tool` (of whatever server), `*`.

    What stands before the first dot of a pattern is always a server: a server cannot get a permission meant for another one
    by giving its tool a name with a dot.
    """

    agent: str
    allowed: tuple[str, ...] = ()

    def permits(self, server: str, tool: str) -> bool:
        """Whether the agent may call the tool, by the server's own name for it."""
        patterns = {"*", f"{server}.*", f"{server}.{tool}"}
        if "." not in tool:
            patterns.add(tool)
        return not patterns.isdisjoint(self.allowed)

    def check(self, spec: ToolSpec) -> None:
        """Raises `AccessDenied`, which names the agent and the tool, unless the agent may call it."""
        if not self.permits(spec.server, spec.remote_name):
            whole = f"{spec.server}.{spec.remote_name}"
            message = f"the agent {self.agent!r} may not call the tool {whole!r}: it is not among the agent's tools"
            raise AccessDenied(message, code="tool_not_allowed")
