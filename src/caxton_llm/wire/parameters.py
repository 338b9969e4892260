"""What becomes of a caller's parameters while one request is encoded: mapped, dropped or refused, and never in silence.

A parameter that only tunes is dropped and reported; one that changes the meaning is refused. `parameters: strict` refuses
both.
"""

from typing import NoReturn

from msgspec import to_builtins

from caxton_llm.errors import UnsupportedFeature
from caxton_llm.types import Json, ParameterReport

__all__ = ["MEANINGFUL", "NEUTRAL", "ParameterNotes"]

MEANINGFUL = frozenset(
    {
        "n",
        "stop",
        "response_format",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "logprobs",
        "top_logprobs",
        "modalities",
        "audio",
        "web_search_options",
    }
)
"""Parameters without which the answer would be another one: refused, not dropped."""

NEUTRAL: dict[str, Json] = {
    "n": 1,
    "stop": [],
    "response_format": {"type": "text"},
    "tools": [],
    "functions": [],
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "store": False,
}
"""Values that say the same as leaving the parameter out."""


class ParameterNotes:
    """Collects the report of one request."""

    __slots__ = ("_dropped", "_mapped", "_strict")

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._mapped: dict[str, str] = {}
        self._dropped: dict[str, str] = {}

    def map(self, name: str, became: str) -> None:
        """`name` was sent as `became`."""
        self._mapped[name] = became

    def drop(self, name: str, why: str) -> None:
        """`name` only tunes and is not sent. Raises `UnsupportedFeature` where the entry says `parameters: strict`."""
        if self._strict:
            raise UnsupportedFeature(
                f"{name} cannot be sent: {why}; leave it out, or set parameters: lenient to have it dropped", param=name
            )
        self._dropped[name] = why

    def leave_out(self, name: str, value: Json, why: str, *, refusable: bool = True) -> None:
        """`name` is not sent: mapped where `value` says nothing, refused where it changes the meaning, else dropped.

        `refusable` is false where the operator wants it dropped whatever it means.
        """
        if name in NEUTRAL and to_builtins(value) == NEUTRAL[name]:
            self.map(name, "left out: it says the same")
        elif refusable and name in MEANINGFUL:
            self.refuse(name, why)
        else:
            self.drop(name, why)

    def strip(self, name: str, why: str) -> None:
        """`name` belongs to the conversation or to the configuration rather than to this call: left out and reported, even
        where the entry is strict."""
        self._dropped[name] = why

    def refuse(self, name: str, why: str) -> NoReturn:
        """`name` changes the meaning of the request. Raises `UnsupportedFeature`."""
        raise UnsupportedFeature(f"{name} cannot be sent: {why}", param=name)

    def report(self) -> ParameterReport:
        """What happened, in the order in which it happened."""
        return ParameterReport(mapped=self._mapped, dropped=self._dropped)
