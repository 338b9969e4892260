"""Messages and tools for an OpenAI chat server.

Two ways lead here. A request that came in this dialect keeps its bytes; `patched_messages` and `patched_tools` re-encode
only the messages that must change, and of those only the fields that must. Any other request is written from the common
model, always in the same order of fields, because providers' prompt caches depend on it.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest
from caxton_llm.protocols import Quirks
from caxton_llm.types import ChatRequest, ContentPart, FunctionCall, Json, Message, Tool, ToolCall
from caxton_llm.wire.client_json import read_raw
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.strict_schema import is_strict_schema

__all__ = [
    "MessageChanges",
    "built_messages",
    "built_tools",
    "kept_strict",
    "patched_messages",
    "patched_tools",
    "renamed_choice",
    "tool_names",
]

_PART_TYPES = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
_SYSTEM_ROLES = ("system", "developer")
_ONLY_ANTHROPIC = "only Anthropic's API takes it"
_NOT_REPLAYED = "an OpenAI-compatible server does not take reasoning back"

_RAW_LIST = msgspec.json.Decoder(list[Raw])


def tool_names(request: ChatRequest) -> Iterator[str]:
    """Every tool name of the request: its tools, its choice and its history."""
    for tool in request.tools or ():
        yield from _names(tool.function.name if tool.function else None, tool.custom)
    if isinstance(request.tool_choice, dict):
        for choice in _chosen(request.tool_choice):
            yield from _names(None, choice.get("function"))
            yield from _names(None, choice.get("custom"))
    for message in request.messages:
        for call in message.tool_calls or ():
            yield from _names(call.function.name if call.function else None, call.custom)


def _names(function: str | None, custom: Json) -> Iterator[str]:
    if function is not None:
        yield function
    if isinstance(custom, dict) and isinstance(custom.get("name"), str):
        yield custom["name"]


def _chosen(choice: dict[str, Json]) -> Iterator[dict[str, Json]]:
    yield choice
    allowed = choice.get("allowed_tools")
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            yield tool


def renamed_choice(choice: dict[str, Json], renamed: dict[str, str]) -> dict[str, Json]:
    """The tool choice with the names of the wire."""
    copy: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(choice))
    for part in _chosen(copy):
        _rename_in(part, renamed)
    return copy


def _rename_in(holder: dict[str, Json], renamed: dict[str, str]) -> None:
    for key in ("function", "custom"):
        named = holder.get(key)
        if isinstance(named, dict) and isinstance(named.get("name"), str) and named["name"] in renamed:
            named["name"] = renamed[named["name"]]


# -- a request that came in this dialect --------------------------------------------------------------------------------


class MessageChanges:
    """What must change in the messages of one request, and what is reported of it."""

    __slots__ = ("_content_key", "_notes", "_reasoning_field", "_renamed", "_system_role")

    def __init__(self, notes: ParameterNotes, quirks: Quirks, *, renamed: dict[str, str]) -> None:
        self._notes = notes
        self._renamed = renamed
        self._system_role = quirks.system_role
        self._content_key = quirks.content_key
        self._reasoning_field = quirks.reasoning_field

    @property
    def concern_any_message(self) -> bool:
        """Whether messages must change that have none of the keys of `_may_concern`."""
        return self._content_key or self._system_role is not None or bool(self._renamed)

    def concern(self, message: Message) -> bool:
        """Whether `message` cannot stay as it is."""
        return (
            (message.reasoning_content is not None and self._reasoning_field != "reasoning_content")
            or message.thinking_blocks is not None
            or message.tool_calls == []
            or message.cache_control is not None
            or (self._content_key and message.content is None)
            or self._moves(message)
            or bool(self._renamed and (message.tool_calls or message.name in self._renamed))
            or (message.content.__class__ is list and has_cache_control(message.content))
        )

    def _moves(self, message: Message) -> bool:
        role = self._system_role
        return role is not None and message.role in _SYSTEM_ROLES and message.role != role

    def apply(self, message: dict[str, Json], typed: Message) -> None:
        """Make the changes in a decoded message."""
        if (reasoning := message.pop("reasoning_content", None)) is not None:
            _replay(message, reasoning, self._reasoning_field, self._notes)
        if message.pop("thinking_blocks", None) is not None:
            self._notes.strip("thinking_blocks", _ONLY_ANTHROPIC)
        if message.pop("cache_control", None) is not None:
            self._notes.strip("cache_control", _ONLY_ANTHROPIC)
        if not typed.tool_calls:  # vLLM answers with an empty list, OpenAI refuses one
            message.pop("tool_calls", None)
        elif self._content_key:
            message.setdefault("content", None)
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            if part.pop("cache_control", None) is not None:
                self._notes.strip("cache_control", _ONLY_ANTHROPIC)
        if self._moves(typed):
            self._notes.map("messages[].role", f"{typed.role} is sent as {self._system_role}")
            message["role"] = self._system_role
        self._rename(message)

    def _rename(self, message: dict[str, Json]) -> None:
        for call in message.get("tool_calls") or ():
            _rename_in(call, self._renamed)
        if message.get("role") == "tool" and message.get("name") in self._renamed:
            message["name"] = self._renamed[message["name"]]


def _replay(message: dict[str, Json], reasoning: str, field: str | None, notes: ParameterNotes) -> None:
    if field is None:
        notes.strip("reasoning_content", _NOT_REPLAYED)
    else:
        message[field] = reasoning


def _may_concern(messages: bytes) -> bool:
    """Whether one of the keys that `MessageChanges` looks for may stand in these messages: a glance that costs a long
    conversation next to nothing. A key that is written with escapes is not seen as such, so any escape counts."""
    return (
        b"tool_calls" in messages
        or b"reasoning_content" in messages
        or b"thinking_blocks" in messages
        or b"cache_control" in messages
        or b"\\u" in messages
    )


def patched_messages(raw: Raw, messages: list[Message], changes: MessageChanges) -> Raw | list[Json]:
    """The messages as the client sent them, except for those that must change."""
    if not changes.concern_any_message and not _may_concern(bytes(raw)):
        return raw
    touched = [index for index, message in enumerate(messages) if changes.concern(message)]
    if not touched:
        return raw
    patched: list[Json] = list(_RAW_LIST.decode(raw))
    for index in touched:
        message = read_raw(patched[index], f"messages[{index}]")
        changes.apply(message, messages[index])
        patched[index] = message
    return patched


def patched_tools(raw: Raw, tools: list[Tool], renamed: dict[str, str], notes: ParameterNotes) -> Raw | list[Json]:
    """The tools as the client sent them, except for their names and for hints to other vendors."""
    hinted = any(tool.cache_control is not None for tool in tools)
    if not renamed and not hinted:
        return raw
    patched: list[dict[str, Json]] = read_raw(raw, "tools")
    for tool in patched:
        _rename_in(tool, renamed)
        tool.pop("cache_control", None)
    if hinted:
        notes.strip("cache_control", _ONLY_ANTHROPIC)
    return patched


# -- any other request --------------------------------------------------------------------------------------------------


def has_cache_control(content: Json) -> bool:
    return any(part.cache_control is not None for part in content)


def built_messages(
    messages: list[Message], quirks: Quirks, *, renamed: dict[str, str], notes: ParameterNotes
) -> list[Json]:
    """The messages in wire form: dictionaries, or the common model's own where its JSON is the same.

    Raises `UnsupportedFeature` for content that this API has no form for. Images in tool results move into a user message
    behind the results, because a tool message takes text only.
    """
    built: list[Json] = []
    moved: list[ContentPart] = []
    for index, message in enumerate(messages):
        if moved and message.role != "tool":
            built.append({"role": "user", "content": moved})
            moved = []
        path = f"messages[{index}]"
        if message.cache_control is not None:
            notes.strip("cache_control", _ONLY_ANTHROPIC)
        if message.role == "assistant":
            built.append(_assistant(message, path, renamed, quirks.reasoning_field, notes))
        elif message.role == "tool":
            built.append(_tool_result(message, path, renamed, moved, notes))
        else:
            built.append(_prompt(message, path, quirks.system_role, notes))
    if moved:
        built.append({"role": "user", "content": moved})
    return built


def _prompt(message: Message, path: str, system_role: str | None, notes: ParameterNotes) -> Json:
    """A user or system message."""
    role: str = message.role
    if system_role is not None and role in _SYSTEM_ROLES and role != system_role:
        notes.map("messages[].role", f"{role} is sent as {system_role}")
        role = system_role
    if message.content is None or message.content == []:
        raise InvalidRequest(f"a message of role {message.role} needs content", param=f"{path}.content")
    wire: dict[str, Json] = {"role": role, "content": _content(message.content, path, notes)}
    if message.name is not None:
        wire["name"] = message.name
    return wire


def _assistant(
    message: Message, path: str, renamed: dict[str, str], reasoning_field: str | None, notes: ParameterNotes
) -> Json:
    # Servers insist on the key: `content` is null beside tool calls, and text, if only empty, without them.
    content: Json = _content(message.content, path, notes) if message.content else None
    if content is None and not (message.tool_calls or message.refusal or message.audio):
        content = ""
    wire: dict[str, Json] = {"role": "assistant", "content": content}
    for name in ("name", "refusal", "annotations", "audio"):
        value = getattr(message, name)
        if value is not None:
            wire[name] = value
    if message.tool_calls:
        wire["tool_calls"] = [_call(call, renamed) for call in message.tool_calls] if renamed else message.tool_calls
    if message.reasoning_content is not None:
        _replay(wire, message.reasoning_content, reasoning_field, notes)
    if message.thinking_blocks is not None:
        notes.strip("thinking_blocks", _ONLY_ANTHROPIC)
    return wire


def _call(call: ToolCall, renamed: dict[str, str]) -> ToolCall:
    if call.function is not None and call.function.name in renamed:
        return replace(call, function=FunctionCall(renamed[call.function.name], call.function.arguments))
    name = call.custom.get("name") if isinstance(call.custom, dict) else None
    if isinstance(name, str) and name in renamed:
        return replace(call, custom={**call.custom, "name": renamed[name]})
    return call


def _tool_result(
    message: Message, path: str, renamed: dict[str, str], moved: list[ContentPart], notes: ParameterNotes
) -> Json:
    text = message.content if isinstance(message.content, str) else _text_of_result(message, path, moved, notes)
    wire: dict[str, Json] = {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
    if message.name is not None:
        wire["name"] = renamed.get(message.name, message.name)
    return wire


def _text_of_result(message: Message, path: str, moved: list[ContentPart], notes: ParameterNotes) -> str:
    parts = _content(message.content or [], path, notes)
    texts = [part.text or "" for part in parts if part.type == "text"]
    others = [part for part in parts if part.type != "text"]
    if others:
        moved.append(ContentPart(type="text", text=f"Content of the tool result {message.tool_call_id}:"))
        moved += others
        texts.append("See the next user message for the rest of this result.")
        notes.map("messages[].content", "what is not text in a tool result is sent in a user message behind it")
    return "\n".join(texts)


def _content(content: str | list[ContentPart], path: str, notes: ParameterNotes) -> Json:
    if isinstance(content, str):
        return content
    for index, part in enumerate(content):
        if part.type not in _PART_TYPES:
            notes.refuse(
                f"{path}.content[{index}]", f"an OpenAI-compatible server has no content of type {part.type!r}"
            )
    if not has_cache_control(content):
        return content
    notes.strip("cache_control", _ONLY_ANTHROPIC)
    return [replace(part, cache_control=None) for part in content]


def built_tools(tools: list[Tool], renamed: dict[str, str], notes: ParameterNotes) -> list[Json]:
    """The tools in wire form. Raises `UnsupportedFeature` for another vendor's built-in tool."""
    return [_tool(tool, f"tools[{index}]", renamed, notes) for index, tool in enumerate(tools)]


def kept_strict(schema: Json, path: str, notes: ParameterNotes) -> bool:
    """Whether `strict: true` is sent for `schema`; where the server would refuse it, that is reported."""
    if is_strict_schema(schema):
        return True
    notes.map(path, "false: the schema is not one that OpenAI enforces")
    return False


def _tool(tool: Tool, path: str, renamed: dict[str, str], notes: ParameterNotes) -> Json:
    if tool.cache_control is not None:
        notes.strip("cache_control", _ONLY_ANTHROPIC)
    if tool.type == "custom" and isinstance(tool.custom, dict):
        name = tool.custom.get("name")
        return {"type": "custom", "custom": {**tool.custom, "name": renamed.get(name, name)} if name else tool.custom}
    function = tool.function
    if tool.type != "function" or function is None:
        notes.refuse(f"{path}.type", f"an OpenAI-compatible server has no tool of type {tool.type!r}")
    wire: dict[str, Json] = {"name": renamed.get(function.name, function.name)}
    if function.description:
        wire["description"] = function.description
    wire["parameters"] = function.parameters or {"type": "object", "properties": {}}
    if function.strict is not None:
        wire["strict"] = function.strict and kept_strict(wire["parameters"], f"{path}.function.strict", notes)
    return {"type": "function", "function": wire}
