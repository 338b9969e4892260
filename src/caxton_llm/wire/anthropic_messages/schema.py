"""JSON Schemas as Anthropic's structured outputs accept them (`output_config.format`, strict tools).

Accepted are closed objects, arrays, enumerations, `anyOf`, `allOf` and references that do not lead back to themselves. What
narrows a value without changing its shape (`minimum`, `pattern`) goes into the description, so that the model still reads it;
every such change is told. A schema whose shape cannot be kept has an obstacle and is not changed at all.
"""

from msgspec import Struct, field

from caxton_llm.types import Json

__all__ = ["SchemaFit", "fit_schema"]

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_KEPT = frozenset({"title", "description", "enum", "const", "$ref"})
_SILENT = frozenset({"$schema", "$id", "$comment"})


class SchemaFit(Struct):
    """`schema` as it can be sent, with what was changed; or why it cannot be sent."""

    schema: dict[str, Json] | None
    changes: list[str] = field(default_factory=list)
    obstacle: str | None = None


def fit_schema(schema: dict[str, Json]) -> SchemaFit:
    """The schema in the accepted subset. `schema` itself stays as it is."""
    fitting = _Fitting(schema)
    try:
        fitted = fitting.fit(schema, "$")
        fitting.require_no_cycle()
    except _ObstacleError as obstacle:
        return SchemaFit(None, obstacle=str(obstacle))
    except RecursionError:
        return SchemaFit(None, obstacle="it is nested too deeply")
    return SchemaFit(fitted, fitting.changes)


class _ObstacleError(Exception):
    pass


class _Fitting:
    """One pass over one schema."""

    def __init__(self, root: dict[str, Json]) -> None:
        self.changes: list[str] = []
        self._definition = ""
        self._references: dict[str, set[str]] = {}
        self._known = {f"#/{key}/{name}" for key in ("$defs", "definitions") for name in _object(root.get(key))}

    def fit(self, schema: Json, path: str) -> dict[str, Json]:
        if not isinstance(schema, dict):
            raise _ObstacleError(f"{path} accepts any value or none")
        rest = {key: value for key, value in schema.items() if key not in _SILENT}
        fitted: dict[str, Json] = {}
        self._fit_definitions(rest, fitted)
        if "$ref" in rest:
            fitted["$ref"] = self._reference(rest["$ref"], path)
            return fitted
        for key in ("title", "description", "enum", "const"):
            if key in rest:
                fitted[key] = rest.pop(key)
        self._fit_shape(rest, fitted, path)
        if rest:
            self._describe(rest, fitted, path)
        return fitted

    def require_no_cycle(self) -> None:
        """Definitions may refer to each other, but none to itself."""
        done: set[str] = set()

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                raise _ObstacleError(f"it is recursive ({name} contains itself)")
            if name not in done:
                for other in sorted(self._references.get(name, ())):
                    visit(other, (*above, name))
                done.add(name)

        for name in sorted(self._references):
            visit(name, ())

    def _fit_definitions(self, rest: dict[str, Json], fitted: dict[str, Json]) -> None:
        outer = self._definition
        for key in ("$defs", "definitions"):
            for name, definition in _object(rest.pop(key, None)).items():
                self._definition = name
                fitted.setdefault("$defs", {})[name] = self.fit(definition, f"$defs.{name}")
        self._definition = outer

    def _reference(self, reference: Json, path: str) -> str:
        if not isinstance(reference, str) or reference not in self._known:
            raise _ObstacleError(f"{path} refers to {str(reference)[:80]!r}, which is not one of its definitions")
        name = str(reference).rpartition("/")[2]
        self._references.setdefault(self._definition, set()).add(name)
        return f"#/$defs/{name}"

    def _fit_shape(self, rest: dict[str, Json], fitted: dict[str, Json], path: str) -> None:
        kind = rest.pop("type", None)
        if "enum" in fitted or "const" in fitted:
            return  # the values say their type
        for key, becomes in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
            if key in rest:
                variants = rest.pop(key)
                if not isinstance(variants, list) or not variants:
                    raise _ObstacleError(f"{path}.{key} is not a list of schemas")
                if not rest.keys().isdisjoint(("properties", "items", "anyOf", "oneOf", "allOf")):
                    raise _ObstacleError(f"{path} has {key} beside another description of its shape")
                fitted[becomes] = [self.fit(each, f"{path}.{key}[{i}]") for i, each in enumerate(variants)]
                if key != becomes:
                    self.changes.append(f"{path}: {key} became {becomes}")
                return
        if isinstance(kind, list):
            fitted["anyOf"] = [self._fit_typed({**rest, "type": each}, path) for each in kind]
            rest.clear()
        else:
            fitted.update(self._fit_type(kind, rest, path))

    def _fit_typed(self, schema: dict[str, Json], path: str) -> dict[str, Json]:
        if schema["type"] == "null":
            return {"type": "null"}
        return self.fit(schema, path)

    def _fit_type(self, kind: Json, rest: dict[str, Json], path: str) -> dict[str, Json]:
        if kind == "object" or (kind is None and "properties" in rest):
            return self._fit_object(rest, path)
        if kind == "array":
            return self._fit_array(rest, path)
        if kind == "string":
            known = isinstance(rest.get("format"), str) and rest["format"] in _FORMATS
            return {"type": "string", "format": rest.pop("format")} if known else {"type": kind}
        if kind in ("integer", "number", "boolean", "null"):
            return {"type": kind}
        raise _ObstacleError(f"{path} says no type")

    def _fit_object(self, rest: dict[str, Json], path: str) -> dict[str, Json]:
        properties = _object(rest.pop("properties", None))
        more = rest.pop("additionalProperties", None)
        if isinstance(more, dict) or "patternProperties" in rest or (not properties and more is not False):
            raise _ObstacleError(f"{path} is an object whose keys are not all named")
        if more is not False:
            self.changes.append(f"{path}: additionalProperties became false")
        fitted: dict[str, Json] = {
            "type": "object",
            "properties": {name: self.fit(each, f"{path}.{name}") for name, each in properties.items()},
            "additionalProperties": False,
        }
        if "required" in rest:
            fitted["required"] = rest.pop("required")
        return fitted

    def _fit_array(self, rest: dict[str, Json], path: str) -> dict[str, Json]:
        if "items" not in rest:
            raise _ObstacleError(f"{path} does not say what its items are")
        fitted: dict[str, Json] = {"type": "array", "items": self.fit(rest.pop("items"), f"{path}[]")}
        if rest.get("minItems") in (0, 1):
            fitted["minItems"] = rest.pop("minItems")
        return fitted

    def _describe(self, rest: dict[str, Json], fitted: dict[str, Json], path: str) -> None:
        told = "{" + ", ".join(f"{key}: {value}" for key, value in rest.items()) + "}"
        description = fitted.get("description")
        fitted["description"] = f"{description}\n\n{told}" if description else told
        self.changes.append(f"{path}: {', '.join(rest)} moved to the description")


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
