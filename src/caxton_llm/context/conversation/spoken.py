"""What a message says in words, and who says it."""

from collections.abc import Sequence

import msgspec

from caxton_llm.types import ContentPart, Message

__all__ = ["characters_of", "is_short", "speaker_of", "text_of"]

_SHORT = 4_096
"""Characters of messages from which little is to be made."""


def text_of(message: Message) -> str:
    """What a message says in words."""
    content = message.content
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content or () if part.text)


def speaker_of(message: Message) -> str:
    """Who says it: by name, where the message tells one."""
    return " ".join((message.name or "").split()) or message.role


def is_short(messages: Sequence[Message]) -> bool:
    """Whether they are looked at in about a millisecond."""
    return characters_of(messages) <= _SHORT


def characters_of(messages: Sequence[Message]) -> int:
    """About how many characters they hold, whatever is in them."""
    return sum(map(_characters, messages))


def _characters(message: Message) -> int:
    content, calls = message.content, message.tool_calls or ()
    texts = (message.name, message.refusal, message.reasoning_content)
    others = (message.thinking_blocks, message.function_call, message.annotations, message.audio)
    customs = [call.custom for call in calls if call.custom]
    return (
        (len(content) if isinstance(content, str) else sum(map(_characters_of_part, content or ())))
        + sum([len(text) for text in texts if text])
        + sum([len(call.function.name) + len(call.function.arguments) for call in calls if call.function is not None])
        + (len(msgspec.json.encode((others, customs))) if customs or any(others) else 0)
    )


def _characters_of_part(part: ContentPart) -> int:
    urls = (part.image_url and part.image_url.url, part.file and part.file.file_data)
    texts = (part.text, part.refusal, part.input_audio and part.input_audio.data, *urls)
    return sum([len(text) for text in texts if text])
