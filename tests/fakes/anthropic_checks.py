"""The checks that Anthropic makes of a Messages request, and its models.

Pure: whatever is wrong raises `Invalid` with Anthropic's text, which begins with the path of the field
(`messages.0.content.1.text: Field required`). Fields that the API does not document are refused, as Anthropic does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fakes.anthropic_messages import (
    Invalid,
    check_messages,
    check_name,
    check_text_blocks,
    expect,
    required,
    without_extras,
)
from fakes.http_server import Json
from fakes.media import open_objects
from fakes.script import text_of, words

__all__ = ["MODELS", "ClaudeModel", "check_count", "check_message_request", "prompt_text"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True)
class ClaudeModel:
    """What a model is and what it refuses."""

    id: str
    window: int = 1_000_000
    max_output: int = 128_000
    thinking: tuple[str, ...] = ("adaptive", "disabled")
    thinks_by_default: bool = True
    efforts: tuple[str, ...] = _EFFORTS
    sampling: Literal["accepted", "one of two", "defaults only"] = "defaults only"
    prefill: bool = False
    inline_system: bool = True
    forced_tools: bool = True


MODELS: dict[str, ClaudeModel] = {
    "claude-haiku-4-5": ClaudeModel(
        "claude-haiku-4-5-20251001", 200_000, 64_000, ("enabled", "disabled"), False, (), "one of two", True, False
    ),
    "claude-sonnet-4-5": ClaudeModel(
        "claude-sonnet-4-5-20250929", 200_000, 64_000, ("enabled", "disabled"), False, (), "one of two", True, False
    ),
    "claude-sonnet-4-6": ClaudeModel(
        "claude-sonnet-4-6",
        thinking=("enabled", "adaptive", "disabled"),
        thinks_by_default=False,
        efforts=("low", "medium", "high", "max"),
        sampling="accepted",
        inline_system=False,
    ),
    "claude-opus-4-8": ClaudeModel("claude-opus-4-8", thinks_by_default=False),
    "claude-sonnet-5": ClaudeModel("claude-sonnet-5"),
    "claude-opus-5": ClaudeModel("claude-opus-5"),
    "claude-haiku-5-5": ClaudeModel("claude-haiku-5-5"),
    "claude-opus-5-5": ClaudeModel("claude-opus-5-5", thinking=("adaptive",), forced_tools=False),
}
_SAMPLING = ("temperature", "top_p", "top_k")
_FIELDS: dict[str, str] = {
    "model": "string",
    "messages": "list",
    "max_tokens": "integer",
    "system": "string or list",
    "temperature": "number",
    "top_p": "number",
    "top_k": "integer",
    "stop_sequences": "list",
    "stream": "boolean",
    "tools": "list",
    "tool_choice": "dictionary",
    "thinking": "dictionary",
    "output_config": "dictionary",
    "metadata": "dictionary",
    "service_tier": "string",
    "speed": "string",
    "cache_control": "dictionary",
    "container": "string or dictionary",
    "inference_geo": "string",
}
_NOT_COUNTED = frozenset({"max_tokens", "stream", "stop_sequences", "metadata", "service_tier", *_SAMPLING})


def check_message_request(
    body: Json, *, models: Mapping[str, ClaudeModel], version: str, signatures: Mapping[str, str]
) -> ClaudeModel:
    """The model of a valid request; `signatures` are those that this server gave, with the thinking each belongs to."""
    fields = {name: kind for name, kind in _FIELDS.items() if version < "2026" or name not in _SAMPLING}
    model = _check_fields(body, fields, models)
    tokens = required(body, "max_tokens", "", "integer")
    if tokens < 0:
        raise Invalid("max_tokens: Input should be greater than or equal to 0")
    if tokens > model.max_output:
        text = (
            f"{tokens} > {model.max_output}, which is the maximum allowed number of output tokens for {body['model']}"
        )
        raise Invalid(f"max_tokens: {text}")
    _check_conversation(body, model, signatures)
    _check_sampling(body, model)
    _check_stops_and_metadata(body)
    return model


def check_count(body: Json, *, models: Mapping[str, ClaudeModel], signatures: Mapping[str, str]) -> ClaudeModel:
    """The same for counting, which takes no limit and nothing of the answer."""
    model = _check_fields(body, {name: kind for name, kind in _FIELDS.items() if name not in _NOT_COUNTED}, models)
    _check_conversation(body, model, signatures)
    return model


def _check_fields(body: Json, fields: Mapping[str, str], models: Mapping[str, ClaudeModel]) -> ClaudeModel:
    expect(body, "dictionary", "body")
    without_extras(body, fields, "")
    for name, value in body.items():
        expect(value, fields[name], name)
    name = required(body, "model", "", "string")
    for alias, model in models.items():
        if name in (alias, model.id):
            return model
    raise Invalid(f"model: {name}", 404, "not_found_error")


def _check_conversation(body: Mapping[str, Json], model: ClaudeModel, signatures: Mapping[str, str]) -> None:
    if isinstance(body.get("system"), list):
        check_text_blocks(body["system"], "system")
    messages = required(body, "messages", "", "list")
    check_messages(
        messages, inline_system=model.inline_system, prefill=model.prefill, signatures=signatures, model=body["model"]
    )
    _check_tools(body, model)
    _check_thinking(body, model)
    _check_output_config(body.get("output_config"), model)
    breakpoints = sum(1 for _ in _cache_controls(body))
    if breakpoints > 4:
        raise Invalid(f"A maximum of 4 blocks with cache_control may be provided. Found {breakpoints}.")
    tokens = len(words(prompt_text(body)))
    if tokens > model.window:
        raise Invalid(f"prompt is too long: {tokens} tokens > {model.window} maximum")


def _cache_controls(value: Json) -> Iterator[Json]:
    if isinstance(value, dict):
        if "cache_control" in value:
            yield value["cache_control"]
        for key in ("system", "messages", "content", "tools"):
            yield from _cache_controls(value.get(key))
    elif isinstance(value, list):
        for item in value:
            yield from _cache_controls(item)


def prompt_text(body: Mapping[str, Json]) -> str:
    """All text of the request."""
    return "\n".join([text_of(body.get("system")), *(text_of(message) for message in body["messages"])])


def _check_tools(body: Mapping[str, Json], model: ClaudeModel) -> None:
    tools: Sequence[Json] = body.get("tools") or []
    for at, tool in enumerate(tools):
        _check_tool(tool, f"tools.{at}.custom")
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise Invalid("tools: Tool names must be unique.")
    if not tools and any(_is_about_tools(block) for message in body["messages"] for block in _blocks(message)):
        raise Invalid("Requests which include `tool_use` or `tool_result` blocks must define tools")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not tools:
        raise Invalid("tool_choice: `tool_choice` may only be specified while providing `tools`.")
    _check_tool_choice(choice, names, body.get("thinking") or {}, model)


def _blocks(message: Json) -> list[Json]:
    content = message["content"]
    return content if isinstance(content, list) else []


def _is_about_tools(block: Json) -> bool:
    return block["type"] in ("tool_use", "tool_result")


def _check_tool(tool: Json, path: str) -> None:
    expect(tool, "dictionary", path)
    known = (
        "name",
        "description",
        "input_schema",
        "type",
        "strict",
        "cache_control",
        "input_examples",
        "defer_loading",
    )
    without_extras(tool, (*known, "eager_input_streaming"), path)
    check_name(required(tool, "name", path, "string"), f"{path}.name", 128)
    if "description" in tool:
        expect(tool["description"], "string", f"{path}.description")
    schema = required(tool, "input_schema", path, "dictionary")
    if schema.get("type") != "object":
        raise Invalid(f"{path}.input_schema.type: Input should be 'object'")
    problem = open_objects(schema) if tool.get("strict") else None
    if problem:
        raise Invalid(f"{path}.input_schema: {problem}")


def _check_tool_choice(choice: Json, names: Sequence[str], thinking: Json, model: ClaudeModel) -> None:
    kind = required(choice, "type", "tool_choice", "string")
    allowed = {"auto": ("disable_parallel_tool_use",), "any": ("disable_parallel_tool_use",), "none": ()}
    if kind not in (*allowed, "tool"):
        raise Invalid("tool_choice: Input tag found using 'type' does not match any of: 'any', 'auto', 'none', 'tool'")
    without_extras(choice, ("type", *allowed.get(kind, ("name", "disable_parallel_tool_use"))), f"tool_choice.{kind}")
    if kind == "tool" and required(choice, "name", "tool_choice.tool", "string") not in names:
        raise Invalid(f"tool_choice.tool.name: Tool '{choice['name']}' not found in provided tools")
    if kind in ("any", "tool"):
        if thinking.get("type") == "enabled":
            raise Invalid("Thinking may not be enabled when tool_choice forces tool use.")
        if not model.forced_tools:
            raise Invalid(f"tool_choice: type '{kind}' is not supported for this model.")


def _check_thinking(body: Mapping[str, Json], model: ClaudeModel) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = required(thinking, "type", "thinking", "string")
    fields = {"enabled": ("budget_tokens", "display"), "adaptive": ("display",)}.get(kind, ())
    without_extras(thinking, ("type", *fields), f"thinking.{kind}")
    if kind not in model.thinking:
        text = f'"thinking.type.{kind}" is not supported for this model.'
        raise Invalid(f'{text} Use "thinking.type.{model.thinking[0]}" and "output_config.effort" to control thinking.')
    if kind == "enabled":
        _check_budget(body, required(thinking, "budget_tokens", "thinking.enabled", "integer"))


def _check_budget(body: Mapping[str, Json], budget: int) -> None:
    if budget < 1024:
        raise Invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if "max_tokens" in body and budget >= body["max_tokens"]:
        raise Invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature", 1) != 1:
        raise Invalid("`temperature` may only be set to 1 when thinking is enabled.")
    if "top_k" in body or body.get("top_p", 1) < 0.95:
        raise Invalid("`top_k` must be unset and `top_p` at least 0.95 when thinking is enabled.")
    last = body["messages"][-1]
    if last["role"] == "assistant":
        raise Invalid("Prefilling assistant responses is not supported when thinking is enabled.")
    if any(block["type"] == "tool_result" for block in _blocks(last)):
        kind = _blocks(body["messages"][-2])[0]["type"]
        if kind not in ("thinking", "redacted_thinking"):
            at = len(body["messages"]) - 2
            text = (
                f"Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is enabled, a final "
            )
            raise Invalid(f"messages.{at}.content.0.type: {text}`assistant` message must start with a thinking block.")


def _check_output_config(config: Json, model: ClaudeModel) -> None:
    if config is None:
        return
    without_extras(config, ("effort", "format", "task_budget"), "output_config")
    effort = config.get("effort")
    if effort is not None and effort not in model.efforts:
        supported = ", ".join(sorted(model.efforts)) or "none"
        raise Invalid(f"This model does not support effort level '{effort}'. Supported levels: {supported}.")
    wanted = config.get("format")
    if wanted is None:
        return
    without_extras(wanted, ("type", "schema"), "output_config.format")
    if required(wanted, "type", "output_config.format", "string") != "json_schema":
        raise Invalid("output_config.format.type: Input should be 'json_schema'")
    problem = open_objects(required(wanted, "schema", "output_config.format", "dictionary"))
    if problem:
        raise Invalid(
            f"output_config.format.schema: For 'object' type, 'additionalProperties' must be false. {problem}"
        )


def _check_sampling(body: Mapping[str, Json], model: ClaudeModel) -> None:
    if not 0 <= body.get("temperature", 1) <= 1:
        raise Invalid("temperature: range: 0..1")
    if not 0 <= body.get("top_p", 1) <= 1:
        raise Invalid("top_p: range: 0..1")
    if model.sampling == "one of two" and "temperature" in body and "top_p" in body:
        raise Invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if model.sampling == "defaults only":
        for name in _SAMPLING:
            if body.get(name, 1) != 1:
                raise Invalid(f"`{name}` is deprecated for this model.")


def _check_stops_and_metadata(body: Mapping[str, Json]) -> None:
    for at, stop in enumerate(body.get("stop_sequences") or []):
        expect(stop, "string", f"stop_sequences.{at}")
        if not stop.strip():
            raise Invalid("stop_sequences: each stop sequence must contain non-whitespace")
    metadata = body.get("metadata") or {}
    without_extras(metadata, ("user_id",), "metadata")
    if "user_id" in metadata:
        expect(metadata["user_id"], "string", "metadata.user_id")
        if "@" in metadata["user_id"]:
            raise Invalid("metadata.user_id: user_id appears to contain an email address")
