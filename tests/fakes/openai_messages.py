"""The messages of a chat completions request as OpenAI checks them, and what they ask for.

Pure: whatever is wrong raises `Invalid`, which the server writes in its own error shape.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from fakes.http_server import Json
from fakes.media import media_type, parse_data_url
from fakes.script import Asked, text_of

__all__ = ["Invalid", "asked_of", "check_messages", "check_name", "empty_array", "require", "tool_name", "typed"]


class Invalid(Exception):
    """What is wrong with a request."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


Kind = Literal["string", "integer", "number", "boolean", "array", "object", "null"]
_ARTICLES: dict[Kind, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a decimal",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_MESSAGE_FIELDS: dict[str, frozenset[str]] = {
    "assistant": frozenset(
        # Clients echo whole answers back, so the fields of an answer are accepted.
        {"tool_calls", "refusal", "audio", "function_call", "annotations"}
    ),
    "tool": frozenset({"tool_call_id"}),
}
_PARTS: dict[str, tuple[str, ...]] = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}
_PART_FIELDS = {
    "text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "file": "file",
}
_NAME = re.compile(r"[a-zA-Z0-9_-]+")


def kind_of(value: Json) -> Kind:
    kinds: list[tuple[type, Kind]] = [(bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")]
    for python_type, kind in kinds:
        if isinstance(value, python_type):
            return kind
    return "null" if value is None else "array" if isinstance(value, list) else "object"


def typed(value: Json, path: str, *kinds: Kind) -> None:
    got = kind_of(value)
    if got in kinds or (got == "integer" and "number" in kinds):
        return
    expected = " or ".join(_ARTICLES[kind] for kind in kinds)
    expected = f"one of {expected}" if len(kinds) > 1 else expected
    raise Invalid(
        f"Invalid type for '{path}': expected {expected}, but got {_ARTICLES[got]} instead.", path, "invalid_type"
    )


def require(value: Mapping[str, Json], key: str, path: str, *kinds: Kind) -> Json:
    where = f"{path}.{key}" if path else key
    if key not in value:
        raise Invalid(f"Missing required parameter: '{where}'.", where, "missing_required_parameter")
    typed(value[key], where, *kinds)
    return value[key]


def empty_array(path: str) -> Invalid:
    text = f"Invalid '{path}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return Invalid(text, path, "empty_array")


def check_messages(
    messages: Sequence[Json], *, vision: bool, unknown_refused: bool, content_key_required: bool
) -> None:
    """Each message by itself, then their order. `content_key_required`: an assistant message that only calls tools must
    have the `content` key all the same (Azure)."""
    if not messages:
        raise empty_array("messages")
    for at, message in enumerate(messages):
        path = f"messages[{at}]"
        typed(message, path, "object")
        _check_role(message, path, unknown_refused)
        _check_turn(message, path, at, content_key_required)
        if message.get("content") is not None:
            _check_content(message["content"], message["role"], path, vision)
    _check_order(messages)


def _check_role(message: Json, path: str, unknown_refused: bool) -> None:
    role = require(message, "role", path, "string")
    if role not in _ROLES:
        names = ", ".join(f"'{name}'" for name in _ROLES[:-1])
        text = f"Invalid value: '{role}'. Supported values are: {names}, and '{_ROLES[-1]}'."
        raise Invalid(text, f"{path}.role", "invalid_value")
    allowed = {"role", "content", "name"} | _MESSAGE_FIELDS.get(role, frozenset())
    for name in message:
        if name not in allowed and unknown_refused:
            raise Invalid(f"Unknown parameter: '{path}.{name}'.", f"{path}.{name}", "unknown_parameter")


def _check_turn(message: Json, path: str, at: int, content_key_required: bool) -> None:
    if message["role"] == "tool":
        require(message, "tool_call_id", path, "string")
    instead = False
    if message["role"] == "assistant":
        calls = message.get("tool_calls")
        if calls is not None:
            _check_tool_calls(calls, f"{path}.tool_calls")
        instead = bool(calls or message.get("audio") or message.get("refusal") or message.get("function_call"))
    lacks_key = content_key_required and "content" not in message
    if message.get("content") is None and (lacks_key or not instead):
        raise Invalid("Invalid value for 'content': expected a string, got null.", f"messages.[{at}].content")


def _check_tool_calls(calls: Json, path: str) -> None:
    typed(calls, path, "array")
    if not calls:
        raise empty_array(path)
    for at, call in enumerate(calls):
        where = f"{path}[{at}]"
        typed(call, where, "object")
        if not require(call, "id", where, "string"):
            raise Invalid(f"Invalid '{where}.id': empty string.", f"{where}.id", "empty_string")
        kind = require(call, "type", where, "string")
        if kind == "custom":
            continue
        function = require(call, "function", where, "object")
        check_name(require(function, "name", f"{where}.function", "string"), f"{where}.function.name")
        require(function, "arguments", f"{where}.function", "string")
    if len({call["id"] for call in calls}) < len(calls):
        raise Invalid("Duplicate value for 'tool_call_id'.", path, "invalid_value")


def _check_content(content: Json, role: str, path: str, vision: bool) -> None:
    where = f"{path}.content"
    typed(content, where, "string", "array")
    if isinstance(content, str):
        return
    if not content:
        raise empty_array(where)
    for at, part in enumerate(content):
        _check_part(part, role, path, f"{where}[{at}]", vision)


def _check_part(part: Json, role: str, message_path: str, path: str, vision: bool) -> None:
    typed(part, path, "object")
    kind = require(part, "type", path, "string")
    allowed = _PARTS.get(role, ("text",))
    if kind in ("image_url", "image") and role != "user":
        text = (
            f"Invalid '{message_path}'. Image URLs are only allowed for messages with role 'user', "
            f"but this message with role '{role}' contains an image URL."
        )
        raise Invalid(text, message_path, "invalid_value")
    if kind not in allowed:
        text = f"Invalid value: '{kind}'. Supported values are: {', '.join(repr(name) for name in allowed)}."
        raise Invalid(text, f"{path}.type", "invalid_value")
    for name in part:
        if name not in ("type", _PART_FIELDS[kind], "prompt_cache_breakpoint"):
            raise Invalid(f"Unknown parameter: '{path}.{name}'.", f"{path}.{name}", "unknown_parameter")
    if kind in ("text", "refusal"):
        require(part, kind, path, "string")
    elif kind == "image_url":
        _check_image(require(part, kind, path, "object"), f"{path}.image_url", vision)
    elif kind == "input_audio":
        audio = require(part, kind, path, "object")
        require(audio, "data", f"{path}.input_audio", "string")
        require(audio, "format", f"{path}.input_audio", "string")
    else:
        _check_file(require(part, kind, path, "object"), f"{path}.file")


def _check_image(image: Json, path: str, vision: bool) -> None:
    url = require(image, "url", path, "string")
    if not vision:
        raise Invalid("Invalid content type. image_url is only supported by certain models.", path, "invalid_value")
    if image.get("detail") not in (None, "auto", "low", "high", "original"):
        raise Invalid(f"Invalid value: '{image['detail']}'.", f"{path}.detail", "invalid_value")
    if url.startswith(("https://", "http://")):
        return
    parsed = parse_data_url(url)
    if parsed is None:
        raise Invalid("Invalid base64 image_url.", path, "invalid_base64")
    if media_type(parsed[1]) is None:
        text = "You uploaded an unsupported image. Please make sure your image is of one the following formats: "
        raise Invalid(f"{text}['png', 'jpeg', 'gif', 'webp'].", None, "invalid_image_format")


def _check_file(file: Json, path: str) -> None:
    if "file_id" in file:
        return
    if parse_data_url(require(file, "file_data", path, "string")) is None:
        raise Invalid(f"Invalid '{path}.file_data': expected a base64 data URL.", f"{path}.file_data", "invalid_value")
    require(file, "filename", path, "string")


def _check_order(messages: Sequence[Json]) -> None:
    waiting: list[str] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise Invalid(f"Invalid parameter: {text}", f"messages.[{at}].role")
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = [call["id"] for call in message.get("tool_calls") or []]
    if waiting:
        text = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            f"The following tool_call_ids did not have response messages: {', '.join(waiting)}"
        )
        raise Invalid(text, "messages")


def check_name(name: str, path: str) -> None:
    if len(name) > 64:
        text = (
            f"Invalid '{path}': string too long. Expected a string with maximum length 64, but got one of {len(name)}."
        )
        raise Invalid(text, path, "string_above_max_length")
    if not _NAME.fullmatch(name):
        text = f"Invalid '{path}': string does not match pattern. Expected a string that matches '^[a-zA-Z0-9_-]+$'."
        raise Invalid(text, path, "invalid_value")


# -- what it asks for ---------------------------------------------------------------------------------------------------


def tool_name(tool: Json) -> str:
    name: str = tool[tool["type"]]["name"]
    return name


def asked_of(body: Mapping[str, Json], *, reasons: bool = False) -> Asked:
    """What a checked request asks for."""
    messages = body["messages"]
    user: Json = next((message for message in reversed(messages) if message["role"] == "user"), {})
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, text_of(message["content"]))
    choice = body.get("tool_choice")
    tools = {tool_name(tool): tool[tool["type"]].get("parameters") or {} for tool in body.get("tools") or []}
    if choice == "none":
        tools = {}
    elif isinstance(choice, dict) and choice["type"] != "allowed_tools":
        name = choice[choice["type"]]["name"]
        tools = {name: tools[name]}
    wanted = body.get("response_format") or {}
    schema = {"json_schema": wanted.get("json_schema", {}).get("schema"), "json_object": True}.get(
        wanted.get("type", "text")
    )
    stop = body.get("stop") or []
    return Asked(
        user_text=text_of(user.get("content")),
        prompt_text="\n".join(text_of(message) for message in messages),
        tool_results=tuple(results),
        images=tuple(_images(user.get("content"))),
        tools=tools,
        forced=choice == "required" or isinstance(choice, dict),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=schema,
        stop=[stop] if isinstance(stop, str) else stop,
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        reasons=reasons,
    )


def _images(content: Json) -> Iterator[str]:
    for part in content if isinstance(content, list) else []:
        if part["type"] == "image_url":
            url = part["image_url"]["url"]
            parsed = parse_data_url(url)
            yield f"image at {url}" if parsed is None else f"{media_type(parsed[1])} of {len(parsed[1])} bytes"
        elif part["type"] == "file":
            yield f"file {part['file'].get('filename') or part['file'].get('file_id')}"
