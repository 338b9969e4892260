"""A request that a client of Anthropic's Messages API sends us, in the common model.

Rules kept here: the bytes of every field travel along (`RequestSource`), so that a target of this dialect gets them
unchanged; what the common model has no place for is named in it by its type only, so that a target of another dialect refuses
it instead of losing it. Every error names the field by its path in the client's own request (`messages[0].content[1].text`).

What other vendors are told in place of Anthropic's own settings: `output_config.effort` is `reasoning_effort`; without it
`thinking` is, by its budget (up to 2048 tokens low, up to 8192 medium, above high; adaptive is medium; disabled and
between_tools are none). `output_config.format` is a strict `json_schema`. A tool's failure (`is_error`) is told in words.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.types import (
    ChatRequest,
    FunctionDefinition,
    Json,
    JsonSchemaFormat,
    RequestSource,
    ResponseFormat,
    Tool,
)
from caxton_llm.wire.anthropic_messages.client.invalid import invalid_body, invalid_field
from caxton_llm.wire.anthropic_messages.client.turns import Turn, client_path_of, decode_turns
from caxton_llm.wire.anthropic_messages.response import DIALECT
from caxton_llm.wire.anthropic_messages.thinking import budget_effort
from caxton_llm.wire.conversation import names_conversation
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["client_path", "decode_count_request", "decode_request"]

_HEADERS = ("anthropic-beta", "anthropic-version")
_Share = Annotated[float, Meta(ge=0, le=1)]


class _Tool(Struct):
    """A tool of the client's, or one that Anthropic runs: then it is known by its type only."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Json] | None = None
    strict: bool | None = None
    cache_control: Json = None


class _ToolChoice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct):
    type: str
    budget_tokens: int | None = None


class _Format(Struct):
    type: str
    schema: dict[str, Json] | None = None


class _OutputConfig(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Request(Struct, kw_only=True):
    model: str
    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    system: str | list[Raw] | None = None
    temperature: _Share | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None


_request_decoder = msgspec.json.Decoder(_Request)
_fields_decoder = msgspec.json.Decoder(dict[str, Raw])
_system_decoder = msgspec.json.Decoder(str | list[Raw] | None)
_turns_decoder = msgspec.json.Decoder(list[Turn])

_COMMON_FIELDS = frozenset(_Request.__struct_fields__) - {"thinking", "output_config", "top_k"}
_NULL = Raw(b"null")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SERVICE_TIERS = {"standard_only": "default"}
_CLIENT_NAMES = {
    "max_completion_tokens": "max_tokens",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "response_format.json_schema": "output_config.format",
    "response_format.json_schema.schema": "output_config.format.schema",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
}
"""The client's names of what the common model calls otherwise."""


def decode_request(body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """`POST /v1/messages`. Raises `InvalidRequest` with the path of the field."""
    request = _decode(body, headers)
    if request.max_tokens is None:
        raise InvalidRequest("max_tokens is missing; say how many tokens may be written", param="max_tokens")
    return request


def decode_count_request(body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """`POST /v1/messages/count_tokens`: the same without `max_tokens`."""
    return _decode(body, headers)


def client_path(path: str, request: ChatRequest) -> str:
    """What stands at `path` of the common model, by its path in the request that the client sent.

    For errors that arise only where the request is encoded for another vendor; the same path for a request that did not come
    in this dialect.
    """
    source = request.source
    if source is None or source.dialect != DIALECT:
        return path
    if not path.startswith("messages["):
        name, dot, rest = path.partition(".")
        return _CLIENT_NAMES.get(path) or (_CLIENT_NAMES.get(name) or name) + dot + rest
    system = source.fields.get("system")
    return client_path_of(
        path,
        _system_decoder.decode(system) if system is not None else None,
        _turns_decoder.decode(source.fields["messages"]),
    )


def _decode(body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    try:
        if not body.isascii():
            body.decode()  # what stays undecoded below would otherwise travel on
        wire = _request_decoder.decode(body)
        fields = _fields_decoder.decode(body)
    except UNREADABLE as error:
        raise invalid_body(error) from None
    choice = wire.tool_choice
    return ChatRequest(
        model=wire.model,
        messages=decode_turns(wire.system, wire.messages, continues=names_conversation(fields, headers)),
        tools=_tools(wire.tools),
        tool_choice=_tool_choice(choice),
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        response_format=_response_format(wire.output_config),
        temperature=wire.temperature,
        top_p=wire.top_p,
        stop=wire.stop_sequences,
        max_tokens=wire.max_tokens,
        user=wire.metadata.user_id if wire.metadata is not None else None,
        reasoning_effort=_effort(wire),
        service_tier=_SERVICE_TIERS.get(wire.service_tier, wire.service_tier) if wire.service_tier else None,
        stream=wire.stream,
        extra=_extra(fields, wire.output_config),
        source=RequestSource(DIALECT, fields, {name: headers[name] for name in _HEADERS if name in headers}),
    )


def _tools(tools: list[_Tool] | None) -> list[Tool] | None:
    return [_tool(tool, index) for index, tool in enumerate(tools)] if tools else None


def _tool(tool: _Tool, index: int) -> Tool:
    if tool.type not in (None, "custom"):
        return Tool(type=tool.type or "")
    if not tool.name:
        raise InvalidRequest(f"tools[{index}].name is missing", param=f"tools[{index}].name")
    if tool.input_schema is None:
        raise InvalidRequest(
            f'tools[{index}].input_schema is missing; {{"type": "object"}} is the least',
            param=f"tools[{index}].input_schema",
        )
    function = FunctionDefinition(
        name=tool.name, description=tool.description, parameters=tool.input_schema, strict=tool.strict
    )
    return Tool(type="function", function=function, cache_control=tool.cache_control)


def _tool_choice(choice: _ToolChoice | None) -> str | dict[str, Json] | None:
    if choice is None:
        return None
    if choice.type != "tool":
        return _CHOICES[choice.type]
    if not choice.name:
        raise InvalidRequest("tool_choice.name is missing", param="tool_choice.name")
    return {"type": "function", "function": {"name": choice.name}}


def _response_format(config: _OutputConfig | None) -> ResponseFormat | None:
    if config is None or config.format is None:
        return None
    if config.format.type != "json_schema" or config.format.schema is None:
        raise InvalidRequest(
            "output_config.format must be of type json_schema and have a schema", param="output_config.format"
        )
    return ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema=config.format.schema, strict=True))


def _effort(wire: _Request) -> str | None:
    thinking = wire.thinking
    if thinking is not None and thinking.type in ("disabled", "between_tools"):
        return "none"
    if wire.output_config is not None and wire.output_config.effort is not None:
        return wire.output_config.effort
    if thinking is None:
        return None
    return "medium" if thinking.budget_tokens is None else budget_effort(thinking.budget_tokens)


def _extra(fields: dict[str, Raw], config: _OutputConfig | None) -> dict[str, Json]:
    extra: dict[str, Json] = {
        name: value for name, value in fields.items() if name not in _COMMON_FIELDS and value != _NULL
    }
    if config is not None and config.format is not None:  # that one is in the common model
        rest = _fields_decoder.decode(fields["output_config"])
        del rest["format"]
        extra["output_config"] = Raw(msgspec.json.encode(rest))
        if not rest:
            del extra["output_config"]
    for name, value in extra.items():
        try:
            msgspec.json.decode(value)
        except msgspec.ValidationError as error:  # a number that is out of range
            raise invalid_field(error, name) from None
    return extra
