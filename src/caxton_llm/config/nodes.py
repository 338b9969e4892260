"""A configuration document as nodes that know their lines: from YAML text, or from plain Python data.

Reading is safe: no tag makes an object. `${NAME}` and `${NAME:-default}` are replaced in every value here, so that what comes
after sees final values only; a value from the environment is marked, because messages must not show it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from caxton_llm.config.problems import Problems
from caxton_llm.types import Json

if TYPE_CHECKING:
    import yaml

__all__ = ["ListNode", "MapNode", "Node", "ScalarNode", "from_data", "from_yaml"]

_MAX_DEPTH = 64
_MAX_NODES = 100_000
_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_REFERENCE = re.compile(r"\$(\$?)\{([^{}]*)(\}?)")
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)

Scalar = str | int | float | bool | None


class ScalarNode(Struct):
    """A single value. `text` is how it is written; `broken` marks a value that could not be read, already reported."""

    value: Scalar
    text: str
    line: int | None = None
    plain: bool = False
    """Written without quotes."""
    from_environment: bool = False
    broken: bool = False


class ListNode(Struct):
    """A list."""

    items: "list[Node]"
    line: int | None = None


class MapNode(Struct):
    """A mapping; the lines are those of the keys."""

    entries: "dict[str, tuple[int | None, Node]]"
    line: int | None = None


Node = ScalarNode | ListNode | MapNode


def from_yaml(text: str, environ: Mapping[str, str], problems: Problems) -> Node | None:
    """The document in `text`; `None` when it cannot be read at all or is empty. Mistakes go to `problems`."""
    import yaml  # noqa: PLC0415 - a library call without a file does not need it

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        problems.add(f"not valid YAML: {what}", line=mark.line + 1 if mark else None, hint=_yaml_hint(what))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.add(f"not valid YAML: the character U+{_code_point(error):04X} is not allowed", line=line)
        return None
    except RecursionError:
        problems.add("not usable: nested too deeply")
        return None
    return None if root is None else _YamlReader(environ, problems).node(root, "", 0)


def from_data(data: Json, environ: Mapping[str, str], problems: Problems) -> Node:
    """The same for data that is already in memory; there are no lines."""
    return _DataReader(environ, problems).node(data, "", 0)


def _code_point(error: "yaml.reader.ReaderError") -> int:
    character = error.character
    return character if isinstance(character, int) else ord(character)


def _yaml_hint(what: str) -> str:
    if "\\t" in what:
        return "indent with spaces, not with tabs"
    if "'{'" in what:
        return 'inside braces or brackets, put "${NAME}" in quotes'
    if "mapping values are not allowed" in what:
        return "put the value in quotes, or check the indentation"
    return ""


class _Reader:
    """What both sources share: limits, and values from the environment."""

    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self._environ = environ
        self._problems = problems
        self._count = 0

    def _fits(self, path: str, depth: int) -> bool:
        self._count += 1
        if depth > _MAX_DEPTH:
            self._problems.add("not usable: nested too deeply, or refers to itself", path=path.partition("[")[0])
            return False
        if self._count == _MAX_NODES:
            self._problems.add(f"not usable: more than {_MAX_NODES:,} values", path=path)
        return self._count < _MAX_NODES

    def _text(self, text: str, line: int | None, path: str, *, plain: bool) -> ScalarNode:
        """Text with `${NAME}` replaced; `$${` stands for `${`."""
        if "${" not in text:
            return ScalarNode(text, text, line, plain)
        node = ScalarNode(text, text, line, plain)

        def replaced(match: re.Match[str]) -> str:
            escaped, body, closed = match.groups()
            if escaped:
                return match.group()[1:]
            named = _NAMED.fullmatch(body) if closed else None
            if named is None:
                self._problems.add(
                    "cannot read the reference after '${'",
                    path=path,
                    line=line,
                    hint="write ${NAME} or ${NAME:-default}, and $${ for the characters ${ themselves",
                )
                node.broken = True
                return ""
            node.from_environment = True
            return self._variable(named, node, path)

        node.value = node.text = _REFERENCE.sub(replaced, text)
        return node

    def _variable(self, named: re.Match[str], node: ScalarNode, path: str) -> str:
        name, default = named.groups()
        value = self._environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            node.broken = True
            self._problems.add(
                f"the environment variable {name} is not set",
                path=path,
                line=node.line,
                hint=f"set it, or write ${{{name}:-default}}",
            )
        return value or ""


class _YamlReader(_Reader):
    def node(self, source: "yaml.Node", path: str, depth: int) -> Node:
        import yaml  # noqa: PLC0415

        line = source.start_mark.line + 1
        if not self._fits(path, depth):
            return ScalarNode(None, "", line, broken=True)
        if isinstance(source, yaml.MappingNode):
            return self._mapping(source, path, depth)
        if isinstance(source, yaml.SequenceNode):
            return ListNode(
                [self._item(item, f"{path}[{index}]", depth) for index, item in enumerate(source.value)], line
            )
        if isinstance(source, yaml.ScalarNode):
            return self._scalar(source, path)
        raise TypeError(f"PyYAML made a {type(source).__name__}")

    def _item(self, source: "yaml.Node", path: str, depth: int) -> Node:
        self._problems.lines.setdefault(path, source.start_mark.line + 1)
        return self.node(source, path, depth + 1)

    def _mapping(self, source: "yaml.MappingNode", path: str, depth: int) -> MapNode:
        node = MapNode({}, source.start_mark.line + 1)
        merged: list[yaml.Node] = []
        for key, value in source.value:
            if key.tag == _MERGE:
                merged.append(value)
            else:
                self._entry(node, key, value, path, depth)
        for value in merged:
            for other in self._merged(value, path, depth):
                for name, entry in other.entries.items():
                    node.entries.setdefault(name, entry)
        return node

    def _entry(self, node: MapNode, key: "yaml.Node", value: "yaml.Node", path: str, depth: int) -> None:
        line = key.start_mark.line + 1
        if not isinstance(key.value, str):
            self._problems.add("a key must be a single word", path=path, line=line)
            return
        here = f"{path}.{key.value}" if path else key.value
        if key.value in node.entries:
            first = node.entries[key.value][0]
            self._problems.add(f"the key is given twice, first in line {first}", path=here, line=line)
            return
        self._problems.lines.setdefault(here, line)
        node.entries[key.value] = (line, self.node(value, here, depth + 1))

    def _merged(self, value: "yaml.Node", path: str, depth: int) -> list[MapNode]:
        read = self.node(value, path, depth + 1)
        found = read.items if isinstance(read, ListNode) else [read]
        maps = [node for node in found if isinstance(node, MapNode)]
        if len(maps) != len(found):
            self._problems.add("'<<' takes a mapping or a list of mappings", path=path, line=read.line)
        return maps

    def _scalar(self, source: "yaml.ScalarNode", path: str) -> ScalarNode:
        line, plain = source.start_mark.line + 1, source.style is None
        kind = source.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):  # a date stays the text that it is: api versions look like dates
            node = self._text(source.value, line, path, plain=plain)
            return _resolved(node) if node.from_environment and plain else node
        try:
            return ScalarNode(_scalar_value(kind, source), source.value, line, plain)
        except ValueError:
            self._problems.add(
                f"cannot be read as {source.tag}",
                path=path,
                line=line,
                hint="tags are not supported; use ${NAME} for the environment" if source.tag.startswith("!") else "",
            )
            return ScalarNode(None, source.value, line, plain, broken=True)


class _DataReader(_Reader):
    def node(self, source: Json, path: str, depth: int) -> Node:
        if not self._fits(path, depth):
            return ScalarNode(None, "", broken=True)
        if isinstance(source, Mapping):
            return MapNode(dict(self._entries(source, path, depth)))
        if isinstance(source, list | tuple):
            return ListNode([self.node(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(source)])
        if isinstance(source, str):
            return self._text(source, None, path, plain=False)
        if source is None or isinstance(source, bool | int | float):
            return ScalarNode(source, str(source))
        self._problems.add(f"a {type(source).__name__} cannot be part of a configuration", path=path)
        return ScalarNode(None, "", broken=True)

    def _entries(self, source: Mapping[Json, Json], path: str, depth: int) -> Iterator[tuple[str, tuple[None, Node]]]:
        for key, value in source.items():
            if isinstance(key, str):
                yield key, (None, self.node(value, f"{path}.{key}" if path else key, depth + 1))
            else:
                self._problems.add("a key must be text", path=path)


def _scalar_value(kind: str, source: "yaml.ScalarNode") -> Scalar:
    """The value of a scalar. Raises `ValueError` for one that is not of its kind, or of a kind that is not read here."""
    from yaml.constructor import SafeConstructor  # noqa: PLC0415

    constructor = SafeConstructor()
    match kind:
        case "null":
            return None
        case "bool" if source.value.lower() in SafeConstructor.bool_values:
            return bool(SafeConstructor.bool_values[source.value.lower()])
        case "int":
            return int(constructor.construct_yaml_int(source))
        case "float":
            return float(constructor.construct_yaml_float(source))
    raise ValueError(kind)


def _resolved(node: ScalarNode) -> ScalarNode:
    """An unquoted value from the environment means what it would mean if it stood in the file."""
    import yaml  # noqa: PLC0415

    tag = yaml.resolver.Resolver().resolve(yaml.ScalarNode, node.text, (True, False))  # type: ignore[no-untyped-call]
    kind = tag.removeprefix(_TAG)
    if kind in ("int", "float", "bool"):
        node.value = _scalar_value(kind, yaml.ScalarNode(tag, node.text))
    return node
