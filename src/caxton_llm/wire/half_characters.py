"""Halves of surrogate pairs in JSON that a provider wrote.

Some servers cut their text between the two halves that a character outside the basic plane has in a `\\u` escape. No JSON
decoder takes a half, so it becomes U+FFFD: a character is lost, and not the answer. Only what could not be read is looked at.
"""

import re

__all__ = ["HALVED", "without_halves"]

HALVED = "the provider cut a character in two: it stands as U+FFFD in the answer"
"""The warning of an answer in which `without_halves` found something."""

_ESCAPE = re.compile(
    rb"(?P<whole>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|(?P<other>\\.)",
    re.DOTALL,
)


def without_halves(data: bytes) -> bytes | None:
    """The JSON text with U+FFFD for every half; `None` when it has no half."""
    found = False

    def mended(match: re.Match[bytes]) -> bytes:
        nonlocal found
        if match["whole"] or match["other"]:
            return match[0]
        found = True
        return b"\\ufffd"

    text = _ESCAPE.sub(mended, data)
    return text if found else None
