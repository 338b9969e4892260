"""Strict tools: only schemas that OpenAI's structured outputs take are marked."""

import pytest

from caxton_llm.context.render.strict import permits_strict, strictly
from caxton_llm.types import FunctionDefinition, Json, Tool

CLOSED: dict[str, Json] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": False}},
        "unit": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["city", "days", "unit"],
    "additionalProperties": False,
}


def tool(schema: dict[str, Json]) -> Tool:
    return Tool(type="function", function=FunctionDefinition(name="f", parameters=schema))


def test_a_closed_schema_is_marked() -> None:
    (marked,) = strictly((tool(CLOSED),), {"f"})
    assert marked.function is not None
    assert marked.function.strict is True


def test_a_tool_that_does_not_ask_for_it_stays_as_it_is() -> None:
    assert strictly((tool(CLOSED),), {"g"}) == (tool(CLOSED),)


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["city"]},
        {"additionalProperties": True},
        {"properties": {**CLOSED["properties"], "days": {"type": "array", "items": {"type": "object"}}}},
        {"allOf": []},
        {"$defs": {"x": {"type": "object", "properties": {"a": {"type": "string"}}}}},
    ],
)
def test_any_open_place_leaves_the_tool_as_it_is(change: dict[str, Json]) -> None:
    schema = {**CLOSED, **change}
    assert not permits_strict(schema)
    assert strictly((tool(schema),), {"f"}) == (tool(schema),)


def test_what_somebody_has_said_of_a_tool_stays() -> None:
    said = Tool(type="function", function=FunctionDefinition(name="f", parameters=CLOSED, strict=False))
    assert strictly((said,), {"f"}) == (said,)


@pytest.mark.parametrize(
    "change",
    [
        {"properties": [1]},
        {"required": [["city"]]},
        {"required": 3},
        {"$defs": [1]},
        {"anyOf": 3},
        {"properties": {**CLOSED["properties"], "unit": {"type": "string", "properties": "x"}}},
    ],
)
def test_what_is_no_schema_is_not_marked(change: dict[str, Json]) -> None:
    assert strictly((tool({**CLOSED, **change}),), {"f"}) == (tool({**CLOSED, **change}),)
