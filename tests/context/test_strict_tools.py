"""Strict tools: only schemas that OpenAI's structured outputs take are marked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.render.strict import not_strict, strict_schema, strictly
from caxton_llm.tools.schemas import schema_faults, without_nulls
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


def test_a_schema_as_servers_write_it_says_the_same_in_the_form_that_strict_mode_takes() -> None:
    written: dict[str, Json] = {
        "type": "object",
        "title": "reportArguments",
        "properties": {
            "quarter": {"type": "string", "title": "Quarter"},
            "year": {"type": "integer", "default": 2026},
            "style": {"enum": ["short", "long"], "type": "string"},
            "owner": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "place": {"$ref": "#/$defs/Place"},
        },
        "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
        "required": ["quarter"],
    }
    place = {**written["$defs"]["Place"], "additionalProperties": False}
    assert strict_schema(written) == {
        "type": "object",
        "title": "reportArguments",
        "properties": {
            "quarter": {"type": "string", "title": "Quarter"},
            "year": {"type": ["integer", "null"]},
            "style": {"anyOf": [{"enum": ["short", "long"], "type": "string"}, {"type": "null"}]},
            "owner": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        },
        "$defs": {"Place": place},
        "required": ["quarter", "year", "style", "owner", "place"],
        "additionalProperties": False,
    }
    assert strict_schema({"type": "object", "properties": {}}) == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert strict_schema(CLOSED) == CLOSED


_KINDS = st.sampled_from(["string", "integer", "boolean", "null"])
_VALUES: dict[str, st.SearchStrategy[Json]] = {
    "string": st.text(max_size=3),
    "integer": st.integers(),
    "boolean": st.booleans(),
    "null": st.none(),
}


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(_KINDS, st.booleans(), st.booleans())), st.data())
def test_what_fits_the_strict_form_fits_the_servers_own_without_its_nulls(
    said: dict[str, tuple[str, bool, bool]], data: st.DataObject
) -> None:
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {
            name: {"type": kind} if plain else {"anyOf": [{"type": kind}]} for name, (kind, _, plain) in said.items()
        },
        "required": [name for name, (_, needed, _) in said.items() if needed],
    }
    strict = strict_schema(schema)
    assert strict is not None
    arguments = {
        name: data.draw(_VALUES[kind] if needed else st.none() | _VALUES[kind])
        for name, (kind, needed, _) in said.items()
    }
    assert schema_faults(strict, arguments) == []
    assert schema_faults(schema, without_nulls(schema, arguments)) == []


def test_a_tool_that_does_not_ask_for_it_stays_as_it_is() -> None:
    assert strictly((tool(CLOSED),), {"g"}) == (tool(CLOSED),)


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["city", "nowhere"]},
        {"additionalProperties": True},
        {"oneOf": [{"required": ["city"]}]},
        {"properties": {**CLOSED["properties"], "unit": {"title": "Anything"}}},
        {"properties": {**CLOSED["properties"], "unit": True}},
        {"properties": {**CLOSED["properties"], "days": {"type": "array"}}},
        {"properties": {**CLOSED["properties"], "days": {"type": "array", "items": {"type": "object"}}}},
        {"allOf": []},
        {"$defs": {"x": {"type": "object", "properties": {"a": {"type": "string"}}}}},
    ],
)
def test_any_open_place_leaves_the_tool_as_it_is_and_that_is_told(change: dict[str, Json]) -> None:
    schema = {**CLOSED, **change}
    assert strict_schema(schema) is None
    assert strictly((tool(schema),), {"f"}) == (tool(schema),)
    assert not_strict(strictly((tool(schema), tool(CLOSED)), {"f"}), {"f"}) == ["f"]


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
