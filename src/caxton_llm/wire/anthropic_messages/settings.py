"""The settings of a request that depend on each other: how much may be written, how much thought, and how it is sampled.

One plan for both ways into a request, because a model's rules hold for either. What only tunes gives way to what has a
meaning, and what the configuration asks for gives way to what the caller asks for; each is noted.
"""

from typing import NoReturn

from msgspec import Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.anthropic_messages.thinking import ThinkingPlan, adapt_thinking, think_with_effort
from caxton_llm.wire.anthropic_messages.turns import Ending
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["SAMPLING", "ForcedTool", "Settings", "plan_settings", "refused_names", "usual_limit"]

SAMPLING = ("temperature", "top_p", "top_k")

_USUAL_LIMIT = 16_384
_UNKNOWN_MODEL_LIMIT = 4096
_LEAST_TOP_P = 0.95
"""The lowest `top_p` that is accepted beside thinking with a budget."""


class Settings(Struct, kw_only=True):
    """What the body says of output, thinking and sampling."""

    max_tokens: int
    thinking: ThinkingPlan
    sampling: dict[str, Json]


class ForcedTool(Struct):
    """What in the request allows no answer without a tool call: `tool_choice`, or `response_format` for the reason `why`."""

    name: str
    why: str = ""


def usual_limit(model: ModelInfo) -> int:
    """The tokens of an answer that are asked for where neither the caller nor the configuration says how many."""
    return min(model.max_output_tokens or _UNKNOWN_MODEL_LIMIT, _USUAL_LIMIT)


def refused_names(options: EncodeOptions) -> frozenset[str]:
    """Parameters that the server (`quirks.drop`) or the model answers with an error."""
    return frozenset(options.quirks.drop).union(options.model.parameters.refuses or ())


def plan_settings(
    request: ChatRequest,
    options: EncodeOptions,
    notes: ParameterNotes,
    *,
    forced: ForcedTool | None,
    ending: Ending,
    exact: bool,
) -> Settings:
    """`exact`: the caller speaks this dialect, so that its own thinking and the limit beside it stay as they are.

    Raises `UnsupportedFeature` where two things exclude each other that both have a meaning.
    """
    possible = not (forced or ending.is_prefill or ending.lost_thinking)
    thinking = _plan_thinking(request, options, notes, budget_possible=possible)
    own = exact and thinking.thinking == request.extra_value("thinking")
    if thinking.kind == "enabled":
        if forced is not None:
            _refuse_forced(forced, request, notes)
        if ending.is_prefill:
            notes.refuse(
                f"messages[{len(request.messages) - 1}]", "a message cannot be continued while this model thinks"
            )
        if ending.lost_thinking and not own:
            name = "thinking" if "thinking" in request.extra else "reasoning_effort"
            notes.drop(name, "the tool calls being answered came back without the thinking_blocks before them")
            thinking = ThinkingPlan(effort=thinking.effort)
    limit = _plan_limit(request, options, notes)
    if not own:
        limit = _with_room(limit, thinking, request, options.model, notes)
    return Settings(max_tokens=limit, thinking=thinking, sampling=_plan_sampling(request, options, thinking, notes))


def _refuse_forced(forced: ForcedTool, request: ChatRequest, notes: ParameterNotes) -> NoReturn:
    asked = "thinking" if "thinking" in request.extra else "reasoning_effort"
    if forced.name == "response_format":
        notes.refuse(
            forced.name,
            f"{forced.why}, so that a forced tool would have to stand in for it, which excludes thinking with this model;"
            f" leave out {asked}, or send a schema that structured outputs accept",
        )
    notes.refuse(forced.name, f"a tool cannot be forced while this model thinks; send auto, or leave out {asked}")


def _plan_limit(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> int:
    most = options.model.max_output_tokens
    asked = request.output_limit
    if asked is None:
        limit = options.defaults.max_tokens or usual_limit(options.model)
        return limit if most is None else min(limit, most)
    if most is not None and asked > most:
        notes.map(_limit_name(request), f"max_tokens {most}, the most that this model writes")
        return most
    return asked


def _with_room(
    limit: int, thinking: ThinkingPlan, request: ChatRequest, model: ModelInfo, notes: ParameterNotes
) -> int:
    """Thinking counts against the limit: without room for both, there would be no answer."""
    roomy = thinking.make_room(limit, model.max_output_tokens)
    if roomy != limit and request.output_limit is not None:
        notes.map(_limit_name(request), f"max_tokens {roomy}, {thinking.budget} of them for thinking")
    return roomy


def _limit_name(request: ChatRequest) -> str:
    return "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"


# -- thinking -----------------------------------------------------------------------------------------------------------


def _plan_thinking(
    request: ChatRequest, options: EncodeOptions, notes: ParameterNotes, *, budget_possible: bool
) -> ThinkingPlan:
    """Anthropic's own fields win over `reasoning_effort`, which says the same more coarsely."""
    thinking = _object_field(request, "thinking")
    effort = (_object_field(request, "output_config") or {}).get("effort")
    if thinking is not None or effort is not None:
        _check_thinking(thinking, effort)
        return adapt_thinking(thinking, effort, options.model, notes)
    if request.reasoning_effort is not None:
        return think_with_effort(request.reasoning_effort, options.model, notes, reported=True)
    if options.defaults.reasoning_effort is None:
        return ThinkingPlan()
    plan = think_with_effort(options.defaults.reasoning_effort, options.model, notes, reported=False)
    if plan.kind == "enabled" and not budget_possible:
        notes.strip("reasoning_effort", "configured, but not possible together with what the request asks for")
        return ThinkingPlan()
    return plan


def _check_thinking(thinking: dict[str, Json] | None, effort: Json) -> None:
    if effort is not None and not isinstance(effort, str):
        raise InvalidRequest("output_config.effort must be a string", param="output_config.effort")
    if thinking is not None and not isinstance(thinking.get("type"), str):
        raise InvalidRequest("thinking.type must be a string", param="thinking.type")
    if thinking is not None and not isinstance(thinking.get("budget_tokens"), int | None):
        raise InvalidRequest("thinking.budget_tokens must be a whole number", param="thinking.budget_tokens")


def _object_field(request: ChatRequest, name: str) -> dict[str, Json] | None:
    value = request.extra_value(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be an object", param=name)
    return value


# -- sampling -----------------------------------------------------------------------------------------------------------


def _plan_sampling(
    request: ChatRequest, options: EncodeOptions, thinking: ThinkingPlan, notes: ParameterNotes
) -> dict[str, Json]:
    asked = _asked_sampling(request)
    wanted = {**_default_sampling(options), **asked}
    if not wanted:
        return wanted

    def leave_out(name: str, why: str) -> None:
        value = wanted.pop(name)
        if value == 1 and name != "top_k":  # what every model does anyway
            return
        (notes.drop if name in asked else notes.strip)(name, why)

    why = _why_no_sampling(options.model, thinking)
    for name in SAMPLING if why else ():
        if name in wanted and not (name == "top_p" and thinking.kind == "enabled" and _is_high(wanted[name])):
            leave_out(name, why)
    temperature = wanted.get("temperature")
    if temperature is not None and temperature > 1:
        wanted["temperature"] = 1
        notes.map("temperature", "1, the highest that Anthropic has")
    if options.model.parameters.exclusive_sampling and "temperature" in wanted and "top_p" in wanted:
        gone, stays = ("temperature", "top_p") if "temperature" not in asked else ("top_p", "temperature")
        leave_out(gone, f"this model does not accept it together with {stays}")
    return wanted


def _asked_sampling(request: ChatRequest) -> dict[str, Json]:
    asked = {"temperature": request.temperature, "top_p": request.top_p}
    if "top_k" in request.extra:
        asked["top_k"] = request.extra_value("top_k")
    return {name: value for name, value in asked.items() if value is not None}


def _default_sampling(options: EncodeOptions) -> dict[str, Json]:
    defaults = options.defaults
    if defaults.temperature is None and defaults.top_p is None:
        return {}
    refused = refused_names(options)
    given = {"temperature": defaults.temperature, "top_p": defaults.top_p}
    return {name: value for name, value in given.items() if value is not None and name not in refused}


def _why_no_sampling(model: ModelInfo, thinking: ThinkingPlan) -> str:
    rule = model.parameters.sampling
    if rule == "never":
        return "this model does not accept it"
    if thinking.kind == "enabled" or (thinking.is_on and rule != "always"):
        return "not accepted while the model thinks"
    if rule == "without_reasoning" and model.parameters.thinking_always_on:
        return "not accepted by a model that always thinks"
    return ""


def _is_high(top_p: Json) -> bool:
    return isinstance(top_p, int | float) and top_p >= _LEAST_TOP_P
