"""What the bytes of an image, and a JSON schema, really are: checks that several vendors make."""

import base64
import binascii

from fakes.http_server import Json

__all__ = ["TINY_PNG", "decode_base64", "media_type", "open_objects", "parse_data_url"]

TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A real image of one pixel and 70 bytes, in base64."""

_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


def media_type(data: bytes) -> str | None:
    """The image's media type by its first bytes; `None` when it is no PNG, JPEG, GIF or WebP."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def decode_base64(text: str) -> bytes | None:
    """`None` when the text is no bare, non-empty base64."""
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def parse_data_url(url: str) -> tuple[str, bytes] | None:
    """Declared media type and data of a base64 data URL, else `None`."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    decoded = decode_base64(data)
    return None if decoded is None else (head[5:-7].split(";")[0], decoded)


def open_objects(schema: Json, path: tuple[str, ...] = (), *, all_required: bool = False) -> str | None:
    """Where a schema is not closed as strict modes want it: an object without `additionalProperties: false`, an untyped
    array, or (`all_required`) a property that is not required. `None` when all is well."""
    if not isinstance(schema, dict):
        return None
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return f"In context={path!r}, 'additionalProperties' is required to be supplied and to be false."
        missing = set(schema.get("properties", {})) - set(schema.get("required", []))
        if all_required and missing:
            return f"In context={path!r}, 'required' is required to be supplied and to include {sorted(missing)}."
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        return f"In context={path!r}, array schema missing items."
    return _open_below(schema, path, all_required)


def _open_below(schema: dict[str, Json], path: tuple[str, ...], all_required: bool) -> str | None:
    below: list[tuple[tuple[str, ...], Json]] = []
    for key in ("properties", "$defs", "definitions"):
        below += [((*path, key, name), value) for name, value in schema.get(key, {}).items()]
    for key in ("anyOf", "oneOf", "allOf"):
        below += [((*path, key, str(at)), value) for at, value in enumerate(schema.get(key, []))]
    if "items" in schema:
        below.append(((*path, "items"), schema["items"]))
    problems = (open_objects(value, where, all_required=all_required) for where, value in below)
    return next(filter(None, problems), None)
