"""Measures of what comes again in request after request, turns and tools: made once, whatever they are counted for."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from caxton_llm.caching.identical import Identical
from caxton_llm.caching.kept import Kept
from caxton_llm.caching.texts import kept_of_text
from caxton_llm.context.conversation.past_parts import parts_of
from caxton_llm.context.conversation.spoken import speaker_of
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.context.render.provider import excerpt_line
from caxton_llm.tokens.content import KINDS, ContentKind
from caxton_llm.tokens.meter import TokenMeter
from caxton_llm.tokens.overheads import tool_texts
from caxton_llm.types import ChatRequest, Message, Tool

__all__ = ["ContextMeter", "is_plain"]

_Measure = tuple[int, ContentKind]
_HEAVIEST = 12_000_000
"""Bytes of what is kept."""
_LINES_KNOWN = 4_000
_SETS_KNOWN = 64
"""Sets of tools whose tokens are kept."""

_Tools = tuple[tuple[Tool, ...], str, str]
"""Tools as they are told to a kind of provider, and to which model."""


class ContextMeter:
    """A measure of texts, and of whole turns and tools by it. Safe to share between threads."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self.measure = TokenMeter(count).measure
        self.line = kept_of_text(_LINES_KNOWN)(self._line)
        """The measure of a text with the end of its line."""
        self._turns = Kept(self._measured, _weight, heaviest=_HEAVIEST)
        self._tools = Kept(self._of_tools, lambda *_: 1, heaviest=_SETS_KNOWN, key=_identity)

    def plain_turn(self, turn: PastTurn) -> tuple[_Measure, ...] | None:
        """The measure of each message's text; `None` where one of them has anything else."""
        return self._turns.of(turn)

    def tools(self, tools: tuple[Tool, ...], kind: str, model: str) -> NDArray[np.int64]:
        """Tokens of each tool as a kind of provider is told it, a row, by the kinds of content, a column for each."""
        return self._tools.of((tools, kind, model))

    def expect(self, messages: Sequence[Message]) -> None:
        """These will be counted, word for word and in parts: what is known of their texts is ready from now on."""
        self._measures(messages)
        for message, text in parts_of(messages):
            self.line(excerpt_line(speaker_of(message), text))

    def _measured(self, turn: PastTurn) -> tuple[_Measure, ...] | None:
        return self._measures(turn.messages)

    def _measures(self, messages: Sequence[Message]) -> tuple[_Measure, ...] | None:
        if not all(map(is_plain, messages)):
            return None
        return tuple(self.measure(str(message.content)) for message in messages)

    def _line(self, text: str) -> _Measure:
        return self.measure(f"{text}\n")

    def _of_tools(self, several: _Tools) -> NDArray[np.int64]:
        tools, kind, model = several
        tokens = np.zeros((len(tools), len(KINDS)), np.int64)
        for row, tool in zip(tokens, tools, strict=True):
            for text in _texts_of(Identical(tool), kind, model):
                count, content = self.measure(text)
                row[KINDS.index(content)] += count
        return tokens


@lru_cache(maxsize=4_000)
def _texts_of(tool: Identical[Tool], kind: str, model: str) -> tuple[str, ...]:
    return tuple(tool_texts(ChatRequest(messages=[], tools=[tool.value]), kind, model))


def _identity(several: _Tools) -> tuple[object, ...]:
    tools, kind, model = several
    return (kind, model, *map(id, tools))


def _weight(turn: PastTurn, measured: tuple[_Measure, ...] | None) -> int | None:
    return 100 * (2 + len(measured or ())) + turn.characters if turn.is_kept else None


def is_plain(message: Message) -> bool:
    """Whether nothing but a text is in it."""
    return (
        message.role in ("user", "assistant", "system")
        and isinstance(message.content, str)
        and not (message.tool_calls or message.name or message.function_call or message.refusal)
        and not (message.thinking_blocks or message.reasoning_content)
    )
