"""`{{name}}` in a text, replaced by values. Rules kept here:

- A variable is `{{name}}`, `{{ name }}` or `{{name|default}}`; names have ASCII letters, digits and `_ . -`, and begin with a
  letter or `_`. Whatever else braces hold is text and stays.
- Values are put in as they are and never read again: a value that holds `{{name}}` stays that text.
- Time is linear in the lengths of template and values.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from caxton_llm.discreet import Discreet
from caxton_llm.errors import InvalidRequest

__all__ = ["VALUE_MISSING", "Filled", "fill", "needed_variables", "render", "stray_braces", "variables_of"]

VALUE_MISSING = "template_value_missing"
"""The code of the error for a variable that has neither value nor default."""
_VARIABLE = re.compile(r"\{\{[ \t]*+([A-Za-z_][A-Za-z0-9_.-]*+)[ \t]*+(?:\|([^{}]*+))?\}\}")
_SHOWN = 20
"""Known names that an error lists."""


class Filled(Discreet, Struct, frozen=True):
    """A text, and the variables that had no value; nothing stands in their place."""

    text: str
    missing: tuple[str, ...] = ()


def variables_of(template: str) -> tuple[str, ...]:
    """The names in the template, each once, in their order; those with a default too."""
    return tuple(dict.fromkeys(match[1] for match in _VARIABLE.finditer(template)))


def needed_variables(template: str) -> tuple[str, ...]:
    """Those without a default: a request must have a value for them."""
    return tuple(dict.fromkeys(match[1] for match in _VARIABLE.finditer(template) if match[2] is None))


def stray_braces(template: str) -> int | None:
    """Where, counted from 1, two braces open that hold no variable; `None` where there are none."""
    at = _VARIABLE.sub(lambda match: " " * len(match[0]), template).find("{{")
    return None if at < 0 else at + 1


def fill(template: str, values: Mapping[str, str]) -> Filled:
    """The text with every variable replaced; one without value and default by nothing."""
    missing: dict[str, None] = {}

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = values.get(name)
        if found is not None:
            return found
        if default is None:
            missing[name] = None
        return default or ""

    return Filled(_VARIABLE.sub(value, template), tuple(missing))


def render(template: str, values: Mapping[str, str], *, where: str) -> str:
    """The text with every variable replaced. Raises `InvalidRequest` for one that has neither value nor default.

    `where` says whose template it is: `agent Writer`. The error names the variables, never values.
    """
    filled = fill(template, values)
    if filled.missing:
        names = ", ".join(map(repr, filled.missing[:_SHOWN]))
        known = ", ".join(sorted(values)[:_SHOWN]) or "none"
        raise InvalidRequest(
            f"the template of {where} needs a value for {names}; this request has: {known}. "
            "Give it in context.request_parameters, or in metadata",
            param=f"context.request_parameters.{filled.missing[0]}",
            code=VALUE_MISSING,
        )
    return filled.text
