"""Reading configurations: from a file, from text, from data in memory.

One pass reports everything that is wrong: text -> nodes with lines -> data checked against the types -> meaning checked ->
`Configuration`. Nothing outside the file and the environment is touched; secrets that are kept elsewhere are fetched later,
by `resolve_secrets`. The files of `agents_dir` belong to the file that names it.
"""

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from caxton_llm.config.agent_files import add_agent_files
from caxton_llm.config.checks import check_file, check_requirements
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.nodes import MapNode, Node, from_data, from_yaml
from caxton_llm.config.offline import offline_sources
from caxton_llm.config.parts import try_entries
from caxton_llm.config.problems import Problems
from caxton_llm.config.resolve import resolve
from caxton_llm.config.schema import ConfigurationFile, ToolContextFile
from caxton_llm.config.secrets import fetch
from caxton_llm.config.walk import Walk
from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.errors import ConfigurationError
from caxton_llm.types import Json

__all__ = ["load_file", "load_mapping", "load_text", "load_tool_file", "load_tool_text"]

_Document = TypeVar("_Document", ConfigurationFile, ToolContextFile)


def load_file(
    path: Path | str, environ: Mapping[str, str] | None = None, *, today: date | None = None
) -> Configuration:
    """The configuration in a YAML file. Raises `ConfigurationError` with every mistake in it, or why it cannot be read.

    `environ` is the process's environment unless given; `today` (UTC) decides which models count as retired.
    """
    problems = Problems(str(path))
    return _configuration(_yaml(_read(Path(path), problems), environ, problems), environ, problems, today)


def load_text(
    text: str, *, file: str = "", environ: Mapping[str, str] | None = None, today: date | None = None
) -> Configuration:
    """The configuration in a YAML text; `file` is how messages call it. Raises like `load_file`."""
    problems = Problems(file)
    return _configuration(_yaml(text, environ, problems), environ, problems, today)


def load_mapping(
    data: Mapping[str, Json], environ: Mapping[str, str] | None = None, *, today: date | None = None
) -> Configuration:
    """The configuration in a dictionary of the same shape as the file. Raises like `load_file`, without lines."""
    problems = Problems()
    return _configuration(from_data(data, _environment(environ), problems), environ, problems, today)


def load_tool_file(path: Path | str, environ: Mapping[str, str] | None = None) -> ToolContextFile:
    """A tool's context specification in a YAML file. Raises like `load_file`."""
    problems = Problems(str(path))
    return _tool(_yaml(_read(Path(path), problems), environ, problems), problems)


def load_tool_text(text: str, *, file: str = "", environ: Mapping[str, str] | None = None) -> ToolContextFile:
    """A tool's context specification in a YAML text. Raises like `load_file`."""
    problems = Problems(file)
    return _tool(_yaml(text, environ, problems), problems)


def _environment(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def _read(path: Path, problems: Problems) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.add(f"cannot be read: {error.strerror or 'unknown reason'}")
        raise problems.error() from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add("is not UTF-8 text", line=data.count(b"\n", 0, error.start) + 1)
        raise problems.error() from None


def _yaml(text: str, environ: Mapping[str, str] | None, problems: Problems) -> Node:
    root = from_yaml(text, _environment(environ), problems)
    if root is None:
        if not problems.found:
            problems.add("is empty", hint="a first try: 'llm: {provider: builtin}'")
        raise problems.error()
    return root


def _configuration(
    root: Node, environ: Mapping[str, str] | None, problems: Problems, today: date | None
) -> Configuration:
    if isinstance(root, MapNode) and "context_requirements" in root.entries:
        problems.add("this is a tool's context specification, not a configuration", path="context_requirements")
        raise problems.error()
    add_agent_files(root, _environment(environ), problems)
    document = _document(root, ConfigurationFile, problems)
    check_file(document, problems)
    configuration = resolve(
        document,
        problems,
        today=today or datetime.now(UTC).date(),
        environ=_environment(environ),
        tool_context=_tool_documents(document, environ, problems),
    )
    if problems.found:
        # What would show later is told now: nobody likes to mend a file in three rounds.
        resolved, _ = fetch(configuration, problems, _environment(environ), offline_sources(environ))
        try_entries(resolved, problems)
        raise problems.error()
    return configuration


def _tool_documents(
    document: ConfigurationFile, environ: Mapping[str, str] | None, problems: Problems
) -> dict[str, ContextRequirements]:
    """What the files under `tool_context` say, by the tool's name; their mistakes are added to the problems as they are."""
    found: dict[str, ContextRequirements] = {}
    for index, name in enumerate(document.tool_context):
        here = f"tool_context[{index}]"
        if not name:
            continue  # reported already
        try:
            tool = load_tool_file(Path(problems.file).parent / Path(name).expanduser(), environ)
        except ConfigurationError as error:
            problems.found += error.problems
            continue
        about = tool.name or Path(name).stem
        if about in found:
            problems.add(f"{name}: another file is about the tool {about!r} already", path=here)
        else:
            found[about] = tool.context_requirements
    return found


def _tool(root: Node, problems: Problems) -> ToolContextFile:
    document = _document(root, ToolContextFile, problems)
    check_requirements(document.context_requirements, "context_requirements", problems)
    problems.raise_any()
    return document


def _document(root: Node, kind: type[_Document], problems: Problems) -> _Document:
    """The typed document; with mistakes it holds stand-ins, and the checks go on. Raises only when there is nothing to
    check."""
    data = Walk(kind, problems).run(root)
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        if not problems.found:
            problems.add(str(error))
        raise problems.error() from None
