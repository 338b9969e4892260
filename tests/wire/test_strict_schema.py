"""Which schemas OpenAI enforces."""

from typing import Any

import pytest

from caxton_llm.wire.strict_schema import is_strict_schema


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(a={"type": "string"}, b={"type": ["integer", "null"]}),
        closed(a={"type": "array", "items": closed(b={"enum": ["x"]})}),
        closed(a={"anyOf": [{"type": "string"}, closed(b={"const": 1})]}),
        closed(a={"$ref": "#/$defs/node"}) | {"$defs": {"node": closed(next={"$ref": "#/$defs/node"})}},
        closed(default={"type": "string"}),  # a property that is called so
    ],
)
def test_a_closed_schema_is_enforced(schema: dict[str, Any]) -> None:
    assert is_strict_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        {"type": "string"},
        {"anyOf": [closed()]},
        closed() | {"anyOf": []},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
        closed(a={"type": "array"}),
        closed(a={}),
        closed(a=True),
        closed(a={"type": "string", "default": "x"}),
        closed(a={"oneOf": [{"type": "string"}]}),
        closed(a={"$ref": "#/$defs/b"}) | {"$defs": {"b": {"type": "object"}}},
    ],
)
def test_any_other_schema_is_not(schema: Any) -> None:
    assert not is_strict_schema(schema)
