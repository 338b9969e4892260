"""A model's parameter rules, applied to the body of one request for an OpenAI chat server.

`fields` is the body in the making: bytes for what the client sent in this dialect, values for the rest. What the caller gave
is mapped, dropped or refused by `ParameterNotes`; a default of the configuration that does not apply is left out and
reported, never an error, because the caller is not at fault.
"""

import msgspec
from msgspec import Raw, Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import Capabilities
from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.accepted import dropped_for_server, refused_by_model
from caxton_llm.wire.client_json import read_raw
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["COMMON_FIELDS", "Body", "apply_parameters", "check_capabilities"]

COMMON_FIELDS = frozenset(name for name in ChatRequest.__struct_fields__ if name not in ("extra", "source"))
"""Top-level fields of the common model, which are fields of this dialect."""

_SAMPLING = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Body(Struct):
    """The body in the making, with what decides about it. `foreign`: the request came in another dialect."""

    fields: dict[str, Json]
    request: ChatRequest
    options: EncodeOptions
    notes: ParameterNotes
    foreign: bool

    def leave_out(self, name: str, why: str, *, refusable: bool = True) -> None:
        """Do not send `name` (see `ParameterNotes.leave_out`)."""
        del self.fields[name]
        value = self.request.extra_value(name) if name in self.request.extra else getattr(self.request, name, None)
        self.notes.leave_out(name, value, why, refusable=refusable)


def check_capabilities(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes, *, stream: bool) -> None:
    """Raises `UnsupportedFeature` for what the model is known not to do; an unknown capability is tried."""
    can, rules, model = options.model.capabilities, options.model.parameters, options.model.id
    if rules.chat_completions is False:
        notes.refuse("model", f"{model} answers only on OpenAI's Responses API; choose a model with chat completions")
    if stream and can.streaming is False:
        notes.refuse("stream", f"{model} does not stream")
    if request.tools:
        _check_tools(request, options, notes)
    wanted = request.response_format
    if can.json_schema is False and wanted is not None and wanted.type == "json_schema":
        notes.refuse("response_format", f"{model} has no json_schema output")
    if can.vision is False or can.audio is False or can.pdf is False:
        _check_parts(request, can, model, notes)


def _check_tools(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> None:
    can, model = options.model.capabilities, options.model.id
    if can.tools is False:
        notes.refuse("tools", f"{model} takes no tools")
    if options.model.parameters.chat_tools is False:
        notes.refuse("tools", f"{model} takes tools only on OpenAI's Responses API; choose a model with chat tools")
    if can.forced_tool_choice is False and request.tool_choice not in (None, "auto", "none"):
        notes.refuse("tool_choice", f"{model} cannot be forced to call a tool")


def _check_parts(request: ChatRequest, can: Capabilities, model: str, notes: ParameterNotes) -> None:
    known = (("image_url", "images", can.vision), ("input_audio", "audio", can.audio), ("file", "documents", can.pdf))
    missing = {kind: what for kind, what, able in known if able is False}
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if part.type in missing:
                notes.refuse(f"messages[{index}].content[{position}]", f"{model} does not read {missing[part.type]}")


def apply_parameters(body: Body, *, stream: bool) -> None:
    """Bring every parameter into the form that the model and the server accept."""
    _drop_idle_tool_fields(body)
    effort = _apply_effort(body)
    _apply_sampling(body, effort)
    _apply_output_limit(body)
    for name, why in refused_by_model(body.options):
        if name in body.fields:
            body.leave_out(name, why)
    _apply_extras(body)
    _apply_stream(body, stream=stream)
    for name, why in dropped_for_server(body.options):
        if name in body.fields:
            body.leave_out(name, why, refusable=False)


def _drop_idle_tool_fields(body: Body) -> None:
    """`tools: []` and what has no meaning without tools are errors to many servers."""
    if body.request.tools:
        if "functions" in body.fields and body.fields.pop("parallel_tool_calls", None) is not None:
            body.notes.map("parallel_tool_calls", "left out: functions are called one at a time")
        return
    body.fields.pop("tools", None)
    if "parallel_tool_calls" in body.fields:
        body.leave_out("parallel_tool_calls", "there are no tools")
    if body.request.tool_choice in ("auto", "none") and body.fields.pop("tool_choice", None) is not None:
        body.notes.map("tool_choice", "left out: there are no tools")


def _apply_effort(body: Body) -> str | None:
    """Settle `reasoning_effort`; returns the effort at which the model will work, `None` when that is unknown."""
    rules, notes, asked = body.options.model.parameters, body.notes, body.request.reasoning_effort
    if rules.tools_need_effort_none and _has_functions(body.request):
        if asked not in (None, "none"):
            notes.refuse(
                "reasoning_effort",
                f"{body.options.model.id} takes tools on chat completions only with reasoning_effort none",
            )
        if asked is None:
            notes.map("reasoning_effort", "none, without which the model refuses tools")
        body.fields["reasoning_effort"] = "none"
        return "none"
    if asked is not None:
        return _asked_effort(body, asked, rules.efforts) or rules.default_effort
    default = body.options.defaults.reasoning_effort
    if default is None:
        return rules.default_effort
    if rules.efforts is not None and default not in rules.efforts:
        notes.strip("reasoning_effort", f"the configured {default!r} is not accepted by {body.options.model.id}")
        return rules.default_effort
    body.fields["reasoning_effort"] = default
    return default


def _asked_effort(body: Body, asked: str, efforts: list[str] | None) -> str | None:
    if efforts is None or asked in efforts:
        return asked
    if asked not in _EFFORTS:
        raise InvalidRequest(
            f"reasoning_effort is {asked!r}, but {body.options.model.id} accepts {', '.join(efforts) or 'none at all'}",
            param="reasoning_effort",
        )
    if not efforts and asked == "none":
        del body.fields["reasoning_effort"]
        body.notes.map("reasoning_effort", "left out: the model does not reason")
        return None
    if not efforts:
        body.leave_out("reasoning_effort", f"{body.options.model.id} has no adjustable reasoning")
        return None
    nearest = _nearest_effort(asked, efforts)
    body.fields["reasoning_effort"] = nearest
    body.notes.map("reasoning_effort", f"{nearest}, the nearest that {body.options.model.id} accepts")
    return nearest


def _nearest_effort(asked: str, efforts: list[str]) -> str:
    """The next lower accepted effort, else the next higher; thinking is never switched off by rounding."""
    place = _EFFORTS.index(asked)
    lower = [effort for effort in _EFFORTS[1:place] if effort in efforts]
    higher = [effort for effort in _EFFORTS[place:] if effort in efforts]
    return (lower[-1:] or higher[:1] or efforts[:1])[0]


def _has_functions(request: ChatRequest) -> bool:
    return any(tool.type == "function" for tool in request.tools or ())


def _apply_sampling(body: Body, effort: str | None) -> None:
    rule = body.options.model.parameters.sampling
    barred = rule == "never" or (rule == "without_reasoning" and effort != "none")
    why = f"{body.options.model.id} does not accept it" + ("" if rule == "never" else " while it reasons")
    for name in _SAMPLING if barred else ():
        if name in body.fields and not (name == "temperature" and body.request.temperature == 1):
            body.leave_out(name, why, refusable=False)
    for name in ("temperature", "top_p"):
        default = getattr(body.options.defaults, name)
        if default is None or name in body.fields or getattr(body.request, name) is not None:
            continue
        if barred:
            body.notes.strip(name, f"the configured default: {why}")
        else:
            body.fields[name] = default


def _apply_output_limit(body: Body) -> None:
    request, fields = body.request, body.fields
    wanted = body.options.quirks.output_limit_field or body.options.model.parameters.output_limit_field
    if request.output_limit is None:
        if body.options.defaults.max_tokens is not None:
            fields[wanted or "max_completion_tokens"] = body.options.defaults.max_tokens
        return
    given = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
    if given == "max_completion_tokens" and fields.pop("max_tokens", None) is not None:
        body.notes.map("max_tokens", "left out: max_completion_tokens wins")
    # Nobody knows what this server wants: a caller of this API does best, another dialect's gets the newest name.
    name = wanted or ("max_completion_tokens" if body.foreign else given)
    if name != given:
        del fields[given]
        fields[name] = request.output_limit
        body.notes.map(given, name)


def _apply_extras(body: Body) -> None:
    if not body.options.quirks.extra_parameters:
        for name in [name for name in body.fields if name not in COMMON_FIELDS]:
            body.leave_out(name, "the server takes no further parameters (quirks.extra_parameters)")
    for name, value in body.options.defaults.extra.items():
        body.fields.setdefault(name, value)


def _apply_stream(body: Body, *, stream: bool) -> None:
    """Usage is always asked for; whether the client sees it is the client side's decision."""
    fields, wanted = body.fields, body.request.stream_options
    if stream and body.options.quirks.stream_usage:
        fields["stream"] = True
        if wanted is None or not wanted.include_usage:
            fields["stream_options"] = {
                **_plain(fields.get("stream_options"), "stream_options"),
                "include_usage": True,
            }
        return
    if fields.pop("stream_options", None) is not None and stream:
        body.notes.drop("stream_options", "the server does not accept it (quirks.stream_usage)")
    if stream:
        fields["stream"] = True
    elif "stream" in fields:
        fields["stream"] = False


def _plain(value: Json, path: str) -> dict[str, Json]:
    plain: dict[str, Json] = {} if value is None else read_raw(Raw(msgspec.json.encode(value)), path)
    return plain
