"""The event of a text chunk with another text, everything else in it as the provider sent it."""

import msgspec

from caxton_llm.errors import MalformedResponse
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["merged_wire"]


def merged_wire(dialect: str, wire: bytes, text: str) -> bytes | None:
    """The payload with `text` as its text; `None` for a dialect whose chunks are not forwarded as bytes.

    Raises `MalformedResponse` when a field that was not looked into before cannot be read.
    """
    if dialect not in ("openai_chat", "anthropic_messages"):
        return None
    try:
        event = msgspec.json.decode(wire)
    except UNREADABLE as error:
        raise MalformedResponse(f"an event of the provider's stream cannot be read: {error}") from None
    if dialect == "openai_chat":
        event["choices"][0]["delta"]["content"] = text
    else:
        event["delta"]["text"] = text
    return msgspec.json.encode(event)
