"""What texts, messages and tools take of a target's window at most."""

import math
from functools import lru_cache

from caxton_llm.context.identical import Identical
from caxton_llm.tokens import frame_tokens, message_tokens
from caxton_llm.tokens.calibrated import DEVIATIONS, Factors
from caxton_llm.tokens.meter import TokenMeter
from caxton_llm.types import ChatRequest, Message, Tool
from caxton_llm.wire.written import written

__all__ = ["Costs"]


class Costs:
    """Upper bounds in the tokens of a target, whose `factors` are of the vocabulary that `meter` counts with."""

    def __init__(self, meter: TokenMeter, factors: Factors) -> None:
        self._meter = meter
        margin = math.exp(DEVIATIONS * factors.deviation)
        self._margins = {
            "prose": factors.prose * margin,
            "code": factors.code * margin,
            "json": factors.json * margin,
            "cjk": factors.cjk * margin,
        }

    def text(self, text: str) -> int:
        """A text alone."""
        tokens, kind = self._meter.measure(text)
        return math.ceil(tokens * self._margins[kind])

    def message(self, message: Message) -> int:
        """A message with its frame."""
        return message_tokens(message, self.text)

    def tool(self, tool: Tool) -> int:
        """The definition of a tool, and what separates it from the next one."""
        return self.text(_written(Identical(tool))) + 1

    def frame(self, request: ChatRequest) -> int:
        """What a request has around its messages: tools, the schema of the answer, the answer's beginning, the end
        of the list of tools."""
        return frame_tokens(request, self.text) + 1


@lru_cache(maxsize=4_000)
def _written(tool: Identical[Tool]) -> str:
    return written(tool.value).decode()
