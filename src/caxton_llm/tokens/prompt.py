"""What of a request counts as prompt: texts, names, tool calls, tools, and the frame around each message.

Whoever counts brings the measure of a text: tokens of a vocabulary, or bytes for a bound that costs next to nothing. Two
things are not in the figure: the reasoning of earlier turns, of which most providers take nothing back, and what has no text
here (`uncounted_parts`).
"""

from collections.abc import Callable

from caxton_llm.types import ChatRequest, ContentPart, FunctionCall, Message
from caxton_llm.wire.written import written

__all__ = ["frame_tokens", "message_tokens", "prompt_tokens", "rough_tokens", "uncounted_parts"]

_PER_MESSAGE = 3
_PER_ANSWER = 3
_PER_IMAGE = 765
"""An image of 1024 x 1024 at OpenAI's detail `high`; the true figure depends on its size and on the vendor."""

_CHARACTERS_PER_TOKEN = 4

_COUNTED = frozenset({"text", "image_url", "refusal"})


def prompt_tokens(request: ChatRequest, count: Callable[[str], int]) -> int:
    """The whole prompt. Raises `InvalidRequest` for a tool that JSON cannot express."""
    return frame_tokens(request, count) + sum(message_tokens(message, count) for message in request.messages)


def frame_tokens(request: ChatRequest, count: Callable[[str], int]) -> int:
    """What stands around the messages: tools, the schema of the answer, and the answer's beginning. Raises like
    `prompt_tokens`."""
    total = _PER_ANSWER
    for part in (request.tools, request.functions, request.response_format):
        if part:
            total += count(written(part).decode())
    return total


def message_tokens(message: Message, count: Callable[[str], int]) -> int:
    """One message with its frame."""
    total = _PER_MESSAGE + count(message.role)
    content = message.content
    if isinstance(content, str):
        total += count(content)
    elif content is not None:
        total += sum(_part_tokens(part, count) for part in content)
    for text in (message.name, message.refusal):
        if text:
            total += count(text)
    if message.function_call is not None:
        total += _call_tokens(message.function_call, count)
    for call in message.tool_calls or ():
        if call.function is not None:
            total += _call_tokens(call.function, count)
        if call.custom is not None:
            total += count(written(call.custom).decode())
    return total


def uncounted_parts(message: Message) -> list[str]:
    """The types of the content parts of which nobody knows what they cost: documents, sound, a vendor's own."""
    content = message.content
    return [part.type for part in content if part.type not in _COUNTED] if isinstance(content, list) else []


def _part_tokens(part: ContentPart, count: Callable[[str], int]) -> int:
    if part.image_url is not None:
        return _PER_IMAGE
    text = part.text or part.refusal
    return count(text) if text else 0


def _call_tokens(call: FunctionCall, count: Callable[[str], int]) -> int:
    return count(call.name) + count(call.arguments)


def rough_tokens(text: str | int) -> int:
    """About how many tokens a text, or so many characters, have; at least 1. For what nobody counts."""
    characters = text if isinstance(text, int) else len(text)
    return max(1, characters // _CHARACTERS_PER_TOKEN)
