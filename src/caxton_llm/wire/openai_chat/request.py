"""A chat request for an OpenAI chat server.

A request that came in this dialect is sent as the client wrote it, field by field: unknown fields and unknown content
survive, and so do the bytes that a provider's prompt cache depends on. Only the model's name, what the model's rules demand
and what other vendors alone understand is touched. Any other request is written from the common model, in one fixed order;
nothing optional is ever sent as null.
"""

from caxton_llm.protocols import EncodedChat, EncodeOptions, Restore
from caxton_llm.types import ChatRequest, Json, ResponseFormat
from caxton_llm.wire.conversation import check_conversation
from caxton_llm.wire.foreign import note_anthropics_own
from caxton_llm.wire.legacy_functions import modernized
from caxton_llm.wire.openai_chat.merged_turns import merged_turns
from caxton_llm.wire.openai_chat.messages import (
    MessageChanges,
    built_messages,
    built_tools,
    kept_strict,
    patched_messages,
    patched_tools,
    renamed_choice,
    tool_names,
)
from caxton_llm.wire.openai_chat.parameters import Body, apply_parameters, check_capabilities
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.tool_names import wire_tool_names
from caxton_llm.wire.written import written

__all__ = ["encode_chat"]

_PLAIN_FIELDS = (
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "n",
    "stop",
    "max_completion_tokens",
    "max_tokens",
    "seed",
    "logprobs",
    "top_logprobs",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "user",
    "safety_identifier",
    "metadata",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "prompt_cache_key",
    "store",
    "stream",
    "stream_options",
)
"""Fields whose value is the same on the wire, in the order in which they are sent."""


def encode_chat(
    request: ChatRequest,
    options: EncodeOptions,
    *,
    stream: bool,
    foreign_extras: frozenset[str] = frozenset(),
) -> EncodedChat:
    """The body of `POST /chat/completions`.

    The fields in `request.source` count when the request came in this dialect, so whoever changes such a request replaces
    its source too. Of a request from another dialect, fields outside the common model are sent only if `foreign_extras`
    names them. Raises `InvalidRequest` or `UnsupportedFeature` for what must not be sent.
    """
    notes = ParameterNotes(options.strict)
    source = request.source
    own = source is not None and source.dialect == "openai_chat"
    if source is None:
        check_conversation(request.messages)
    if not own:
        request = modernized(request)
    check_capabilities(request, options, notes, stream=stream)
    renamed = wire_tool_names(tool_names(request))
    if source is not None and own:
        if "functions" in source.fields:  # the deprecated form has no calls to match names with
            renamed = {}
        fields = _client_fields(dict(source.fields), request, options, renamed, notes)
    else:
        fields = _built_fields(request, options, renamed, notes)
        _add_extras(fields, request, foreign_extras, notes)
    fields["model"] = options.send_model
    if options.quirks.merge_turns:
        fields["messages"] = merged_turns(fields["messages"], request.messages, notes)
    apply_parameters(Body(fields, request, options, notes, foreign=source is not None and not own), stream=stream)
    return EncodedChat(
        body=written(fields),
        headers=tuple(source.headers.items()) if source is not None and own else (),
        report=notes.report(),
        restore=Restore(
            tool_names={wire: name for name, wire in renamed.items()}, think_tags=options.quirks.think_tags
        ),
    )


def _client_fields(
    fields: dict[str, Json],
    request: ChatRequest,
    options: EncodeOptions,
    renamed: dict[str, str],
    notes: ParameterNotes,
) -> dict[str, Json]:
    changes = MessageChanges(notes, options.quirks, renamed=renamed)
    fields["messages"] = patched_messages(fields["messages"], request.messages, changes)
    if request.tools and "tools" in fields:
        fields["tools"] = patched_tools(fields["tools"], request.tools, renamed, notes)
    if renamed and isinstance(request.tool_choice, dict) and "tool_choice" in fields:
        fields["tool_choice"] = renamed_choice(request.tool_choice, renamed)
    return fields


def _built_fields(
    request: ChatRequest, options: EncodeOptions, renamed: dict[str, str], notes: ParameterNotes
) -> dict[str, Json]:
    fields: dict[str, Json] = {"model": options.send_model}
    fields["messages"] = built_messages(request.messages, options.quirks, renamed=renamed, notes=notes)
    if request.tools:
        fields["tools"] = built_tools(request.tools, renamed, notes)
    if isinstance(request.tool_choice, dict) and renamed:
        fields["tool_choice"] = renamed_choice(request.tool_choice, renamed)
    elif request.tool_choice is not None:
        fields["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        fields["response_format"] = _response_format(request.response_format, notes)
    for name in _PLAIN_FIELDS:
        value = getattr(request, name)
        if value is not None:
            fields[name] = value
    return fields


def _response_format(wanted: ResponseFormat, notes: ParameterNotes) -> dict[str, Json]:
    wire: dict[str, Json] = {"type": wanted.type}
    if wanted.json_schema is not None:
        schema = wanted.json_schema
        strict = schema.strict and kept_strict(schema.schema, "response_format.json_schema.strict", notes)
        parts = (
            ("name", schema.name),
            ("description", schema.description),
            ("schema", schema.schema),
            ("strict", strict),
        )
        wire["json_schema"] = {name: value for name, value in parts if value is not None}
    return wire


def _add_extras(
    fields: dict[str, Json], request: ChatRequest, foreign_extras: frozenset[str], notes: ParameterNotes
) -> None:
    settled = note_anthropics_own(request, notes)
    for name, value in request.extra.items():
        if value is None or name in settled:
            continue
        if request.source is None or name in foreign_extras:
            fields.setdefault(name, value)
        else:
            notes.drop(name, "an OpenAI-compatible server does not know it")
