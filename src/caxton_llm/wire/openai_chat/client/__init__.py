"""OpenAI's chat completions, the side that faces clients: the `ClientDialect` `openai_chat`.

A request is checked for what every provider would refuse, with the path of the field at fault. What this module does not
know (fields, types of content) is kept, because the provider may know it.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NoReturn, get_args

import msgspec
from msgspec import Raw

from caxton_llm.errors import InvalidRequest
from caxton_llm.types import ChatRequest, ChatResponse, Choice, Json, RequestSource, Role, Usage
from caxton_llm.wire.client_json import read_raw
from caxton_llm.wire.conversation import check_conversation, names_conversation
from caxton_llm.wire.legacy_functions import modernized
from caxton_llm.wire.openai_chat.client.encoder import ONE_CALL, OpenAIStreamEncoder, speaks_functions
from caxton_llm.wire.openai_chat.client.error import encode_error
from caxton_llm.wire.openai_chat.parameters import COMMON_FIELDS
from caxton_llm.wire.openai_chat.usage import usage_value

__all__ = ["client_path", "decode_request", "encode_error", "encode_response", "encoder", "name"]

name = "openai_chat"

_FORWARDED_HEADERS = ("openai-beta",)
"""Headers of a client that may travel on to a provider of this dialect; all others stay here."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_REQUEST = msgspec.json.Decoder(ChatRequest)
_NULL = Raw(b"null")

_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "n": (1, math.inf),
    "max_tokens": (1, math.inf),
    "max_completion_tokens": (1, math.inf),
}
"""The least and the most that a parameter may be."""


def decode_request(body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """The request of a client. Raises `InvalidRequest` with the path of the field (`messages[0].content`)."""
    try:
        if not body.isascii():
            body.decode()  # what is not decoded below travels on as bytes, so it must be text too
        request = _REQUEST.decode(body)
        fields = _FIELDS.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not valid UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except msgspec.ValidationError as error:
        _refuse_shape(str(error))
    except msgspec.DecodeError as error:
        _refuse_json(body, str(error))
    if _NULL in fields.values():  # null is "not said", and servers refuse it
        fields = {key: value for key, value in fields.items() if value != _NULL}
    if not COMMON_FIELDS.issuperset(fields):
        request.extra = {key: value for key, value in fields.items() if key not in COMMON_FIELDS}
        for key, value in request.extra.items():
            read_raw(value, key)  # whoever needs it decodes it later, where a failure would be nobody's mistake
    request.source = RequestSource(
        "openai_chat", fields, {key: headers[key] for key in _FORWARDED_HEADERS if key in headers}
    )
    _check_values(request, fields)
    request = modernized(request)
    check_conversation(request.messages, continues=names_conversation(request.extra, headers))
    return request


def _refuse_json(body: bytes, problem: str) -> NoReturn:
    if not body.strip():
        raise InvalidRequest("the body is empty; send a JSON object")
    if "truncated" in problem:
        raise InvalidRequest(f"the body is not valid JSON: it ends too early (at byte {len(body)})")
    problem = problem.removeprefix("JSON is malformed: ").replace(" (byte ", " (at byte ")
    raise InvalidRequest(f"the body is not valid JSON: {problem}")


def _refuse_shape(problem: str) -> NoReturn:
    """msgspec says what it expected, and the path after `$`; a value of the client is never repeated."""
    what, _, place = problem.partition(" - at `$")
    path = place.removesuffix("`").removeprefix(".")
    if what.startswith("Object missing required field `"):
        field = what.removeprefix("Object missing required field `").removesuffix("`")
        path = f"{path}.{field}" if path else field
        raise InvalidRequest(f"{path} is missing", param=path)
    if what.startswith("Invalid enum value"):
        known = f"; known: {', '.join(get_args(Role))}" if path.endswith(".role") else ""
        raise InvalidRequest(f"{path} has a value that does not exist{known}", param=path)
    what = what.replace("`", "").replace("Expected", "expected", 1)
    raise InvalidRequest(f"{path or 'the body'} has the wrong type: {what}", param=path or None)


def _check_values(request: ChatRequest, given: Iterable[str]) -> None:
    for field in given:
        if field in _RANGES:
            low, high = _RANGES[field]
            value = getattr(request, field)
            if not low <= value <= high:
                wanted_range = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
                raise InvalidRequest(f"{field} is {value:g}; it must be {wanted_range}", param=field)
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest("stream_options is allowed only with stream: true", param="stream_options")
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_schema" and wanted.json_schema is None:
        raise InvalidRequest(
            "response_format of type json_schema needs its schema in json_schema", param="response_format.json_schema"
        )
    if isinstance(request.tool_choice, dict):
        _check_choice(request.tool_choice)
    for index, tool in enumerate(request.tools) if request.tools else ():
        if tool.type == "function" and tool.function is None:
            raise InvalidRequest("a tool of type function needs a function", param=f"tools[{index}].function")


def _check_choice(choice: dict[str, Json]) -> None:
    for kind in ("function", "custom"):
        chosen = choice.get(kind)
        if isinstance(chosen, dict) and not isinstance(chosen.get("name"), str):
            path = f"tool_choice.{kind}.name"
            raise InvalidRequest(f"{path} must be the name of a tool", param=path)
    allowed = choice.get("allowed_tools")
    if isinstance(allowed, dict) and not isinstance(allowed.get("tools"), list):
        path = "tool_choice.allowed_tools.tools"
        raise InvalidRequest(f"{path} must be a list of tools", param=path)


# -- answers ------------------------------------------------------------------------------------------------------------


def client_path(path: str, request: ChatRequest) -> str:  # noqa: ARG001 - part of the contract
    """The path itself: the common model has this dialect's shape."""
    return path


def encode_response(response: ChatResponse, request: ChatRequest) -> bytes:
    """The body of a whole answer: the provider's own where it speaks this dialect, else written from the common model.

    A client that sent the deprecated `functions` gets a `function_call` back, and a warning where the model made more.
    """
    if response.wire is not None and response.dialect == name:
        return response.wire
    legacy = speaks_functions(request)
    if legacy and any(len(choice.message.tool_calls or ()) > 1 for choice in response.choices):
        response.warnings.append(ONE_CALL)
    body: dict[str, Json] = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created,
        "model": response.model,
        "choices": [_choice(choice, legacy=legacy) for choice in response.choices],
        "usage": _usage(response.usage),
    }
    for field in ("service_tier", "system_fingerprint"):
        value = getattr(response, field)
        if value is not None:
            body[field] = value
    return msgspec.json.encode(body)


def _usage(usage: Usage | None) -> dict[str, Json] | None:
    return None if usage is None else usage_value(usage)


def _choice(choice: Choice, *, legacy: bool) -> dict[str, Json]:
    message = choice.message
    wire: dict[str, Json] = {"role": "assistant", "content": message.content, "refusal": message.refusal}
    for field in ("reasoning_content", "thinking_blocks", "annotations", "audio", "function_call"):
        value = getattr(message, field)
        if value is not None:
            wire[field] = value
    finish = choice.finish_reason or "stop"
    if message.tool_calls and legacy:
        wire["function_call"] = message.tool_calls[0].function
        finish = "function_call" if finish == "tool_calls" else finish  # type: ignore[assignment]
    elif message.tool_calls:
        wire["tool_calls"] = message.tool_calls
    encoded = {"index": choice.index, "message": wire, "logprobs": choice.logprobs, "finish_reason": finish}
    if choice.stop_sequence is not None:
        encoded["stop_reason"] = choice.stop_sequence  # vLLM's name for it; the dialect itself has none
    return encoded


def encoder(request: ChatRequest, *, stream_dialect: str, stream_model: str) -> OpenAIStreamEncoder:
    """An encoder for one streamed answer."""
    return OpenAIStreamEncoder(request, verbatim=stream_dialect == name, model=stream_model)
