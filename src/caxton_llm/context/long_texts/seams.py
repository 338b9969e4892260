"""Where a long text may be cut: at its own seams, the strongest that is near, and not inside a code fence if avoidable.

The pieces joined are the text. Each is cut as long as it may be, and looks for its end in its second half only, so the time
grows with the text and not faster, whatever is in it.
"""

import csv
import re
from bisect import bisect_right
from collections.abc import Callable

from caxton_llm.tokens.content import kind_of

__all__ = ["csv_header", "pieces_of", "shortened_end"]

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)\n?", re.MULTILINE)
_HEADING = re.compile(r"\n(?=#{1,6}[ \t])")
_BLANK = re.compile(r"\n[ \t\r]*\n+")
_SENTENCE = re.compile("[.!?\u2026][\"')\\]\u00bb\u201d\u2019]*\\s+|[\u3002\uff01\uff1f]+")
_LINE = re.compile(r"\n")
_JSON_ROW = re.compile(r"[}\]]\s*,\s*")
_SPACE = re.compile(r"\s+")

_PROSE = (_HEADING, _BLANK, _SENTENCE, _LINE, _SPACE)
_ROWS = (_BLANK, _LINE, _JSON_ROW, _SPACE)
_IN_FENCE = (_LINE, _SPACE)

_FULL = 0.7
"""Share of its room from which on a piece is not made longer."""
_REACH = 16
"""A fence that is so many times longer than a piece is taken for one that fits no piece, and not counted."""
_LOOK = 4_000
"""Characters that are searched for a seam at a time, from the end on."""
_OVERLAP = 200
"""Characters of the ones before that are looked at again, for a seam that lies across."""
_DELIMITERS = ",;\t|"
_ROWS_LOOKED_AT = 8
_LONGEST_NAME = 60
_LOOKED_AT = 20_000


def pieces_of(text: str, room: int, count: Callable[[str], int], *, rows: bool = False) -> list[tuple[str, int]]:
    """The text in pieces of at most `room` tokens as `count` gives them, each with its tokens. With `rows` lines are records,
    as in CSV: a line break in quotes ends none.

    Raises `ValueError` where a single character has more.
    """
    cutter = _Cutter(text, room, count, rows=rows)
    found, start = [], 0
    while start < len(text):
        end, tokens = cutter.end(start)
        found.append((text[start:end], tokens))
        start = end
    return found


def csv_header(text: str) -> str:
    """The first line with its line break, if the text is a table of rows with a delimiter; else empty."""
    lines = text[:_LOOKED_AT].splitlines(keepends=True)[: _ROWS_LOOKED_AT + 1]
    if len(lines) < 3 or kind_of(text) == "json" or lines[0].count('"') % 2:
        return ""
    for delimiter in _DELIMITERS:
        try:
            header, *records = csv.reader(lines[:-1], delimiter=delimiter)
        except csv.Error:
            continue
        if len(header) > 1 and all(len(record) == len(header) for record in records) and all(map(_is_name, header)):
            return lines[0]
    return ""


def shortened_end(text: str, room: int, count: Callable[[str], int]) -> str:
    """The beginning of the text, as much as fits; empty where nothing does."""
    if room < 1 or not text:
        return ""
    try:
        cutter = _Cutter(text, room, count, rows=False)
        return text[: cutter.end(0)[0]]
    except ValueError:
        return ""


def _is_name(cell: str) -> bool:
    """Whether a cell may be the name of a column: short, no number, no end of a sentence."""
    name = cell.strip()
    return 0 < len(name) <= _LONGEST_NAME and not name[0].isdigit() and not name.endswith((".", "!", "?", ":"))


class _Cutter:
    """Finds the end of one piece after the other."""

    def __init__(self, text: str, room: int, count: Callable[[str], int], *, rows: bool) -> None:
        self._text = text
        self._room = room
        self._count = count
        self._rows = rows
        self._starts, self._ends = ([], []) if rows else _fences(text)
        self._characters = 3.0
        """For a token: as the last piece had them."""

    def end(self, start: int) -> tuple[int, int]:
        """Where the piece that begins at `start` ends, and its tokens."""
        size = max(1, int(self._room * self._characters))
        known: tuple[int, int] | None = None  # what fits, of a piece that might be longer
        while True:
            end = self._seam(start, min(len(self._text), start + size))
            tokens = self._count(self._text[start:end])
            if tokens > self._room:
                if known:
                    return known
                if end - start == 1:
                    raise ValueError(f"one character has {tokens} tokens, the room for a part is {self._room}")
                size = max(1, min(end - start - 1, int((end - start) * self._room / tokens * 0.95)))
                continue
            self._characters = (end - start) / max(1, tokens)
            if known or end == len(self._text) or tokens >= _FULL * self._room:
                return max(known or (end, tokens), (end, tokens))
            known, size = (end, tokens), max(size + 1, int(size * min(_REACH, 0.95 * self._room / max(1, tokens))))

    def _seam(self, start: int, end: int) -> int:
        """The best place to cut at in the second half before `end`, which is moved out of a fence."""
        if end == len(self._text):
            return end
        middle = start + (end - start) // 2
        fence = self._fence(end)
        if fence is not None:
            opening, closing = fence
            if opening >= start and self._fits(start, closing, end - start):
                return closing
            if opening > start and (opening >= middle or self._fits(opening, closing, end - start)):
                return opening
            return self._last(_IN_FENCE, middle, end, anywhere=True) or end
        if self._rows and (row := self._row(start, middle, end)):
            return row
        seams = _PROSE if kind_of(self._text[middle : middle + 2_000]) in ("prose", "cjk") else _ROWS
        return self._last(seams, middle, end, anywhere=False) or self._unseen(start, end)

    def _fits(self, start: int, end: int, size: int) -> bool:
        return end - start <= _REACH * size and self._count(self._text[start:end]) <= self._room

    def _last(self, seams: tuple[re.Pattern[str], ...], begin: int, end: int, *, anywhere: bool) -> int | None:
        for seam in seams:
            stop = end
            while stop > begin:
                look = max(begin, stop - _LOOK)
                for match in reversed(list(seam.finditer(self._text, look, min(end, stop + _OVERLAP)))):
                    if match.end() > begin and (anywhere or self._fence(match.end()) is None):
                        return match.end()
                stop = look
        return None

    def _row(self, start: int, begin: int, end: int) -> int | None:
        """The last line break outside quotes; a piece begins outside them."""
        text = self._text
        quotes = text.count('"', start, end)
        place = text.rfind("\n", begin, end)
        while place > begin:
            quotes -= text.count('"', place, end)
            if quotes % 2 == 0:
                return place + 1
            end, place = place, text.rfind("\n", begin, place)
        return None

    def _unseen(self, start: int, end: int) -> int:
        """Without a seam the end stays where it is; only a line break is not cut in two."""
        if self._text[end - 1 : end + 1] == "\r\n" and end - 1 > start:
            return end - 1
        return end

    def _fence(self, place: int) -> tuple[int, int] | None:
        """The fence that a cut at `place` would cut."""
        number = bisect_right(self._starts, place) - 1
        if number < 0 or not self._starts[number] < place < self._ends[number]:
            return None
        return self._starts[number], self._ends[number]


def _fences(text: str) -> tuple[list[int], list[int]]:
    """Where code fences begin and end. One that is never closed is none."""
    starts: list[int] = []
    ends: list[int] = []
    if "```" not in text and "~~~" not in text:
        return starts, ends
    opened: tuple[int, str] | None = None
    for match in _FENCE.finditer(text):
        marks, rest = match.group(1), match.group(2)
        if opened is None:
            if "`" not in rest or marks[0] == "~":
                opened = match.start(), marks
        elif marks.startswith(opened[1]) and not rest.strip():
            starts.append(opened[0])
            ends.append(match.end())
            opened = None
    return starts, ends
