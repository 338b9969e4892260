"""Schemas of tools: whether one is a JSON Schema that can be used, and whether arguments and results fit it.

A schema comes from a server that is not trusted. Nothing is fetched for it, its regular expressions are left to the server to
apply (one of them could run for hours), and references that multiply are cut off.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from caxton_llm.types import Json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    Keyword = Callable[[Validator, Json, Json, Mapping[str, Json]], Iterator[Exception]]

__all__ = ["SchemaFault", "check_schema", "schema_faults", "usable_schema", "without_nulls"]

_LARGEST = 256 * 1024
_MOST_REFERENCES = 10_000
_MOST_FAULTS = 5
_LONGEST_FAULT = 200

_references: ContextVar[list[int]] = ContextVar("references followed")


class SchemaFault(Exception):
    """The schema cannot be used; the message says why."""


def usable_schema(schema: Json) -> dict[str, Json]:
    """The schema with `type: object` and `properties` where it leaves them out. Raises `SchemaFault` for what is no schema of
    an object, or cannot be checked."""
    if not isinstance(schema, dict):
        raise SchemaFault("its schema is no JSON Schema: not a mapping")
    if schema.get("type", "object") != "object":
        raise SchemaFault("its schema describes something else than an object")
    encoded = msgspec.json.encode(schema)
    if len(encoded) > _LARGEST:
        raise SchemaFault(f"its schema is larger than {_LARGEST:,} bytes")
    _validator(encoded)
    return {"type": "object", "properties": {}, **schema}


def check_schema(schema: Mapping[str, Json]) -> None:
    """Raises `SchemaFault` for a schema that arguments cannot be checked with."""
    _validator(msgspec.json.encode(schema))


def schema_faults(schema: Mapping[str, Json], value: Json) -> list[str]:
    """What is wrong with arguments or a result, a few faults at most; empty when it fits. Raises `SchemaFault`."""
    validator = _validator(msgspec.json.encode(schema))
    counting = _references.set([0])
    try:
        errors = list(islice(validator.iter_errors(value), _MOST_FAULTS))
    except RecursionError:
        raise SchemaFault("its schema refers to itself without end") from None
    except _unresolvable() as error:
        raise SchemaFault("its schema refers to something that is not in it") from error
    finally:
        _references.reset(counting)
    return [f"{error.json_path}: {error.message}"[:_LONGEST_FAULT] for error in errors]


def without_nulls(schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments without those that are null, may be left out, and may not be null: models say so what they leave out,
    where every argument has to be said."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return dict(arguments)
    needed = required if isinstance(required, list) else []
    return {
        name: value
        for name, value in arguments.items()
        if value is not None or name in needed or name not in properties or _takes_null(properties[name])
    }


def _takes_null(schema: Json) -> bool:
    if not isinstance(schema, dict):
        return schema is not False
    kind, choices, values = schema.get("type"), schema.get("anyOf", schema.get("oneOf")), schema.get("enum")
    if isinstance(choices, list):
        return any(map(_takes_null, choices))
    if isinstance(values, list):
        return None in values
    if kind is not None:
        return kind == "null" or (isinstance(kind, list) and "null" in kind)
    return "$ref" not in schema and "const" not in schema


@lru_cache(maxsize=2048)
def _validator(encoded: bytes) -> "Validator":
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - only where tools are used
    from jsonschema.validators import validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    schema = msgspec.json.decode(encoded)
    if not isinstance(schema.get("$schema", ""), str):
        raise SchemaFault("its schema is no valid JSON Schema: $schema is no text")
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise SchemaFault(f"its schema is no valid JSON Schema: {error.json_path} is wrong") from None
    except RecursionError:
        raise SchemaFault("its schema is nested too deeply") from None
    return _careful(kind)(schema, registry=Registry())


@cache
def _careful(kind: "type[Validator]") -> "type[Validator]":
    """The same draft without what takes a server at its word."""
    from jsonschema.validators import extend  # noqa: PLC0415 - only where tools are used

    keywords = kind.VALIDATORS
    changed: dict[str, Keyword] = dict.fromkeys(("pattern", "patternProperties", "unevaluatedProperties"), _unchecked)
    if "additionalProperties" in keywords:
        changed["additionalProperties"] = _without_patterns(keywords["additionalProperties"])
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        if name in keywords:
            changed[name] = _counted(keywords[name])
    careful: type[Validator] = extend(kind, changed)
    return careful


def _unchecked(
    _validator: "Validator", _value: Json, _instance: Json, _schema: Mapping[str, Json]
) -> Iterator[Exception]:
    return iter(())


def _without_patterns(keyword: "Keyword") -> "Keyword":
    def check(validator: "Validator", value: Json, instance: Json, schema: Mapping[str, Json]) -> Iterator[Exception]:
        return iter(()) if "patternProperties" in schema else keyword(validator, value, instance, schema)

    return check


def _counted(keyword: "Keyword") -> "Keyword":
    def check(validator: "Validator", value: Json, instance: Json, schema: Mapping[str, Json]) -> Iterator[Exception]:
        count = _references.get()
        count[0] += 1
        if count[0] > _MOST_REFERENCES:
            raise SchemaFault(f"its schema needs more than {_MOST_REFERENCES:,} references")
        return keyword(validator, value, instance, schema)

    return check


def _unresolvable() -> type[Exception]:
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - only where tools are used

    return Unresolvable
