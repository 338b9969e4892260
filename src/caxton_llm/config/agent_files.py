"""Agents in files of their own: every file of `agents_dir` becomes one more item of `agents`.

YAML and TOML hold the keys of an agent; Markdown holds them between two lines `---`, and what follows is the system prompt,
word for word. A file's name is the agent's name unless it says another. Folders, hidden files and files of other kinds are
passed over.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from caxton_llm.config.nodes import ListNode, MapNode, Node, ScalarNode, from_data, from_yaml
from caxton_llm.config.problems import Problems
from caxton_llm.config.toml_lines import lines_of

__all__ = ["AGENTS_DIR", "add_agent_files"]

AGENTS_DIR = "agents_dir"
_KINDS = (".yaml", ".yml", ".toml", ".md")
_FENCE = "---"
_MAX_BYTES = 4 * 1024 * 1024


def add_agent_files(root: Node, environ: Mapping[str, str], problems: Problems) -> None:
    """Put what the files say into the document; mistakes are told with the file that they are in."""
    found = root.entries.get(AGENTS_DIR) if isinstance(root, MapNode) else None
    if not isinstance(root, MapNode) or found is None:
        return
    folder = found[1]
    if not isinstance(folder, ScalarNode) or not isinstance(folder.value, str) or folder.broken:
        return  # told when the document is compared with its type
    line, agents = root.entries.setdefault("agents", (found[0], ListNode([], found[0])))
    if isinstance(agents, ScalarNode) and agents.value is None:  # `agents:` with nothing after it
        agents = ListNode([], line)
        root.entries["agents"] = (line, agents)
    if not isinstance(agents, ListNode):
        return
    for number, path in enumerate(_files(_folder(problems.file, folder.value), problems)):
        own = Problems(str(path))
        node = _agent(path, environ, own)
        if node is None:
            problems.include(own, f"{AGENTS_DIR}[{number}]")
            continue
        problems.include(own, f"agents[{len(agents.items)}]")
        node.entries.setdefault("name", (None, ScalarNode(path.stem, path.stem)))
        agents.items.append(node)


def _folder(file: str, name: str) -> Path:
    return Path(file).parent / os.path.expanduser(name)  # noqa: PTH111 - Path.expanduser raises for an unknown user


def _files(folder: Path, problems: Problems) -> list[Path]:
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in _KINDS and not path.name.startswith(".")]
        return sorted(path for path in paths if path.is_file())
    except FileNotFoundError:
        problems.add(f"there is no such folder: {folder}", path=AGENTS_DIR)
    except OSError as error:
        problems.add(f"the folder {folder} cannot be read: {error.strerror or 'unknown reason'}", path=AGENTS_DIR)
    return []


def _agent(path: Path, environ: Mapping[str, str], problems: Problems) -> MapNode | None:
    text = _text(path, problems)
    if text is None:
        return None
    kind = path.suffix.lower()
    if kind == ".md":
        return _markdown(text, environ, problems)
    root = _toml(text, environ, problems) if kind == ".toml" else from_yaml(text, environ, problems)
    return _mapping(root, problems)


def _text(path: Path, problems: Problems) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        problems.add(f"cannot be read: {error.strerror or 'unknown reason'}")
        return None
    if len(data) > _MAX_BYTES:
        problems.add(f"is larger than {_MAX_BYTES:,} bytes")
        return None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        problems.add("is not UTF-8 text", line=data.count(b"\n", 0, error.start) + 1)
        return None


def _mapping(root: Node | None, problems: Problems) -> MapNode | None:
    if isinstance(root, MapNode):
        return root
    if not problems.found:
        what = "is empty" if root is None else "must be a mapping of keys"
        problems.add(what, line=1, hint="write the keys of one agent: description, capabilities, system_prompt, ...")
    return None


def _toml(text: str, environ: Mapping[str, str], problems: Problems) -> Node | None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).rpartition(" (at line ")
        number = place.partition(",")[0]
        line = int(number) if number.isdecimal() else text.count("\n") + 1
        problems.add(f"not valid TOML: {what or error}", line=line)
        return None
    except RecursionError:
        problems.add("not usable: nested too deeply")
        return None
    problems.lines.update(lines_of(text))
    return from_data(data, environ, problems)


def _markdown(text: str, environ: Mapping[str, str], problems: Problems) -> MapNode | None:
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() in (_FENCE, "...")), None)
    if lines[0].rstrip() != _FENCE or end is None:
        missing = "begin" if lines[0].rstrip() != _FENCE else "end"
        message = f"the keys of the agent do not {missing} with a line {_FENCE!r}"
        problems.add(message, line=1, hint="write them between two such lines; the system prompt follows")
        return None
    front = "\n".join(lines[1:end])
    read = from_yaml("\n" + front, environ, problems)  # the first line stands for the fence, so that lines count right
    root = MapNode({}) if read is None and not problems.found else _mapping(read, problems)
    body = "\n".join(lines[end + 1 :]).strip()
    if root is None or not body:
        return root
    if "system_prompt" in root.entries:
        message = "stands twice: as a key, and as the text after the keys"
        problems.add(message, path="system_prompt", hint="remove one of them")
        return root
    line = end + 2
    root.entries["system_prompt"] = (line, ScalarNode(body, body, line))
    problems.lines["system_prompt"] = line
    return root
