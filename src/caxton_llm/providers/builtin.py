"""What the `builtin` provider answers: a pure function of the request, or of one step of its script.

Rules kept here: the same request gives the same answer, whole or streamed; nothing of the request is quoted but the last
user message and the results of the tools just called; a token is a word, counted the same way in prompt and answer.
"""

from collections.abc import Iterator
from hashlib import blake2b

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import (
    Authentication,
    ContentFiltered,
    ContextWindowExceeded,
    InvalidRequest,
    LlmError,
    Overloaded,
    ProviderFailure,
    RateLimited,
    StreamInterrupted,
)
from caxton_llm.providers.builtin_schema import instance
from caxton_llm.providers.settings import BuiltinStep, ProviderSettings
from caxton_llm.types import (
    ChatRequest,
    CompletionTokensDetails,
    ContentPart,
    FinishReason,
    FunctionCall,
    FunctionDefinition,
    Json,
    Message,
    ParameterReport,
    ResponseFormat,
    ToolCall,
    Usage,
)
from caxton_llm.wire.conversation import check_conversation
from caxton_llm.wire.data_url import parse_data_url
from caxton_llm.wire.legacy_functions import modernized
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.written import written

__all__ = ["CONTEXT_WINDOW", "BuiltinAnswer", "answer", "scripted_error", "text_pieces"]

CONTEXT_WINDOW = 131_072
"""In words, unless `context_window` says otherwise."""

_QUOTED_LIMIT = 2000
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 85
_MOST_ANSWERS = 128
_LEAST_LETTERS = 4

_WITHOUT_EFFECT = (
    "frequency_penalty",
    "logit_bias",
    "metadata",
    "presence_penalty",
    "prompt_cache_key",
    "safety_identifier",
    "seed",
    "service_tier",
    "store",
    "temperature",
    "top_p",
    "user",
    "verbosity",
)

_ERRORS: dict[str, tuple[type[LlmError], int, str]] = {
    "rate_limited": (RateLimited, 429, "the script limits the rate"),
    "overloaded": (Overloaded, 503, "the script says overloaded"),
    "provider_failure": (ProviderFailure, 500, "the script fails"),
    "authentication": (Authentication, 401, "the script refuses the key"),
    "context_window_exceeded": (ContextWindowExceeded, 400, "the script finds the prompt too long"),
    "content_filtered": (ContentFiltered, 400, "the script filters the content"),
}

_encoder = msgspec.json.Encoder(order="deterministic")


class BuiltinAnswer(Struct, kw_only=True):
    """One answer, from which both the whole and the streamed form are made."""

    id: str
    count: int
    """How many times it is given (`n`)."""
    text: str
    reasoning: str
    calls: list[ToolCall]
    finish_reason: FinishReason
    stop_sequence: str | None
    usage: Usage
    report: ParameterReport


def answer(request: ChatRequest, settings: ProviderSettings, step: BuiltinStep) -> BuiltinAnswer:
    """Raises `InvalidRequest` or `UnsupportedFeature` with the path of the field, `ContextWindowExceeded` when the prompt has
    more words than the window."""
    request = modernized(request)
    check_conversation(request.messages)
    notes = _checked(request, settings)
    prompt_tokens = _prompt_tokens(request)
    window = settings.context_window or CONTEXT_WINDOW
    if prompt_tokens > window:
        raise ContextWindowExceeded(f"the prompt has {prompt_tokens} tokens, the window {window}", param="messages")
    asked = replace(request, stream=None, stream_options=None, source=None)
    identity = blake2b(written(asked, _encoder), digest_size=8).hexdigest()
    calls = _calls(request, step, identity)
    reasoning = _reasoning(request, settings, step)
    reasoning, left = _limited(reasoning, _limit(request, settings))
    text, stop = _stopped(_text(request, step, calls), request.stop)
    whole = text
    text, left = _limited(text, left)
    cut = left == 0 and text != whole
    count = request.n or 1
    called = sum(_words(call.function.name, call.function.arguments) for call in calls if call.function is not None)
    thought = len(text_pieces(reasoning))
    completion = (thought + len(text_pieces(text)) + called) * count
    return BuiltinAnswer(
        id=f"chatcmpl-{identity}",
        count=count,
        text=text,
        reasoning=reasoning,
        calls=calls,
        finish_reason=step.finish_reason or ("length" if cut else "tool_calls" if calls else "stop"),
        stop_sequence=None if cut else stop,
        usage=Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion,
            total_tokens=prompt_tokens + completion,
            completion_tokens_details=CompletionTokensDetails(reasoning_tokens=thought * count),
        ),
        report=notes.report(),
    )


def scripted_error(step: BuiltinStep) -> LlmError:
    """The error of a step; `stall` has none, because it is silence."""
    if step.error == "stream_interrupted":
        return StreamInterrupted("the script cuts the answer")
    kind, status, message = _ERRORS[step.error or "provider_failure"]
    return kind(message, status=status, retry_after_s=step.retry_after_seconds)


def text_pieces(text: str) -> list[str]:
    """The words of a text, each with the space before it: joined they are the text again."""
    if not text:
        return []
    first, *others = text.split(" ")
    return [piece for piece in (first, *(f" {word}" for word in others)) if piece]


def _checked(request: ChatRequest, settings: ProviderSettings) -> ParameterNotes:
    notes = ParameterNotes(settings.parameters == "strict")
    if request.n is not None and not 1 <= request.n <= _MOST_ANSWERS:
        raise InvalidRequest(f"n is not between 1 and {_MOST_ANSWERS}", param="n")
    limit = request.output_limit
    if limit is not None and limit < 1:
        raise InvalidRequest("the limit of the output is below 1", param="max_completion_tokens")
    for index, tool in enumerate(request.tools or ()):
        if tool.type != "function" or tool.function is None:
            notes.refuse(f"tools[{index}].type", "the builtin provider calls functions only")
    if request.logprobs or request.top_logprobs:
        notes.refuse("logprobs", "the builtin provider has no probabilities")
    for name in _WITHOUT_EFFECT:
        if getattr(request, name) is not None:
            notes.drop(name, "the answer follows from the request alone")
    for name in request.extra:
        if name != "thinking":
            notes.drop(name, "the builtin provider has no such parameter")
    return notes


# -- tools --------------------------------------------------------------------------------------------------------------


def _calls(request: ChatRequest, step: BuiltinStep, identity: str) -> list[ToolCall]:
    if step.tool is not None:
        wanted = [(step.tool, written(step.arguments, _encoder).decode())]
    elif step.text is not None:
        wanted = []
    else:
        text = _last_user_text(request.messages)
        wanted = [
            (tool.name, written(_arguments(tool, text), _encoder).decode()) for tool in _chosen_tools(request, text)
        ]
    return [
        ToolCall(id=f"call_{identity}{index}", function=FunctionCall(name, arguments))
        for index, (name, arguments) in enumerate(wanted)
    ]


def _arguments(tool: FunctionDefinition, text: str) -> Json:
    made = instance({"type": "object"} | (tool.parameters or {}), text)
    return made if isinstance(made, dict) else {}


def _chosen_tools(request: ChatRequest, text: str) -> list[FunctionDefinition]:
    """The tools that this turn calls: those that `tool_choice` demands, else those that the user's words name."""
    tools = [tool.function for tool in request.tools or () if tool.function is not None]
    choice = request.tool_choice
    if isinstance(choice, dict):
        return [_named_tool(tools, choice)]
    if choice == "none" or (not tools and choice != "required"):
        return []
    words = _vocabulary(text)
    named = [tool for tool in tools if _is_named(tool.name, words)]
    if choice == "required":
        if not tools:
            raise InvalidRequest("a tool is required, but the request has none", param="tool_choice")
        named = named or tools[:1]
    elif request.messages[-1].role == "tool":
        return []
    return named[:1] if request.parallel_tool_calls is False else named


def _named_tool(tools: list[FunctionDefinition], choice: dict[str, Json]) -> FunctionDefinition:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else choice.get("name")
    for tool in tools:
        if tool.name == name:
            return tool
    raise InvalidRequest("the tool that tool_choice names is not among the tools", param="tool_choice")


def _is_named(name: str, words: frozenset[str]) -> bool:
    """Whether the words contain the name, or one of its own words that is long enough to tell something."""
    return name.lower() in words or any(part in words for part in _vocabulary(name) if len(part) >= _LEAST_LETTERS)


def _vocabulary(text: str) -> frozenset[str]:
    """Words in lower case, with the words inside of `snake_case`, `kebab-case` and `camelCase`."""
    words: set[str] = set()
    for word in text.split():
        bare = word.strip(".,;:!?()[]{}\"'`")
        words.add(bare.lower())
        spaced = "".join(f" {letter}" if letter.isupper() else letter if letter.isalnum() else " " for letter in bare)
        words.update(spaced.lower().split())
    return frozenset(words)


# -- text ---------------------------------------------------------------------------------------------------------------


def _text(request: ChatRequest, step: BuiltinStep, calls: list[ToolCall]) -> str:
    if step.text is not None:
        return step.text
    if calls:
        return ""
    wanted = request.response_format
    if wanted is not None and wanted.type != "text":
        return _structured(wanted, request)
    results = list(_fresh_results(request.messages))
    if results:
        return "\n".join(f"{name} answered: {text}" for name, text in results)
    return _echo(request)


def _structured(wanted: ResponseFormat, request: ChatRequest) -> str:
    text = _last_user_text(request.messages)
    if wanted.type == "json_schema":
        schema = wanted.json_schema.schema if wanted.json_schema is not None else None
        if schema is None:
            raise InvalidRequest("the schema is missing", param="response_format.json_schema.schema")
        return written(instance(schema, text), _encoder).decode()
    return written({"messages": len(request.messages), "you_said": text[:_QUOTED_LIMIT]}, _encoder).decode()


def _fresh_results(messages: list[Message]) -> Iterator[tuple[str, str]]:
    """Name and text of the tool results at the end of the conversation."""
    names = {
        call.id: call.function.name
        for message in messages
        for call in message.tool_calls or ()
        if call.function is not None
    }
    begin = len(messages)
    while begin and messages[begin - 1].role == "tool":
        begin -= 1
    for message in messages[begin:]:
        yield names.get(message.tool_call_id or "", "the tool"), _plain(message)[:_QUOTED_LIMIT]


def _echo(request: ChatRequest) -> str:
    text = _last_user_text(request.messages)
    said = f"You said: {text[:_QUOTED_LIMIT]}" if text else "You said nothing in words."
    received = [_counted(len(request.messages), "message")]
    if request.tools:
        received.append(f"{_counted(len(request.tools), 'tool')} ({', '.join(_tool_names(request))})")
    received.extend(_attachments(request.messages))
    given = [name for name in (*_WITHOUT_EFFECT, "stop", "max_completion_tokens") if getattr(request, name) is not None]
    if given:
        received.append(f"{_counted(len(given), 'parameter')} ({', '.join(given)})")
    *others, last = received
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{said}\n\nThe builtin provider received {listed}."


def _tool_names(request: ChatRequest) -> list[str]:
    return [tool.function.name for tool in request.tools or () if tool.function is not None]


def _attachments(messages: list[Message]) -> Iterator[str]:
    """What the last user message carries besides text, by media type."""
    parts = next((message.content for message in reversed(messages) if message.role == "user"), None)
    for part in parts if isinstance(parts, list) else ():
        if part.type == "image_url" and part.image_url is not None:
            yield f"an image ({_media_type(part.image_url.url)})"
        elif part.type == "input_audio" and part.input_audio is not None:
            yield f"audio ({part.input_audio.format})"
        elif part.type == "file" and part.file is not None:
            yield f"a file ({_media_type(part.file.file_data) if part.file.file_data else 'by id'})"
        elif part.type != "text":
            yield f"a part of type {part.type}"


def _media_type(url: str) -> str:
    data = parse_data_url(url)
    return data[0] if data is not None else "by URL"


def _reasoning(request: ChatRequest, settings: ProviderSettings, step: BuiltinStep) -> str:
    if step.reasoning is not None:
        return step.reasoning
    effort = request.reasoning_effort or settings.reasoning_effort
    thinking = request.extra_value("thinking")
    asked = isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")
    if not asked and effort in (None, "none"):
        return ""
    last = request.messages[-1]
    return (
        f"The last of {_counted(len(request.messages), 'message')} is from the {last.role}; I answer from the request."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# -- limits and counts --------------------------------------------------------------------------------------------------


def _limit(request: ChatRequest, settings: ProviderSettings) -> int | None:
    return request.output_limit if request.output_limit is not None else settings.max_tokens


def _limited(text: str, limit: int | None) -> tuple[str, int | None]:
    """As many words as the limit allows, and what is left of the limit."""
    if limit is None:
        return text, None
    pieces = text_pieces(text)
    return "".join(pieces[:limit]), max(limit - len(pieces), 0)


def _stopped(text: str, stop: str | list[str] | None) -> tuple[str, str | None]:
    """The text before the first stop string, and which one it was."""
    found = [
        (at, word)
        for word in ([stop] if isinstance(stop, str) else stop or ())
        if word and (at := text.find(word)) >= 0
    ]
    if not found:
        return text, None
    at, word = min(found)
    return text[:at], word


def _prompt_tokens(request: ChatRequest) -> int:
    tokens = sum(_message_tokens(message) for message in request.messages)
    for tool in request.tools or ():
        tokens += _words(written(tool, _encoder).decode().replace(",", ", "))
    return tokens


def _message_tokens(message: Message) -> int:
    images = sum(part.type == "image_url" for part in message.content) if isinstance(message.content, list) else 0
    calls = [call.function for call in message.tool_calls or () if call.function is not None]
    words = _words(_plain(message), *(text for call in calls for text in (call.name, call.arguments)))
    return words + _TOKENS_PER_MESSAGE + images * _TOKENS_PER_IMAGE


def _words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


def _plain(message: Message) -> str:
    content = message.content
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_part_text(part) for part in content)


def _part_text(part: ContentPart) -> str:
    return part.text or part.refusal or ""


def _last_user_text(messages: list[Message]) -> str:
    return next((_plain(message).strip() for message in reversed(messages) if message.role == "user"), "")
