"""The messages of a Messages request as Anthropic checks them: each block, then the order of the turns.

Pure: whatever is wrong raises `Invalid`, with the path of the field first.
"""

import re
from collections.abc import Container, Mapping, Sequence

from fakes.http_server import Json
from fakes.media import decode_base64, media_type

__all__ = ["Invalid", "check_messages", "check_name", "check_text_blocks", "expect", "required", "without_extras"]


class Invalid(Exception):
    """What is wrong with a request."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message, self.status, self.kind = message, status, kind


_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "dictionary": dict,
}
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_FIELDS: dict[str, dict[str, str]] = {
    "text": {"text": "string", "cache_control": "dictionary?", "citations": "list?"},
    "image": {"source": "dictionary", "cache_control": "dictionary?"},
    "document": {
        "source": "dictionary",
        "title": "string?",
        "context": "string?",
        "citations": "dictionary?",
        "cache_control": "dictionary?",
    },
    "tool_use": {"id": "string", "name": "string", "input": "dictionary", "cache_control": "dictionary?"},
    "tool_result": {
        "tool_use_id": "string",
        "content": "string or list?",
        "is_error": "boolean?",
        "cache_control": "dictionary?",
    },
    "thinking": {"thinking": "string", "signature": "string"},
    "redacted_thinking": {"data": "string"},
}
_ALLOWED = {
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    "tool_result": ("text", "image", "document"),
}
_ID = re.compile(r"[a-zA-Z0-9_-]+")


def expect(value: Json, kinds: str, path: str) -> None:
    """`kinds` is `string or list`; a trailing `?` allows nothing more than being absent."""
    for kind in kinds.removesuffix("?").split(" or "):
        if isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)):
            return
    raise Invalid(f"{path}: Input should be a valid {kinds.removesuffix('?')}")


def required(value: Mapping[str, Json], key: str, path: str, kinds: str) -> Json:
    where = f"{path}.{key}" if path else key
    if key not in value:
        raise Invalid(f"{where}: Field required")
    expect(value[key], kinds, where)
    return value[key]


def without_extras(value: Mapping[str, Json], known: Container[str], path: str) -> None:
    for name in value:
        if name not in known:
            raise Invalid(
                f"{path}.{name}: Extra inputs are not permitted" if path else f"{name}: Extra inputs are not permitted"
            )


def check_name(name: str, path: str, longest: int) -> None:
    if len(name) > longest or not _ID.fullmatch(name):
        raise Invalid(f"{path}: String should match pattern '^[a-zA-Z0-9_-]{{1,{longest}}}$'")


def check_text_blocks(blocks: Sequence[Json], path: str) -> None:
    for at, block in enumerate(blocks):
        _check_block(block, ("text",), f"{path}.{at}", {})


def check_messages(
    messages: Sequence[Json], *, inline_system: bool, prefill: bool, signatures: Mapping[str, str], model: str
) -> None:
    if not messages:
        raise Invalid("messages: at least one message is required")
    for at, message in enumerate(messages):
        _check_message(message, f"messages.{at}", at == len(messages) - 1, inline_system, signatures)
    if messages[0]["role"] != "user":
        raise Invalid('messages: first message must use the "user" role')
    for at, message in enumerate(messages):
        if message["role"] == "system":
            _check_inline_system(messages, at)
    _check_tool_results(messages)
    last = messages[-1]
    if last["role"] == "assistant":
        _check_prefill(last["content"], prefill)


def _check_message(message: Json, path: str, is_last: bool, inline_system: bool, signatures: Mapping[str, str]) -> None:
    expect(message, "dictionary", path)
    role = required(message, "role", path, "string")
    if role == "system" and not inline_system:
        raise Invalid(f"{path}.role: role 'system' is not supported on this model")
    if role not in ("user", "assistant", "system"):
        raise Invalid(f"{path}.role: Input should be 'user' or 'assistant'")
    without_extras(message, ("role", "content"), path)
    content = required(message, "content", path, "string or list")
    if not content and not (is_last and role == "assistant"):
        raise Invalid(
            f"{path}: all messages must have non-empty content except for the optional final assistant message"
        )
    if isinstance(content, list):
        for at, block in enumerate(content):
            _check_block(block, _ALLOWED.get(role, ("text",)), f"{path}.content.{at}", signatures)
    elif content and not content.strip():
        raise Invalid(f"{path}: text content blocks must contain non-whitespace text")


def _check_block(block: Json, allowed: Sequence[str], path: str, signatures: Mapping[str, str]) -> None:
    expect(block, "dictionary", path)
    kind = required(block, "type", path, "string")
    if kind not in allowed:
        tags = ", ".join(f"'{name}'" for name in allowed)
        raise Invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    where = f"{path}.{kind}"
    fields = _FIELDS[kind]
    without_extras(block, ("type", *fields), where)
    for name, kinds in fields.items():
        if name in block or not kinds.endswith("?"):
            required(block, name, where, kinds)
    _check_cache_control(block.get("cache_control"), where)
    if kind == "text":
        _check_text(block["text"], path)
    elif kind in ("image", "document"):
        _check_source(block["source"], kind, f"{where}.source")
    elif kind == "tool_use":
        check_name(block["id"], f"{where}.id", 512)
        check_name(block["name"], f"{where}.name", 200)
    elif kind == "tool_result" and isinstance(block.get("content"), list):
        for at, part in enumerate(block["content"]):
            _check_block(part, _ALLOWED["tool_result"], f"{where}.content.{at}", signatures)
    else:
        _check_signature(block, path, signatures)


def _check_cache_control(value: Json, path: str) -> None:
    if value is None:
        return
    without_extras(value, ("type", "ttl"), f"{path}.cache_control")
    if value.get("type") != "ephemeral":
        raise Invalid(f"{path}.cache_control.type: Input should be 'ephemeral'")
    if value.get("ttl", "5m") not in ("5m", "1h"):
        raise Invalid(f"{path}.cache_control.ephemeral.ttl: Input should be '5m' or '1h'")


def _check_text(text: str, path: str) -> None:
    if not text:
        raise Invalid(f"{path}.text: text content blocks must be non-empty")
    if not text.strip():
        raise Invalid(f"{path}.text: text content blocks must contain non-whitespace text")


def _check_signature(block: Json, path: str, signatures: Mapping[str, str]) -> None:
    if block["type"] == "redacted_thinking" and block["data"] not in signatures:
        raise Invalid(f"{path}: Invalid `data` in `redacted_thinking` block")
    if block["type"] == "thinking" and signatures.get(block["signature"]) != block["thinking"]:
        raise Invalid(f"{path}: Invalid `signature` in `thinking` block")


def _check_source(source: Json, kind: str, path: str) -> None:
    form = required(source, "type", path, "string")
    fields = {"base64": ("media_type", "data"), "text": ("media_type", "data"), "url": ("url",), "file": ("file_id",)}
    if form not in fields or (form == "text" and kind == "image"):
        raise Invalid(f"{path}: Input tag '{form}' found using 'type' does not match any of the expected tags")
    without_extras(source, ("type", *fields[form]), f"{path}.{form}")
    for name in fields[form]:
        required(source, name, f"{path}.{form}", "string")
    if form == "base64":
        _check_base64(source, kind, f"{path}.base64")
    elif form == "url" and not source["url"].startswith("https://"):
        raise Invalid(f"{path}.url: Only HTTPS URLs are supported.")


def _check_base64(source: Json, kind: str, path: str) -> None:
    data, declared = decode_base64(source["data"]), source["media_type"]
    if data is None:
        raise Invalid(f"{path}.data: invalid base64 data")
    if kind == "document":
        if declared != "application/pdf" or not data.startswith(b"%PDF"):
            raise Invalid(f"{path}.data: The PDF specified was not valid.")
        return
    if declared not in _IMAGE_TYPES:
        raise Invalid(f"{path}.media_type: Input should be {', '.join(map(repr, _IMAGE_TYPES))}")
    real = media_type(data)
    if real is None:
        raise Invalid(f"{path}: Could not process image")
    if real != declared:
        text = f"The image was specified using the {declared} media type, but the image appears to be a {real} image"
        raise Invalid(f"{path}: {text}")


def _check_inline_system(messages: Sequence[Json], at: int) -> None:
    after = messages[at + 1]["role"] if at + 1 < len(messages) else "assistant"
    if messages[at - 1]["role"] != "user" or after != "assistant":
        text = "role 'system' must follow a user message and be last or followed by an assistant message"
        raise Invalid(f"messages.{at}: {text}")


def _ids(message: Json, kind: str, key: str) -> list[str]:
    content = message["content"]
    return [block[key] for block in content if block["type"] == kind] if isinstance(content, list) else []


def _check_tool_results(messages: Sequence[Json]) -> None:
    calls: list[str] = []
    for at, message in enumerate(messages):
        results = _ids(message, "tool_result", "tool_use_id")
        for result in results:
            if result not in calls:
                text = f"unexpected `tool_use_id` found in `tool_result` blocks: {result}. "
                text += "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                raise Invalid(f"messages.{at}.content.0: {text}")
        _check_answered(messages, at, calls, results)
        calls = _ids(message, "tool_use", "id") if message["role"] == "assistant" else []
        if len(set(calls)) < len(calls):
            raise Invalid(f"messages.{at}: `tool_use` ids must be unique")
    _check_answered(messages, len(messages), calls, [])


def _check_answered(messages: Sequence[Json], at: int, calls: Sequence[str], results: Sequence[str]) -> None:
    missing = [call for call in calls if call not in results]
    if missing:
        text = f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. Each "
        text += "`tool_use` block must have a corresponding `tool_result` block in the next message."
        raise Invalid(f"messages.{at - 1}: {text}")
    if results:
        kinds = [block["type"] for block in messages[at]["content"]]
        if "tool_result" in kinds[len(results) :]:
            raise Invalid(f"messages.{at}: `tool_result` blocks must come before any other content")


def _check_prefill(content: Json, prefill: bool) -> None:
    if not prefill:
        text = "This model does not support assistant message prefill. The conversation must end with a user message."
        raise Invalid(text)
    text = content if isinstance(content, str) else content[-1].get("text", "") if content else ""
    if text != text.rstrip():
        raise Invalid("messages: final assistant content cannot end with trailing whitespace")
