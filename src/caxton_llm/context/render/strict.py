"""Tools whose arguments a provider holds to their schema (OpenAI's structured outputs), where the schema permits it.

https://platform.openai.com/docs/guides/function-calling#strict-mode: every object lists all its properties as required and
allows no others.
"""

from collections.abc import Sequence, Set

from msgspec.structs import replace

from caxton_llm.types import Json, Tool

__all__ = ["permits_strict", "strictly"]

_REFUSED = frozenset(
    {"allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties"}
)
_NESTED = ("properties", "$defs", "definitions")


def strictly(tools: Sequence[Tool], names: Set[str]) -> list[Tool]:
    """The tools, those of these names with `strict` as far as their schema permits it; otherwise as they are."""
    return [_strictly(tool) if tool.function is not None and tool.function.name in names else tool for tool in tools]


def _strictly(tool: Tool) -> Tool:
    function = tool.function
    if function is None or function.strict is not None or not permits_strict(function.parameters or {}):
        return tool
    return replace(tool, function=replace(function, strict=True))


def permits_strict(schema: Json) -> bool:
    """Whether a JSON Schema is one that strict mode takes."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool | list)
    if not _REFUSED.isdisjoint(schema):
        return False
    if schema.get("type") == "object" or "properties" in schema:
        names = schema.get("properties") or {}
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required") or ()) != set(names):
            return False
    inner = [one for key in _NESTED for one in (schema.get(key) or {}).values()]
    items = schema.get("items")
    inner += [items] if isinstance(items, dict) else []
    inner += schema.get("anyOf") or []
    return all(map(permits_strict, inner))
