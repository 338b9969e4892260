"""`GET /api/v1/openapi.json`: a valid document, and exactly what the gateway answers."""

from pathlib import Path

import httpx
import msgspec
import openapi_spec_validator
import pytest
from starlette.routing import Route

from caxton_llm.config.load import load_mapping
from caxton_llm.memory_system import Memory
from caxton_llm.server.serve import make_app
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.types import Json
from hashing_embedder import HashingEmbedder
from live_gateway import gateway_with

BUILTIN: dict[str, Json] = {"llm": {"provider": "builtin"}}


@pytest.fixture
async def document() -> dict[str, Json]:
    async with gateway_with(BUILTIN) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        found: dict[str, Json] = (await http.get("/api/v1/openapi.json")).json()
        return found


def test_the_document_is_valid(document: dict[str, Json]) -> None:
    openapi_spec_validator.validate(document)
    assert document["openapi"] == "3.1.0"


def test_every_route_is_in_the_document_and_every_operation_of_it_exists(document: dict[str, Json]) -> None:
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    routes = {
        (method, route.path.replace(":path}", "}"))
        for route in make_app(load_mapping(BUILTIN, {})).routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routes
    assert {path for _, path in routes} >= {"/api/v1/providers", "/api/v1/memory/search", "/api/v1/openapi.json"}


def test_operations_have_names_of_their_own_and_say_what_they_take(document: dict[str, Json]) -> None:
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    search = document["paths"]["/api/v1/memory/search"]["post"]
    assert search["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/SearchBody"}
    entities = document["paths"]["/api/v1/memory/entities"]
    assert {one["name"] for one in entities["get"]["parameters"]} >= {"name", "type", "tenant", "cursor", "limit"}
    schemas = document["components"]["schemas"]
    assert schemas["EntityBody"]["required"] == ["name"]
    number, unsaid = schemas["SearchBody"]["properties"]["max_results"]["anyOf"]
    assert (number["maximum"], unsaid) == (10_000, {"type": "null"})


async def test_answers_are_as_the_document_describes_them(tmp_path: Path, document: dict[str, Json]) -> None:
    from openapi_schema_validator import OAS31Validator

    def check(name: str, value: Json) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        OAS31Validator(schema).validate(value)

    api = "/api/v1/memory"
    memory = Memory(SqliteMemory(tmp_path, HashingEmbedder()))
    async with gateway_with(BUILTIN, memory) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        written = (
            await http.post(f"{api}/entities", json=[{"name": "a", "observations": ["tea"]}, {"name": "b"}])
        ).json()
        check("WrittenList", written)
        one, other = (each["id"] for each in written["written"])
        await http.post(f"{api}/relations", json={"from": one, "to": other, "type": "near"})
        check("EntityPage", (await http.get(f"{api}/entities")).json())
        check("RelationPage", (await http.get(f"{api}/relations")).json())
        check("OneRecord", (await http.get(f"{api}/entities/{one}?history=true")).json())
        check("SearchAnswer", (await http.post(f"{api}/search", json={"query": "tea"})).json())
        check("StatsAnswer", (await http.get(f"{api}/stats")).json())
        check("Forgotten", (await http.delete(f"{api}/entities/{one}")).json())
        check("ErrorAnswer", (await http.get(f"{api}/entities/nobody")).json())
        check("ProviderList", (await http.get("/api/v1/providers")).json())
        with pytest.raises(Exception, match="is a required property"):
            check("WrittenList", msgspec.json.decode(b"{}"))
