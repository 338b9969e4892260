"""Which pieces go into a request: by priority under a budget, the best of each kind first, then what still fits.

System instructions and the current request always stay. Then come the last turns, the newest first (`least_recent` of them
before anything else, up to `most_recent` when everything more important is in), memories, tool data and capabilities by their
relevance, older turns by theirs. What is left of the budget at the end is filled with whatever fits, the most relevant first.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from caxton_llm.context.pieces import Decision, Piece, Reason, Tier
from caxton_llm.errors import InvalidRequest

__all__ = ["BUDGET_TOO_SMALL", "Limits", "Selection", "select"]

BUDGET_TOO_SMALL = "context_budget_too_small"
"""The code of the error for instructions and a request that are larger than the budget."""
_BY_RELEVANCE: tuple[Tier, ...] = ("memory", "tools", "capabilities", "older")


class Limits(Struct, frozen=True, kw_only=True):
    """What a selection keeps to. `budget` counts tokens of everything together; of a source named in `most` at most so many
    pieces are taken, and of one in `share` at most that part of the budget before the others have had theirs."""

    budget: int
    least_recent: int = 5
    most_recent: int = 10
    most: dict[Tier, int] = {}
    share: dict[Tier, float] = {}


class Selection(Struct, frozen=True, kw_only=True):
    """The decisions on all pieces, in the order in which they came, and the tokens of what is kept."""

    decisions: tuple[Decision, ...]
    tokens: int

    @property
    def kept(self) -> list[Piece]:
        """What goes in, each source in its order."""
        return sorted((one.piece for one in self.decisions if one.kept), key=lambda piece: (piece.source, piece.order))


def select(pieces: Sequence[Piece], limits: Limits) -> Selection:
    """What goes into a request. Raises `InvalidRequest` when what must always be there is more than the budget.

    Deterministic: equal pieces are taken in the order of their ids.
    """
    basket = _Basket(pieces, limits)
    basket.take_always()
    recent = sorted(basket.of("recent"), key=lambda piece: piece.order, reverse=True)
    basket.take_until_full(recent[: limits.least_recent], "recent")
    for tier in ("memory", "tools", "capabilities"):
        basket.take_best(tier)
    # A turn that does not fit ends it: a conversation has no holes among its last turns.
    basket.take_until_full(recent[limits.least_recent : limits.most_recent], "recent")
    basket.take_best("older")
    basket.fill(recent[: limits.most_recent])
    return Selection(decisions=tuple(basket.decisions()), tokens=limits.budget - basket.left)


class _Basket:
    def __init__(self, pieces: Sequence[Piece], limits: Limits) -> None:
        self._pieces = pieces
        self._limits = limits
        self._taken: dict[str, Reason] = {}
        self._counts: dict[Tier, int] = {}
        self._spent: dict[Tier, int] = {}
        self.left = limits.budget

    def of(self, tier: Tier) -> list[Piece]:
        return [piece for piece in self._pieces if piece.tier == tier]

    def take_always(self) -> None:
        every = self.of("always")
        total = sum(piece.tokens for piece in every)
        if total > self.left:
            raise InvalidRequest(
                f"the instructions and the request take {total} tokens, the budget for the whole context is {self.left}:"
                " give it more, or shorten them",
                code=BUDGET_TOO_SMALL,
            )
        for piece in every:
            self._take(piece, "always")

    def take_until_full(self, pieces: Iterable[Piece], reason: Reason) -> None:
        for piece in pieces:
            if piece.tokens > self.left:
                return
            self._take(piece, reason)

    def take_best(self, tier: Tier) -> None:
        """By relevance, as far as this kind's share of the budget goes."""
        share = self._limits.share.get(tier)
        allowed = self.left if share is None else int(share * self._limits.budget)
        for piece in sorted(self.of(tier), key=_by_relevance):
            if self._may_have(tier) and piece.tokens <= min(self.left, allowed - self._spent.get(tier, 0)):
                self._take(piece, "relevant")

    def fill(self, recent: Sequence[Piece]) -> None:
        """What still fits, without holes among the last turns."""
        self.take_until_full((piece for piece in recent if piece.id not in self._taken), "fills what is left")
        others = [piece for tier in _BY_RELEVANCE for piece in self.of(tier) if piece.id not in self._taken]
        for piece in sorted(others, key=_by_relevance):
            if self._may_have(piece.tier) and piece.tokens <= self.left:
                self._take(piece, "fills what is left")

    def decisions(self) -> Iterable[Decision]:
        for piece in self._pieces:
            reason = self._taken.get(piece.id)
            if reason is not None:
                yield _decision(piece, reason, kept=True)
            else:
                yield _decision(
                    piece, "no budget left" if self._may_have(piece.tier) else "more than asked for", kept=False
                )

    def _may_have(self, tier: Tier) -> bool:
        return self._counts.get(tier, 0) < self._limits.most.get(tier, len(self._pieces))

    def _take(self, piece: Piece, reason: Reason) -> None:
        self.left -= piece.tokens
        self._taken[piece.id] = reason
        self._counts[piece.tier] = self._counts.get(piece.tier, 0) + 1
        self._spent[piece.tier] = self._spent.get(piece.tier, 0) + piece.tokens


def _by_relevance(piece: Piece) -> tuple[float, str]:
    return -piece.score, piece.id


def _decision(piece: Piece, reason: Reason, *, kept: bool) -> Decision:
    return Decision(piece=piece, kept=kept, stage="selection", reason=reason)
