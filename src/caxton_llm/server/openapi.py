"""The OpenAPI 3.1 document of the administrative API, made of the operations that answer it."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from caxton_llm.server.operation import NoBody, NoQuery, Operation, operation
from caxton_llm.types import Json

__all__ = ["OPENAPI_PATH", "openapi_document", "openapi_operation"]

OPENAPI_PATH = "/api/v1/openapi.json"

_LINES = "application/x-ndjson"
_JSON = "application/json"
_Schema = dict[str, Json]


class Error(Struct):
    """Why a request was refused or failed. `param` is the path of the field at fault."""

    message: str
    type: str
    param: str | None
    code: str
    kind: str
    source: str
    request_id: str | None


class ErrorAnswer(Struct):
    """Of every status but 2xx."""

    error: Error


class Document(Struct):
    """This document."""

    openapi: str


def openapi_operation(operations: Sequence[Operation], version: str) -> Operation:
    """`GET /api/v1/openapi.json`, which describes `operations` and itself."""

    async def document(_call: object) -> _Schema:
        return described

    own = operation("GET", OPENAPI_PATH, "This description", document, query=NoQuery, body=NoBody, answer=Document)
    described = openapi_document([*operations, own], version)
    return own


def openapi_document(operations: Sequence[Operation], version: str) -> _Schema:
    """Schemas are those of the types that the operations decode and answer."""
    used = {each.body for each in operations if each.takes in ("one", "one or many", "unread")}
    used |= {each.answer for each in operations if isinstance(each.answer, type)} | {ErrorAnswer}
    ordered = sorted(used, key=lambda one: one.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    for body in (each.body for each in operations):
        # The kind is known by the address; in a union of records it tells them apart.
        required = components.get(body.__name__, {}).get("required", [])
        if "kind" in required:
            required.remove("kind")
    paths: dict[str, _Schema] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _described(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Caxton administration",
            "version": version,
            "description": "Agents, conversations, memory and providers of a gateway. Chat is OpenAI's and Anthropic's API.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _described(each: Operation) -> _Schema:
    described: _Schema = {
        "operationId": _name(each),
        "summary": each.summary,
        "parameters": [*_path_parameters(each.path), *_query_parameters(each.query)],
        "responses": {
            "200": {"description": "Done.", "content": _answered(each)},
            "default": {"description": "Refused or failed.", "content": {_JSON: {"schema": _ref(ErrorAnswer)}}},
        },
    }
    if each.takes != "nothing":
        described["requestBody"] = {"required": True, "content": _taken(each)}
    return described


def _name(each: Operation) -> str:
    """`get_memory_entities_id`."""
    return re.sub(r"\W+", "_", f"{each.method.lower()}{each.path.removeprefix('/api/v1')}").rstrip("_")


def _taken(each: Operation) -> _Schema:
    if each.takes == "lines":
        return {_LINES: {"schema": {"type": "string"}}}
    one = _ref(each.body)
    if each.takes in ("one", "unread"):
        return {_JSON: {"schema": one}}
    return {_JSON: {"schema": {"anyOf": [one, {"type": "array", "items": one}]}}}


def _answered(each: Operation) -> _Schema:
    if isinstance(each.answer, type):
        return {_JSON: {"schema": _ref(each.answer)}}
    return {_LINES: {"schema": {"type": "string"}}}


def _path_parameters(path: str) -> list[_Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameters(query: type[Struct]) -> list[_Schema]:
    schema: dict[str, Any] = msgspec.json.schema(query)
    fields = schema["$defs"][query.__name__]
    return [
        {"name": name, "in": "query", "required": name in fields.get("required", []), "schema": described}
        for name, described in fields["properties"].items()
    ]


def _ref(kind: type) -> _Schema:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
