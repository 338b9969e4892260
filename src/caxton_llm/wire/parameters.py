"""What becomes of a caller's parameters while one request is encoded: mapped, dropped or refused, and never in silence.

A parameter that only tunes is dropped and reported; one that changes the meaning is refused. `parameters: strict` refuses
both.
"""

from typing import NoReturn

from caxton_llm.errors import UnsupportedFeature
from caxton_llm.types import ParameterReport

__all__ = ["ParameterNotes"]


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
