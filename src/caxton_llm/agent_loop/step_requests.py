"""The request of each step: the caller's, but for what the model is told of calling tools.

A forced choice of a tool is for the first step alone, or the model could never answer.
"""

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire import anthropic_messages

__all__ = ["later_request", "last_request"]


def later_request(request: ChatRequest) -> ChatRequest:
    """The request of a step after the first: the model may call tools, and need not."""
    if not (_forces(request.tool_choice) or _forces(request.function_call)):
        return request
    choice: Json = None
    if _is_anthropic(request) and request.parallel_tool_calls is False:
        choice = {"type": "auto", "disable_parallel_tool_use": True}
    changed = replace(request, tool_choice=None, function_call=None)
    return _with_source(changed, {} if choice is None else {"tool_choice": choice})


def last_request(request: ChatRequest) -> ChatRequest:
    """The request that the model must answer without calling a tool."""
    changed = replace(request, tool_choice="none", function_call="none" if request.functions else None)
    if request.source is not None and "functions" in request.source.fields:
        return _with_source(changed, {"function_call": "none"})
    return _with_source(changed, {"tool_choice": {"type": "none"} if _is_anthropic(request) else "none"})


def _forces(choice: str | dict[str, Json] | None) -> bool:
    """Whether the model must call a tool; `allowed_tools` says so by its mode."""
    if isinstance(choice, dict):
        allowed = choice.get("allowed_tools")
        mode = allowed.get("mode") if isinstance(allowed, dict) else choice.get("mode")
        return mode != "auto"
    return choice not in (None, "auto", "none")


def _is_anthropic(request: ChatRequest) -> bool:
    return request.source is not None and request.source.dialect == anthropic_messages.name


def _with_source(request: ChatRequest, choice: dict[str, Json]) -> ChatRequest:
    """The request with its choice of tools in its source bytes too, which a target of the client's dialect is sent."""
    source = request.source
    if source is None:
        return request
    kept = {name: raw for name, raw in source.fields.items() if name not in ("tool_choice", "function_call")}
    told = {name: Raw(msgspec.json.encode(value)) for name, value in choice.items()}
    return replace(request, source=replace(source, fields={**kept, **told}))
