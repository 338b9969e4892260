"""The order that every provider demands of a conversation with tools, checked once for all client dialects.

Every call of an assistant turn is answered by exactly one tool message before the next user or assistant turn. Providers
answer anything else with a 400 that names neither side well; mending it in silence would invent or lose a result.
"""

from collections.abc import Container

from caxton_llm.errors import InvalidRequest
from caxton_llm.types import Message

__all__ = ["CONVERSATION_HEADER", "check_conversation", "names_conversation"]

CONVERSATION_HEADER = "x-caxton-conversation"
"""Names a stored conversation, which the messages continue, as the field `conversation_id` does."""


def names_conversation(fields: Container[str], headers: Container[str]) -> bool:
    """Whether a client's request names a stored conversation."""
    return "conversation_id" in fields or CONVERSATION_HEADER in headers


def check_conversation(messages: list[Message], *, continues: bool = False) -> None:
    """Raises `InvalidRequest` with the path of the message at fault: an empty list, a tool result without its call, a call
    without its result. One that `continues` a stored conversation may begin with results of calls that are there."""
    if not messages:
        raise InvalidRequest("messages is empty; send at least one message", param="messages")
    open_calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        role = message.role
        continues = continues and role in ("tool", "system", "developer")
        if role == "tool" and not (continues and message.tool_call_id):
            _close_call(open_calls, message, index)
        elif message.tool_calls or open_calls:
            if open_calls and role in ("user", "assistant"):
                _refuse_open(open_calls, f"messages[{index}]")
            if message.tool_calls:
                open_calls = _opened_calls(message, index)
    if open_calls:
        _refuse_open(open_calls, "the end of the conversation")


def _opened_calls(message: Message, index: int) -> dict[str, str]:
    if message.role != "assistant":
        raise InvalidRequest(
            f"only an assistant message can call tools, not one of role {message.role}",
            param=f"messages[{index}].tool_calls",
        )
    opened: dict[str, str] = {}
    for position, call in enumerate(message.tool_calls or ()):
        path = f"messages[{index}].tool_calls[{position}].id"
        if call.id in opened:
            raise InvalidRequest(f"two calls of one message have the id {call.id!r}; ids must be unique", param=path)
        opened[call.id] = path
    return opened


def _close_call(open_calls: dict[str, str], message: Message, index: int) -> None:
    path = f"messages[{index}].tool_call_id"
    if message.tool_call_id is None:
        raise InvalidRequest("a tool message needs the tool_call_id of the call that it answers", param=path)
    if open_calls.pop(message.tool_call_id, None) is None:
        raise InvalidRequest(
            f"the tool result answers the call {message.tool_call_id!r}, but the assistant message before it has no such open"
            " call; send the assistant message with that call first, and one result per call",
            param=path,
        )


def _refuse_open(open_calls: dict[str, str], before: str) -> None:
    call_id, path = next(iter(open_calls.items()))
    raise InvalidRequest(
        f"the tool call {call_id!r} has no result before {before}; add a message of role tool with its tool_call_id",
        param=path,
    )
