"""Where the keys of a TOML text stand: the standard library's reader does not tell.

Good enough for messages: a key inside braces or brackets counts as standing where they begin.
"""

import re
from collections.abc import Iterator

__all__ = ["lines_of"]

_TABLE = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_LONG_QUOTES = ('"""', "'''")


def lines_of(text: str) -> dict[str, int]:
    """Dotted path -> line, from 1, of every table and key of a valid TOML text."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in _outside_long_texts(text):
        head = _TABLE.match(line)
        key = None if head else _KEY.match(line)
        if head is not None:
            table = _dotted(head[2])
            if head[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
            table = _numbered(table, counts)
            lines.setdefault(table, number)
        elif key is not None:
            name = _dotted(key[1])
            lines.setdefault(f"{table}.{name}" if table else name, number)
    return lines


def _outside_long_texts(text: str) -> Iterator[tuple[int, str]]:
    quotes = ""
    for number, line in enumerate(text.split("\n"), 1):
        if not quotes:
            yield number, line
        rest = line
        while True:
            if quotes:
                _, found, rest = rest.partition(quotes)
                if not found:
                    break
                quotes = ""
            begins = [(rest.find(mark), mark) for mark in _LONG_QUOTES if mark in rest]
            if not begins or rest.lstrip().startswith("#"):
                break
            place, quotes = min(begins)
            rest = rest[place + 3 :]


def _dotted(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _numbered(table: str, counts: dict[str, int]) -> str:
    """The path with the positions of arrays of tables: `capabilities[1].input_schema`."""
    path = ""
    plain = ""
    for part in table.split("."):
        plain = f"{plain}.{part}" if plain else part
        path = f"{path}.{part}" if path else part
        if plain in counts:
            path += f"[{counts[plain]}]"
    return path
