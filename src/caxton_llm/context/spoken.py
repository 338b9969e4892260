"""What a message says in words, and who says it."""

from caxton_llm.types import Message

__all__ = ["speaker_of", "text_of"]


def text_of(message: Message) -> str:
    """What a message says in words."""
    content = message.content
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content or () if part.text)


def speaker_of(message: Message) -> str:
    """Who says it: by name, where the message tells one."""
    return " ".join((message.name or "").split()) or message.role
