"""From gathered material to candidates for one target: what always stands, the window of past turns, and pieces to choose."""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.conversation import best_summary
from caxton_llm.context.budget import TargetView
from caxton_llm.context.costs import Costs
from caxton_llm.context.digest import Said, digest
from caxton_llm.context.material import Excerpt, Material, Offer, Remembered
from caxton_llm.context.pieces import Piece
from caxton_llm.context.prepared import PreparedTool
from caxton_llm.context.relevance import TextVectors
from caxton_llm.context.render.provider import excerpt_line, memory_line, related_line, rendered_tool
from caxton_llm.context.turns import PastTurn, speaker_of, text_of
from caxton_llm.context.window import window_start
from caxton_llm.types import Message

__all__ = ["Candidates", "candidates_of", "data_id", "memory_id", "offered_id"]

DIGEST = "conversation:digest"
CAPABILITIES = "capabilities:related"

_CONVERSATION_SHARE = 0.6
"""The most of what the instructions and the tools leave that past turns get word for word: the request and what was looked up
need room, too, and a share that does not depend on them keeps the prompt's beginning the same."""
_TOOLS_SHARE = 0.4
"""The most of the budget that definitions of tools get before unlikely ones are left out, and their data with them before
they compete with everything else."""
_DIGEST_SHARE, _DIGEST_MOST, _DIGEST_LEAST = 0.1, 400, 24
_RELEVANT = 0.5
"""Parts of past turns that have less to do with the request than the average of them are not brought back."""
_OVERVIEW = 0.6
"""The relevance of the digest: parts that have much to do with the request come before a survey of everything."""
_SIMILAR = 0.5
"""A memory that is below it, and less relevant than most that were compared, has nothing to do with the request."""
_MOST_EXCERPTS = 200


class Candidates(Struct, frozen=True, kw_only=True):
    """`always` and `pieces` are what `select` takes; `window` the turns sent word for word, `offers` the tools."""

    pieces: tuple[Piece, ...]
    window: tuple[PastTurn, ...]
    reach: int
    """Tokens of the window when it has grown as far as it may."""
    excerpts: dict[str, Excerpt]
    memories: dict[str, Remembered]
    digest: str
    irrelevant: tuple[Piece, ...]
    """Memories that were passed over."""
    overflow: int
    """Tokens that the past turns, as many as are wanted word for word, take beyond the budget."""
    less_relevant: int
    """Parts of past turns that were passed over."""


def candidates_of(material: Material, target: TargetView, costs: Costs, vectors: TextVectors) -> Candidates:
    """All pieces that may go into a prompt for the target, with what they take of its window."""
    said = list(_always(material, target, costs))
    left = target.budget - sum(piece.tokens for piece in said)
    room = min(left, int(_TOOLS_SHARE * target.budget))
    offered = list(_offered(material, target, costs, room))
    left -= sum(piece.tokens for piece in offered if piece.tier == "always")
    asked = sum(piece.tokens for piece in said if piece.id == "request")
    turns = material.history.turns
    depth = material.requirements.conversation_depth or 0
    # Turns that the window cannot have are not counted.
    uncounted = max(0, len(turns) - depth)
    tokens = [0] * uncounted + [sum(map(costs.message, turn.messages)) for turn in turns[uncounted:]]
    # The room does not depend on how long the request is, as far as it has its own: the window would move to and fro.
    room = min(left, int(_CONVERSATION_SHARE * (left + asked)))
    start = window_start([turn.number for turn in turns], tokens, depth=depth, room=max(0, room))
    window, earlier = turns[start:], turns[:start]
    recent = [_recent(turn, cost) for turn, cost in zip(window, tokens[start:], strict=True)]
    first = window[0].number if window else None
    old = [one for one in material.excerpts if first is None or one.turn < first]
    worth = sorted((one for one in old if one.score >= _RELEVANT), key=lambda one: -one.score)[:_MOST_EXCERPTS]
    summary = _digest(material, earlier, target, costs, vectors)
    memories = [one for one in material.memories if not _is_irrelevant(one)]
    return Candidates(
        pieces=(
            *said,
            *offered,
            *recent,
            *(_memory(one, costs) for one in memories),
            *_capabilities(material, costs),
            *(_excerpt(one, costs) for one in worth),
            *([_digest_piece(summary, costs)] if summary else []),
        ),
        window=window,
        reach=min(sum(tokens), max(0, room)),
        excerpts={f"conversation:{one.place}": one for one in worth},
        memories={memory_id(one): one for one in memories},
        digest=summary,
        irrelevant=tuple(_memory(one, costs) for one in material.memories if _is_irrelevant(one)),
        overflow=max(0, sum(tokens[-depth:] if depth else ()) - left),
        less_relevant=len(old) - len(worth),
    )


def memory_id(one: Remembered) -> str:
    """The id of a memory's piece."""
    return f"memory:{one.record}:{one.place}"


def data_id(tool: str, key: str) -> str:
    """The id of the piece of a tool's data."""
    return f"data:{tool}:{key}"


def offered_id(tool: str) -> str:
    """The id of the piece of a tool's definition."""
    return f"tool:{tool}"


def _always(material: Material, target: TargetView, costs: Costs) -> Iterator[Piece]:
    if material.instructions:
        yield Piece(
            id="instructions",
            source="instructions",
            tier="always",
            text=material.instructions,
            tokens=costs.message(Message(role="system", content=material.instructions)),
            score=1.0,
        )
    current = material.history.current
    frame = costs.frame(material.request, offers_tools=bool(material.offers) and target.offers_tools)
    yield Piece(
        id="request",
        source="request",
        tier="always",
        text="\n".join(map(text_of, current)),
        tokens=frame + sum(map(costs.message, current)),
        score=1.0,
    )


def _offered(material: Material, target: TargetView, costs: Costs, room: int) -> Iterator[Piece]:
    """Definitions of tools and what they keep. Where all of it is little, nothing of it changes from request to request."""
    offers = material.offers if target.offers_tools else ()
    bare = {
        offer.spec.name: costs.tool(rendered_tool(PreparedTool(spec=offer.spec), target.family)) for offer in offers
    }
    definitions = list(_definitions(offers, bare, room))
    yield from definitions
    surely = {piece.id for piece in definitions if piece.tier == "always"}
    room -= sum(piece.tokens for piece in definitions if piece.id in surely)
    data = list(_data([offer for offer in offers if offered_id(offer.spec.name) in surely], target, costs, bare))
    is_little = sum(piece.tokens for piece in data) <= room
    yield from (replace(piece, tier="always") if is_little else piece for piece in data)


def _definitions(offers: Sequence[Offer], bare: dict[str, int], room: int) -> Iterator[Piece]:
    """All tools while they take little of the budget; otherwise likely ones first, and no more than have room. `bare` is what
    each takes without its data."""
    for offer in sorted(offers, key=lambda offer: (not offer.is_likely, -offer.likelihood, offer.spec.name)):
        tokens = bare[offer.spec.name]
        room -= tokens
        yield Piece(
            id=offered_id(offer.spec.name),
            source="tools",
            tier="always" if room >= 0 else "tools",
            text=f"{offer.spec.name}: {offer.spec.description}",
            tokens=tokens,
            score=max(offer.likelihood, 0.01),
        )


def _data(offers: Sequence[Offer], target: TargetView, costs: Costs, bare: dict[str, int]) -> Iterator[Piece]:
    """What tools keep that are offered in any case: a tool that may be left out is offered without."""
    for offer in offers:
        for number, one in enumerate(offer.data):
            told = rendered_tool(PreparedTool(spec=offer.spec, data=(one,)), target.family)
            yield Piece(
                id=data_id(offer.spec.name, one.key),
                source="tools",
                tier="tools",
                text=f"{offer.spec.name} {one.key}",
                tokens=max(0, costs.tool(told) - bare[offer.spec.name]),
                score=_data_score(offer, one.priority),
                order=number,
            )


def _data_score(offer: Offer, priority: float | None) -> float:
    """What a likely tool keeps counts most; a server's own priority moves it."""
    usual = 0.5 + 0.5 * offer.likelihood if offer.is_likely else 0.5
    return usual if priority is None else (usual + priority) / 2


def _recent(turn: PastTurn, tokens: int) -> Piece:
    return Piece(
        id=f"turn:{turn.number}",
        source="conversation",
        tier="recent",
        text="\n".join(map(text_of, turn.messages)),
        tokens=tokens,
        score=1.0,
        order=turn.number,
    )


def _memory(one: Remembered, costs: Costs) -> Piece:
    return Piece(
        id=memory_id(one),
        source="memory",
        tier="memory",
        text=one.text,
        tokens=costs.text(memory_line(one.name, one.text) + "\n"),
        score=one.score,
        order=-one.score,
    )


def _is_irrelevant(one: Remembered) -> bool:
    return one.score < _RELEVANT and one.similarity is not None and one.similarity < _SIMILAR


def _excerpt(one: Excerpt, costs: Costs) -> Piece:
    return Piece(
        id=f"conversation:{one.place}",
        source="conversation",
        tier="older",
        text=one.text,
        tokens=costs.text(excerpt_line(one.speaker, one.text) + "\n"),
        score=one.score,
        order=one.place,
    )


def _capabilities(material: Material, costs: Costs) -> Iterator[Piece]:
    text = related_line(material.capabilities)
    if text:
        tokens = costs.text(text + "\n")
        yield Piece(id=CAPABILITIES, source="capabilities", tier="capabilities", text=text, tokens=tokens, score=0.5)


def _digest_piece(text: str, costs: Costs) -> Piece:
    return Piece(
        id=DIGEST,
        source="conversation",
        tier="older",
        text=text,
        tokens=costs.text(text + "\n"),
        score=_OVERVIEW,
        order=-1,
    )


def _digest(
    material: Material, earlier: tuple[PastTurn, ...], target: TargetView, costs: Costs, vectors: TextVectors
) -> str:
    """The turns before the window in short: a summary that was made before, and sentences of what it does not cover."""
    if not earlier:
        return ""
    room = min(_DIGEST_MOST, int(_DIGEST_SHARE * target.budget))
    told = best_summary(material.summaries, earlier[-1].number + 1)
    if told is not None:
        room -= costs.text(told.text + "\n")
        earlier = tuple(turn for turn in earlier if turn.number > told.last)
    spoken = ("user", "assistant")
    said = [Said(speaker_of(one), text_of(one)) for turn in earlier for one in turn.messages if one.role in spoken]
    sentences = digest(said, room, costs.text, vectors) if room >= _DIGEST_LEAST else ""
    return "\n".join(part for part in (told.text if told is not None else "", sentences) if part)
