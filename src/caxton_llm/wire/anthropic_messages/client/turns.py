"""The turns of a client's request as messages of the common model.

A user turn becomes one message per tool result and one for the rest; consecutive assistant turns become one message, because
that is how Anthropic reads them. Text stands before the tool calls in an assistant's message, thinking before both.
"""

import re
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.types import ContentPart, FileInput, FunctionCall, ImageUrl, Json, Message, ToolCall
from caxton_llm.wire.anthropic_messages.client.invalid import invalid_field
from caxton_llm.wire.conversation import check_conversation

__all__ = ["Turn", "client_path_of", "decode_turns", "turns_of_messages"]


class Turn(Struct):
    """An item of `messages`."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class _Text(Struct, tag="text", tag_field="type"):
    text: str
    cache_control: Json = None


class _Source(Struct):
    """Where an image or a document is: which of the fields is set, `type` says."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class _Image(Struct, tag="image", tag_field="type"):
    source: _Source
    cache_control: Json = None


class _Citations(Struct):
    enabled: bool | None = None


class _Document(Struct, tag="document", tag_field="type"):
    source: _Source
    title: str | None = None
    context: str | None = None
    citations: _Citations | None = None
    cache_control: Json = None


class _ToolUse(Struct, tag="tool_use", tag_field="type"):
    id: str
    name: str
    input: Raw


class _ToolResult(Struct, tag="tool_result", tag_field="type"):
    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: Json = None


class _Thinking(Struct, tag="thinking", tag_field="type"):
    thinking: str
    signature: str | None = None


class _Redacted(Struct, tag="redacted_thinking", tag_field="type"):
    data: str


class _Unknown(Struct):
    """A block that the common model has no place for."""

    type: str


_Known = _Text | _Image | _Document | _ToolUse | _ToolResult | _Thinking | _Redacted
_Block = _Known | _Unknown

_known_decoder = msgspec.json.Decoder(_Known)
_unknown_decoder = msgspec.json.Decoder(_Unknown)
_KNOWN = frozenset({"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"})
_FAILED = "Error: "

_Placed = tuple[str, _Block, Raw]
"""The path of a block, the block, and its bytes."""


class _Origin(Struct):
    """Where a message of the common model came from: the paths of its turn or block, of its parts and of its calls."""

    path: str
    parts: list[str] = []
    calls: list[str] = []


class _Read(Struct):
    messages: list[Message] = []
    origins: list[_Origin] = []

    def add(self, message: Message, origin: _Origin) -> None:
        self.messages.append(message)
        self.origins.append(origin)


def decode_turns(system: str | list[Raw] | None, turns: list[Turn], *, continues: bool = False) -> list[Message]:
    """The messages, the system prompt first; `continues` is as in `check_conversation`.

    Raises `InvalidRequest` with the path in the client's request.
    """
    read = _read(system, turns)
    try:
        check_conversation(read.messages, continues=continues)
    except InvalidRequest as error:
        raise _in_client_terms(error, read) from None
    return read.messages


def client_path_of(path: str, system: str | list[Raw] | None, turns: list[Turn]) -> str:
    """The path in the client's request of what is at `path` in its messages of the common model."""
    return _path_in(_read(system, turns).origins, path)


def turns_of_messages(system: str | list[Raw] | None, turns: list[Turn]) -> list[range]:
    """For each message of the common model the numbers of the turns that it was made of; the system prompt is none.

    Two messages have a turn in common where a user's turn has both tool results and something else.
    """
    places: list[range] = []
    begin = 0
    for origin in _read(system, turns).origins:
        found = _TURN_NUMBER.match(origin.path)
        if found is None:
            places.append(range(0))
            continue
        number = int(found[1])
        places.append(range(min(begin, number), number + 1))
        begin = number + 1
    return places


def _read(system: str | list[Raw] | None, turns: list[Turn]) -> _Read:
    read = _Read()
    if system:
        _add_system(system, "system", read)
    placed: list[_Placed] = []
    for index, turn in enumerate(turns):
        path = f"messages[{index}]"
        if turn.role == "system":
            _add_system(turn.content, f"{path}.content", read)
        elif turn.role == "user":
            _add_user(turn.content, path, read)
        else:
            placed += _blocks(turn.content, f"{path}.content")
            if index + 1 == len(turns) or turns[index + 1].role != "assistant":
                _add_assistant(placed, path, read)
                placed = []
    return read


def _blocks(content: str | list[Raw], path: str) -> list[_Placed]:
    if isinstance(content, str):
        return [(path, _Text(content), Raw(b""))]
    return [(f"{path}[{index}]", _block(raw, f"{path}[{index}]"), raw) for index, raw in enumerate(content)]


def _block(raw: Raw, path: str) -> _Block:
    try:
        known: _Known = _known_decoder.decode(raw)
        return known
    except msgspec.ValidationError as error:
        try:
            unknown = _unknown_decoder.decode(raw)
        except msgspec.ValidationError as shapeless:
            raise invalid_field(shapeless, path) from None
        if unknown.type in _KNOWN:
            raise invalid_field(error, path) from None
        return unknown


# -- system -------------------------------------------------------------------------------------------------------------


def _add_system(content: str | list[Raw], path: str, read: _Read) -> None:
    if isinstance(content, str):
        read.add(Message(role="system", content=content), _Origin(path))
        return
    parts, places = [], []
    for place, block, _ in _blocks(content, path):
        if not isinstance(block, _Text):
            raise InvalidRequest(f"{place}: a system prompt has text only", param=f"{place}.type")
        parts.append(_text(block))
        places.append(place)
    read.add(Message(role="system", content=parts), _Origin(path, places))


# -- user ---------------------------------------------------------------------------------------------------------------


def _add_user(content: str | list[Raw], path: str, read: _Read) -> None:
    if not content:
        raise InvalidRequest(f"{path}.content is empty", param=f"{path}.content")
    parts: list[ContentPart] = []
    places: list[str] = []
    for place, block, _ in _blocks(content, f"{path}.content"):
        if isinstance(block, _ToolResult):
            message = Message(role="tool", tool_call_id=block.tool_use_id, content=_result(block, place))
            read.add(message, _Origin(place))
        else:
            parts.append(_part(block, place))
            places.append(place)
    if parts:
        read.add(Message(role="user", content=_simplest(parts)), _Origin(path, places))


def _result(block: _ToolResult, path: str) -> str | list[ContentPart]:
    content = block.content or ""
    if isinstance(content, str):
        text = _FAILED + content if block.is_error else content
        return text if block.cache_control is None else [_text(_Text(text, block.cache_control))]
    parts = [_part(inner, place) for place, inner, _ in _blocks(content, f"{path}.content")]
    if block.is_error:
        parts.insert(0, ContentPart(type="text", text=_FAILED.strip()))
    if block.cache_control is not None:
        parts[-1].cache_control = block.cache_control
    return _simplest(parts)


def _simplest(parts: list[ContentPart]) -> str | list[ContentPart]:
    """Text alone is a string, which every provider takes."""
    only = parts[0]
    if len(parts) == 1 and only.type == "text" and only.cache_control is None and only.text is not None:
        return only.text
    return parts


def _part(block: _Block, path: str) -> ContentPart:
    if isinstance(block, _Text):
        return _text(block)
    if isinstance(block, _Image):
        return _image(block, path)
    if isinstance(block, _Document):
        return _document(block, path)
    if isinstance(block, _Unknown):
        return ContentPart(type=block.type)
    kind = type(block).__struct_config__.tag
    raise InvalidRequest(f"{path}: a block of type {kind} cannot stand here", param=f"{path}.type")


def _text(block: _Text) -> ContentPart:
    return ContentPart(type="text", text=block.text, cache_control=block.cache_control)


def _image(block: _Image, path: str) -> ContentPart:
    source = block.source
    if source.type == "url":
        url = _required(source.url, f"{path}.source.url")
    elif source.type == "base64":
        url = _data_url(source, path)
    else:
        return ContentPart(type="image", cache_control=block.cache_control)
    return ContentPart(type="image_url", image_url=ImageUrl(url=url), cache_control=block.cache_control)


def _document(block: _Document, path: str) -> ContentPart:
    source = block.source
    hint = block.cache_control
    if block.context or (block.citations is not None and block.citations.enabled):
        return ContentPart(type="document", cache_control=hint)
    if source.type == "text":
        text = _required(source.data, f"{path}.source.data")
        return ContentPart(type="text", text=f"{block.title}\n\n{text}" if block.title else text, cache_control=hint)
    if source.type != "base64":
        return ContentPart(type="document", cache_control=hint)
    file = FileInput(file_data=_data_url(source, path), filename=block.title or "document.pdf")
    return ContentPart(type="file", file=file, cache_control=hint)


def _data_url(source: _Source, path: str) -> str:
    media_type = _required(source.media_type, f"{path}.source.media_type")
    return f"data:{media_type};base64,{_required(source.data, f'{path}.source.data')}"


def _required(value: str | None, path: str) -> str:
    if not value:
        raise InvalidRequest(f"{path} is missing", param=path)
    return value


# -- assistant ----------------------------------------------------------------------------------------------------------


def _add_assistant(placed: list[_Placed], path: str, read: _Read) -> None:
    parts: list[ContentPart] = []
    thinking: list[Json] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    origin = _Origin(path)
    for place, block, raw in placed:
        if isinstance(block, _ToolUse):
            calls.append(_call(block, place))
            origin.calls.append(place)
        elif isinstance(block, _Thinking | _Redacted):
            thinking.append(_verbatim(raw, place))
            if isinstance(block, _Thinking):
                reasoning.append(block.thinking)
        else:
            parts.append(_part(block, place))
            origin.parts.append(place)
    message = Message(
        role="assistant",
        content=_simplest(parts) if parts else (None if calls else ""),
        tool_calls=calls or None,
        thinking_blocks=thinking or None,
        reasoning_content="".join(reasoning) or None,
    )
    read.add(message, origin)


def _verbatim(raw: Raw, path: str) -> Json:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError as error:  # a number that is out of range
        raise invalid_field(error, path) from None


def _call(block: _ToolUse, path: str) -> ToolCall:
    arguments = bytes(block.input)
    if not arguments.startswith(b"{"):
        raise InvalidRequest(f"{path}.input must be an object", param=f"{path}.input")
    return ToolCall(id=block.id, function=FunctionCall(block.name, arguments.decode()))


# -- paths --------------------------------------------------------------------------------------------------------------

_TURN_NUMBER = re.compile(r"messages\[(\d+)\]")
_COMMON_PATH = re.compile(r"messages\[(\d+)\](?:\.(content|tool_calls)\[(\d+)\])?(.*)")
_FIELDS = {
    ".tool_call_id": ".tool_use_id",
    ".image_url.url": ".source",
    ".file.file_data": ".source",
    ".file": ".source",
}


def _path_in(origins: list[_Origin], path: str) -> str:
    found = _COMMON_PATH.fullmatch(path)
    if found is None or int(found[1]) >= len(origins):
        return path
    origin, field = origins[int(found[1])], _FIELDS.get(found[4], found[4])
    if found[2] is None:
        return origin.path + field
    position = int(found[3])
    places = origin.parts if found[2] == "content" else origin.calls
    if position < len(places):
        return places[position] + field
    return f"{origin.path}.{found[2]}[{position}]{field}"  # inside a tool's result


def _in_client_terms(error: InvalidRequest, read: _Read) -> InvalidRequest:
    """The same mistake of the conversation in Anthropic's words."""
    found = _COMMON_PATH.fullmatch(error.param or "")
    if found is None:
        return error
    message = read.messages[int(found[1])]
    if message.role == "tool":
        text = (
            f"the tool_result answers {message.tool_call_id!r}, but the assistant message before it has no such tool_use that"
            " is still to be answered"
        )
    else:
        call = (message.tool_calls or [])[int(found[3] or 0)]
        text = f"the tool_use {call.id!r} must have exactly one tool_result in the next message, and an id of its own"
    return InvalidRequest(text, param=_path_in(read.origins, found[0]))
