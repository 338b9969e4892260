"""What Ollama makes of a chat request: Go's decoding of the body, then the server's own checks.

Pure: whatever is wrong raises `Invalid`. Unknown fields are ignored, as Go does; `ignored_fields` names them, so that a
parameter that would be lost silently can be noticed. Stricter than the original in two points where it would quietly do
something else: an unknown role, and a tool result that does not say which tool it is of, are refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fakes.http_server import Json
from fakes.media import decode_base64, media_type
from fakes.script import Asked, text_of

__all__ = ["MODELS", "Invalid", "OllamaModel", "asked_of", "check_chat", "find_model", "ignored_fields", "prompt_text"]


class Invalid(Exception):
    """What is wrong with a request."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.status = message, status


@dataclass(frozen=True)
class OllamaModel:
    """`capabilities` as `/api/show` tells them; `num_ctx` is a line of the model's parameters."""

    architecture: str
    context: int
    capabilities: tuple[str, ...] = ("completion",)
    num_ctx: int | None = None


MODELS: dict[str, OllamaModel] = {
    "qwen3:8b": OllamaModel("qwen3", 40_960, ("completion", "tools", "thinking")),
    "llama3.2:latest": OllamaModel("llama", 131_072, ("completion", "tools")),
    "gemma3:4b": OllamaModel("gemma3", 131_072, ("completion", "vision"), num_ctx=8_192),
}
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_FIELDS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "messages": (list,),
    "stream": (bool,),
    "format": (str, dict),
    "keep_alive": (str, int, float),
    "tools": (list,),
    "options": (dict,),
    "think": (bool, str),
    "truncate": (bool,),
    "shift": (bool,),
    "logprobs": (bool,),
    "top_logprobs": (int,),
}
_MESSAGE_FIELDS: dict[str, tuple[type, ...]] = {
    "role": (str,),
    "content": (str,),
    "thinking": (str,),
    "images": (list,),
    "tool_calls": (list,),
    "tool_name": (str,),
    "tool_call_id": (str,),
}
_OPTIONS: dict[str, str] = {
    **dict.fromkeys(("num_ctx", "num_predict", "top_k", "seed", "num_keep", "num_gpu", "num_thread"), "integer"),
    **dict.fromkeys(("num_batch", "main_gpu", "repeat_last_n"), "integer"),
    **dict.fromkeys(("temperature", "top_p", "min_p", "typical_p", "repeat_penalty"), "float32"),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), "float32"),
    "use_mmap": "boolean",
    "stop": "array",
}
_OPTION_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "float32": (int, float),
    "boolean": (bool,),
    "array": (list,),
}
_ROLES = ("system", "user", "assistant", "tool")
_LEVELS = ("low", "medium", "high", "max")
_DURATION = re.compile(r"-?(\d+(\.\d+)?(ns|us|ms|s|m|h))+|-1|0")


def find_model(name: str, models: Mapping[str, OllamaModel]) -> tuple[str, OllamaModel]:
    """The model and its full name: without a tag it is `:latest`."""
    if not name:
        raise Invalid("model is required")
    full = name if ":" in name else f"{name}:latest"
    if full not in models:
        raise Invalid(f"model '{name}' not found", 404)
    return full, models[full]


def _decode(value: Json, types: tuple[type, ...], field: str, wanted: str) -> None:
    if value is None:
        return
    is_boolean = isinstance(value, bool)
    if isinstance(value, types) and (not is_boolean or bool in types):
        return
    raise Invalid(f"json: cannot unmarshal {_GO_KINDS[type(value)]} into Go struct field {field} of type {wanted}")


def check_chat(body: Json, models: Mapping[str, OllamaModel]) -> OllamaModel:
    """The model that the request names."""
    if not isinstance(body, dict):
        raise Invalid("json: cannot unmarshal array into Go value of type api.ChatRequest")
    for name, value in body.items():
        if name in _FIELDS:
            _decode(value, _FIELDS[name], f"ChatRequest.{name}", _FIELDS[name][0].__name__)
    for message in body.get("messages") or []:
        _check_message(message)
    for tool in body.get("tools") or []:
        _check_tool(tool)
    name, model = find_model(body.get("model") or "", models)
    _check_options(body.get("options") or {})
    _check_format(body.get("format"))
    _check_keep_alive(body.get("keep_alive"))
    _check_capabilities(body, name, model)
    return model


def _check_message(message: Json) -> None:
    _decode(message, (dict,), "ChatRequest.messages", "api.Message")
    for name, types in _MESSAGE_FIELDS.items():
        _decode(message.get(name), types, f"ChatRequest.messages.{name}", types[0].__name__)
    role = message.get("role")
    if role not in _ROLES:
        raise Invalid(f"invalid role: {role}")
    if role == "tool" and not message.get("tool_name"):
        raise Invalid("tool message without tool_name")
    for image in message.get("images") or []:
        data = decode_base64(image) if isinstance(image, str) else None
        if data is None:
            raise Invalid("illegal base64 data at input byte 4")
        if media_type(data) is None:
            raise Invalid("image: unknown format")
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        _decode(function.get("name"), (str,), "ToolCallFunction.messages.tool_calls.function.name", "string")
        arguments = function.get("arguments")
        where = "ToolCallFunction.messages.tool_calls.function.arguments"
        _decode(arguments, (dict,), where, "api.ToolCallFunctionArguments")
        if arguments is None or not function.get("name"):
            raise Invalid("tool call without name or arguments")


def _check_tool(tool: Json) -> None:
    _decode(tool, (dict,), "ChatRequest.tools", "api.Tool")
    function = tool.get("function")
    _decode(function, (dict,), "ChatRequest.tools.function", "api.ToolFunction")
    if tool.get("type") != "function" or not function or not function.get("name"):
        raise Invalid("tool without type or name")
    _decode(function.get("parameters"), (dict,), "ChatRequest.tools.function.parameters", "api.ToolFunctionParameters")


def _check_options(options: Mapping[str, Json]) -> None:
    for name, value in options.items():
        kind = _OPTIONS.get(name)
        if kind is None:
            continue
        if not isinstance(value, _OPTION_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            raise Invalid(f'option "{name}" must be of type {kind}')


def _check_format(wanted: Json) -> None:
    if isinstance(wanted, str) and wanted not in ("", "json"):
        raise Invalid(f'invalid format: "{wanted}"; expected "json" or a valid JSON Schema object')


def _check_keep_alive(value: Json) -> None:
    if isinstance(value, str) and not _DURATION.fullmatch(value):
        raise Invalid(f'time: invalid duration "{value}"')


def _check_capabilities(body: Mapping[str, Json], name: str, model: OllamaModel) -> None:
    if body.get("tools") and "tools" not in model.capabilities:
        raise Invalid(f"registry.ollama.ai/library/{name} does not support tools")
    think = body.get("think")
    if isinstance(think, str) and think not in _LEVELS:
        raise Invalid(f'invalid think value: "{think}" (must be "high", "medium", "low", "max", true, or false)')
    if think and "thinking" not in model.capabilities:
        raise Invalid(f'"{name}" does not support thinking')
    if any(message.get("images") for message in body.get("messages") or []) and "vision" not in model.capabilities:
        raise Invalid(f'"{name}" does not support image input')


def ignored_fields(body: Mapping[str, Json]) -> Iterator[str]:
    """What a checked request says to no effect: `tool_choice`, `messages.name`, `options.foo`."""
    yield from (name for name in body if name not in _FIELDS)
    yield from (f"options.{name}" for name in body.get("options") or {} if name not in _OPTIONS)
    for message in body.get("messages") or []:
        yield from (f"messages.{name}" for name in message if name not in _MESSAGE_FIELDS)


def prompt_text(body: Mapping[str, Json]) -> str:
    return "\n".join(text_of(message) for message in body.get("messages") or [])


def asked_of(body: Mapping[str, Json], model: OllamaModel) -> Asked:
    """What a checked request asks for."""
    messages = body.get("messages") or []
    user: Json = next((message for message in reversed(messages) if message["role"] == "user"), {})
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, message.get("content") or "")
    images = [decode_base64(image) or b"" for image in user.get("images") or []]
    options = body.get("options") or {}
    limit = options.get("num_predict", -1)
    wanted = body.get("format") or None
    thinks = body.get("think")
    tools = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in body.get("tools") or []}
    return Asked(
        user_text=user.get("content") or "",
        prompt_text=prompt_text(body),
        tool_results=tuple(results),
        images=tuple(f"{media_type(data)} of {len(data)} bytes" for data in images),
        tools=tools,
        schema=True if wanted == "json" else wanted,
        stop=options.get("stop") or (),
        limit=limit if limit > 0 else None,
        reasons="thinking" in model.capabilities and thinks is not False,
    )
