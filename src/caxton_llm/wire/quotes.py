"""What a provider's message repeats of the request is taken out of it: neither a prompt nor a secret appears in an error.

A repetition of a prompt is a run of `_RUN` characters or more of one of the request's texts, or a whole text that is no
single word.
"""

from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from caxton_llm.types import ChatRequest, Message

__all__ = ["secret_forms", "without_quotes"]

_RUN = 24
_BLOCK = _RUN // 2
"""Of the message's blocks at least one lies inside a run of `_RUN` characters, so most texts are ruled out at once."""
_SHORTEST_TEXT = 12
_SHOWN = "[...]"


def secret_forms(secret: str) -> set[str]:
    """How a server may repeat a secret that it was sent: as it is, or percent-encoded as in an address or a form."""
    return {secret, quote(secret, safe=""), quote_plus(secret)}


def without_quotes(message: str, request: ChatRequest) -> str:
    """`message` with `[...]` where it repeats what the caller wrote."""
    for text in _texts(request):
        if _SHORTEST_TEXT <= len(text) < _RUN:
            message = message.replace(text, _SHOWN)
        elif len(text) >= _RUN and _may_quote(message, text):
            message = _cut(message, text)
    return message


def _texts(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        yield from _texts_of(message)


def _texts_of(message: Message) -> Iterator[str]:
    if isinstance(message.content, str):
        yield message.content
    for part in message.content if isinstance(message.content, list) else ():
        yield part.text or part.refusal or (part.image_url.url if part.image_url else "")
    yield message.reasoning_content or ""
    yield message.refusal or ""
    for call in message.tool_calls or ():
        yield call.function.arguments if call.function else ""


def _may_quote(message: str, text: str) -> bool:
    return any(message[start : start + _BLOCK] in text for start in range(0, len(message) - _BLOCK + 1, _BLOCK))


def _cut(message: str, text: str) -> str:
    pieces: list[str] = []
    start = kept = 0
    while start + _RUN <= len(message):
        end = start + _RUN
        if message[start:end] not in text:
            start += 1
            continue
        while end < len(message) and message[start : end + 1] in text:
            end += 1
        pieces += (message[kept:start], _SHOWN)
        start = kept = end
    return "".join(pieces) + message[kept:]
