"""Which tools a target is offered: their definitions and what they keep, as pieces.

Definitions begin a prompt, and a provider keeps a beginning that does not change. So which tools are always there follows
from the budget and their names; what a request is about decides only which of the others come in, behind them.
"""

from collections.abc import Iterable, Iterator, Sequence, Set

from msgspec import Struct

from caxton_llm.context.budget import TargetView
from caxton_llm.context.costs import Costs
from caxton_llm.context.material import Material, Offer
from caxton_llm.context.pieces import Piece
from caxton_llm.context.prepared import PreparedTool
from caxton_llm.context.render.provider import rendered_tools
from caxton_llm.context.told_tool import ToldTool

__all__ = ["MOST_TOOLS", "Offered", "definition_tokens", "offered_tools", "offers_of"]

_SHARE = 0.4
"""The most of the budget that definitions of tools get in any case, and what they keep before it competes with all else."""
_MOST = 0.8
"""The most of what the instructions and the request leave that tools get, with what their vendor writes because of them."""
MOST_TOOLS = {"openai": 128, "azure": 128}
"""How many a request may have, by kind of provider: https://platform.openai.com/docs/api-reference/chat/create (tools)."""
_NAMED = 1.0
"""The likelihood of a tool that the request names."""


class Offered(Struct, frozen=True, kw_only=True):
    """`pieces` to choose from; none where there is no room for any, and then `refused` are the tools."""

    pieces: tuple[Piece, ...] = ()
    refused: tuple[Piece, ...] = ()
    beyond: tuple[Piece, ...] = ()
    """More of them than the target takes."""
    prompt: int = 0
    """Tokens that the vendor writes by itself because tools are offered."""
    order: tuple[ToldTool, ...] = ()
    """All of them, in the order in which they are offered."""


def offers_of(material: Material, target: TargetView) -> tuple[Offer, ...]:
    """The tools that the target may be offered."""
    if not target.withheld_tools:
        return material.offers
    return tuple(offer for offer in material.offers if offer.spec.name not in target.withheld_tools)


def definition_tokens(material: Material, target: TargetView, costs: Costs) -> int:
    """What the definitions of all tools take that the target may be offered."""
    return sum(_tokens([offer.tool.bare for offer in offers_of(material, target)], target, costs))


def offered_tools(material: Material, target: TargetView, costs: Costs, left: int) -> Offered:
    """What a target is offered of an agent's tools, where instructions and request leave `left` tokens. Where all of it is
    little, nothing of it changes from request to request."""
    own = len(material.request.tools or ()) + len(material.request.functions or ())
    offers, others = _as_many_as_taken(offers_of(material, target), target, own)
    if not offers:
        return Offered()
    prompt = costs.frame(material.request, offers_tools=True) - costs.frame(material.request, offers_tools=False)
    names = [offer.spec.name for offer in offers]
    bare = dict(zip(names, _tokens([offer.tool.bare for offer in offers], target, costs), strict=True))
    most = int(_MOST * left) - prompt
    room = min(most, int(_SHARE * target.budget))
    sure = _sure(offers, bare, room, most) or _likeliest(offers, bare, most)
    definitions = [_definition(offer, bare[offer.spec.name], is_sure=offer.spec.name in sure) for offer in offers]
    beyond = tuple([_definition(offer, 0, is_sure=False) for offer in others])
    if not sure:
        return Offered(refused=tuple(definitions), beyond=beyond)
    told = [one for one in offers if one.spec.name in sure]
    return Offered(
        pieces=(*definitions, *_data(told, target, costs, bare, room - _sum(bare, sure))),
        beyond=beyond,
        prompt=prompt,
        order=tuple(sorted([offer.tool for offer in offers], key=lambda tool: tool.spec.name not in sure)),
    )


def _as_many_as_taken(offers: Sequence[Offer], target: TargetView, own: int) -> tuple[list[Offer], list[Offer]]:
    """By their names as many as the target takes beside the request's `own`, and the others. Likely ones come first."""
    named = sorted(offers, key=lambda offer: offer.spec.name)
    most = MOST_TOOLS.get(target.kind)
    if most is None or len(named) + own <= most:
        return named, []
    likely = sorted(named, key=lambda offer: -offer.likelihood if offer.is_likely else 0.0)
    taken = {offer.spec.name for offer in likely[: max(0, most - own)]}
    return [one for one in named if one.spec.name in taken], [one for one in named if one.spec.name not in taken]


def _sure(offers: Sequence[Offer], bare: dict[str, int], room: int, most: int) -> set[str]:
    """By name, as many as have room, and the named ones, which may take up to `most` with them."""
    if sum(bare.values()) <= min(room, most):
        return set(bare)
    chosen = _fitting((offer.spec.name for offer in offers), bare, room)
    named = [offer.spec.name for offer in offers if offer.likelihood >= _NAMED]
    missing = _fitting((name for name in named if name not in chosen), bare, most)
    beside = most - _sum(bare, missing)
    if _sum(bare, chosen) > beside:
        kept = _fitting((name for name in named if name in chosen), bare, beside)
        beside -= _sum(bare, kept)
        chosen = kept | _fitting((name for name in sorted(chosen) if name not in kept), bare, beside)
    return chosen | missing


def _sum(tokens: dict[str, int], names: Iterable[str]) -> int:
    return sum(tokens[name] for name in names)


def _fitting(names: Iterable[str], tokens: dict[str, int], room: int) -> set[str]:
    chosen = set()
    for name in names:
        if tokens[name] <= room:
            chosen.add(name)
            room -= tokens[name]
    return chosen


def _likeliest(offers: Sequence[Offer], bare: dict[str, int], room: int) -> Set[str]:
    """One, where there is hardly room for any; the smallest, where nothing says which is wanted."""
    likely = sorted(offers, key=lambda one: (-one.likelihood if one.is_likely else 0.0, bare[one.spec.name]))
    return next(({offer.spec.name} for offer in likely if bare[offer.spec.name] <= room), frozenset())


def _definition(offer: Offer, tokens: int, *, is_sure: bool) -> Piece:
    return Piece(
        id=offer.tool.id,
        source="tools",
        tier="always" if is_sure else "tools",
        text=offer.tool.text,
        tokens=tokens,
        score=max(offer.likelihood, 0.01),
    )


def _data(
    offers: Sequence[Offer], target: TargetView, costs: Costs, bare: dict[str, int], room: int
) -> Iterator[Piece]:
    """What tools keep that are offered in any case: a tool that may be left out is offered without. What has `room` always
    stands."""
    every = [(offer, number, one) for offer in offers for number, one in enumerate(offer.tool.data)]
    told = _tokens([one for offer in offers for one in offer.tool.each], target, costs)
    for (offer, number, one), whole in zip(every, told, strict=True):
        name = offer.spec.name
        tokens = max(0, whole - bare[name])
        fits = tokens <= room
        room -= tokens if fits else 0
        yield Piece(
            id=offer.tool.data_ids[number],
            source="tools",
            tier="always" if fits else "tools",
            text=offer.tool.data_texts[number],
            tokens=tokens,
            score=_data_score(offer, one.priority),
            order=number,
        )


def _tokens(tools: Sequence[PreparedTool], target: TargetView, costs: Costs) -> list[int]:
    return costs.tools(rendered_tools(tuple(tools), target.family))


def _data_score(offer: Offer, priority: float | None) -> float:
    """What a likely tool keeps counts most; a server's own priority moves it."""
    usual = 0.5 + 0.5 * offer.likelihood if offer.is_likely else 0.5
    return usual if priority is None else (usual + priority) / 2
