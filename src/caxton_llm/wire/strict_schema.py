"""Whether a JSON Schema is one that OpenAI enforces (`strict: true`); any other is answered with a 400.

An object lists all its properties as required and allows no others, an array types its items, the root is a plain object,
and of the ways to combine schemas there is only `anyOf` below the root.
Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from collections.abc import Iterator

from caxton_llm.types import Json

__all__ = ["is_strict_schema"]

_NEVER = frozenset(
    {
        "allOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "default",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "propertyNames",
        "unevaluatedProperties",
    }
)
_TYPED = frozenset({"type", "anyOf", "enum", "const", "$ref"})


def is_strict_schema(schema: Json) -> bool:
    """Whether the server accepts `schema` with `strict: true`."""
    return isinstance(schema, dict) and schema.get("type") == "object" and "anyOf" not in schema and _is_strict(schema)


def _is_strict(schema: Json) -> bool:
    if not isinstance(schema, dict) or not _NEVER.isdisjoint(schema) or _TYPED.isdisjoint(schema):
        return False
    kinds = schema.get("type")
    if _is_a("object", kinds) and not _is_closed(schema):
        return False
    if _is_a("array", kinds) and "items" not in schema:
        return False
    return all(_is_strict(part) for part in _parts(schema))


def _is_a(kind: str, kinds: Json) -> bool:
    return kinds == kind or (isinstance(kinds, list) and kind in kinds)


def _is_closed(schema: dict[str, Json]) -> bool:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    return schema.get("additionalProperties") is False and set(properties) == set(required)


def _parts(schema: dict[str, Json]) -> Iterator[Json]:
    for key in ("properties", "$defs", "definitions"):
        yield from schema.get(key, {}).values() if isinstance(schema.get(key, {}), dict) else ()
    if "items" in schema:
        yield schema["items"]
    yield from schema["anyOf"] if isinstance(schema.get("anyOf"), list) else ()
