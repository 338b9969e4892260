"""The requests that a context becomes, as JSON; on demand shortened to what tells them apart."""

from collections.abc import Mapping

import msgspec
from rich.syntax import Syntax

from caxton_llm.cli.screen import Screen, plain
from caxton_llm.types import Json

__all__ = ["shortened", "show_payloads"]

_LONGEST = 160
"""Characters of a text in a shortened request."""
_SCHEMAS = ("parameters", "input_schema")


def show_payloads(payloads: Mapping[str, Json], screen: Screen, *, short: bool = False) -> None:
    """Each under its name. `short`: a line for each message and tool, see `shortened`."""
    code = Syntax("", "json", theme="ansi_dark", background_color="default")
    for name, payload in payloads.items():
        screen.line()
        screen.line(f"{name}:", "bold")
        text = _compact(shortened(payload)) if short else _spaced(payload, 2) + "\n"
        screen.out.print(code.highlight(plain(text)), end="", soft_wrap=not screen.out_is_terminal)


def shortened(value: Json) -> Json:
    """The same with long texts cut, each saying how much is left out; instructions are whole, because what was remembered is
    among them. Schemas of tools are named by their properties."""
    if isinstance(value, str):
        left = len(value) - _LONGEST
        return value if left <= 0 else f"{value[:_LONGEST].rstrip()} … ({left} characters more)"
    if isinstance(value, list):
        return [shortened(one) for one in value]
    if not isinstance(value, dict):
        return value
    whole = ("system", "content") if value.get("role") == "system" else ("system",)
    return {
        name: one if name in whole else _properties(one) if name in _SCHEMAS else shortened(one)
        for name, one in value.items()
    }


def _properties(schema: Json) -> Json:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return f"… {', '.join(properties)}" if isinstance(properties, dict) and properties else schema


def _compact(payload: Json) -> str:
    """JSON with a line for each field, and one for each item of a list."""
    if not isinstance(payload, dict):
        return _spaced(payload, 0) + "\n"
    fields = []
    for name, value in payload.items():
        if isinstance(value, list) and value:
            items = ",\n".join(f"    {_spaced(one, 0)}" for one in value)
            fields.append(f"  {_spaced(name, 0)}: [\n{items}\n  ]")
        else:
            fields.append(f"  {_spaced(name, 0)}: {_spaced(value, 0)}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _spaced(value: Json, indent: int) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=indent).decode()
