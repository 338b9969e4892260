"""What each vendor adds to the texts of a prompt: frames around messages, calls and answers, instructions for tools. Pure.

Vendors say little of it; what is not from a page of theirs is from usage that they reported, and says so. Where figures
differ, the larger is taken: a prompt that is thought too long is shortened, one that is thought too short is refused.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from caxton_llm.tokens.vendors import Vendor, bare_name, thinks_first, vendor_of
from caxton_llm.types import ChatRequest, FunctionDefinition, Json
from caxton_llm.wire.written import written

__all__ = ["NEUTRAL", "Overheads", "format_text", "overheads_of", "tool_prompt_tokens", "tool_texts"]


class Overheads(Struct, frozen=True, kw_only=True):
    """Tokens beside the texts. The word of a role is a part of `message`."""

    message: int
    answer: int
    """The beginning of the answer, and what begins a prompt."""
    name: int = 0
    call: int = 0
    """Around the name and the arguments of a call of a tool."""
    result: int = 0
    """Around what a tool gave, beside the message's own."""
    parallel: int = 0
    """For several calls in one message, once."""
    without_system: int = 0
    """The system message that the template writes when the request has none."""
    response_format: int = 0


# https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken: 3 for a message and its role, 3 for the
# answer, 1 for a name. A call with its result is 8 more than their texts (usage of gpt-4o, gpt-4o-mini and gpt-4.1-mini);
# calls at once are wrapped into another (https://github.com/chrisdinn/tokens: 13).
NEUTRAL = Overheads(message=4, answer=3, name=1, call=5, result=3, parallel=13, response_format=2)
_THINKING = Overheads(message=4, answer=2, name=1, call=5, result=3, parallel=13, response_format=2)
"""OpenAI's reasoning models begin an answer without a channel: 1 less (usage of o3-mini, gpt-5 and gpt-5.6)."""

# https://github.com/openai/harmony: before all else stand who the model is, a date, the effort and the channels (68).
_HARMONY = Overheads(message=4, answer=71, call=8, result=8, response_format=8)

# Usage of Sonnet 4.5 and Haiku 4.5: 7 around one message; 59 around a call and its result, which are written as XML.
_ANTHROPIC = Overheads(message=4, answer=3, call=34, result=25, response_format=60)

# ChatML and Llama 3 have 4 marks around a message, and some templates write a system message of 20 to 30 tokens. Qwen and
# Hermes write a call as JSON in <tool_call>, a result in <tool_response>. A schema is said twice (usage of Ollama).
_LOCAL = Overheads(message=5, answer=5, call=16, result=9, without_system=25, response_format=55)

_OF_VENDOR: Mapping[Vendor, Overheads] = {
    "openai": NEUTRAL,
    "harmony": _HARMONY,
    "anthropic": _ANTHROPIC,
    "local": _LOCAL,
    "other": _LOCAL,
}

_NAMESPACE, _NAMESPACE_IN_SYSTEM = 9, 5
"""Around OpenAI's namespace of functions: a system message of its own, or a part of the request's (usage of gpt-4o)."""
_THINKING_TOOLS = 80
"""OpenAI's reasoning models are told how to call tools (usage of gpt-5-mini)."""
_HARMONY_TOOLS = 9
"""Beside the namespace: which channel calls belong to (usage of gpt-oss, 20b)."""
_LOCAL_TOOLS = 110
"""The instructions of Qwen's and Hermes' templates for tools, which are the longest of the usual ones."""
_DEEPEST = 32
"""Levels of a schema that are written as types."""
_PLAIN_TYPES = ("string", "boolean", "null")

_CLAUDE_THINKING = 29
"""Usage of Sonnet 4 and 4.5 with thinking enabled; later models have none."""

# "Tool use system prompt tokens" of https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview: with auto or
# none, with any or a tool. The beginning of a name; the first that fits counts.
_CLAUDE_TOOLS: tuple[tuple[str, int, int], ...] = (
    ("claude-opus-5", 286, 406),
    ("claude-sonnet-5", 354, 474),
    ("claude-opus-4-8", 290, 410),
    ("claude-opus-4-7", 675, 804),
    ("claude-opus-4-6", 497, 589),
    ("claude-sonnet-4-6", 497, 589),
    ("claude-opus-4-5", 496, 588),
    ("claude-sonnet-4-5", 496, 588),
    ("claude-haiku-4-5", 496, 588),
    ("claude-opus-4", 313, 315),
    ("claude-sonnet-4", 313, 315),
    ("claude-3-7-sonnet", 346, 313),
    ("claude-3-5-haiku", 264, 355),
    ("claude-3-opus", 530, 281),
    ("claude-3-sonnet", 159, 235),
    ("claude-3-haiku", 264, 340),
    ("", 675, 804),
)


def overheads_of(provider: str, model: str) -> Overheads:
    """By the kind of the provider and the name of the model."""
    vendor = vendor_of(provider, model)
    return _THINKING if vendor == "openai" and thinks_first(model) else _OF_VENDOR[vendor]


def tool_prompt_tokens(request: ChatRequest, provider: str, model: str) -> int:
    """What the vendor writes by itself because there are tools, or because the model is to think."""
    vendor = vendor_of(provider, model)
    thinking = _CLAUDE_THINKING if vendor == "anthropic" and _is_told_to_think(request) else 0
    if not (request.tools or request.functions):
        return thinking
    if vendor == "anthropic":
        name = bare_name(model)
        _, usual, forced = next(row for row in _CLAUDE_TOOLS if name.startswith(row[0]))
        return thinking + (forced if _is_forced(request.tool_choice) else usual)
    if vendor in ("openai", "harmony"):
        system = any(message.role in ("system", "developer") for message in request.messages)
        around = _NAMESPACE_IN_SYSTEM if system else _NAMESPACE
        if vendor == "harmony":
            return around + _HARMONY_TOOLS
        return around + (_THINKING_TOOLS if thinks_first(model) else 0)
    return _LOCAL_TOOLS


def tool_texts(request: ChatRequest, provider: str, model: str) -> Iterator[str]:
    """The request's tools as the model reads them. Raises `InvalidRequest` for one that JSON cannot express."""
    functions = [tool.function for tool in request.tools or () if tool.function is not None]
    functions += request.functions or []
    if vendor_of(provider, model) in ("openai", "harmony"):
        if functions:
            yield _namespace(functions)
    else:
        for function in functions:
            yield f'{{"type": "function", "function": {written(function).decode()}}}'
    for tool in request.tools or ():
        if tool.function is None:
            yield written(tool).decode()


def format_text(request: ChatRequest) -> str | None:
    """The schema that the answer must satisfy, as the model reads it; `None` when there is none. Raises likewise."""
    wanted = request.response_format
    if wanted is None or wanted.json_schema is None:
        return None
    schema = wanted.json_schema
    return f"{schema.description or ''}{written(schema.schema).decode()}"


def _is_forced(choice: Json) -> bool:
    return isinstance(choice, dict) or choice in ("required", "any")


def _is_told_to_think(request: ChatRequest) -> bool:
    thinking = request.extra_value("thinking")
    return isinstance(thinking, dict) and thinking.get("type") == "enabled"


# -- OpenAI's namespace -------------------------------------------------------------------------------------------------
# The form is public with gpt-oss (https://github.com/openai/harmony), and usage of the closed models agrees with it.


def _namespace(functions: list[FunctionDefinition]) -> str:
    lines = ["namespace functions {", ""]
    for function in functions:
        lines += [f"// {line}" for line in (function.description or "").splitlines()]
        properties = list(_properties(function.parameters or {}, 0))
        if properties:
            lines += [f"type {function.name} = (_: {{", *properties, "}) => any;", ""]
        else:
            lines += [f"type {function.name} = () => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def _properties(schema: dict[str, Json], depth: int) -> Iterator[str]:
    properties = schema.get("properties")
    required = schema.get("required")
    for name, value in properties.items() if isinstance(properties, dict) else ():
        optional = "" if isinstance(required, list) and name in required else "?"
        described = value.get("description") if isinstance(value, dict) else None
        if isinstance(described, str):
            yield from (f"// {line}" for line in described.splitlines())
        yield f"{name}{optional}: {_type(value, depth + 1)},"


def _type(schema: Json, depth: int) -> str:
    """A type in TypeScript; what it cannot say is written as the schema, so that nothing is left out of the count."""
    if not isinstance(schema, dict):
        return "any"
    values, kind = schema.get("enum"), schema.get("type")
    if isinstance(values, list):
        return " | ".join(written(value).decode() for value in values)
    if depth < _DEEPEST and kind == "object" and schema.get("properties"):
        return "\n".join(["{", *_properties(schema, depth), "}"])
    if depth < _DEEPEST and kind == "array":
        return f"{_type(schema.get('items'), depth + 1)}[]"
    if kind in ("integer", "number"):
        return "number"
    return kind if kind in _PLAIN_TYPES else written(schema).decode()
