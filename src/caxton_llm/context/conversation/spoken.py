"""What a message says in words, and who says it."""

from collections.abc import Sequence

from caxton_llm.types import Message

__all__ = ["is_short", "speaker_of", "text_of"]

_SHORT = 4_096
"""Characters of a turn of which what is made of it may be kept; longer ones would fill the memory."""


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
    """Whether they hold but little: texts and calls of functions, nothing else."""
    return sum([_characters(message) for message in messages]) <= _SHORT


def _characters(message: Message) -> int:
    texts = (message.content, message.name, message.refusal, message.reasoning_content)
    others = (message.thinking_blocks, message.function_call, message.annotations, message.audio)
    calls = message.tool_calls or ()
    if any(others) or isinstance(message.content, list) or any(call.custom for call in calls):
        return _SHORT + 1
    return sum([len(text) for text in texts if isinstance(text, str)]) + sum(
        [len(call.function.name) + len(call.function.arguments) for call in calls if call.function is not None]
    )
