"""`response_format` for Anthropic: structured outputs where the model has them, else a forced tool whose input is the answer.

A forced tool holds the model to the schema nearly as well. Decoding takes the answer out of the call again, so that the
caller sees text and a natural end. JSON without a schema exists only as an instruction in the system prompt.
"""

from msgspec import Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatRequest, Json, JsonSchemaFormat
from caxton_llm.wire.anthropic_messages.schema import fit_schema
from caxton_llm.wire.anthropic_messages.tools import ToolPlan, forces_a_tool
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["AnswerFormat", "plan_format"]

_INSTRUCTION = "Answer with a single JSON object and nothing else: no text around it and no code fence."
_TOOL_DESCRIPTION = "Gives the final answer. Call it with the answer once nothing else is left to do."


class AnswerFormat(Struct, kw_only=True):
    """At most one of the three is set: `schema` for `output_config.format`, `tool` for the tool whose input is the answer (it
    is in the tool plan then, and `obstacle` says why), `instruction` for the system prompt."""

    schema: dict[str, Json] | None = None
    tool: str | None = None
    obstacle: str = ""
    instruction: str | None = None


def plan_format(request: ChatRequest, model: ModelInfo, tools: ToolPlan, notes: ParameterNotes) -> AnswerFormat:
    """May add a tool to `tools`. Raises `UnsupportedFeature` where the model cannot be held to the schema."""
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return AnswerFormat()
    if wanted.type == "json_object":
        notes.map("response_format", "an instruction in the system prompt")
        return AnswerFormat(instruction=_INSTRUCTION)
    if wanted.type != "json_schema":
        notes.refuse("response_format", f"Anthropic has no output format {wanted.type[:40]!r}")
    if wanted.json_schema is None:
        raise InvalidRequest("the schema is missing", param="response_format.json_schema")
    return _plan_schema(wanted.json_schema, request, model, tools, notes)


def _plan_schema(
    wanted: JsonSchemaFormat, request: ChatRequest, model: ModelInfo, tools: ToolPlan, notes: ParameterNotes
) -> AnswerFormat:
    schema = wanted.schema
    if schema is None:
        raise InvalidRequest("the schema is missing", param="response_format.json_schema.schema")
    obstacle = "this model has no structured outputs"
    if model.capabilities.json_schema is not False:
        fit = fit_schema(schema)
        if fit.schema is not None:
            notes.map("response_format", "; ".join(["output_config.format", *fit.changes]))
            if wanted.description and "description" not in fit.schema:
                fit.schema["description"] = wanted.description
            return AnswerFormat(schema=fit.schema)
        obstacle = f"structured outputs do not take the schema: {fit.obstacle}"
    if forces_a_tool(request):
        notes.map("response_format", "not needed: the request forces a tool call")
        return AnswerFormat()
    if schema.get("type") != "object":
        notes.refuse("response_format", f"{obstacle}, and a tool can stand in for it only if the answer is an object")
    capabilities = model.capabilities
    if capabilities.tools is False or capabilities.forced_tool_choice is False:
        notes.refuse("response_format", f"{obstacle}, and it cannot be made to call a tool instead")
    name = _add_tool(wanted, schema, tools)
    notes.map("response_format", f"the forced tool {name}: {obstacle}")
    return AnswerFormat(tool=name, obstacle=obstacle)


def _add_tool(wanted: JsonSchemaFormat, schema: dict[str, Json], plan: ToolPlan) -> str:
    others = plan.tools or []
    taken = {tool["name"] for tool in others}
    name = "answer"
    while name in taken:
        name += "_"
    answer = {"name": name, "description": wanted.description or _TOOL_DESCRIPTION, "input_schema": schema}
    free = bool(others) and (plan.choice is None or plan.choice["type"] == "auto")
    one_at_most = not free or bool(plan.choice and plan.choice.get("disable_parallel_tool_use"))
    plan.tools = [*others, answer]
    plan.choice = {"type": "any"} if free else {"type": "tool", "name": name}
    if one_at_most:
        plan.choice["disable_parallel_tool_use"] = True
    return name
