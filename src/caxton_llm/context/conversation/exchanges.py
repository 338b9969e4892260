"""A conversation in exchanges: what the user asks, and everything up to the next question.

A question follows an answer. A user's message right behind a tool result or behind another message of the user's belongs to
the exchange that is going on (a client of Anthropic's sends both in one turn), and while calls are open no exchange ends. So
no exchange separates a call from its results, and each begins where a turn of the client's begins.
"""

from caxton_llm.types import Message

__all__ = ["exchanges_of"]

_SYSTEM_ROLES = ("system", "developer")


def exchanges_of(messages: list[Message]) -> list[list[int]]:
    """The numbers of the messages of each exchange, in order; the last is the current request. System messages are in none.

    What stands before the first question, an assistant's greeting for instance, is an exchange too. Empty when there are
    system messages only.
    """
    exchanges: list[list[int]] = []
    last: Message | None = None
    for index, message in enumerate(messages):
        if message.role in _SYSTEM_ROLES:
            continue
        if last is None or (message.role == "user" and _is_answer(last)):
            exchanges.append([])
        exchanges[-1].append(index)
        last = message
    return exchanges


def _is_answer(message: Message) -> bool:
    return message.role == "assistant" and not message.tool_calls and message.function_call is None
