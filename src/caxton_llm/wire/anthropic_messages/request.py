"""A chat request as Anthropic's Messages API wants it (`POST /v1/messages`).

Two ways lead here. A request that came in this dialect keeps its bytes, field by field, except for what the target demands
(`passing`). A request of another dialect is translated. Either way nothing is changed without a note.

`max_tokens` is mandatory here. When nobody says it, it is the model's own limit, but at most 16384 (4096 for a model that
nobody knows): beyond about 21000 tokens an answer that is not streamed may take longer than the ten minutes after which
connections are given up.
"""

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest
from caxton_llm.protocols import EncodedChat, EncodeOptions, Restore
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.accepted import without_refused
from caxton_llm.wire.anthropic_messages.format import AnswerFormat, plan_format
from caxton_llm.wire.anthropic_messages.passing import forwarded_betas, passed_fields
from caxton_llm.wire.anthropic_messages.response import DIALECT
from caxton_llm.wire.anthropic_messages.settings import ForcedTool, Settings, plan_settings, refused_names
from caxton_llm.wire.anthropic_messages.tools import forces_a_tool, names_on_wire, plan_tools
from caxton_llm.wire.anthropic_messages.turns import Conversation, encode_conversation, ending_of
from caxton_llm.wire.conversation import check_conversation
from caxton_llm.wire.legacy_functions import has_room_for_one_call, modernized
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.written import written

__all__ = ["encode_chat", "encode_count"]


_NO_SUCH_PARAMETER = "Anthropic has no such parameter"
_TUNING_ONLY = ("seed", "logit_bias", "prompt_cache_key", "verbosity")
_OWN_FIELDS = (
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "speed",
    "user_profile_id",
)
"""Fields outside the common model that are Anthropic's own and stand for themselves."""

_PLANNED_FIELDS = frozenset({"thinking", "output_config", "top_k"})
_LONGEST_TOOL_NAME = 128
_SERVICE_TIERS = {
    "auto": "auto",
    "default": "standard_only",
    "priority": "auto",
    "standard_only": "standard_only",
}
_COUNTED_FIELDS = frozenset(
    {
        "cache_control",
        "context_management",
        "mcp_servers",
        "messages",
        "model",
        "output_config",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)
"""What the endpoint that counts tokens accepts."""


class _Body(Struct):
    fields: dict[str, Json]
    restore: Restore
    betas: list[str]


def encode_chat(request: ChatRequest, options: EncodeOptions, *, stream: bool) -> EncodedChat:
    """Raises `InvalidRequest` or `UnsupportedFeature` with the path of the field."""
    notes = ParameterNotes(options.strict)
    body = _body_of(request, options, notes)
    if stream or "stream" in body.fields:
        body.fields["stream"] = stream
    return EncodedChat(
        body=written(body.fields), headers=_headers(body.betas), report=notes.report(), restore=body.restore
    )


def encode_count(request: ChatRequest, options: EncodeOptions) -> EncodedChat:
    """The same request for `POST /v1/messages/count_tokens`, which accepts only what has a part in the count."""
    notes = ParameterNotes()
    body = _body_of(request, options, notes)
    fields = {name: value for name, value in body.fields.items() if name in _COUNTED_FIELDS}
    return EncodedChat(body=written(fields), headers=_headers(body.betas), report=notes.report(), restore=body.restore)


def _headers(betas: list[str]) -> tuple[tuple[str, str], ...]:
    return (("anthropic-beta", ",".join(betas)),) if betas else ()


def _body_of(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> _Body:
    if not request.messages:
        raise InvalidRequest("messages is empty; send at least one message", param="messages")
    source = request.source
    refused = refused_names(options)
    own = source is not None and source.dialect == DIALECT
    unasked = has_room_for_one_call(request)
    request = without_refused(request if own else modernized(request), options, notes)
    if unasked and not request.tools:
        request = replace(request, parallel_tool_calls=None)
    if source is None or not own:
        return _translated(request, options, notes)
    ending = ending_of(request.messages)
    forced = ForcedTool("tool_choice") if forces_a_tool(request) else None
    _refuse_impossible(
        options, notes, forced=forced is not None, prefill_at=len(request.messages) - 1 if ending.is_prefill else None
    )
    settings = plan_settings(request, options, notes, forced=forced, ending=ending, exact=True)
    names = names_on_wire(request, limit=_LONGEST_TOOL_NAME)
    fields = passed_fields(request, source.fields, options, notes, settings=settings, refused=refused, names=names)
    fields["model"] = options.send_model
    return _Body(fields, _restore(names), forwarded_betas(source.headers, notes))


def _restore(names: dict[str, str], unwrap_tool: str | None = None) -> Restore:
    return Restore(tool_names={wire: name for name, wire in names.items()}, unwrap_tool=unwrap_tool)


def _refuse_impossible(options: EncodeOptions, notes: ParameterNotes, *, forced: bool, prefill_at: int | None) -> None:
    """What the model is known to answer with an error and another model may do."""
    capabilities = options.model.capabilities
    if capabilities.forced_tool_choice is False and forced:
        notes.refuse("tool_choice", "this model decides by itself whether it calls a tool; send auto")
    if capabilities.prefill is False and prefill_at is not None:
        notes.refuse(
            f"messages[{prefill_at}]",
            "this model does not continue an assistant's message; let the conversation end with the user's",
        )


# -- translation --------------------------------------------------------------------------------------------------------


def _translated(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> _Body:
    check_conversation(request.messages)
    _refuse_what_changes_meaning(request, notes)
    names = names_on_wire(request)
    tools = plan_tools(request, options.model, names, notes)
    answer = plan_format(request, options.model, tools, notes)
    forced = ForcedTool("response_format", answer.obstacle) if answer.tool is not None else None
    if forces_a_tool(request):
        forced = ForcedTool("tool_choice")
    conversation = encode_conversation(request.messages, options.model, names, notes)
    settings = plan_settings(request, options, notes, forced=forced, ending=conversation.ending, exact=False)
    if answer.instruction is not None:
        conversation.system.append({"type": "text", "text": answer.instruction})
    body: dict[str, Json] = {"model": options.send_model, "max_tokens": settings.max_tokens}
    _put_conversation(body, conversation)
    if tools.tools:
        body["tools"] = tools.tools
    if tools.choice is not None:
        body["tool_choice"] = tools.choice
    _put_settings(body, settings, answer, request)
    _put_parameters(body, request, notes)
    _put_extras(body, request, notes)
    for name, value in options.defaults.extra.items():
        body.setdefault(name, value)
    return _Body(body, _restore(names, answer.tool), [])


def _refuse_what_changes_meaning(request: ChatRequest, notes: ParameterNotes) -> None:
    if request.n is not None and request.n != 1:
        notes.refuse("n", "Anthropic gives one answer per request; send n requests instead")
    if request.logprobs or request.top_logprobs:
        notes.refuse("logprobs" if request.logprobs else "top_logprobs", "Anthropic does not tell probabilities")
    modalities = request.extra_value("modalities")
    if modalities is not None and modalities != ["text"]:
        notes.refuse("modalities", "Anthropic answers with text only")
    if request.extra_value("web_search_options") is not None:
        notes.refuse("web_search_options", "searching the web is a tool of its own with Anthropic")


def _put_conversation(body: dict[str, Json], conversation: Conversation) -> None:
    system = conversation.system
    if len(system) == 1 and "cache_control" not in system[0]:
        body["system"] = system[0]["text"]
    elif system:
        body["system"] = system
    body["messages"] = conversation.turns


def _put_settings(body: dict[str, Json], settings: Settings, answer: AnswerFormat, request: ChatRequest) -> None:
    plan = settings.thinking
    if plan.thinking is not None:
        body["thinking"] = plan.thinking
    config = dict(request.extra_value("output_config") or {})
    config.pop("effort", None)
    if plan.effort is not None:
        config["effort"] = plan.effort
    if answer.schema is not None:
        config["format"] = {"type": "json_schema", "schema": answer.schema}
    if config:
        body["output_config"] = config
    body.update(settings.sampling)


def _put_parameters(body: dict[str, Json], request: ChatRequest, notes: ParameterNotes) -> None:
    _put_stop(body, request, notes)
    _put_user(body, request, notes)
    if request.service_tier is not None:
        tier = _SERVICE_TIERS.get(request.service_tier)
        if tier is None:
            notes.drop("service_tier", f"Anthropic has no tier {request.service_tier[:40]!r}")
        else:
            body["service_tier"] = tier
            if tier != request.service_tier:
                notes.map("service_tier", tier)
    for name in _TUNING_ONLY:
        if getattr(request, name) is not None:
            notes.drop(name, _NO_SUCH_PARAMETER)
    for name in ("frequency_penalty", "presence_penalty", "store"):
        if getattr(request, name):  # zero and false are what Anthropic does anyway
            notes.drop(name, _NO_SUCH_PARAMETER)


def _put_stop(body: dict[str, Json], request: ChatRequest, notes: ParameterNotes) -> None:
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    if not stop:
        return
    kept = [each for each in stop if each.strip()]
    if kept:
        body["stop_sequences"] = kept
    if len(kept) < len(stop):
        notes.map("stop", "without the sequences that are only white space")


def _put_user(body: dict[str, Json], request: ChatRequest, notes: ParameterNotes) -> None:
    metadata = request.metadata or {}
    given = {"user": request.user, "safety_identifier": request.safety_identifier}
    lost = ["metadata"] if metadata else []
    if isinstance(metadata.get("user_id"), str):
        given["metadata.user_id"] = metadata["user_id"]
        lost = [f"metadata.{key}" for key in metadata if key != "user_id"]
    for name in lost:
        notes.drop(name, _NO_SUCH_PARAMETER)
    said = [(name, user) for name, user in given.items() if user]
    if not said:
        return
    name, user = said[0]
    for other, _ in said[1:]:
        notes.drop(other, f"Anthropic takes one identifier, and {name} is sent")
    if _is_contact(user):
        notes.drop(name, "Anthropic refuses e-mail addresses and telephone numbers; send an opaque identifier")
        return
    body["metadata"] = {"user_id": user}
    if name != "metadata.user_id":
        notes.map(name, "metadata.user_id")


def _is_contact(user: str) -> bool:
    if "@" in user:
        return True
    return user.startswith("+") and user[1:].replace(" ", "").replace("-", "").isdigit()


def _put_extras(body: dict[str, Json], request: ChatRequest, notes: ParameterNotes) -> None:
    """The caller's fields outside the common model: Anthropic's own travel on, of the others it would not accept any."""
    for name, value in request.extra.items():
        if name in _PLANNED_FIELDS or name == "modalities" or request.extra_value(name) is None:
            continue
        if name in _OWN_FIELDS:
            body[name] = value
        else:
            notes.leave_out(name, request.extra_value(name), _NO_SUCH_PARAMETER)
