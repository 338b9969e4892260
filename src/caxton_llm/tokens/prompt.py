"""What of a request counts as prompt: texts, names, tool calls, tools, and the frame around each message.

Here no vendor is known yet: these counts are for comparing a request with any window (`tokens.parts` is for one vendor).
Whoever counts brings the measure of a text: tokens of a vocabulary, or bytes for a bound that costs next to nothing. Two
things are not in the figure: the reasoning of earlier turns, of which most providers take nothing back, and what has no text
here (`uncounted_parts`).
"""

from collections.abc import Callable, Iterator

from caxton_llm.tokens.overheads import NEUTRAL
from caxton_llm.types import ChatRequest, ContentPart, FunctionCall, ImageUrl, Message
from caxton_llm.wire.written import written

__all__ = [
    "frame_tokens",
    "message_images",
    "message_texts",
    "message_tokens",
    "prompt_tokens",
    "rough_tokens",
    "uncounted_parts",
]

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
    total = NEUTRAL.answer
    for part in (request.tools, request.functions, request.response_format):
        if part:
            total += count(written(part).decode())
    return total


def message_tokens(message: Message, count: Callable[[str], int]) -> int:
    """One message with its frame."""
    texts = sum(count(text) for text in message_texts(message))
    return NEUTRAL.message + texts + _PER_IMAGE * len(message_images(message))


def message_texts(message: Message) -> Iterator[str]:
    """The texts of a message that a model reads, its calls of tools among them. Raises like `prompt_tokens`."""
    content = message.content
    if isinstance(content, str):
        yield content
    elif content is not None:
        yield from (text for part in content if (text := _text_of(part)))
    if message.name:
        yield message.name
    if message.refusal:
        yield message.refusal
    if message.function_call is not None:
        yield from _call_texts(message.function_call)
    for call in message.tool_calls or ():
        if call.function is not None:
            yield from _call_texts(call.function)
        if call.custom is not None:
            yield written(call.custom).decode()


def message_images(message: Message) -> list[ImageUrl]:
    """The images of a message."""
    content = message.content
    parts = content if isinstance(content, list) else []
    return [part.image_url for part in parts if part.image_url is not None]


def uncounted_parts(message: Message) -> list[str]:
    """The types of the content parts of which nobody knows what they cost: documents, sound, a vendor's own."""
    content = message.content
    return [part.type for part in content if part.type not in _COUNTED] if isinstance(content, list) else []


def _text_of(part: ContentPart) -> str | None:
    return None if part.image_url is not None else part.text or part.refusal


def _call_texts(call: FunctionCall) -> tuple[str, str]:
    return call.name, call.arguments


def rough_tokens(text: str | int) -> int:
    """About how many tokens a text, or so many characters, have; at least 1. For what nobody counts."""
    characters = text if isinstance(text, int) else len(text)
    return max(1, characters // _CHARACTERS_PER_TOKEN)
