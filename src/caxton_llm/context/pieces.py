"""What a request may be given: pieces from all sources on one scale, and what became of each.

A piece is what goes in whole or not at all: a turn with its calls of tools and their results, a memory, a tool's data.
"""

from typing import Literal

from msgspec import Struct

from caxton_llm.discreet import Discreet

__all__ = ["Decision", "Piece", "Reason", "Source", "SourceGap", "Stage", "Tier"]

Source = Literal["instructions", "request", "conversation", "memory", "tools", "capabilities"]
Stage = Literal["relevance", "redundancy", "selection"]
Reason = Literal[
    "always",
    "recent",
    "relevant",
    "fills what is left",
    "repeats another",
    "is contained in another",
    "below the threshold",
    "more than asked for",
    "before the window",
    "no budget left",
    "more tools than the provider takes",
]

Tier = Literal["always", "recent", "memory", "tools", "capabilities", "older"]
"""In which order pieces are taken: what a request cannot be without, the last turns, memories, tool data, capabilities, older
turns."""


class SourceGap(Struct, frozen=True):
    """What of a source is missing, and why; `name` is the server, tool or key, empty for all of it."""

    source: Source
    name: str
    reason: str


class Piece(Discreet, Struct, frozen=True, kw_only=True):
    """One candidate. `score` is its relevance from 0 to 1, `tokens` what it takes at most where it will stand.

    `order` is its place among the pieces of its source in the finished context: ascending, a turn's number for instance.
    `text` is what is compared with others; `id` is unique among the pieces of a request.
    """

    id: str
    source: Source
    tier: Tier
    text: str
    tokens: int
    score: float = 0.0
    order: float = 0.0


class Decision(Struct, frozen=True, kw_only=True):
    """What became of a piece, in which stage and why; `by` is the piece that it repeats."""

    piece: Piece
    kept: bool
    stage: Stage
    reason: Reason
    by: str | None = None
