"""The MCP servers of the configuration as people write them."""

from typing import Annotated

from msgspec import Meta, field

from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.providers.settings import Count, SecretReference, SettingsBlock
from caxton_llm.types import Json

__all__ = ["McpBlock", "McpServerBlock"]

_Seconds = Annotated[float, Meta(gt=0)]


class McpServerBlock(SettingsBlock, frozen=True, kw_only=True):
    """One MCP server: a program that is started and spoken to over its standard input and output (`command`), or an address
    that is spoken to over streamable HTTP (`url`).

    A program gets `PATH`, `HOME` and `LANG` of the gateway's environment and what `env` says, nothing else.
    """

    name: str
    """How permissions and messages name the server."""
    command: str | None = None
    """The program; a name is looked for on the `PATH`."""
    args: tuple[str, ...] = ()
    """The program's arguments."""
    env: dict[str, str | SecretReference] = field(default_factory=dict)
    """The program's environment variables, beside `PATH`, `HOME` and `LANG`."""
    cwd: str | None = None
    """The folder in which the program runs. Default: that of the configuration file."""
    url: str | SecretReference | None = None
    """The address of a server over streamable HTTP; a secret, because some addresses hold a key."""
    headers: dict[str, str | SecretReference] = field(default_factory=dict)
    """Headers sent with every request to `url`."""
    api_key: str | SecretReference | None = None
    """Sent to `url` as `Authorization: Bearer`."""
    start_timeout_seconds: _Seconds = 30.0
    """How long starting the server may take, and each listing of its tools or resources."""
    call_timeout_seconds: _Seconds = 60.0
    """How long one call of a tool may take, waiting for its turn included."""
    max_result_bytes: Annotated[int, Meta(ge=256, le=16_777_216)] = 262_144
    """Longer results of tools, and longer tool data, are cut, and marked as such."""
    max_parallel_calls: Count = 8
    """The most calls at a time; more wait for their turn."""
    tools: tuple[str, ...] | None = None
    """Only these tools are offered. Default: all that the server has."""
    context_requirements: dict[str, ContextRequirements] = field(default_factory=dict)
    """Per tool: the context that it needs, instead of what the tool itself says."""
    tool_data: dict[str, Json] = field(default_factory=dict)
    """Data for `tool_data` keys that are no resource of the server: a value, or `{file: NAME}` for the contents of a file
    (`.json`: as JSON)."""
    data_ttl_seconds: Annotated[float, Meta(ge=0)] = 60.0
    """How long a resource is kept, where the server does not say so itself."""


class McpBlock(SettingsBlock, frozen=True, kw_only=True):
    """Tools of MCP servers. A server is started when it is first needed."""

    servers: tuple[McpServerBlock, ...] = ()
    """The servers."""
