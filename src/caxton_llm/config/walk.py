"""Nodes against types: plain data that `msgspec.convert` accepts, and every mistake on the way.

What is wrong is left out, or replaced by a stand-in where it is required, so that one mistake does not hide the next. The
result of a document with mistakes is never used.
"""

import math
from collections.abc import Callable

import msgspec.inspect as kinds
from msgspec import Struct

from caxton_llm.config.nodes import ListNode, MapNode, Node, ScalarNode
from caxton_llm.config.other_names import OTHER_NAMES
from caxton_llm.config.problems import Problems, holds_secret, misspelt, nearest
from caxton_llm.types import Json

__all__ = ["Walk"]

_SHOWN_LENGTH = 40
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class _Wrong:
    """The value could not be used; it has been reported."""


_WRONG = _Wrong()

_Scalars = kinds.StrType | kinds.IntType | kinds.FloatType | kinds.BoolType | kinds.LiteralType


class Walk:
    """One document against the type of the whole file."""

    def __init__(self, document: type[Struct], problems: Problems) -> None:
        self._problems = problems
        self._document = _struct(document)
        self._homes = _key_homes(self._document)

    def run(self, root: Node) -> Json:
        """The document as plain data."""
        if not isinstance(root, MapNode):
            self._problems.add(f"the file must be a mapping of keys, found {_found(root, '')}", line=root.line)
            return self._stand_in(self._document)
        return self._struct(root, self._document, "")

    # -- containers -----------------------------------------------------------------------------------------------------

    def _value(self, node: Node, kind: kinds.Type, path: str) -> Json:
        """The value as data, or `_WRONG`."""
        if isinstance(node, ScalarNode) and node.broken:
            return _WRONG
        if isinstance(kind, kinds.UnionType):
            return self._union(node, kind, path)
        if isinstance(kind, kinds.AnyType):
            return _plain(node)
        if isinstance(kind, kinds.StructType):
            return self._struct(node, kind, path) if isinstance(node, MapNode) else self._wrong(node, kind, path)
        if isinstance(kind, kinds.DictType):
            return self._dict(node, kind, path) if isinstance(node, MapNode) else self._wrong(node, kind, path)
        if isinstance(kind, kinds.VarTupleType | kinds.ListType):
            return self._list(node, kind, path) if isinstance(node, ListNode) else self._wrong(node, kind, path)
        if isinstance(kind, _Scalars) and isinstance(node, ScalarNode):
            return self._scalar(node, kind, path)
        return self._wrong(node, kind, path)

    def _union(self, node: Node, kind: kinds.UnionType, path: str) -> Json:
        if isinstance(node, ScalarNode) and node.value is None and any(_is_none(option) for option in kind.types):
            return None
        options = [option for option in kind.types if not _is_none(option)]
        fitting = [option for option in options if _fits(node, option)]
        if not fitting:
            return self._wrong(node, kind, path)
        exact = [option for option in fitting if isinstance(node, ScalarNode) and _is_exact(node, option)]
        return self._value(node, (exact or fitting)[0], path)

    def _struct(self, node: MapNode, kind: kinds.StructType, path: str) -> dict[str, Json]:
        fields = {field.encode_name: field for field in kind.fields}
        data: dict[str, Json] = {}
        for name, (line, child) in node.entries.items():
            here = f"{path}.{name}" if path else name
            field = fields.get(name)
            if field is None:
                self._unknown_key(name, here, line, kind)
                continue
            value = self._value(child, field.type, here)
            if value is not _WRONG:
                data[name] = value
        for name, field in fields.items():
            if field.required and name not in data:
                data[name] = self._stand_in(field.type)
                if name not in node.entries:
                    self._problems.add_missing(f"{path}.{name}" if path else name)
        return data

    def _dict(self, node: MapNode, kind: kinds.DictType, path: str) -> dict[str, Json]:
        values = {
            name: self._value(child, kind.value_type, f"{path}.{name}") for name, (_, child) in node.entries.items()
        }
        return {name: value for name, value in values.items() if value is not _WRONG}

    def _list(self, node: ListNode, kind: kinds.VarTupleType | kinds.ListType, path: str) -> list[Json]:
        values = [self._value(item, kind.item_type, f"{path}[{index}]") for index, item in enumerate(node.items)]
        return [self._stand_in(kind.item_type) if value is _WRONG else value for value in values]

    # -- single values --------------------------------------------------------------------------------------------------

    def _scalar(self, node: ScalarNode, kind: _Scalars, path: str) -> Json:
        value = _read(node, kind)
        if value is _WRONG:
            return self._wrong(node, kind, path)
        if isinstance(kind, kinds.LiteralType) and value not in kind.values:
            choices = [str(choice) for choice in kind.values]
            close = nearest(node.text, choices) if node.text else ""
            hint = close if close.startswith("did") else ""  # the message lists them already
            return self._report(f"must be one of {', '.join(choices)}; found {_found(node, path)}", path, node, hint)
        if isinstance(kind, kinds.IntType | kinds.FloatType):
            limit = _broken_limit(value, kind)
            if limit:
                return self._report(f"must be {limit}, found {_found(node, path)}", path, node)
        return value

    def _wrong(self, node: Node, kind: kinds.Type, path: str) -> Json:
        hint = ""
        if isinstance(node, ScalarNode):
            options = kind.types if isinstance(kind, kinds.UnionType) else (kind,)
            if isinstance(node.value, bool) and any(isinstance(option, kinds.StrType) for option in options):
                hint = "put it in quotes if the word itself is meant"
            elif any(isinstance(option, kinds.VarTupleType | kinds.ListType) for option in options):
                hint = "write a list: [first, second]"
        return self._report(f"must be {_expected(kind)}, found {_found(node, path)}", path, node, hint)

    def _report(self, message: str, path: str, node: Node, hint: str = "") -> Json:
        self._problems.add(message, path=path, line=self._problems.lines.get(path, node.line), hint=hint)
        return _WRONG

    def _unknown_key(self, name: str, path: str, line: int | None, block: kinds.StructType) -> None:
        known = [field.encode_name for field in block.fields]
        meant = OTHER_NAMES.get((block.cls, name)) or misspelt(name, known)
        homes = self._homes.get(name)
        if meant:
            hint = f"did you mean {meant!r}?"
        elif homes:
            hint = f"{name!r} belongs " + (f"under {homes[0]!r}" if homes[0] else "at the top of the file")
        else:
            hint = nearest(name, known)
        self._problems.add(f"unknown key {name!r}", path=path, line=line, hint=hint)
        self._problems.misspelt.add(path.removesuffix(name).removesuffix("."))

    def _stand_in(self, kind: kinds.Type) -> Json:
        """Something of the type, in the place of what is missing."""
        match kind:
            case kinds.StructType():
                return {field.encode_name: self._stand_in(field.type) for field in kind.fields if field.required}
            case kinds.LiteralType():
                return kind.values[0]
            case kinds.UnionType():
                return self._stand_in(kind.types[0])
            case kinds.StrType():
                return ""
            case kinds.VarTupleType() | kinds.ListType():
                return []
            case kinds.DictType():
                return {}
        return None


def _struct(document: type[Struct]) -> kinds.StructType:
    kind = kinds.type_info(document)
    if not isinstance(kind, kinds.StructType):
        raise TypeError(f"{document.__name__} is not a Struct")
    return kind


def _key_homes(kind: kinds.Type) -> dict[str, list[str]]:
    """For every key the paths of the blocks that have it, shallow ones first, without list positions."""
    homes: dict[str, list[str]] = {}
    todo: list[tuple[str, kinds.Type]] = [("", kind)]
    for here, block in todo:
        for child in _structs_in(block):
            for field in child.fields:
                homes.setdefault(field.encode_name, []).append(here)
                todo.append((f"{here}.{field.encode_name}" if here else field.encode_name, field.type))
    return homes


def _structs_in(kind: kinds.Type) -> list[kinds.StructType]:
    match kind:
        case kinds.StructType():
            return [kind]
        case kinds.UnionType():
            return [struct for option in kind.types for struct in _structs_in(option)]
        case kinds.VarTupleType() | kinds.ListType():
            return _structs_in(kind.item_type)
    return []


def _read(node: ScalarNode, kind: _Scalars) -> Json:
    """A scalar as a value of `kind`, or `_WRONG`. Text counts as a number only where it came from the environment."""
    readers: dict[type, Callable[[ScalarNode], Json]] = {
        kinds.StrType: _as_text,
        kinds.LiteralType: _as_text,
        kinds.IntType: _as_int,
        kinds.FloatType: _as_float,
        kinds.BoolType: _as_bool,
    }
    return readers[type(kind)](node)


def _as_text(node: ScalarNode) -> Json:
    if isinstance(node.value, str):
        return node.value
    if node.from_environment or (isinstance(node.value, int | float) and not isinstance(node.value, bool)):
        return node.text
    return _WRONG


def _as_int(node: ScalarNode) -> Json:
    number = _as_float(node)
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return int(number) if isinstance(number, float) and number.is_integer() else _WRONG


def _as_float(node: ScalarNode) -> Json:
    value = node.value
    if isinstance(value, str) and (node.from_environment or node.plain):  # YAML takes 1e3 for text
        try:
            value = float(value)
        except ValueError:
            return _WRONG
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _WRONG
    return float(value)


def _as_bool(node: ScalarNode) -> Json:
    if isinstance(node.value, bool):
        return node.value
    if isinstance(node.value, str) and node.from_environment:
        return _WORDS.get(node.value.lower(), _WRONG)
    return _WRONG


def _is_none(kind: kinds.Type) -> bool:
    return isinstance(kind, kinds.NoneType)


def _fits(node: Node, kind: kinds.Type) -> bool:
    match node:
        case MapNode():
            return isinstance(kind, kinds.StructType | kinds.DictType)
        case ListNode():
            return isinstance(kind, kinds.VarTupleType | kinds.ListType)
    return isinstance(kind, _Scalars) and _read(node, kind) is not _WRONG


def _is_exact(node: ScalarNode, kind: kinds.Type) -> bool:
    """Whether the value has the type already: 5 fits text as well as a number, but it is a number."""
    if isinstance(node.value, bool):
        return isinstance(kind, kinds.BoolType)
    if isinstance(node.value, int):
        return isinstance(kind, kinds.IntType)
    if isinstance(node.value, float):
        return isinstance(kind, kinds.FloatType)
    return isinstance(kind, kinds.StrType | kinds.LiteralType)


def _broken_limit(value: float, kind: kinds.IntType | kinds.FloatType) -> str:
    if kind.ge is not None and value < kind.ge:
        return f"at least {kind.ge:g}"
    if kind.gt is not None and value <= kind.gt:
        return f"more than {kind.gt:g}"
    if kind.le is not None and value > kind.le:
        return f"at most {kind.le:g}"
    return ""


def _expected(kind: kinds.Type) -> str:
    match kind:
        case kinds.UnionType():
            options = [_expected(option) for option in kind.types if not _is_none(option)]
            return " or ".join(dict.fromkeys(options))
        case kinds.StructType():
            required = [field.encode_name for field in kind.fields if field.required]
            return f"a mapping with the key {required[0]!r}" if len(required) == 1 else "a mapping of keys"
        case kinds.LiteralType():
            return f"one of {', '.join(map(str, kind.values))}"
    names: dict[type, str] = {
        kinds.StrType: "text",
        kinds.IntType: "a whole number",
        kinds.FloatType: "a number",
        kinds.BoolType: "true or false",
        kinds.DictType: "a mapping of keys",
        kinds.VarTupleType: "a list",
        kinds.ListType: "a list",
    }
    return names.get(type(kind), "something else")


def _found(node: Node, path: str) -> str:
    """What is there, for a message; never a value that could be a secret."""
    match node:
        case MapNode():
            return "a mapping of keys"
        case ListNode():
            return "a list"
    value = node.value
    if value is None:
        return "nothing"
    kind = "text" if isinstance(value, str) else "a number" if not isinstance(value, bool) else "true or false"
    if node.from_environment or len(node.text) > _SHOWN_LENGTH or holds_secret(path):
        return f"{kind} (not shown)" if kind != "true or false" else kind
    return repr(value) if isinstance(value, str) else node.text


def _plain(node: Node) -> Json:
    match node:
        case MapNode():
            return {name: _plain(child) for name, (_, child) in node.entries.items()}
        case ListNode():
            return [_plain(item) for item in node.items]
    return node.value
