"""Tools told with what their data say: descriptions with the values at hand, schemas with the choices there are.

`template_library` of a report tool becomes "Available templates: quarterly-summary, executive-brief" in its description and
the `enum` of its parameter `template`. Only what is missing is added: a schema that has choices keeps them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from caxton_llm.context.render.fence import inside
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import Json

__all__ = ["Style", "enriched"]

_MOST_CHOICES = 50
_LONGEST_CHOICE = 100
_LONGEST_FACT = 600
"""Characters of one fact in a description."""
_WORD = re.compile(r"[a-z0-9]+")
_GENERAL = frozenset(
    {"available", "supported", "library", "list", "names", "known", "data", "user", "recent", "preferred"}
)
"""Words of keys that say nothing of which parameter is meant."""

Style = Literal["openai", "anthropic", "local"]
"""`openai`: sentences behind the description; `anthropic`: the same as "Context: ..."; `local`: choices alone."""


def enriched(tool: ToolSpec, data: Sequence[tuple[str, Json]], *, style: Style) -> ToolSpec:
    """The tool with its data told, each a key and a value. Equal data give equal bytes: keys are in order."""
    facts = [fact for key, value in sorted(data, key=lambda one: one[0]) for fact in _facts(key, value)]
    if not facts:
        return tool
    schema = _with_choices(tool.input_schema, facts)
    told = facts if style != "local" else [fact for fact in facts if isinstance(fact[1], list)]
    sentences = " ".join(f"{_title(name)}: {_text(value)}." for name, value in told)
    lead = tool.description.rstrip()
    lead = lead if not lead or lead.endswith((".", "!", "?")) else f"{lead}."
    prefix = "Context: " if style == "anthropic" else ""
    return replace(tool, description=f"{lead} {prefix}{sentences}".strip() if told else lead, input_schema=schema)


_Fact = tuple[str, Json]


def _facts(key: str, value: Json) -> Iterator[_Fact]:
    """An object's fields are facts of their own."""
    if isinstance(value, dict) and value:
        yield from ((str(name), field) for name, field in value.items() if field not in (None, "", [], {}))
    elif value not in (None, "", [], {}):
        yield key, value


def _title(name: str) -> str:
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def _text(value: Json) -> str:
    choices = _choices(value)
    text = ", ".join(choices) if choices else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = inside(" ".join(text.split())).rstrip(".")
    return text if len(text) <= _LONGEST_FACT else f"{text[: _LONGEST_FACT - 1]}\u2026"


def _choices(value: Json) -> list[str]:
    """The texts of a list; empty for anything else."""
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_CHOICES:
        return []
    named = [one.get("name") if isinstance(one, dict) else one for one in value]
    if all(isinstance(one, str) and 0 < len(one) <= _LONGEST_CHOICE for one in named):
        return [str(one) for one in dict.fromkeys(named)]
    return []


def _with_choices(schema: dict[str, Json], facts: Sequence[_Fact]) -> dict[str, Json]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema
    changed: dict[str, Json] = {}
    for name, described in properties.items():
        choices = next((found for key, value in facts if (found := _choices(value)) and _is_about(key, name)), None)
        if choices and isinstance(described, dict):
            changed[name] = _with_enum(described, choices)
    return {**schema, "properties": {**properties, **changed}} if changed else schema


def _with_enum(described: Mapping[str, Json], choices: list[str]) -> dict[str, Json]:
    if described.get("type") == "string" and "enum" not in described and "const" not in described:
        return {**described, "enum": choices}
    items = described.get("items")
    if (
        described.get("type") == "array"
        and isinstance(items, dict)
        and items.get("type") == "string"
        and "enum" not in items
    ):
        return {**described, "items": {**items, "enum": choices}}
    return dict(described)


def _is_about(key: str, parameter: str) -> bool:
    """`available_templates` is about `template`, `supported_chart_types` about `chart_type` and `chart_types`."""
    about = [_singular(word) for word in _WORD.findall(key.lower()) if word not in _GENERAL]
    return bool(about) and about == [_singular(word) for word in _WORD.findall(parameter.lower())]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
