"""JSON Schemas as structured outputs accept them: golden pairs, told changes, and obstacles."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.wire.anthropic_messages.schema import fit_schema

CLOSED: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "fitted", "changes"),
    [
        (CLOSED, CLOSED, []),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "title": "T"},
            {
                "title": "T",
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": False,
                "required": ["a"],
            },
            ["$: additionalProperties became false"],
        ),
        (
            {"properties": {"a": {"type": "string"}}, "additionalProperties": False},
            CLOSED,
            [],
        ),
        (
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "A digit."},
            {"description": "A digit.\n\n{minimum: 1, maximum: 9}", "type": "integer"},
            ["$: minimum, maximum moved to the description"],
        ),
        (
            {"type": "string", "format": "date-time", "$schema": "https://json-schema.org/draft/2020-12/schema"},
            {"type": "string", "format": "date-time"},
            [],
        ),
        (
            {"type": "string", "format": "color", "pattern": "^#"},
            {"type": "string", "description": "{format: color, pattern: ^#}"},
            ["$: format, pattern moved to the description"],
        ),
        (
            {"type": "array", "items": {"type": "number"}, "minItems": 1},
            {"type": "array", "items": {"type": "number"}, "minItems": 1},
            [],
        ),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
            {"type": "array", "items": {"type": "boolean"}, "description": "{minItems: 2}"},
            ["$: minItems moved to the description"],
        ),
        (
            {"type": ["string", "null"], "maxLength": 3},
            {"anyOf": [{"type": "string", "description": "{maxLength: 3}"}, {"type": "null"}]},
            ["$: maxLength moved to the description"],
        ),
        (
            {"oneOf": [{"type": "string"}, {"const": 1}]},
            {"anyOf": [{"type": "string"}, {"const": 1}]},
            ["$: oneOf became anyOf"],
        ),
        ({"type": "string", "enum": ["a", "b"]}, {"enum": ["a", "b"]}, []),
        (
            {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "string"}}},
            {"$defs": {"A": {"type": "string"}}, "anyOf": [{"$ref": "#/$defs/A"}]},
            ["$: allOf became anyOf"],
        ),
        (
            {"allOf": [{"type": "string"}, {"const": "a"}]},
            {"allOf": [{"type": "string"}, {"const": "a"}]},
            [],
        ),
        (
            {"type": "string", "format": ["date"]},
            {"type": "string", "description": "{format: ['date']}"},
            ["$: format moved to the description"],
        ),
        (
            {"$ref": "#/$defs/A", "description": "Where.", "default": None, "$defs": {"A": {"type": "null"}}},
            {
                "$defs": {"A": {"type": "null"}},
                "description": "Where.\n\n{default: None}",
                "anyOf": [{"$ref": "#/$defs/A"}],
            },
            ["$: $ref became anyOf, for what stands beside it", "$: default moved to the description"],
        ),
        (
            {"$ref": "#/definitions/A", "definitions": {"A": {"type": "null"}}},
            {"$defs": {"A": {"type": "null"}}, "$ref": "#/$defs/A"},
            [],
        ),
    ],
)
def test_a_schema_is_fitted(schema: dict[str, Any], fitted: dict[str, Any], changes: list[str]) -> None:
    fit = fit_schema(schema)
    assert fit.obstacle is None
    assert fit.schema == fitted
    assert fit.changes == changes


def deep() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(2000):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "obstacle"),
    [
        ({}, "no type"),
        ({"type": "object"}, "not all named"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "not all named"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {}}, "not all named"),
        ({"type": "object", "properties": {"a": True}, "additionalProperties": False}, "accepts any value"),
        ({"type": "array"}, "what its items are"),
        ({"type": "array", "items": False}, "accepts any value"),
        ({"type": "quantity"}, "no type"),
        ({"anyOf": []}, "not a list of schemas"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"type": "null"}]}, "beside another"),
        ({"$ref": "#/$defs/Missing"}, "not one of its definitions"),
        ({"$ref": "https://example.com/schema"}, "not one of its definitions"),
        ({"$ref": "#"}, "not one of its definitions"),
        ({"$ref": ["#/$defs/A"]}, "not one of its definitions"),
        ({"$ref": {}}, "not one of its definitions"),
        ({"$ref": "#/$defs/A", "properties": {}, "$defs": {"A": {"type": "null"}}}, "beside another"),
        ({"allOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], "$defs": {"A": {"type": "null"}}}, "joins a reference"),
        (
            {
                "$ref": "#/$defs/A",
                "$defs": {
                    "A": {"type": "array", "items": {"$ref": "#/$defs/B"}},
                    "B": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
                },
            },
            "recursive",
        ),
        (deep(), "too deeply"),
    ],
)
def test_a_schema_whose_shape_cannot_be_kept_has_an_obstacle(schema: dict[str, Any], obstacle: str) -> None:
    fit = fit_schema(schema)
    assert fit.schema is None
    assert obstacle in (fit.obstacle or "")


LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 2},
        {"type": "integer", "maximum": 4},
        {"enum": [1, "x", None]},
        {"type": ["number", "null"]},
        {"$ref": "#/$defs/A"},
        {"$ref": "#/$defs/A", "description": "An A.", "default": "x"},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda fields, more: {"type": "object", "properties": fields, **more},
            st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
            st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": True}]),
        ),
    ),
    max_leaves=8,
)


def is_accepted(schema: Any) -> bool:
    """What the documentation of structured outputs demands."""
    if isinstance(schema, list):
        return all(is_accepted(each) for each in schema)
    if not isinstance(schema, dict):
        return True
    known = {
        "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "description", "enum", "format", "items",
        "minItems", "properties", "required", "title", "type",
    }  # fmt: skip
    if not schema.keys() <= known or (schema.get("type") == "object" and schema["additionalProperties"] is not False):
        return False
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    return all(is_accepted(each) for each in [*inner, schema.get("items"), schema.get("anyOf"), schema.get("allOf")])


@given(SCHEMAS)
@settings(max_examples=100, deadline=None)
def test_a_fitted_schema_is_accepted_fits_as_it_is_and_leaves_the_original_alone(schema: dict[str, Any]) -> None:
    root = {**schema, "$defs": {"A": {"type": "string", "pattern": "x"}}}
    before = copy.deepcopy(root)
    fit = fit_schema(root)
    assert root == before
    assert fit.schema is not None
    assert is_accepted(fit.schema)
    again = fit_schema(fit.schema)
    assert (again.schema, again.changes) == (fit.schema, [])


@pytest.mark.parametrize("odd", [[], {}, [1]])
@pytest.mark.parametrize("key", ["format", "$ref"])
def test_a_keyword_with_a_value_of_no_sense_is_no_crash(key: str, odd: Any) -> None:
    fit_schema({"type": "object", "properties": {"a": {"type": "string", key: odd}}})
