"""Which pieces go into a request: by priority under a budget, the best of each kind first, then what still fits.

System instructions and the current request always stay. Then come the last turns, the newest first, then memories, tool data
and capabilities by their relevance, older turns by theirs. What is left of the budget at the end is filled with whatever
fits, the most relevant first.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from caxton_llm.context.pieces import Decision, Piece, Reason, Source, Tier
from caxton_llm.errors import InvalidRequest

__all__ = ["BUDGET_TOO_SMALL", "Limits", "Selection", "select", "too_small"]

BUDGET_TOO_SMALL = "context_budget_too_small"
"""The code of the error for instructions and a request that are larger than the budget."""
_BY_RELEVANCE: tuple[Tier, ...] = ("memory", "tools", "capabilities", "older")


class Limits(Struct, frozen=True, kw_only=True):
    """What a selection keeps to. `budget` counts tokens of everything together; a kind in `share` gets at most that part of
    the budget before the others have had theirs."""

    budget: int
    share: dict[Tier, float] = {}


class Selection(Struct, frozen=True, kw_only=True):
    """All `pieces` in the order in which they came, the ids of those that are kept within `limits`, and their tokens."""

    pieces: tuple[Piece, ...]
    limits: Limits
    taken: frozenset[str]
    tokens: int

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """On each of the pieces."""
        reasons = _filled(self.pieces, self.limits).taken
        return tuple(_decision(piece, reasons.get(piece.id)) for piece in self.pieces)


def select(pieces: Sequence[Piece], limits: Limits) -> Selection:
    """What goes into a request. Raises `InvalidRequest` when what must always be there is more than the budget.

    Deterministic: equal pieces are taken in the order of their ids.
    """
    tokens = sum([piece.tokens for piece in pieces])
    if tokens <= limits.budget:
        taken = frozenset([piece.id for piece in pieces])
    else:
        basket = _filled(pieces, limits)
        taken, tokens = frozenset(basket.taken), limits.budget - basket.left
    return Selection(pieces=tuple(pieces), limits=limits, taken=taken, tokens=tokens)


def _filled(pieces: Sequence[Piece], limits: Limits) -> "_Basket":
    basket = _Basket(pieces, limits)
    basket.take_always()
    recent = sorted(basket.of("recent"), key=lambda piece: piece.order, reverse=True)
    # A turn that does not fit ends it: a conversation has no holes among its last turns.
    basket.take_until_full(recent, "recent")
    for tier in _BY_RELEVANCE:
        basket.take_best(tier)
    basket.fill()
    return basket


def too_small(pieces: Iterable[Piece], budget: int, reserve: int = 0) -> InvalidRequest:
    """The error for a budget that does not hold what must always be there, with what takes how much of it."""
    spent: dict[Source, int] = {}
    for piece in pieces:
        if piece.tier == "always":
            spent[piece.source] = spent.get(piece.source, 0) + piece.tokens
    total = sum(spent.values())
    parts = ", ".join(f"{source} {tokens:,}" for source, tokens in spent.items())
    beside = f", of which {reserve:,} must stay free for what tools give" if reserve else ""
    return InvalidRequest(
        f"the instructions and the request take {total:,} tokens, the budget for the whole context is {budget:,}"
        f"{beside} ({parts})",
        code=BUDGET_TOO_SMALL,
    )


class _Basket:
    def __init__(self, pieces: Sequence[Piece], limits: Limits) -> None:
        self._limits = limits
        self._tiers: dict[Tier, list[Piece]] = {}
        self._spent: dict[Tier, int] = {}
        self.taken: dict[str, Reason] = {}
        self.left = limits.budget
        for piece in pieces:
            self._tiers.setdefault(piece.tier, []).append(piece)

    def of(self, tier: Tier) -> list[Piece]:
        return self._tiers.get(tier, [])

    def take_always(self) -> None:
        every = self.of("always")
        if sum(piece.tokens for piece in every) > self.left:
            raise too_small(every, self.left)
        for piece in every:
            self._take(piece, "always")

    def take_until_full(self, pieces: Iterable[Piece], reason: Reason) -> None:
        for piece in pieces:
            if piece.tokens > self.left:
                return
            self._take(piece, reason)

    def take_best(self, tier: Tier) -> None:
        share = self._limits.share.get(tier)
        allowed = self.left if share is None else int(share * self._limits.budget)
        for piece in sorted(self.of(tier), key=_by_relevance):
            if piece.tokens <= min(self.left, allowed - self._spent.get(tier, 0)):
                self._take(piece, "relevant")

    def fill(self) -> None:
        """What still fits."""
        others = [
            piece
            for tier in _BY_RELEVANCE
            for piece in self.of(tier)
            if piece.tokens <= self.left and piece.id not in self.taken
        ]
        for piece in sorted(others, key=_by_relevance):
            if piece.tokens <= self.left:
                self._take(piece, "fills what is left")

    def _take(self, piece: Piece, reason: Reason) -> None:
        self.left -= piece.tokens
        self.taken[piece.id] = reason
        self._spent[piece.tier] = self._spent.get(piece.tier, 0) + piece.tokens


def _by_relevance(piece: Piece) -> tuple[float, str]:
    return -piece.score, piece.id


def _decision(piece: Piece, taken: Reason | None) -> Decision:
    return Decision(piece=piece, kept=taken is not None, stage="selection", reason=taken or "no budget left")
