"""What the keys of the `mcp` block mean together, and which of them hold secrets."""

from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from caxton_llm.config.addresses import address_fault
from caxton_llm.config.header_checks import check_header
from caxton_llm.config.mcp_schema import McpBlock, McpServerBlock
from caxton_llm.config.problems import Problems, nearest
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.config.secret_keys import Secret, check_reference, check_secrets
from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.providers.settings import SecretReference
from caxton_llm.tools.settings import McpServerSettings, McpSettings

__all__ = ["check_mcp", "replace_mcp_secrets", "requirements_of", "server_path"]

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_OF_PROGRAMS = ("args", "env", "cwd")
_OF_ADDRESSES = ("headers", "api_key")
_DEFAULTS = McpServerBlock(name="")


def server_path(index: int) -> str:
    """Where a server stands in the file."""
    return f"mcp.servers[{index}]"


def check_mcp(mcp: McpBlock, problems: Problems) -> None:
    """The whole block but for the context requirements."""
    first: dict[str, int] = {}
    for index, server in enumerate(mcp.servers):
        path = server_path(index)
        _check_name(server.name, f"{path}.name", problems)
        if server.name and first.setdefault(server.name, index) != index:
            message = f"two servers are called {server.name!r}"
            problems.add(message, path=f"{path}.name", hint="give each a 'name' of its own")
        _check_kind(server, path, problems)
        _check_secrets(server, path, problems)
        _check_tools(server, path, problems)


def requirements_of(mcp: McpBlock) -> Iterator[tuple[str, ContextRequirements]]:
    """All context requirements of the block, each with its path."""
    for index, server in enumerate(mcp.servers):
        for tool, requirements in server.context_requirements.items():
            yield f"{server_path(index)}.context_requirements.{tool}", requirements


def replace_mcp_secrets(mcp: McpSettings, read: Callable[[Secret, str], Secret | None]) -> McpSettings:
    """The servers with every secret replaced by what `read(secret, path)` makes of it, or left out where that is nothing."""
    servers = [_with_secrets(server, server_path(index), read) for index, server in enumerate(mcp.servers)]
    return replace(mcp, servers=tuple(servers))


def _with_secrets(
    server: McpServerSettings, path: str, read: Callable[[Secret, str], Secret | None]
) -> McpServerSettings:
    def mapping(values: Mapping[str, Secret], key: str) -> dict[str, Secret]:
        # Plain values stay as they are, white space included.
        found = {
            name: read(value, f"{path}.{key}.{name}") if isinstance(value, SecretReference) else value
            for name, value in values.items()
        }
        return {name: value for name, value in found.items() if value is not None}

    url = read(server.url, f"{path}.url") if server.url else None
    api_key = None if server.api_key is None else read(server.api_key, f"{path}.api_key")
    env, headers = mapping(server.env, "env"), mapping(server.headers, "headers")
    return replace(server, url=url or "", api_key=api_key, env=env, headers=headers)


def _check_name(name: str, path: str, problems: Problems) -> None:
    if not name:
        if not problems.reported(path):
            problems.add("a name must not be empty", path=path)
    elif not set(name) <= _NAME_CHARACTERS:
        hint = "permissions name a tool as server.tool"
        problems.add("the name of a server has letters, digits, _ and - only", path=path, hint=hint)


def _check_kind(server: McpServerBlock, path: str, problems: Problems) -> None:
    if server.command and server.url:
        message = "'command' and 'url' exclude each other: a server is started here, or spoken to over HTTP"
        problems.add(message, path=f"{path}.url", hint="remove one of them")
        return
    if not server.command and not server.url:
        if path not in problems.misspelt and not problems.reported(f"{path}.url"):
            problems.add_missing(f"{path}.command", "the program to start, or 'url' for a server over HTTP")
        return
    keys, other = (_OF_ADDRESSES, "url") if server.command else (_OF_PROGRAMS, "command")
    for key in keys:
        if getattr(server, key) != getattr(_DEFAULTS, key):
            problems.add(f"{key!r} is read together with {other!r} only", path=f"{path}.{key}", hint="remove it")
    if isinstance(server.url, str):
        message, hint = address_fault(server.url, query=True)
        if message:
            problems.add(message, path=f"{path}.url", hint=hint)


def _check_secrets(server: McpServerBlock, path: str, problems: Problems) -> None:
    references = {"url": server.url, **{f"env.{name}": value for name, value in server.env.items()}}
    for key, value in references.items():
        if isinstance(value, SecretReference):
            check_reference(value, f"{path}.{key}", problems)
    for name in server.env:
        if not name or "=" in name or "\0" in name:
            problems.add("is not the name of a variable", path=f"{path}.env.{name}")
    for name, value in server.headers.items():
        here = f"{path}.headers.{name}"
        if isinstance(value, SecretReference):
            check_reference(value, here, problems)
        check_header(name, value if isinstance(value, str) else "", here, problems)
        if name.lower() == "authorization" and server.api_key is not None:
            problems.add("this header is sent for 'api_key' already", path=here, hint="remove one of the two")
    if server.api_key is not None:
        # The same rules as for an entry's key.
        check_secrets(ProviderEntry(provider="", api_key=server.api_key), path, problems)


def _check_tools(server: McpServerBlock, path: str, problems: Problems) -> None:
    for tool in server.context_requirements:
        if server.tools is not None and tool not in server.tools:
            message = f"the tool {tool!r} is not among 'tools'"
            hint = nearest(tool, list(server.tools))
            problems.add(message, path=f"{path}.context_requirements.{tool}", hint=hint)
    for key, value in server.tool_data.items():
        if isinstance(value, dict) and list(value) == ["file"] and not isinstance(value["file"], str):
            problems.add("must be the name of a file", path=f"{path}.tool_data.{key}.file")
