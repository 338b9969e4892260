"""From the `mcp` block to what the program uses: names of files, data that is kept in files."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from caxton_llm.config.addresses import uses_plain_http
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.mcp_checks import replace_mcp_secrets, server_path
from caxton_llm.config.mcp_schema import McpBlock, McpServerBlock
from caxton_llm.config.problems import Problems
from caxton_llm.config.secret_keys import Secret
from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.errors import ConfigurationProblem
from caxton_llm.tools.settings import McpServerSettings, McpSettings, ToolDataFile
from caxton_llm.types import Json

__all__ = ["mcp_warnings", "resolve_mcp"]

_INHERITED = ("PATH", "HOME", "LANG", "SYSTEMROOT")
"""`SYSTEMROOT`: without it no program starts on Windows."""


def resolve_mcp(
    block: McpBlock | None,
    tool_context: Mapping[str, ContextRequirements],
    *,
    environ: Mapping[str, str],
    file: Callable[[str], str],
    located: Callable[[Secret, str], Secret],
) -> McpSettings | None:
    """The servers, unless there are none. `file` makes a path count from the current folder, `located` that of a secret; of
    `environ` a program gets only what it needs to be found and to speak its user's language."""
    if block is None:
        return None
    inherited = {name: environ[name] for name in _INHERITED if name in environ}
    servers = tuple(_server(server, inherited, file) for server in block.servers)
    return replace_mcp_secrets(McpSettings(servers=servers, tool_context=tool_context), located)


def _server(block: McpServerBlock, inherited: Mapping[str, str], file: Callable[[str], str]) -> McpServerSettings:
    command = block.command or ""
    if "/" in command or command.startswith("~"):
        command = _absolute(file(command))  # it would count from the folder in which the program runs
    return McpServerSettings(
        name=block.name,
        command=(command, *block.args) if command else (),
        env={**inherited, **block.env} if command else {},
        cwd=_absolute(file(block.cwd or "")) if command else None,
        url=block.url or "",
        headers=block.headers,
        api_key=block.api_key,
        start_timeout_s=block.start_timeout_seconds,
        call_timeout_s=block.call_timeout_seconds,
        max_result_bytes=block.max_result_bytes,
        max_parallel_calls=block.max_parallel_calls,
        tools=block.tools,
        context_requirements=block.context_requirements,
        tool_data={key: _data(value, file) for key, value in block.tool_data.items()},
        data_ttl_s=block.data_ttl_seconds,
    )


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _data(value: Json, file: Callable[[str], str]) -> Json | ToolDataFile:
    if isinstance(value, dict) and list(value) == ["file"] and isinstance(value["file"], str):
        return ToolDataFile(file(value["file"]))
    return value


def mcp_warnings(configuration: Configuration, problems: Problems) -> Iterator[ConfigurationProblem]:
    """What an operator should know. Files and folders that are not there yet are no reason not to start: what is missing then
    is told by each request that would need it."""
    for index, server in enumerate(configuration.mcp.servers if configuration.mcp is not None else ()):
        path = server_path(index)
        if server.command and shutil.which(server.command[0], path=_path_of(server)) is None:
            message = f"there is no program {server.command[0]!r} here: the server's tools will be missing"
            hint = "install it, or write its whole path"
            if " " in server.command[0]:
                hint = "what follows the program belongs into 'args'"
            yield problems.at(message, path=f"{path}.command", hint=hint)
        if server.cwd is not None and not Path(server.cwd).is_dir():
            message = f"there is no such folder: {server.cwd}: the server's tools will be missing"
            yield problems.at(message, path=f"{path}.cwd", hint="make it, or write another one")
        for key, value in server.tool_data.items():
            if isinstance(value, ToolDataFile) and not Path(value.path).is_file():
                message = f"there is no such file: {value.path}: the data will be missing"
                yield problems.at(message, path=f"{path}.tool_data.{key}", hint="write it, or correct its name")
        if isinstance(server.url, str) and uses_plain_http(server.url):
            message = "plain http: what tools are given and answer, and the key, can be read on the way"
            yield problems.at(message, path=f"{path}.url", hint="use https")


def _path_of(server: McpServerSettings) -> str | None:
    path = server.env.get("PATH")
    return path if isinstance(path, str) else None
