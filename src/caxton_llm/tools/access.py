"""Which tools an agent may call: what is not listed is not callable."""

from fnmatch import fnmatchcase

from msgspec import Struct

from caxton_llm.errors import AccessDenied
from caxton_llm.tool_specs import ToolSpec

__all__ = ["ToolAccess", "matches"]


class ToolAccess(Struct, frozen=True):
    """The tools of one agent, by patterns: `server.tool`, `tool` (of whatever server), `*`. A `*` in a tool's name stands for
    any characters: `server.*`, `server.chart_*`, `chart_*`.

    What stands before the first dot of a pattern is always a server: a server cannot get a permission meant for another one
    by giving its tool a name with a dot.
    """

    agent: str
    allowed: tuple[str, ...] = ()

    def permits(self, server: str, tool: str) -> bool:
        """Whether the agent may call the tool, by the server's own name for it."""
        return any(matches(pattern, server, tool) for pattern in self.allowed)

    def concerns(self, server: str) -> bool:
        """Whether a server may have tools that the agent may call."""
        return any("." not in pattern or pattern.partition(".")[0] == server for pattern in self.allowed)

    def check(self, spec: ToolSpec) -> None:
        """Raises `AccessDenied`, which names the agent and the tool, unless the agent may call it."""
        if not self.permits(spec.server, spec.remote_name):
            whole = f"{spec.server}.{spec.remote_name}"
            message = f"the agent {self.agent!r} may not call the tool {whole!r}: it is not among the agent's tools"
            raise AccessDenied(message, code="tool_not_allowed")


def matches(pattern: str, server: str, tool: str) -> bool:
    """Whether a pattern means the tool of a server."""
    if pattern == "*":
        return True
    of, dot, name = pattern.partition(".")
    if not dot:
        return "." not in tool and fnmatchcase(tool, _escaped(pattern))
    return server == of and fnmatchcase(tool, _escaped(name))


def _escaped(pattern: str) -> str:
    """Of `fnmatch` only `*` is meant."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
