"""How an MCP server is reached, and what may be expected of it."""

from collections.abc import Mapping

from msgspec import Struct

from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.providers.settings import SecretReference
from caxton_llm.types import Json

__all__ = ["McpServerSettings", "McpSettings", "ToolDataFile"]


class ToolDataFile(Struct, frozen=True):
    """A file with a tool's data; `.json` is read as JSON, anything else as text."""

    path: str


class McpServerSettings(Struct, frozen=True, kw_only=True):
    """One server; either `command` or `url` is set. Times are in seconds. No `repr` shows its environment, its address or its
    headers."""

    name: str
    command: tuple[str, ...] = ()
    """The program and its arguments."""
    env: Mapping[str, str | SecretReference] = {}
    """Values are text once secrets are resolved, as those of `headers` and `url` are."""
    cwd: str | None = None
    url: str | SecretReference = ""
    headers: Mapping[str, str | SecretReference] = {}
    api_key: str | SecretReference | None = None
    start_timeout_s: float = 30.0
    call_timeout_s: float = 60.0
    max_result_bytes: int = 262_144
    max_parallel_calls: int = 8
    tools: tuple[str, ...] | None = None
    context_requirements: Mapping[str, ContextRequirements] = {}
    """By the server's own names of its tools."""
    tool_data: Mapping[str, Json | ToolDataFile] = {}
    data_ttl_s: float = 60.0

    @property
    def max_message_bytes(self) -> int:
        """The most that is read as one message: what is longer cannot even be cut."""
        return max(64 * 1024 * 1024, 4 * self.max_result_bytes)

    def __repr__(self) -> str:
        return f"McpServerSettings(name={self.name!r}, transport={'stdio' if self.command else 'http'!r})"


class McpSettings(Struct, frozen=True, kw_only=True):
    """All servers, and the context requirements of tools on any of them, by the tool's own name."""

    servers: tuple[McpServerSettings, ...] = ()
    tool_context: Mapping[str, ContextRequirements] = {}
