"""The requests that a context becomes, as JSON; on demand shortened to what tells them apart."""

from collections.abc import Mapping

import msgspec
from rich.syntax import Syntax

from caxton_llm.cli.screen import Screen, plain
from caxton_llm.types import Json

__all__ = ["shortened", "show_payloads"]

_LONGEST = 160
_SCHEMAS = ("parameters", "input_schema")


def show_payloads(payloads: Mapping[str, Json], screen: Screen, *, short: bool = False) -> None:
    """Each under its name. `short`: long texts are cut, and schemas of tools only named by their properties."""
    code = Syntax("", "json", theme="ansi_dark", background_color="default")
    for name, payload in payloads.items():
        screen.line()
        screen.line(f"{name}:", "bold cyan")
        shown = shortened(payload) if short else payload
        text = msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()
        screen.out.print(code.highlight(plain(text)), end="", soft_wrap=not screen.out_is_terminal)


def shortened(value: Json) -> Json:
    """The same with long texts cut, each saying how much is left out."""
    if isinstance(value, str):
        text = " ".join(value.split(" "))
        left = len(text) - _LONGEST
        return text if left <= 0 else f"{text[:_LONGEST].rstrip()} … ({left} characters more)"
    if isinstance(value, dict):
        return {name: _properties(one) if name in _SCHEMAS else shortened(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value]
    return value


def _properties(schema: Json) -> Json:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return f"… {', '.join(properties)}" if isinstance(properties, dict) and properties else schema
