"""The event of a text chunk with another text, everything else in it as the provider sent it."""

import msgspec

__all__ = ["merged_wire"]


def merged_wire(dialect: str, wire: bytes, text: str) -> bytes | None:
    """The payload with `text` as its text; `None` for a dialect whose chunks are not forwarded as bytes."""
    if dialect not in ("openai_chat", "anthropic_messages"):
        return None
    event = msgspec.json.decode(wire)
    if dialect == "openai_chat":
        event["choices"][0]["delta"]["content"] = text
    else:
        event["delta"]["text"] = text
    return msgspec.json.encode(event)
