"""The checks that OpenAI makes of a chat completions request, and its models.

Pure: `check_chat` raises `Invalid`, the server writes it in its own error shape. The texts are those of the real API as far
as they are known; codes and `param` are what clients decide on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fakes.http_server import Json
from fakes.media import open_objects
from fakes.openai_messages import Invalid, Kind, check_messages, check_name, empty_array, require, tool_name, typed
from fakes.script import text_of, words

__all__ = ["KNOWN_FIELDS", "MODELS", "ChatModel", "Rules", "check_chat"]


@dataclass(frozen=True)
class ChatModel:
    """What a model is and what it refuses."""

    snapshot: str
    window: int = 128_000
    max_output: int = 16_384
    efforts: tuple[str, ...] = ()
    """Accepted `reasoning_effort`s; empty: it does not reason."""
    default_effort: str = "medium"
    tools_need_effort_none: bool = False
    vision: bool = True

    @property
    def reasons(self) -> bool:
        return bool(self.efforts)


_CLASSIC = ("low", "medium", "high")
_NEWER = ("none", "low", "medium", "high", "xhigh")
MODELS: dict[str, ChatModel] = {
    "gpt-4o": ChatModel("gpt-4o-2024-08-06"),
    "gpt-4o-mini": ChatModel("gpt-4o-mini-2024-07-18"),
    "gpt-4.1": ChatModel("gpt-4.1-2025-04-14", 1_047_576, 32_768),
    "o3": ChatModel("o3-2025-04-16", 200_000, 100_000, _CLASSIC),
    "o3-mini": ChatModel("o3-mini-2025-01-31", 200_000, 100_000, _CLASSIC, vision=False),
    "gpt-5": ChatModel("gpt-5-2025-08-07", 400_000, 128_000, ("minimal", *_CLASSIC)),
    "gpt-5-mini": ChatModel("gpt-5-mini-2025-08-07", 400_000, 128_000, ("minimal", *_CLASSIC)),
    "gpt-5.1": ChatModel("gpt-5.1-2025-11-13", 400_000, 128_000, ("none", *_CLASSIC), "none"),
    "gpt-5.6-terra": ChatModel("gpt-5.6-terra", 1_050_000, 128_000, _NEWER, tools_need_effort_none=True),
    "gpt-6-luna": ChatModel("gpt-6-luna", 1_050_000, 128_000, _NEWER, tools_need_effort_none=True),
    "gpt-6-astra": ChatModel("gpt-6-astra", 1_050_000, 128_000, ("low", "medium", "high"), tools_need_effort_none=True),
}


@dataclass(frozen=True)
class Rules:
    """Where servers of this dialect differ."""

    models: Mapping[str, ChatModel]
    unknown_fields: Literal["refused", "ignored"] = "refused"
    content_key_required: bool = False
    """An assistant message that only calls tools must still have the `content` key (Azure)."""
    model_rules: bool = True
    """What a model refuses, and its window, are checked."""


_FIELDS: dict[str, tuple[Kind, ...]] = {
    "model": ("string",),
    "messages": ("array",),
    "max_completion_tokens": ("integer",),
    "max_tokens": ("integer",),
    "temperature": ("number",),
    "top_p": ("number",),
    "frequency_penalty": ("number",),
    "presence_penalty": ("number",),
    "n": ("integer",),
    "stop": ("string", "array"),
    "seed": ("integer",),
    "logprobs": ("boolean",),
    "top_logprobs": ("integer",),
    "logit_bias": ("object",),
    "response_format": ("object",),
    "tools": ("array",),
    "tool_choice": ("string", "object"),
    "parallel_tool_calls": ("boolean",),
    "stream": ("boolean",),
    "stream_options": ("object",),
    "reasoning_effort": ("string",),
    "verbosity": ("string",),
    "modalities": ("array",),
    "audio": ("object",),
    "prediction": ("object",),
    "service_tier": ("string",),
    "store": ("boolean",),
    "metadata": ("object",),
    "user": ("string",),
    "safety_identifier": ("string",),
    "prompt_cache_key": ("string",),
    "prompt_cache_options": ("object",),
    "prompt_cache_retention": ("string",),
    "moderation": ("object",),
    "functions": ("array",),
    "function_call": ("string", "object"),
}
KNOWN_FIELDS = frozenset(_FIELDS)
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "n": (1, 128),
    "max_tokens": (1, 2**31),
    "max_completion_tokens": (1, 2**31),
}


def check_chat(body: Json, rules: Rules) -> ChatModel:
    """The model that the request names; raises `Invalid`."""
    if not isinstance(body, dict):
        raise Invalid("We could not parse the JSON body of your request.")
    if not body.get("model"):
        raise Invalid("you must provide a model parameter")
    for name, value in body.items():
        _check_field(name, value, rules)
    model = _find_model(body["model"], rules.models)
    messages = require(body, "messages", "", "array")
    check_messages(
        messages,
        vision=model.vision,
        unknown_refused=rules.unknown_fields == "refused",
        content_key_required=rules.content_key_required,
    )
    _check_tools(body)
    _check_combinations(body)
    _check_response_format(body)
    if rules.model_rules:
        _check_reasoning(body, model)
        _check_limits(body, model)
    return model


def _check_field(name: str, value: Json, rules: Rules) -> None:
    if name not in _FIELDS:
        if rules.unknown_fields == "refused":
            raise Invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
        return
    if value is None:
        return
    typed(value, name, *_FIELDS[name])
    if name in _RANGES:
        least, most = _RANGES[name]
        kind = "integer" if isinstance(value, int) else "decimal"
        if value < least:
            text = (
                f"Invalid '{name}': {kind} below minimum value. Expected a value >= {least}, but got {value} instead."
            )
            raise Invalid(text, name, f"{kind}_below_min_value")
        if value > most:
            text = f"Invalid '{name}': {kind} above maximum value. Expected a value <= {most}, but got {value} instead."
            raise Invalid(text, name, f"{kind}_above_max_value")


def _find_model(name: str, models: Mapping[str, ChatModel]) -> ChatModel:
    for alias, model in models.items():
        if name in (alias, model.snapshot):
            return model
    text = f"The model `{name}` does not exist or you do not have access to it."
    raise Invalid(text, None, "model_not_found", 404)


# -- tools, formats, limits ---------------------------------------------------------------------------------------------


def _check_tools(body: Mapping[str, Json]) -> None:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                text = f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."
                raise Invalid(text, name)
        return
    if not tools:
        raise empty_array("tools")
    for at, tool in enumerate(tools):
        _check_tool(tool, f"tools[{at}]")
    _check_tool_choice(body.get("tool_choice"), [tool_name(tool) for tool in tools])


def _check_tool(tool: Json, path: str) -> None:
    typed(tool, path, "object")
    kind = require(tool, "type", path, "string")
    if kind not in ("function", "custom"):
        text = f"Invalid value: '{kind}'. Supported values are: 'function' and 'custom'."
        raise Invalid(text, f"{path}.type", "invalid_value")
    function = require(tool, kind, path, "object")
    where = f"{path}.{kind}"
    name = require(function, "name", where, "string")
    check_name(name, f"{where}.name")
    for field in tool:
        if field not in ("type", kind):
            raise Invalid(f"Unknown parameter: '{path}.{field}'.", f"{path}.{field}", "unknown_parameter")
    if function.get("description") is not None:
        typed(function["description"], f"{where}.description", "string")
    schema = function.get("parameters")
    if schema is None:
        return
    typed(schema, f"{where}.parameters", "object")
    problem = None
    if schema and schema.get("type") != "object":
        problem = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    elif function.get("strict"):
        problem = open_objects(schema, all_required=True)
    if problem:
        text = f"Invalid schema for function '{name}': {problem}"
        raise Invalid(text, f"{where}.parameters", "invalid_function_parameters")


def _check_tool_choice(choice: Json, names: Sequence[str]) -> None:
    if choice is None or choice in ("none", "auto", "required"):
        return
    if isinstance(choice, str):
        text = f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'."
        raise Invalid(text, "tool_choice", "invalid_value")
    kind = require(choice, "type", "tool_choice", "string")
    if kind == "allowed_tools":
        return
    name = require(require(choice, kind, "tool_choice", "object"), "name", f"tool_choice.{kind}", "string")
    if name not in names:
        raise Invalid(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")


def _check_combinations(body: Mapping[str, Json]) -> None:
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Invalid("The 'logprobs' parameter must be true when 'top_logprobs' is set.", "top_logprobs")
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        text = f"Invalid 'stop': array too long. Expected an array with maximum length 4, but got {len(stop)}."
        raise Invalid(text, "stop", "array_above_max_length")


def _check_response_format(body: Mapping[str, Json]) -> None:
    wanted = body.get("response_format")
    if wanted is None:
        return
    kind = require(wanted, "type", "response_format", "string")
    if kind == "json_object":
        if not any("json" in text_of(message).lower() for message in body["messages"]):
            text = (
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            )
            raise Invalid(text, "messages")
    elif kind == "json_schema":
        described = require(wanted, "json_schema", "response_format", "object")
        name = require(described, "name", "response_format.json_schema", "string")
        check_name(name, "response_format.json_schema.name")
        schema = require(described, "schema", "response_format.json_schema", "object")
        problem = open_objects(schema, all_required=True) if described.get("strict") else None
        if problem:
            raise Invalid(f"Invalid schema for response_format '{name}': {problem}", "response_format")
    elif kind != "text":
        text = f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'."
        raise Invalid(text, "response_format.type", "invalid_value")


def _check_reasoning(body: Mapping[str, Json], model: ChatModel) -> None:
    effort = body.get("reasoning_effort")
    if not model.reasons:
        if effort is not None:
            raise Invalid("Unrecognized request argument supplied: reasoning_effort")
        return
    if effort is not None and effort not in model.efforts:
        supported = ", ".join(f"'{name}'" for name in model.efforts)
        text = f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. Supported: {supported}."
        raise Invalid(text, "reasoning_effort", "unsupported_value")
    if body.get("max_tokens") is not None:
        text = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise Invalid(text, "max_tokens", "unsupported_parameter")
    active = (effort or model.default_effort) != "none"
    for name, code in _refused_while_reasoning(body, active):
        text = f"Unsupported parameter: '{name}' is not supported with this model."
        if code == "unsupported_value":
            given = f"Unsupported value: '{name}' does not support {body[name]} with this model."
            text = f"{given} Only the default (1) value is supported."
        raise Invalid(text, name, code)
    if body.get("tools") and active and model.tools_need_effort_none:
        text = (
            f"Function tools with reasoning_effort are not supported for {body['model']} in /v1/chat/completions. "
            "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
        )
        raise Invalid(text, "reasoning_effort")


def _refused_while_reasoning(body: Mapping[str, Json], active: bool) -> Iterator[tuple[str, str]]:
    if body.get("stop") is not None:
        yield "stop", "unsupported_parameter"
    if not active:
        return
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1):
            yield name, "unsupported_value"
    for name in ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"):
        if body.get(name):
            yield name, "unsupported_parameter"


def _check_limits(body: Mapping[str, Json], model: ChatModel) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        if (body.get(name) or 0) > model.max_output:
            text = (
                f"{name} is too large: {body[name]}. This model supports at most {model.max_output} completion tokens."
            )
            raise Invalid(text, name, "invalid_value")
    tokens = len(words(text_of(body["messages"])))
    if tokens > model.window:
        text = (
            f"This model's maximum context length is {model.window} tokens. However, your messages resulted in "
            f"{tokens} tokens. Please reduce the length of the messages."
        )
        raise Invalid(text, "messages", "context_length_exceeded")
