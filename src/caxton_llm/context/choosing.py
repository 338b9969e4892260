"""Redundancy and selection together: what repeats another goes, unless the other goes, too.

A text that is contained in a longer one is dropped first, and comes back where the longer one has no room.
"""

from collections.abc import Sequence

from caxton_llm.context.candidates import Candidates
from caxton_llm.context.pieces import Decision, Piece
from caxton_llm.context.redundancy import repetitions
from caxton_llm.context.selection import Limits, Selection, select
from caxton_llm.context.text_vectors import TextVectors

__all__ = ["chosen", "repetitions_among"]

_COMPARED = 150
"""Pieces that are compared for repetitions: the most relevant ones."""
_STANDING = 200
"""Turns sent word for word that they are compared with: the last ones."""


def repetitions_among(found: Candidates, vectors: TextVectors) -> list[Decision]:
    """Pieces that say again what others say. What stands anyway comes first: it is never dropped."""
    standing: list[Piece] = []
    recent: list[Piece] = []
    candidates: list[Piece] = []
    for piece in found.pieces:
        if piece.tier == "always":
            if piece.source != "tools":
                standing.append(piece)
        elif piece.tier == "recent":
            recent.append(piece)
        elif piece.id in found.memories or piece.id in found.past.excerpts:
            candidates.append(piece)
    candidates.sort(key=lambda piece: -piece.score)
    return _repeated(standing + recent[-_STANDING:], candidates[:_COMPARED], vectors)


def _repeated(standing: Sequence[Piece], candidates: Sequence[Piece], vectors: TextVectors) -> list[Decision]:
    if not candidates:
        return []
    compared = [*standing, *candidates]
    texts = [piece.text for piece in compared]
    return [
        Decision(
            piece=compared[one.text],
            kept=False,
            stage="redundancy",
            reason="is contained in another" if one.contained else "repeats another",
            by=compared[one.by].id,
        )
        for one in repetitions(texts, vectors.embed, standing=len(standing))
    ]


def chosen(
    pieces: Sequence[Piece], dropped: Sequence[Decision], limits: Limits, vectors: TextVectors
) -> tuple[Selection, tuple[Decision, ...]]:
    """What goes in of the pieces, and the decisions on all others. Raises like `select`."""
    gone = {one.piece.id: one for one in dropped}
    replaced: set[str] = set()
    while True:
        among = [piece for piece in pieces if piece.id not in gone and piece.id not in replaced]
        selection = select(among, limits)
        kept = selection.taken | replaced
        lost = {one.by for one in gone.values() if one.by not in kept}
        if not lost:
            break
        back = [one.piece for one in gone.values() if one.by in lost]
        gone = {name: one for name, one in gone.items() if one.by not in lost}
        # Of those that come back one may still repeat another.
        gone |= {one.piece.id: one for one in _repeated((), back, vectors)}
        # A turn keeps its place: without it there would be a hole.
        replaced |= {piece.id for piece in among if piece.id in lost and piece.tier != "recent"}
    left = (
        Decision(piece=piece, kept=False, stage="selection", reason="no budget left")
        for piece in pieces
        if piece.id in replaced
    )
    named = {piece.id for piece in pieces}
    return selection, (*left, *(one for one in gone.values() if one.piece.id in named))
