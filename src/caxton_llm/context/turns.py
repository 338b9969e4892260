"""A conversation before the current request: what is stored of it and what the request brings, as one list of turns."""

from collections.abc import Sequence

from msgspec import Struct

from caxton_llm.agents.conversation import Exchange, Thread
from caxton_llm.context.exchanges import exchanges_of
from caxton_llm.discreet import Discreet
from caxton_llm.types import Message

__all__ = ["History", "PastTurn", "history_of", "speaker_of", "text_of"]

_SYSTEM = ("system", "developer")
_RESULTS = ("tool", "function")


class PastTurn(Discreet, Struct, frozen=True, kw_only=True):
    """A question with all that answered it. `number` grows from turn to turn and stays what it is."""

    number: int
    messages: tuple[Message, ...]
    at: float | None = None
    """Seconds since 1970."""


class History(Discreet, Struct, frozen=True, kw_only=True):
    """What a request is made of: what instructs, the turns so far, and the messages that are to be answered.

    `fresh` are earlier exchanges that the request brings and no store has, `asked` is what no store has of the current one.
    """

    instructions: tuple[str, ...]
    turns: tuple[PastTurn, ...]
    current: tuple[Message, ...]
    asked: tuple[Message, ...]
    fresh: tuple[tuple[Message, ...], ...] = ()


def history_of(messages: Sequence[Message], thread: Thread | None) -> History:
    """The history of a request that continues `thread`, where there is one.

    A client may send only what is new, or the whole conversation again: what the thread ends with and the request begins
    with is there once.
    """
    every = list(messages)
    exchanges = [tuple(every[index] for index in one) for one in exchanges_of(every)]
    brought, current = exchanges[:-1], exchanges[-1] if exchanges else ()
    stored = _turns_of(thread.exchanges) if thread is not None else []
    fresh = brought[_overlap([turn.messages for turn in stored], brought) :]
    begin = stored[-1].number + 1 if stored else 0
    turns = [*stored, *(PastTurn(number=begin + place, messages=one) for place, one in enumerate(fresh))]
    asked = current
    if turns and (known := _open_part(turns[-1].messages, current)) is not None:
        # Results of the caller's tools continue the turn that called them.
        asked = current[known:]
        current = (*turns.pop().messages, *asked)
    return History(
        instructions=tuple(text_of(one) for one in every if one.role in _SYSTEM),
        turns=tuple(turns),
        current=current,
        asked=asked,
        fresh=tuple(fresh),
    )


def _open_part(last: tuple[Message, ...], current: tuple[Message, ...]) -> int | None:
    """How much of `current` is the end of the last turn again, which waits for these results; `None`: it does not."""
    open_calls = _call_ids(last[-1:])
    if not open_calls:
        return None
    if current and current[0].role in _RESULTS:
        return 0
    for length in range(min(len(last), len(current) - 1), 0, -1):
        if _call_ids(current[length - 1 : length]) == open_calls:
            return length
    return None


def _call_ids(messages: Sequence[Message]) -> set[str]:
    return {call.id for message in messages for call in message.tool_calls or ()}


def text_of(message: Message) -> str:
    """What a message says in words."""
    content = message.content
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content or () if part.text)


def speaker_of(message: Message) -> str:
    """Who says it: by name, where the message tells one."""
    return " ".join((message.name or "").split()) or message.role


def _turns_of(exchanges: Sequence[Exchange]) -> list[PastTurn]:
    turns: list[PastTurn] = []
    for exchange in exchanges:
        if exchange.continues and turns:
            last = turns.pop()
            turns.append(PastTurn(number=last.number, messages=last.messages + exchange.messages, at=last.at))
        else:
            turns.append(PastTurn(number=exchange.number, messages=exchange.messages, at=exchange.at))
    return turns


def _overlap(stored: Sequence[tuple[Message, ...]], brought: Sequence[tuple[Message, ...]]) -> int:
    """How many of the brought exchanges are the last of the stored ones."""
    most = min(len(stored), len(brought))
    # A request that brings nothing is the usual one, and must not read a long conversation.
    known, said = [_Said(one) for one in stored[len(stored) - most :]], [_Said(one) for one in brought[:most]]
    for length in range(most, 0, -1):
        if all(one.is_shown_as(other) for one, other in zip(known[-length:], said[:length], strict=True)):
            return length
    return 0


class _Said:
    """What was said in an exchange. A client does not send back the calls that an agent made by itself, and has of the text
    around them everything (from a stream) or the end (from a whole answer)."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self._asked = [_plain(one) for one in messages if one.role == "user"]
        answers = [_plain(one) for one in messages if one.role == "assistant"]
        self._answer = "".join(answers)
        self._end = answers[-1] if answers else ""

    def is_shown_as(self, other: "_Said") -> bool:
        return self._asked == other._asked and other._answer in (self._answer, self._end)


def _plain(message: Message) -> str:
    return "".join(text_of(message).split())
