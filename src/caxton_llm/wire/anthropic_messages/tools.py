"""Tools and the choice among them as Anthropic wants them, and the answer that a schema is enforced on by a forced tool."""

from msgspec import Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatRequest, FunctionDefinition, Json, Tool
from caxton_llm.wire.anthropic_messages.schema import fit_schema
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.tool_names import wire_tool_names

__all__ = ["ToolPlan", "forces_a_tool", "names_on_wire", "plan_tools"]

_NO_PARAMETERS: dict[str, Json] = {"type": "object", "properties": {}}
_Choice = str | dict[str, Json]


class ToolPlan(Struct, kw_only=True):
    """The fields `tools` and `tool_choice`; `None` leaves a field out."""

    tools: list[dict[str, Json]] | None = None
    choice: dict[str, Json] | None = None


def names_on_wire(request: ChatRequest, *, limit: int = 64) -> dict[str, str]:
    """The caller's name of a tool -> its name on the wire, for those that Anthropic would refuse or that are longer than
    `limit`: 64 is what every provider accepts."""
    names = [tool.function.name for tool in request.tools or () if tool.function is not None]
    names += _names_in_history(request)
    return wire_tool_names(names, limit=limit) if names else {}


def _names_in_history(request: ChatRequest) -> list[str]:
    names = []
    for message in request.messages:
        names += [call.function.name for call in message.tool_calls or () if call.function is not None]
    return names


def forces_a_tool(request: ChatRequest) -> bool:
    """The request allows no answer without a tool call."""
    choice = request.tool_choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return _allowed(choice).get("mode") == "required"
    return choice not in (None, "auto", "none")


def plan_tools(request: ChatRequest, model: ModelInfo, names: dict[str, str], notes: ParameterNotes) -> ToolPlan:
    """Raises `UnsupportedFeature` for a tool that is no function, `InvalidRequest` for a choice of an absent tool."""
    definitions, choice = request.tools, request.tool_choice
    if not definitions:
        return _plan_without_tools(request, names, notes)
    if model.capabilities.tools is False:
        notes.refuse("tools", "this model does not call tools")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        definitions, choice = _allowed_only(definitions, _allowed(choice))
        notes.map("tool_choice", "only the allowed tools are sent")
    if forces_a_tool(request) and model.capabilities.forced_tool_choice is False:
        notes.refuse("tool_choice", "this model decides by itself whether it calls a tool; send auto")
    return ToolPlan(
        tools=[_tool(tool, index, names, notes) for index, tool in enumerate(definitions)],
        choice=_choice(choice, definitions, names, parallel=request.parallel_tool_calls),
    )


def _plan_without_tools(request: ChatRequest, names: dict[str, str], notes: ParameterNotes) -> ToolPlan:
    if forces_a_tool(request):
        raise InvalidRequest("a tool must be called, but the request has no tools", param="tool_choice")
    if request.parallel_tool_calls is False:
        notes.drop("parallel_tool_calls", "the request has no tools")
    called = dict.fromkeys(_names_in_history(request))
    if not called:
        return ToolPlan()
    # A conversation with tool calls is refused without the tools.
    notes.map("tools", "declared from the conversation, not to be called")
    return ToolPlan(
        tools=[{"name": names.get(name, name), "input_schema": _NO_PARAMETERS} for name in called],
        choice={"type": "none"},
    )


def _tool(tool: Tool, index: int, names: dict[str, str], notes: ParameterNotes) -> dict[str, Json]:
    function = tool.function
    if tool.type != "function" or function is None:
        notes.refuse(
            f"tools[{index}]", f"a tool of type {tool.type!r} cannot be translated for Anthropic; functions can"
        )
    encoded: dict[str, Json] = {"name": names.get(function.name, function.name)}
    if function.description:
        encoded["description"] = function.description
    encoded["input_schema"] = _parameters(function)
    if function.strict:
        _make_strict(encoded, f"tools[{index}].function.strict", notes)
    if tool.cache_control is not None:
        encoded["cache_control"] = tool.cache_control
    return encoded


def _parameters(function: FunctionDefinition) -> dict[str, Json]:
    parameters = function.parameters
    if not parameters:
        return _NO_PARAMETERS
    return parameters if "type" in parameters else {"type": "object", **parameters}


def _make_strict(encoded: dict[str, Json], name: str, notes: ParameterNotes) -> None:
    fit = fit_schema(encoded["input_schema"])
    if fit.schema is None:
        notes.drop(name, f"Anthropic cannot enforce this schema: {fit.obstacle}")
        return
    encoded["input_schema"] = fit.schema
    encoded["strict"] = True
    if fit.changes:
        notes.map(name, "; ".join(fit.changes))


# -- the choice ---------------------------------------------------------------------------------------------------------


def _choice(
    choice: _Choice | None, definitions: list[Tool], names: dict[str, str], *, parallel: bool | None
) -> dict[str, Json] | None:
    one_at_most = parallel is False
    if choice is None and not one_at_most:
        return None
    if choice == "none":
        return {"type": "none"}
    encoded: dict[str, Json]
    if choice is None or choice == "auto":
        encoded = {"type": "auto"}
    elif choice == "required":
        encoded = {"type": "any"}
    else:
        encoded = {"type": "tool", "name": _chosen_name(choice, definitions, names)}
    if one_at_most:
        encoded["disable_parallel_tool_use"] = True
    return encoded


def _chosen_name(choice: _Choice, definitions: list[Tool], names: dict[str, str]) -> str:
    """`choice` is `{"type": "function", "function": {"name": ...}}`."""
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest("tool_choice must be auto, none, required, or a function by its name", param="tool_choice")
    if not any(tool.function is not None and tool.function.name == name for tool in definitions):
        raise InvalidRequest(f"tool_choice names the tool {name!r}, which is not among the tools", param="tool_choice")
    return names.get(name, name)


def _allowed(choice: dict[str, Json]) -> dict[str, Json]:
    allowed = choice.get("allowed_tools")
    return allowed if isinstance(allowed, dict) else {}


def _allowed_only(definitions: list[Tool], allowed: dict[str, Json]) -> tuple[list[Tool], _Choice]:
    try:
        wanted = {str(tool["function"]["name"]) for tool in allowed.get("tools") or ()}
    except (KeyError, TypeError):
        wanted = set()
    kept = [tool for tool in definitions if tool.function is not None and tool.function.name in wanted]
    if not kept:
        raise InvalidRequest("none of the allowed tools is among the tools", param="tool_choice.allowed_tools.tools")
    return kept, "required" if allowed.get("mode") == "required" else "auto"
