"""Tools whose arguments a provider holds to their schema (OpenAI's structured outputs), where the schema permits it.

https://platform.openai.com/docs/guides/function-calling#strict-mode: every object lists all its properties as required and
allows no others.
"""

from collections.abc import Set
from functools import lru_cache

from msgspec.structs import replace

from caxton_llm.caching.identical import Identical
from caxton_llm.types import Json, Tool

__all__ = ["permits_strict", "strictly"]

_REFUSED = frozenset(
    {"allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties"}
)
_NESTED = ("properties", "$defs", "definitions")


def strictly(tools: tuple[Tool, ...], names: Set[str]) -> tuple[Tool, ...]:
    """The tools, those of these names with `strict` as far as their schema permits it; otherwise as they are."""
    if not names:
        return tools
    return tuple(
        _strictly(Identical(tool)) if tool.function is not None and tool.function.name in names else tool
        for tool in tools
    )


@lru_cache(maxsize=4_000)
def _strictly(tool: Identical[Tool]) -> Tool:
    """The same object again for the same tool."""
    function = tool.value.function
    if function is None or function.strict is not None or not permits_strict(function.parameters or {}):
        return tool.value
    return replace(tool.value, function=replace(function, strict=True))


def permits_strict(schema: Json) -> bool:
    """Whether a JSON Schema is one that strict mode takes. Servers send schemas of any shape: one that is none is not."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool | list)
    if not _REFUSED.isdisjoint(schema):
        return False
    nested = [schema.get(key) or {} for key in _NESTED]
    choices, required = schema.get("anyOf") or [], schema.get("required") or []
    if not all(isinstance(one, dict) for one in nested) or not isinstance(choices, list):
        return False
    if schema.get("type") == "object" or "properties" in schema:
        names = set(nested[0])
        closed = schema.get("additionalProperties") is False
        if not closed or not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            return False
        if set(required) != names:
            return False
    items = schema.get("items")
    inner = [one for some in nested for one in some.values()] + ([items] if isinstance(items, dict) else [])
    return all(map(permits_strict, [*inner, *choices]))
