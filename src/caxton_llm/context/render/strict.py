"""Tools whose arguments a provider holds to their schema (OpenAI's structured outputs), where the schema permits it.

https://platform.openai.com/docs/guides/function-calling#strict-mode: every object lists all its properties as required and
allows no others, and only some keywords are known. Few servers write such schemas, so what one says is said in that form: an
argument that may be left out may be null, and whoever runs the tool leaves it out again.
"""

from collections.abc import Iterable, Set
from functools import lru_cache

from msgspec.structs import replace

from caxton_llm.caching.identical import Identical
from caxton_llm.types import Json, Tool

__all__ = ["not_strict", "strict_schema", "strictly"]

_REFUSED = frozenset(
    {"allOf", "oneOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties"}
    | {"propertyNames", "minProperties", "maxProperties", "unevaluatedProperties", "unevaluatedItems"}
    | {"contains", "minContains", "maxContains", "uniqueItems", "prefixItems", "minLength", "maxLength"}
)
_SAYS_WHAT = frozenset({"type", "enum", "const", "anyOf", "$ref"})
"""Keywords of which a schema has one at least: "anything" is not known either."""
_NESTED = ("properties", "$defs", "definitions")
_NULL: dict[str, Json] = {"type": "null"}


def strictly(tools: tuple[Tool, ...], names: Set[str]) -> tuple[Tool, ...]:
    """The tools, those of these names with `strict` as far as their schema permits it; otherwise as they are."""
    if not names:
        return tools
    return tuple(
        _strictly(Identical(tool)) if tool.function is not None and tool.function.name in names else tool
        for tool in tools
    )


def not_strict(tools: Iterable[Tool], names: Set[str]) -> list[str]:
    """The names of the tools that were to be `strict` and, after `strictly`, are not."""
    functions = [tool.function for tool in tools if tool.function is not None]
    return [one.name for one in functions if one.name in names and one.strict is None]


@lru_cache(maxsize=4_000)
def _strictly(tool: Identical[Tool]) -> Tool:
    """The same object again for the same tool."""
    function = tool.value.function
    if function is None or function.strict is not None:
        return tool.value
    schema = strict_schema(function.parameters or {})
    if schema is None:
        return tool.value
    return replace(tool.value, function=replace(function, strict=True, parameters=schema))


def strict_schema(schema: Json) -> dict[str, Json] | None:
    """A schema for the same arguments that strict mode takes, `None` where there is none: objects inside may leave nothing
    out, and none may be open. Servers send schemas of any shape: one that is none has none."""
    if not isinstance(schema, dict):
        return None
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not _are_names(required) or not properties.keys() >= set(required):
        return None
    every = {name: one if name in required else _or_null(one) for name, one in properties.items()}
    closed = _closed({"type": "object", **schema, "properties": every, "required": [*every]})
    if not isinstance(closed, dict):
        return None
    closed.setdefault("additionalProperties", False)
    return closed if _is_strict(closed) else None


def _are_names(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _or_null(schema: Json) -> Json:
    """What may be null, too."""
    if not isinstance(schema, dict):
        return schema
    kind, choices = schema.get("type"), schema.get("anyOf")
    if isinstance(choices, list):
        return schema if _NULL in choices else {**schema, "anyOf": [*choices, _NULL]}
    if "enum" in schema or "const" in schema or "$ref" in schema:
        return {"anyOf": [schema, _NULL]}
    if isinstance(kind, str):
        return schema if kind == "null" else {**schema, "type": [kind, "null"]}
    if isinstance(kind, list):
        return schema if "null" in kind else {**schema, "type": [*kind, "null"]}
    return schema


def _closed(schema: Json) -> Json:
    """Objects whose properties are said have no others, unless they are said to; usual values, which strict mode does not
    know, are left out."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Json] = {}
    for key, value in schema.items():
        if key in _NESTED and isinstance(value, dict):
            closed[key] = {name: _closed(one) for name, one in value.items()}
        elif key in ("items", "anyOf"):
            closed[key] = _closed(value)
        elif key != "default":
            closed[key] = value
    if closed.get("properties"):
        closed.setdefault("additionalProperties", False)
    return closed


def _is_strict(schema: Json) -> bool:
    """Whether strict mode takes a schema as it is."""
    if not isinstance(schema, dict) or not _REFUSED.isdisjoint(schema) or _SAYS_WHAT.isdisjoint(schema):
        return False
    nested = [schema.get(key) or {} for key in _NESTED]
    choices, required = schema.get("anyOf") or [], schema.get("required") or []
    if not all(isinstance(one, dict) for one in nested) or not isinstance(choices, list):
        return False
    said = schema.get("type")
    kinds = said if isinstance(said, list) else [said]
    if "array" in kinds and not isinstance(schema.get("items"), dict):
        return False
    if "object" in kinds or "properties" in schema:
        closed = schema.get("additionalProperties") is False
        if not closed or not _are_names(required) or set(required) != set(nested[0]):
            return False
    items = schema.get("items")
    inner = [one for some in nested for one in some.values()] + ([items] if isinstance(items, dict) else [])
    return all(map(_is_strict, [*inner, *choices]))
