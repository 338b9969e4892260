"""From gathered material to candidates for one target: what always stands, the window of past turns, and pieces to choose."""

from collections.abc import Iterator

from msgspec import Struct

from caxton_llm.context.budget import TargetView
from caxton_llm.context.conversation.past import Past, past_of
from caxton_llm.context.conversation.past_texts import PastTexts
from caxton_llm.context.conversation.turns import text_of
from caxton_llm.context.costs import Costs
from caxton_llm.context.material import Material, Remembered
from caxton_llm.context.offered import Offered
from caxton_llm.context.pieces import Decision, Piece
from caxton_llm.context.render.fence import DATA_NOTE
from caxton_llm.context.render.provider import memory_line, related_line
from caxton_llm.discreet import Discreet
from caxton_llm.types import Message

__all__ = ["CAPABILITIES", "Candidates", "always_of", "candidates_of", "memory_id", "note_tokens"]

CAPABILITIES = "capabilities:related"

_RELEVANT = 0.5
"""The relevance of the average."""
_SIMILAR = 0.5
"""A memory that is below it, and less relevant than most that were compared, has nothing to do with the request."""


class Candidates(Discreet, Struct, frozen=True, kw_only=True, eq=False):
    """`pieces` is what `select` takes."""

    pieces: tuple[Piece, ...]
    past: Past
    offered: Offered
    memories: dict[str, Remembered]
    irrelevant: tuple[Piece, ...]
    """Memories that have nothing to do with the request."""
    note: int
    """Tokens of the note on what is data, which stands wherever there are tools or anything that was looked up."""
    stable: int
    """Tokens of the beginning that stays from turn to turn. With the window at its largest: where it was just cut back, what
    was looked up does not change its place for it."""

    @property
    def passed_over(self) -> Iterator[Decision]:
        """What is no candidate any more: memories that have nothing to do with the request, turns before the window, tools
        that have no room."""
        for one in self.irrelevant:
            yield Decision(piece=one, kept=False, stage="relevance", reason="below the threshold")
        yield from self.past.left_out
        for one in self.offered.refused:
            yield Decision(piece=one, kept=False, stage="selection", reason="no budget left")
        for one in self.offered.beyond:
            yield Decision(piece=one, kept=False, stage="selection", reason="more tools than the provider takes")

    @property
    def passed_over_count(self) -> int:
        """How many these are."""
        return len(self.irrelevant) + len(self.past.left_out) + len(self.offered.refused) + len(self.offered.beyond)


def candidates_of(
    material: Material,
    target: TargetView,
    costs: Costs,
    texts: PastTexts,
    offered: Offered,
    *,
    said: tuple[Piece, ...],
    note: int,
    room: int,
) -> Candidates:
    """All pieces that may go into a prompt of `room` tokens for the target; `said` is what `always_of` gives, `note` what
    `note_tokens` does."""
    standing = note + offered.prompt + sum(piece.tokens for piece in offered.pieces if piece.tier == "always")
    asked = sum(piece.tokens for piece in said if piece.id == "request")
    begins = sum(piece.tokens for piece in said) - asked + standing
    past = past_of(material, target, costs, texts, left=room - begins - asked, asked=asked)
    memories = [one for one in material.memories if not _is_irrelevant(one)]
    return Candidates(
        pieces=(
            *said,
            *offered.pieces,
            *(_memory(one, costs) for one in memories),
            *_capabilities(material, costs),
            *past.pieces,
        ),
        past=past,
        offered=offered,
        memories={memory_id(one): one for one in memories},
        irrelevant=tuple(_memory(one, costs) for one in material.memories if _is_irrelevant(one)),
        note=note,
        # What the vendor writes itself is not among what is written here and kept.
        stable=past.reach + begins - offered.prompt,
    )


def memory_id(one: Remembered) -> str:
    """The id of a memory's piece."""
    return f"memory:{one.record}:{one.place}"


def always_of(material: Material, costs: Costs) -> tuple[Piece, ...]:
    """What no prompt is without: instructions and request. The frame around all counts to the request."""
    pieces = []
    if material.instructions:
        pieces.append(
            Piece(
                id="instructions",
                source="instructions",
                tier="always",
                text=material.instructions,
                tokens=costs.message(Message(role="system", content=material.instructions)),
                score=1.0,
            )
        )
    current = material.history.current
    pieces.append(
        Piece(
            id="request",
            source="request",
            tier="always",
            text="\n".join(map(text_of, current)),
            tokens=costs.frame(material.request, offers_tools=False) + sum(map(costs.message, current)),
            score=1.0,
        )
    )
    return tuple(pieces)


def note_tokens(material: Material, costs: Costs) -> int:
    """What the note on what is data takes beside the instructions."""
    instructions = material.instructions
    if not instructions:
        return costs.message(Message(role="system", content=DATA_NOTE))
    return costs.text(f"{instructions}\n\n{DATA_NOTE}") - costs.text(instructions)


def _memory(one: Remembered, costs: Costs) -> Piece:
    return Piece(
        id=memory_id(one),
        source="memory",
        tier="memory",
        text=one.text,
        tokens=costs.line(memory_line(one.name, one.text)),
        score=one.score,
        order=-one.score,
    )


def _is_irrelevant(one: Remembered) -> bool:
    return one.score < _RELEVANT and one.similarity is not None and one.similarity < _SIMILAR


def _capabilities(material: Material, costs: Costs) -> Iterator[Piece]:
    text = related_line(material.capabilities)
    if text:
        tokens = costs.line(text)
        yield Piece(id=CAPABILITIES, source="capabilities", tier="capabilities", text=text, tokens=tokens, score=0.5)
