"""Values that fit a JSON schema, made from a text: numbers and names out of it where the schema asks for such, constants
elsewhere. The same schema and text always give the same value.

Understood: `type`, `properties`, `required`, `items`, `prefixItems`, `enum`, `const`, `default`, `anyOf`, `oneOf`, `allOf`,
`$ref` inside the schema, and the limits of numbers, lengths and item counts. `pattern` is not.
"""

import math
from collections.abc import Iterator

from msgspec import Struct

from caxton_llm.types import Json

__all__ = ["instance"]

_DEPTH = 12
_OPTIONAL_DEPTH = 9
"""Above this depth left, properties that are not required are made too: a schema that contains itself ends soon."""
_MOST_VALUES = 1000
_LONGEST_PADDING = 10_000
_TEXT_LIMIT = 200
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_PUNCTUATION = ".,;:!?()[]{}\"'`«»“”"


def instance(schema: Json, text: str) -> Json:
    """A value of `schema`; `text` gives its numbers and strings, each used once as long as they last."""
    return _Maker(schema, text).make(schema, _DEPTH)


class _Maker:
    """One value in the making."""

    def __init__(self, root: Json, text: str) -> None:
        self._root = root
        self._text = " ".join(text.split())[:_TEXT_LIMIT]
        self._numbers = list(_numbers(self._text))
        self._names = _names(self._text)
        self._left = _MOST_VALUES

    def make(self, schema: Json, depth: int) -> Json:
        self._left -= 1
        if not isinstance(schema, dict) or depth == 0 or self._left < 0:
            return None
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._chosen(schema["enum"])
        if "default" in schema:
            return schema["default"]
        return self._of_type(schema, depth)

    def _of_type(self, schema: dict[str, Json], depth: int) -> Json:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer":
                return int(self._number(schema, whole=True))
            case "number":
                return self._number(schema, whole=False)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema)

    def _resolved(self, schema: dict[str, Json], depth: int) -> dict[str, Json]:
        """The schema with references followed and the first alternative that is not null taken."""
        for _ in range(depth):
            further = self._further(schema)
            if further is None:
                break
            rest = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf", "allOf")}
            schema = _merged(further, rest)
        return schema

    def _further(self, schema: dict[str, Json]) -> dict[str, Json] | None:
        if isinstance(schema.get("$ref"), str):
            return self._referred(schema["$ref"])
        for key in ("anyOf", "oneOf"):
            options = _schemas(schema.get(key))
            if options:
                return next((option for option in options if option.get("type") != "null"), options[0])
        parts = _schemas(schema.get("allOf"))
        if not parts:
            return None
        merged = parts[0]
        for part in parts[1:]:
            merged = _merged(merged, part)
        return merged

    def _referred(self, reference: str) -> dict[str, Json]:
        value = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if name:
                value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    def _object(self, schema: dict[str, Json], depth: int) -> dict[str, Json]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        if isinstance(required, list):
            names = [name for name in required if isinstance(name, str)]
        else:
            names = list(properties) if depth > _OPTIONAL_DEPTH else []
        return {name: self.make(properties.get(name, {"type": "string"}), depth - 1) for name in names}

    def _array(self, schema: dict[str, Json], depth: int) -> list[Json]:
        fixed = schema.get("prefixItems")
        made = [self.make(item, depth - 1) for item in fixed] if isinstance(fixed, list) else []
        items = schema.get("items")
        least = _whole(schema.get("minItems"), 1 if isinstance(items, dict) and not made else 0)
        most = _whole(schema.get("maxItems"), max(least, 1))
        while len(made) < min(least, most) and self._left > 0:
            made.append(self.make(items if isinstance(items, dict) else {}, depth - 1))
        return made

    def _chosen(self, values: list[Json]) -> Json:
        lowered = self._text.lower()
        return next(
            (value for value in values if isinstance(value, str) and value.lower() in lowered and value), values[0]
        )

    def _number(self, schema: dict[str, Json], *, whole: bool) -> float:
        """The text's first number that fits and is still there, else the first that fits of those near the limits."""
        limits = _limits(schema)
        least, most = limits.least, limits.most
        step = limits.multiple_of or 1.0
        tried = (
            *self._numbers,
            1.0,
            least,
            math.ceil(least / step) * step if math.isfinite(least) else math.nan,
            least + step,
            most,
            most - step,
            (least + most) / 2,
            0.0,
        )
        for number in tried:
            if math.isfinite(number) and limits.allow(number) and not (whole and number % 1):
                if number in self._numbers:
                    self._numbers.remove(number)
                return number
        return 0.0

    def _string(self, schema: dict[str, Json]) -> str:
        text = _FORMATS.get(str(schema.get("format"))) or next(self._names, None) or self._text or "text"
        text = text[: _whole(schema.get("maxLength"), len(text))]
        return text.ljust(min(_whole(schema.get("minLength"), 0), _LONGEST_PADDING), "x")


def _type_of(schema: dict[str, Json]) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        named = next((name for name in named if name != "null"), "null")
    if isinstance(named, str):
        return named
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _merged(base: dict[str, Json], more: dict[str, Json]) -> dict[str, Json]:
    """Both schemas at once, as far as objects go: their properties and required names add up."""
    merged = base | more
    if isinstance(base.get("properties"), dict) and isinstance(more.get("properties"), dict):
        merged["properties"] = base["properties"] | more["properties"]
    if isinstance(base.get("required"), list) and isinstance(more.get("required"), list):
        merged["required"] = list(dict.fromkeys(base["required"] + more["required"]))
    return merged


class _Limits(Struct, kw_only=True):
    """What a schema says of a number."""

    least: float
    most: float
    above: float
    below: float
    multiple_of: float | None

    def allow(self, number: float) -> bool:
        if self.multiple_of and number % self.multiple_of:
            return False
        return self.least <= number <= self.most and self.above < number < self.below


def _schemas(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _limits(schema: dict[str, Json]) -> _Limits:
    above = _real(schema.get("exclusiveMinimum"), -math.inf)
    below = _real(schema.get("exclusiveMaximum"), math.inf)
    return _Limits(
        least=max(_real(schema.get("minimum"), -math.inf), above),
        most=min(_real(schema.get("maximum"), math.inf), below),
        above=above,
        below=below,
        multiple_of=_real(schema.get("multipleOf"), 0.0) or None,
    )


def _real(value: Json, otherwise: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return otherwise
    try:
        return float(value)
    except OverflowError:  # hundreds of digits
        return otherwise


def _whole(value: Json, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


def _numbers(text: str) -> Iterator[float]:
    for word in text.split():
        try:
            number = float(word.strip(_PUNCTUATION + "%$€£"))
        except ValueError:
            continue
        if math.isfinite(number):
            yield number


def _names(text: str) -> Iterator[str]:
    """What a reader would take for names: quoted pieces first, then capitalised words inside the sentences."""
    outside = text.split('"')
    yield from (piece for piece in outside[1::2] if piece)
    name: list[str] = []
    begins = True
    for word in " ".join(outside[::2]).split():
        bare = word.strip(_PUNCTUATION)
        if bare[:1].isupper() and not begins and bare != "I":
            name.append(bare)
        elif name:
            yield " ".join(name)
            name = []
        if name and word != bare:  # "to Ann, Bob": the comma ends a name
            yield " ".join(name)
            name = []
        begins = word.endswith((".", "!", "?", ":"))
    if name:
        yield " ".join(name)
