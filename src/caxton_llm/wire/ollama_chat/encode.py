"""A chat request as Ollama's native API wants it (`POST /api/chat`).

Rules kept here: `stream` is always said, because its default is true; `num_ctx` is always said, because the server's own
default depends on its memory and a prompt that does not fit is cut without a word; what Ollama cannot do (n > 1, a forced
tool) is refused, what only tunes (`user`, `logit_bias`) is dropped and reported.
"""

from msgspec import Raw

from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import EncodedChat, EncodeOptions, Restore
from caxton_llm.types import ChatRequest, Json, ResponseFormat
from caxton_llm.wire.accepted import without_refused
from caxton_llm.wire.conversation import check_conversation
from caxton_llm.wire.foreign import note_anthropics_own
from caxton_llm.wire.legacy_functions import has_room_for_one_call, modernized
from caxton_llm.wire.ollama_chat.messages import Conversation, encode_messages, encode_tools, has_signed_thinking
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.written import written

__all__ = ["OllamaRestore", "encode_chat"]

_OPTION_EXTRAS = frozenset(
    {
        "main_gpu",
        "min_p",
        "num_batch",
        "num_ctx",
        "num_gpu",
        "num_keep",
        "num_predict",
        "num_thread",
        "repeat_last_n",
        "repeat_penalty",
        "top_k",
        "typical_p",
        "use_mmap",
    }
)
"""Fields outside the common model that are options of the runner."""

_RENAMED_EXTRAS = {"repetition_penalty": "repeat_penalty"}
_TOP_LEVEL_EXTRAS = frozenset({"keep_alive", "shift", "think", "truncate"})
_COMMON_OPTIONS = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")

_TUNING_ONLY = (
    "logit_bias",
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
    "verbosity",
)
_NO_SUCH_PARAMETER = "Ollama has no such parameter"

_EFFORT_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}

_WINDOWS = (8192, 16_384, 32_768, 65_536, 131_072, 262_144)
"""Sizes of the context window that are asked for when none is configured. Few, because another size reloads the model."""

_BYTES_PER_TOKEN = 3
_TOKENS_PER_IMAGE = 1024
_TOKENS_OF_ANSWER = 2048


class OllamaRestore(Restore, kw_only=True):
    """What decoding must know besides; with the window and the text it tells whether the server has cut the prompt."""

    context_window: int | None = None
    """`num_ctx` as it was sent, in tokens."""
    text_bytes: int = 0
    """Text in the messages and tools."""


def encode_chat(request: ChatRequest, options: EncodeOptions, *, stream: bool) -> EncodedChat:
    """Raises `InvalidRequest` or `UnsupportedFeature` with the path of the field."""
    notes = ParameterNotes(options.strict)
    unasked = has_room_for_one_call(request)
    request = without_refused(modernized(request), options, notes)
    check_conversation(request.messages)
    _refuse_what_changes_meaning(request)
    conversation = encode_messages(request.messages, options.model.capabilities, notes)
    body: dict[str, Json] = {"model": options.send_model, "messages": conversation.messages, "stream": stream}
    runner: dict[str, Json] = {}
    _add_defaults(body, runner, options)
    _add_tools(body, request, options.model, conversation, notes)
    if request.response_format is not None and request.response_format.type != "text":
        body["format"] = _format(request.response_format, options.model)
        notes.map("response_format", "format")
    _add_thinking(body, request, options, notes)
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs
    if request.top_logprobs is not None:
        body["top_logprobs"] = request.top_logprobs
    _add_extras(body, runner, request, options, notes)
    _add_options(runner, request, notes)
    if runner.get("num_ctx") is None:
        runner["num_ctx"] = _window_for(conversation, runner.get("num_predict"), options.model.context_window)
    window = runner["num_ctx"]
    body["options"] = runner
    _report_dropped(request, notes, unasked=unasked)
    return EncodedChat(
        body=written(body),
        report=notes.report(),
        restore=OllamaRestore(
            context_window=window if isinstance(window, int) else None,
            text_bytes=conversation.text_bytes,
            think_tags=options.quirks.think_tags,
        ),
    )


def _refuse_what_changes_meaning(request: ChatRequest) -> None:
    if request.n is not None and request.n != 1:
        raise UnsupportedFeature("Ollama gives one answer per request: send n requests instead", param="n")
    if request.tool_choice not in (None, "auto", "none"):
        raise UnsupportedFeature(
            "Ollama cannot be made to call a tool: only auto and none are possible", param="tool_choice"
        )


def _add_defaults(body: dict[str, Json], runner: dict[str, Json], options: EncodeOptions) -> None:
    """What the configured entry says; the caller's own values replace it afterwards."""
    for name, value in options.defaults.extra.items():
        if name == "options" and isinstance(value, dict):
            runner.update(value)
        elif name in _OPTION_EXTRAS:
            runner[name] = value
        else:
            body[name] = value
    if options.defaults.max_tokens is not None:
        runner["num_predict"] = options.defaults.max_tokens
    if options.defaults.temperature is not None:
        runner["temperature"] = options.defaults.temperature
    if options.defaults.top_p is not None:
        runner["top_p"] = options.defaults.top_p


def _add_tools(
    body: dict[str, Json],
    request: ChatRequest,
    model: ModelInfo,
    conversation: Conversation,
    notes: ParameterNotes,
) -> None:
    if not request.tools:
        return
    if request.tool_choice == "none":
        notes.map("tool_choice", "tools left out")
        return
    if model.capabilities.tools is False:
        raise UnsupportedFeature("this model does not call tools", param="tools")
    tools = written(encode_tools(request.tools))
    conversation.text_bytes += len(tools)
    body["tools"] = Raw(tools)


def _format(wanted: ResponseFormat, model: ModelInfo) -> Json:
    if wanted.type == "json_object":
        return "json"
    if wanted.type != "json_schema":
        raise UnsupportedFeature(f"Ollama has no output format {wanted.type!r}", param="response_format.type")
    if model.capabilities.json_schema is False:
        raise UnsupportedFeature("this model does not keep to a JSON schema", param="response_format")
    schema = wanted.json_schema.schema if wanted.json_schema else None
    if schema is None:
        raise InvalidRequest("the schema is missing", param="response_format.json_schema.schema")
    return schema


def _add_thinking(body: dict[str, Json], request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> None:
    effort = request.reasoning_effort
    if effort is None:
        effort = options.defaults.reasoning_effort
        if effort is not None and options.model.capabilities.reasoning is not False:
            body["think"] = _think(effort, options.model)
        return
    if options.model.capabilities.reasoning is False:
        notes.drop("reasoning_effort", "this model does not reason")
        return
    body["think"] = think = _think(effort, options.model)
    notes.map("reasoning_effort", f"think: {think}".lower())


def _add_thinking_switch(body: dict[str, Json], wanted: bool, options: EncodeOptions, notes: ParameterNotes) -> None:
    if wanted and options.model.capabilities.reasoning is False:
        notes.drop("thinking", "this model does not reason")
        return
    body.setdefault("think", wanted)
    notes.map("thinking", "think")


def _think(effort: str, model: ModelInfo) -> bool | str:
    """Levels are for the models that are known to have them: the others refuse a level, but take `true`."""
    if effort == "none":
        return False
    level = _EFFORT_LEVELS.get(effort)
    if level is None:
        raise UnsupportedFeature(
            f"the effort {effort!r} is none of none, {', '.join(_EFFORT_LEVELS)}", param="reasoning_effort"
        )
    return level if level in (model.parameters.efforts or ()) else True


def _add_extras(
    body: dict[str, Json],
    runner: dict[str, Json],
    request: ChatRequest,
    options: EncodeOptions,
    notes: ParameterNotes,
) -> None:
    """The caller's fields outside the common model: Ollama's own are sent, the others would be ignored by the server."""
    settled = note_anthropics_own(request, notes)
    if options.quirks.extra_parameters:
        runner.update(_given_options(request))
    for name in request.extra:
        renamed = _RENAMED_EXTRAS.get(name, name)
        value = request.extra_value(name)
        if value is None or name in settled:
            continue
        if not options.quirks.extra_parameters:
            notes.leave_out(name, value, "the entry takes no further parameters (quirks.extra_parameters)")
        elif renamed in _OPTION_EXTRAS:
            runner[renamed] = value
            notes.map(name, f"options.{renamed}")
        elif name in _TOP_LEVEL_EXTRAS:
            body[name] = value
        elif name == "thinking" and isinstance(value, dict):  # Anthropic's
            _add_thinking_switch(body, value.get("type") != "disabled", options, notes)
        elif name != "options":
            notes.leave_out(name, value, _NO_SUCH_PARAMETER)


def _given_options(request: ChatRequest) -> dict[str, Json]:
    """Ollama's `options`, where the caller writes them as they are."""
    given = request.extra_value("options")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidRequest("options is not an object", param="options")
    return given


def _add_options(runner: dict[str, Json], request: ChatRequest, notes: ParameterNotes) -> None:
    for name in _COMMON_OPTIONS:
        value = getattr(request, name)
        if value is not None:
            runner[name] = value
            notes.map(name, f"options.{name}")
    if request.output_limit is not None:
        runner["num_predict"] = request.output_limit
        named = "max_completion_tokens" if request.max_completion_tokens is not None else "max_tokens"
        notes.map(named, "options.num_predict")
    if request.stop is not None:
        runner["stop"] = [request.stop] if isinstance(request.stop, str) else request.stop
        notes.map("stop", "options.stop")


def _window_for(conversation: Conversation, answer: Json, limit: int | None) -> int:
    """A window that holds the prompt, reckoned generously, and the answer; never more than the model's own."""
    prompt = conversation.text_bytes // _BYTES_PER_TOKEN + conversation.images * _TOKENS_PER_IMAGE
    needed = prompt + (answer if isinstance(answer, int) and answer > 0 else _TOKENS_OF_ANSWER)
    window = next((size for size in _WINDOWS if size >= needed), _WINDOWS[-1])
    return window if limit is None else min(window, limit)


def _report_dropped(request: ChatRequest, notes: ParameterNotes, *, unasked: bool) -> None:
    """`unasked`: that there is one call at a time is not the caller's word."""
    for name in _TUNING_ONLY:
        if getattr(request, name) is not None:
            notes.drop(name, _NO_SUCH_PARAMETER)
    if request.parallel_tool_calls is False and request.tools:
        note = notes.strip if unasked else notes.drop
        note("parallel_tool_calls", "Ollama cannot limit the model to one call")
    for index, message in enumerate(request.messages):
        if message.name is not None and message.role != "tool":
            notes.strip(f"messages[{index}].name", "Ollama's messages have no name")
        if has_signed_thinking(message):
            notes.strip(f"messages[{index}].thinking_blocks", "only Anthropic's API takes it")
