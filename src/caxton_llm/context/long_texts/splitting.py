"""A request that fits no window, taken apart: what is asked, the long material that it is asked of, and the material's parts.

Material is what is long in the current request: pasted texts of the user's, results of tools. What is asked is the rest of
what the user says, with the short first and last paragraph of a long text, where people write it.
"""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.context.conversation.exchanges import exchanges_of
from caxton_llm.context.long_texts.seams import csv_header, pieces_of
from caxton_llm.discreet import Discreet
from caxton_llm.errors import ContextWindowExceeded
from caxton_llm.types import ChatRequest, ContentPart, Message

__all__ = [
    "Material",
    "Part",
    "TakenApart",
    "no_room_for_material",
    "split",
    "take_apart",
    "too_many_parts",
    "with_material",
]

_SEPARATOR = "\n\n"
_LONGEST_END = 4_000
"""Characters of a paragraph that may say what is asked."""
_MOST_CHARACTERS = 128
"""Of one token: no text of so many times more characters has to be counted to know that it is long."""
_HEADER_SHARE = 4
"""A table's header is repeated where it is at most one part in so many of the room."""
_BLANK = re.compile(r"\n[ \t\r]*\n\s*")
_DATA = ("#", "{", "[", "<", "|", ">", "`", "~")
"""A paragraph that begins so is a heading, data or a quotation."""


class Material(Discreet, Struct, frozen=True, kw_only=True):
    """One long text: the message's number, the content part's (`None`: the content is a text), and what stands around it
    there."""

    message: int
    content: int | None
    before: str
    text: str
    after: str


class TakenApart(Discreet, Struct, frozen=True, kw_only=True):
    """A current request. `instruction` is what the user says beside the material; it may be empty."""

    instruction: str
    material: tuple[Material, ...]

    @property
    def text(self) -> str:
        """The material of all places, in their order."""
        return _SEPARATOR.join(one.text for one in self.material)


class Part(Discreet, Struct, frozen=True, kw_only=True):
    """A part of the material, numbered from 1. `header` is the first line of a table, for the parts after the first;
    `tokens` are those of both."""

    number: int
    total: int
    text: str
    tokens: int
    header: str = ""


def take_apart(request: ChatRequest, room: int, count: Callable[[str], int]) -> TakenApart:
    """What is asked in the current request, and its long material. All that is asked has at most `room` tokens; the longest
    text is material in any case. Without a text there is no material."""
    texts = _texts(request)
    short: set[int] = set()
    left = room // 2
    for number in sorted(range(len(texts)), key=lambda place: (len(texts[place].text), place))[:-1]:
        if not _is_within(texts[number].text, left, count):
            break
        short.add(number)
        left -= count(texts[number].text)
    long = len(texts) - len(short)
    said: list[str] = []
    material: list[Material] = []
    for number, one in enumerate(texts):
        is_users = request.messages[one.message].role == "user"
        if number in short:
            said += [one.text] if is_users else []
            continue
        found = _without_ends(one, room // (4 * long), count) if is_users else one
        material.append(found)
        said += [found.before, found.after]
    return TakenApart(
        instruction=_SEPARATOR.join(text.strip() for text in said if text.strip()), material=tuple(material)
    )


def split(text: str, room: int, count: Callable[[str], int]) -> tuple[Part, ...]:
    """The text in parts that each have at most `room` tokens, a repeated header included; their texts joined are the text.

    Cut at headings, blank lines, ends of sentences, lines and records; a code fence that fits into a part is in one. Takes
    time in proportion to the text. Raises `ValueError` where a single character has more tokens.
    """
    header = csv_header(text)
    repeated = header if header and count(header) <= room // _HEADER_SHARE else ""
    measure = (lambda piece: count(repeated + piece)) if repeated else count
    pieces = pieces_of(text, room, measure, rows=bool(header))
    return tuple(
        Part(
            number=number,
            total=len(pieces),
            text=piece,
            tokens=tokens if number > 1 else count(piece),
            header=repeated if number > 1 else "",
        )
        for number, (piece, tokens) in enumerate(pieces, 1)
    )


def with_material(request: ChatRequest, taken: TakenApart, texts: Sequence[str]) -> ChatRequest:
    """The request with other texts in the places of its material, one for each. It no longer has the bytes that it came in:
    they say something else."""
    messages = list(request.messages)
    for material, text in zip(taken.material, texts, strict=True):
        place = material.message
        messages[place] = _with_text(messages[place], material.content, f"{material.before}{text}{material.after}")
    return replace(request, messages=messages, source=None)


def no_room_for_material(needed: int, room: int, model: str) -> ContextWindowExceeded:
    """The error for a request whose own frame of `needed` tokens leaves nothing of the `room` for the material's parts."""
    return _exceeded(
        f"the instructions, the tools and what is asked take about {needed:,} tokens, and {model} has room for {room:,}: too "
        "little is left to read the material in parts; shorten them, allow a shorter answer, or ask a model with a larger "
        "window",
        model,
    )


def too_many_parts(needed: int, parts: int, *, most: int, room: int, model: str) -> ContextWindowExceeded:
    """The error for material of `needed` tokens that makes more than `most` parts of `room` tokens."""
    return _exceeded(
        f"the material of the request is about {needed:,} tokens, {parts:,} parts for {model}; at most {most:,} parts, about "
        f"{most * room:,} tokens, are worked through: send less at once, or ask a model with a larger window",
        model,
    )


def _exceeded(message: str, model: str) -> ContextWindowExceeded:
    return ContextWindowExceeded(
        message, source="gateway", param="messages", code="context_length_exceeded", model=model
    )


# -- the current request ------------------------------------------------------------------------------------------------


def _texts(request: ChatRequest) -> list[Material]:
    """Every text of the user's and of tools in the current request."""
    found: list[Material] = []
    for number in next(reversed(exchanges_of(request.messages)), []):
        message = request.messages[number]
        if message.role not in ("user", "tool", "function"):
            continue
        if isinstance(message.content, str):
            found.append(_whole(number, None, message.content))
            continue
        for place, part in enumerate(message.content or ()):
            if part.type == "text" and part.text:
                found.append(_whole(number, place, part.text))
    return [one for one in found if one.text]


def _whole(message: int, content: int | None, text: str) -> Material:
    return Material(message=message, content=content, before="", text=text, after="")


def _with_text(message: Message, content: int | None, text: str) -> Message:
    if content is None:
        return replace(message, content=text)
    parts = list(message.content) if isinstance(message.content, list) else []
    old: ContentPart = parts[content]
    parts[content] = replace(old, text=text)
    return replace(message, content=parts)


# -- what is asked ------------------------------------------------------------------------------------------------------


def _without_ends(one: Material, room: int, count: Callable[[str], int]) -> Material:
    """The text without the instruction before and after it."""
    text = one.text
    begin = _first_end(text)
    if not begin or not _asks(text[:begin], room, count):
        begin = 0
    end = _last_begin(text)
    if end <= begin or not _asks(text[end:], room, count):
        end = len(text)
    if not text[begin:end].strip():
        return one
    end = len(text) if end == len(text) else len(text[:end].rstrip())
    return replace(one, before=text[:begin], text=text[begin:end], after=text[end:])


def _first_end(text: str) -> int:
    """Where the first paragraph ends, or a first line that announces what follows; 0 where it is too long."""
    lead = len(text) - len(text.lstrip())
    line = text.find("\n", lead, lead + _LONGEST_END)
    if line > 0 and text[lead:line].rstrip().endswith((":", "?")):
        return line + 1
    blank = _BLANK.search(text, lead, lead + _LONGEST_END)
    return blank.end() if blank is not None and blank.end() < len(text) else 0


def _last_begin(text: str) -> int:
    """Where the last paragraph begins, or a last line that asks."""
    length = len(text.rstrip())
    least = max(0, length - _LONGEST_END)
    line = text.rfind("\n", least, length)
    if line >= 0 and text[line:length].endswith("?"):
        return line + 1
    blanks = list(_BLANK.finditer(text, least, length))
    return blanks[-1].end() if blanks else len(text)


def _asks(paragraph: str, room: int, count: Callable[[str], int]) -> bool:
    stripped = paragraph.strip()
    if not stripped or stripped.startswith(_DATA) or "```" in stripped or "~~~" in stripped:
        return False
    return _is_within(paragraph, room, count)


def _is_within(text: str, room: int, count: Callable[[str], int]) -> bool:
    return len(text) <= _MOST_CHARACTERS * max(0, room) and count(text) <= room
