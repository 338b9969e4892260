"""Measures of turns that are nothing but texts, as most are: made once, whatever they are counted for."""

from collections.abc import Callable, Sequence

from caxton_llm.context.kept import Kept
from caxton_llm.context.turns import PastTurn
from caxton_llm.tokens.content import ContentKind
from caxton_llm.tokens.meter import TokenMeter
from caxton_llm.types import Message

__all__ = ["TurnMeter", "is_plain"]

_Measure = tuple[int, ContentKind]
_HEAVIEST = 3_000_000
"""Bytes of what is kept, without the turns' texts."""


class TurnMeter:
    """A measure of texts, and of whole turns by it. Safe to share between threads."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self.measure = TokenMeter(count).measure
        self._turns = Kept(self._measured, _weight, heaviest=_HEAVIEST)

    def plain_turn(self, turn: PastTurn) -> tuple[_Measure, ...] | None:
        """The measure of each message's text; `None` where one of them has anything else."""
        return self._turns.of(turn)

    def expect(self, messages: Sequence[Message]) -> None:
        """These will be counted: what is known of their texts is ready from now on."""
        self._measures(messages)

    def _measured(self, turn: PastTurn) -> tuple[_Measure, ...] | None:
        return self._measures(turn.messages)

    def _measures(self, messages: Sequence[Message]) -> tuple[_Measure, ...] | None:
        if not all(map(is_plain, messages)):
            return None
        return tuple(self.measure(str(message.content)) for message in messages)


def _weight(turn: PastTurn, measured: tuple[_Measure, ...] | None) -> int | None:
    return 100 * (2 + len(measured or ())) if turn.is_kept else None


def is_plain(message: Message) -> bool:
    """Whether nothing but a text is in it."""
    return (
        message.role in ("user", "assistant", "system")
        and isinstance(message.content, str)
        and not (message.tool_calls or message.name or message.function_call or message.refusal)
        and not (message.thinking_blocks or message.reasoning_content)
    )
