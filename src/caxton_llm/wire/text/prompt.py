"""A conversation as plain text, for APIs that take a prompt.

A transcript names the speaker of each turn and ends where the answer belongs:

    System: Be brief.

    User: What is the capital of France?

    Assistant: Paris.

    User: And of Italy?

    Assistant:

A conversation that is one user message is sent as it is. Tools, their calls and results, images and documents have no place
in a text and are refused.
"""

from collections.abc import Iterable

from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.types import ContentPart, Message

__all__ = ["Turn", "read_turns", "split_system", "transcript"]

Turn = tuple[str, str]
"""Role (`system`, `user` or `assistant`) and text."""

_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


def read_turns(messages: list[Message]) -> list[Turn]:
    """Raises `InvalidRequest` for an empty list, `UnsupportedFeature` for what is not text."""
    if not messages:
        raise InvalidRequest("the list of messages is empty", param="messages")
    return [_turn(message, f"messages[{index}]") for index, message in enumerate(messages)]


def split_system(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """All system texts joined by a blank line, and the other turns."""
    return "\n\n".join(text for role, text in turns if role == "system"), [
        turn for turn in turns if turn[0] != "system"
    ]


def transcript(turns: Iterable[Turn]) -> str:
    """The conversation as one text."""
    turns = list(turns)
    if len(turns) == 1 and turns[0][0] == "user":
        return turns[0][1]
    return "\n\n".join([f"{_SPEAKERS[role]}: {text}" for role, text in turns] + ["Assistant:"])


def _turn(message: Message, path: str) -> Turn:
    if message.tool_calls or message.function_call is not None:
        raise UnsupportedFeature("a text API has no tool calls", param=f"{path}.tool_calls")
    if message.role in ("tool", "function"):
        raise UnsupportedFeature("a text API has no tool results", param=f"{path}.role")
    role = "system" if message.role == "developer" else message.role
    return role, _text(message.content, path)


def _text(content: str | list[ContentPart] | None, path: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for index, part in enumerate(content):
        if part.type not in ("text", "refusal"):
            raise UnsupportedFeature(
                f"a text API has no place for a content part of type {part.type!r}",
                param=f"{path}.content[{index}].type",
            )
        texts.append(part.text or part.refusal or "")
    return "\n".join(texts)
