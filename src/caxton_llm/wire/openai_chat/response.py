"""A whole answer of an OpenAI chat server.

`ChatResponse.wire` is the body as it came, except where a client could not use it: names of tools that were renamed for the
provider, reasoning between tags, calls without an id or with arguments that are no text. Those are mended in place; every
other field stays.
"""

import hashlib
from typing import NoReturn

import msgspec

from caxton_llm.errors import MalformedResponse
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatResponse, Choice, Json, Message, ToolCall
from caxton_llm.wire.error_body import describe_html
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.half_characters import HALVED, without_halves
from caxton_llm.wire.lenient import read_patiently
from caxton_llm.wire.openai_chat.shapes import (
    BESIDE_CONTENT,
    WireAnswer,
    WireCall,
    WireChoice,
    WireMessage,
    arguments_text,
    common_finish,
    common_usage,
    finish_warnings,
    function_call,
    reasoning_text,
    synthetic_call_id,
    visible_text,
    whole_number,
)
from caxton_llm.wire.think_tags import ThinkSplitter
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["decode_chat", "rename_calls"]

_DECODER = msgspec.json.Decoder(WireAnswer)


def decode_chat(body: bytes, restore: Restore) -> ChatResponse:
    """A 2xx answer. Raises the error that it carries, or `MalformedResponse`."""
    warnings: list[str] = []
    if restore.tool_names or restore.think_tags:
        body = _restored(body, restore)
    try:
        answer = _DECODER.decode(body)
    except UNREADABLE:
        answer, body = _read_again(body, restore, warnings)
    if answer.error or not answer.choices:
        _raise_refusal(body, answer)
    answer_id = str(answer.id) if answer.id else f"chatcmpl-{hashlib.blake2s(body, digest_size=12).hexdigest()}"
    choices = [_choice(choice, position, answer_id) for position, choice in enumerate(answer.choices)]
    for wire in answer.choices:
        warnings += [each for each in finish_warnings(wire.finish_reason) if each not in warnings]
    if any(_unusable_calls(choice.message) for choice in answer.choices):
        body = _with_calls(body, choices)
    return ChatResponse(
        id=answer_id,
        model=answer.model or "",
        choices=choices,
        created=whole_number(answer.created) or 0,
        usage=common_usage(answer.usage, answer.service_tier),
        service_tier=answer.service_tier,
        system_fingerprint=answer.system_fingerprint,
        warnings=warnings,
        dialect="openai_chat",
        wire=body,
    )


def _read_again(body: bytes, restore: Restore, warnings: list[str]) -> tuple[WireAnswer, bytes]:
    """The answer and its body, read with patience; raises what the body means when it is no answer even so."""
    whole = without_halves(body)
    if whole is not None:
        warnings.append(HALVED)
        body = _restored(whole, restore)
    try:
        return read_patiently(body, WireAnswer, BESIDE_CONTENT)
    except UNREADABLE as error:
        _raise_unreadable(body, error)


def _choice(choice: WireChoice, position: int, answer_id: str) -> Choice:
    index = position if choice.index is None else choice.index
    wire = choice.message or WireMessage()
    calls = [_call(call, answer_id, index, place) for place, call in enumerate(wire.tool_calls or ())]
    message = Message(
        role="assistant",
        content=visible_text(wire.content),
        tool_calls=calls or None,
        refusal=wire.refusal or _refusal_part(wire),
        reasoning_content=reasoning_text(wire),
        function_call=function_call(wire.function_call) if wire.function_call else None,
        annotations=wire.annotations or None,
        audio=wire.audio,
    )
    return Choice(
        index=index,
        message=message,
        finish_reason=common_finish(choice.finish_reason, called=bool(calls or wire.function_call)),
        logprobs=choice.logprobs,
        stop_sequence=choice.stop_reason if isinstance(choice.stop_reason, str) else None,
    )


def _refusal_part(message: WireMessage) -> str | None:
    if not isinstance(message.content, list):
        return None
    return "".join(part.refusal for part in message.content if part.refusal) or None


def _call(call: WireCall, answer_id: str, choice: int, place: int) -> ToolCall:
    if call.function is None and call.custom is not None:
        name = call.custom.get("name", "") if isinstance(call.custom, dict) else ""
        return ToolCall(
            id=call.id or synthetic_call_id(answer_id, choice, place, name),
            type=call.type or "custom",
            custom=call.custom,
        )
    if call.function is None or not call.function.name:
        raise MalformedResponse(f"the provider's answer has a tool call without a name at choices[{choice}]")
    call_id = call.id or synthetic_call_id(answer_id, choice, place, call.function.name)
    return ToolCall(id=call_id, type=call.type or "function", function=function_call(call.function))


# -- answers that are none ----------------------------------------------------------------------------------------------


def _raise_refusal(body: bytes, answer: WireAnswer) -> NoReturn:
    if answer.error:
        raise classify_error_value(answer.error)
    if answer.object == "error" or answer.choices is None:
        value = _plain(body)
        if any(key in value for key in ("message", "detail", "errors", "code")):
            raise classify_error_value(value)
    raise MalformedResponse("the provider's answer has no choices, so it is no chat completion; check base_url")


def _raise_unreadable(body: bytes, error: Exception) -> NoReturn:
    """Raises what a body that is no answer means, without quoting it."""
    if html := describe_html(body):
        raise MalformedResponse(f"the provider answered with {html}; check base_url")
    if not body.strip():
        raise MalformedResponse("the provider answered with an empty body")
    if isinstance(error, msgspec.ValidationError):
        if _is_listed_error(body):
            raise classify_error_value(msgspec.json.decode(body))
        raise MalformedResponse(f"the provider's answer does not have the form of a chat completion: {error}")
    if body.lstrip().startswith((b"data:", b"event:", b":")):
        raise MalformedResponse("the provider answered with a stream although none was asked for")
    raise MalformedResponse("the provider's answer is not JSON")


def _is_listed_error(body: bytes) -> bool:
    """Google puts its errors into a list."""
    try:
        return bool(msgspec.json.decode(body)[0]["error"])
    except (*UNREADABLE, LookupError, TypeError):
        return False


# -- what a client could not use ----------------------------------------------------------------------------------------


def _unusable_calls(message: WireMessage | None) -> bool:
    return message is not None and any(
        not call.id or not call.type or (call.function is not None and not _is_text(call.function.arguments))
        for call in message.tool_calls or ()
    )


def _is_text(arguments: Json) -> bool:
    return isinstance(arguments, str) and bool(arguments)


def _with_calls(body: bytes, choices: list[Choice]) -> bytes:
    """The body with ids, types and texts where its tool calls lack them."""
    answer = _plain(body)
    for wire, choice in zip(answer["choices"], choices, strict=True):
        for call, typed in zip(
            (wire.get("message") or {}).get("tool_calls") or (), choice.message.tool_calls or (), strict=True
        ):
            call["id"], call["type"] = typed.id, typed.type
            if typed.function is not None:
                call["function"]["arguments"] = arguments_text(typed.function.arguments)
    return msgspec.json.encode(answer)


def _plain(body: bytes) -> dict[str, Json]:
    """The body with the fields that no type of ours has looked into. Raises `MalformedResponse`."""
    try:
        value: dict[str, Json] = msgspec.json.decode(body)
    except UNREADABLE as error:  # a number that is out of range
        raise MalformedResponse(f"the provider's answer cannot be read: {error}") from None
    return value


def _restored(body: bytes, restore: Restore) -> bytes:
    """The body with the caller's tool names, and with reasoning taken out of the text."""
    try:
        answer = msgspec.json.decode(body)
        for choice in answer["choices"]:
            rename_calls(choice["message"], restore.tool_names)
            if restore.think_tags:
                _split_reasoning(choice["message"])
    except (*UNREADABLE, LookupError, TypeError, AttributeError):
        return body  # whatever it is, it is read and refused like any other
    return msgspec.json.encode(answer)


def rename_calls(message: dict[str, Json], names: dict[str, str]) -> None:
    """Give the tool calls of a decoded message, or of its delta, their callers' names back."""
    for call in message.get("tool_calls") or ():
        for key in ("function", "custom"):
            named = call.get(key)
            if isinstance(named, dict) and named.get("name") in names:
                named["name"] = names[named["name"]]


def _split_reasoning(message: dict[str, Json]) -> None:
    splitter = ThinkSplitter()
    text, reasoning = splitter.feed(message.get("content") or "")
    last_text, last_reasoning = splitter.close()
    if reasoning + last_reasoning:
        message["content"] = text + last_text
        message["reasoning_content"] = (message.get("reasoning_content") or "") + reasoning + last_reasoning
