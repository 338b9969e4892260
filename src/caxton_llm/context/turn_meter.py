"""Measures of turns that are nothing but texts, as most are: made once, whatever they are counted for."""

from collections.abc import Callable, Sequence

from caxton_llm.context.identical import KeptByIdentity
from caxton_llm.context.spoken import is_short
from caxton_llm.tokens.content import ContentKind
from caxton_llm.tokens.meter import TokenMeter
from caxton_llm.types import Message

__all__ = ["TurnMeter", "is_plain"]

_Measure = tuple[int, ContentKind]


class TurnMeter:
    """A measure of texts, and of whole turns by it. Safe to share between threads."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self.measure = TokenMeter(count).measure
        self._turns = KeptByIdentity(self._measured, is_short)

    def plain_turn(self, messages: tuple[Message, ...]) -> tuple[_Measure, ...] | None:
        """The measure of each message's text; `None` where one of them has anything else."""
        return self._turns.of(messages)

    def expect(self, messages: Sequence[Message]) -> None:
        """These will be counted: what is known of their texts is ready from now on."""
        self._measured(messages)

    def _measured(self, messages: Sequence[Message]) -> tuple[_Measure, ...] | None:
        if not all(map(is_plain, messages)):
            return None
        return tuple(self.measure(str(message.content)) for message in messages)


def is_plain(message: Message) -> bool:
    """Whether nothing but a text is in it."""
    return (
        message.role in ("user", "assistant", "system")
        and isinstance(message.content, str)
        and not (message.tool_calls or message.name or message.function_call or message.refusal)
        and not (message.thinking_blocks or message.reasoning_content)
    )
