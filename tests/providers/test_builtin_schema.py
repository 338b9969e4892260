"""Values that fit a JSON schema: the arguments and formatted answers of the `builtin` provider."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.providers.builtin_schema import instance

TEXT = 'Send "Project X" to Ann Smith in Berlin by 14.5, 7 times.'


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": {"a": 1}}, {"a": 1}),
        ({"enum": ["Rome", "berlin"]}, "berlin"),
        ({"enum": [3, 4]}, 3),
        ({"type": "string", "default": "x"}, "x"),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 7),
        ({"type": "number"}, 14.5),
        ({"type": "integer"}, 7),
        ({"type": "string"}, "Project X"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "maxLength": 3}, "Pro"),
        ({"type": "string", "minLength": 11}, "Project Xxx"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3}, ["Project X", "Ann Smith", "Berlin"]),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 0}, []),
        ({"type": "array"}, []),
        ({"prefixItems": [{"type": "integer"}, {"type": "boolean"}]}, [7, True]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 7),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, 1),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": "found"}}}, "found"),
        ({"properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]}, {"b": 2}),
        ({"properties": {"a": {"const": 1}, "b": {"const": 2}}}, {"a": 1, "b": 2}),
        (
            {
                "allOf": [
                    {"properties": {"a": {"const": 1}}, "required": ["a"]},
                    {"properties": {"b": {"const": 2}}, "required": ["b"]},
                ]
            },
            {"a": 1, "b": 2},
        ),
        ({}, "Project X"),
        (True, None),
    ],
)
def test_values_follow_the_schema_and_come_from_the_text(schema: Any, value: Any) -> None:
    assert instance(schema, TEXT) == value


def test_every_name_and_number_is_used_once() -> None:
    schema = {"properties": {name: {"type": "string"} for name in "abcd"} | {"n": {"type": "integer"}}}
    assert instance(schema, TEXT) == {
        "a": "Project X",
        "b": "Ann Smith",
        "c": "Berlin",
        "d": " ".join(TEXT.split()),
        "n": 7,
    }


def test_without_a_text_there_is_still_a_value() -> None:
    assert instance({"properties": {"a": {"type": "string"}, "n": {"type": "integer"}}}, "") == {"a": "text", "n": 1}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {name: {"$ref": "#"} for name in "abcdef"}, "required": list("abcdef")},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1_000_000_000},
        {"type": "array", "minItems": 1_000_000_000},
        {"type": "string", "minLength": 1_000_000_000},
        {"$ref": "#/nowhere"},
        {"anyOf": 5},
        {"oneOf": True, "allOf": 5},
        {"type": "number", "minimum": 10**400, "maximum": 10**400},
        {"anyOf": "odd", "properties": 7, "required": 7, "items": 7},
    ],
)
def test_schemas_without_end_and_odd_ones_end(schema: Any) -> None:
    assert len(msgspec.json.encode(instance(schema, TEXT))) < 100_000


bounds = st.none() | st.integers(-50, 50)


@settings(max_examples=100, deadline=None)
@given(bounds, st.none() | st.integers(0, 60), st.booleans(), st.sampled_from([None, 2, 5]), st.booleans())
def test_numbers_keep_to_their_limits(
    least: int | None, width: int | None, exclusive: bool, multiple: int | None, whole: bool
) -> None:
    schema: dict[str, Any] = {"type": "integer" if whole else "number"}
    if least is not None:
        schema["exclusiveMinimum" if exclusive else "minimum"] = least
    if width is not None:
        schema["maximum"] = (least or 0) + width + 11
    if multiple is not None:
        schema["multipleOf"] = multiple
    value = instance(schema, TEXT)
    assert isinstance(value, int if whole else float)
    assert value <= schema.get("maximum", value)
    assert value >= schema.get("minimum", value)
    assert value > schema.get("exclusiveMinimum", value - 1)
    assert multiple is None or value % multiple == 0
