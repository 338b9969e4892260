"""What a model is asked for a summary of older turns: the summary so far and the turns since, both fenced as data."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from caxton_llm.agents.conversation import Exchange
from caxton_llm.context.long_texts.seams import shortened_end
from caxton_llm.context.render.fence import DATA_NOTE, fenced
from caxton_llm.discreet import Discreet
from caxton_llm.types import ChatRequest, Message

__all__ = ["Step", "first_step", "summary_request"]

_INSTRUCTIONS = (
    "You keep the memory of a conversation between a user and an assistant. Write what somebody who continues it must know: "
    "what the user wants and is, decisions and their reasons, facts, figures, names and dates as they were said, what was "
    "done with which result, and what is still open. Where something was changed later, only what holds now. Build on the "
    "summary so far, if there is one: keep what still matters of it. Write in the language of the conversation, in at most "
    "{words} words, and nothing but the summary. " + DATA_NOTE
)
_WORDS_PER_TOKEN = 0.6
_MARK = 12
"""Tokens of the mark for what is left out."""


class Step(Discreet, Struct, frozen=True):
    """Exchanges that are summarised at once, as text, and the number of the last of them."""

    text: str
    last: int


def first_step(exchanges: Sequence[Exchange], room: int, count: Callable[[str], int]) -> Step:
    """As many of the exchanges, at least one, as have at most `room` tokens together; of a single one that has more the end
    is left out."""
    lines: list[str] = []
    left = room
    last = exchanges[0].number
    for exchange in exchanges:
        told = _told(exchange)
        cost = count(told) + 1
        if lines and cost > left:
            break
        lines.append(told if cost <= left else _shortened(told, left, count))
        left -= cost
        last = exchange.number
    return Step("\n".join(lines), last)


def summary_request(model: str, step: Step, previous: str, *, tokens: int, output_limit: int | None) -> ChatRequest:
    """Asks `model` for a summary of about `tokens` tokens at most, which continues `previous` (empty: there is none)."""
    so_far = f"{fenced('summary', previous)}\n" if previous else ""
    content = f"{so_far}{fenced('conversation', step.text)}\n\nWrite the summary."
    return ChatRequest(
        model=model,
        messages=[
            Message(role="system", content=_INSTRUCTIONS.format(words=int(tokens * _WORDS_PER_TOKEN))),
            Message(role="user", content=content),
        ],
        max_completion_tokens=output_limit,
    )


def _told(exchange: Exchange) -> str:
    return "\n".join(line for message in exchange.messages for line in _lines(message))


def _lines(message: Message) -> list[str]:
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text or f"[{part.type}]" for part in content or ())
    found = [f"{message.role}: {text}"] if text.strip() else []
    calls = [call.function for call in message.tool_calls or () if call.function is not None]
    calls += [message.function_call] if message.function_call is not None else []
    found += [f"{message.role} calls {call.name}({call.arguments})" for call in calls]
    return found


def _shortened(text: str, room: int, count: Callable[[str], int]) -> str:
    kept = shortened_end(text, room - _MARK, count)
    left_out = len(text[len(kept) :].split())
    return f"{kept.rstrip()}\n[... {left_out:,} words left out ...]"
