"""The turns before a request: which are sent word for word, what of the others is brought back, what becomes of the rest.

Turns are counted from the newest back, and only as many as have room, so a conversation of any length costs little.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from msgspec import Struct

from caxton_llm.agents.conversation import best_summary
from caxton_llm.agents.requirements import ALL_TURNS
from caxton_llm.context.budget import TargetView
from caxton_llm.context.conversation.digest import digest
from caxton_llm.context.conversation.excerpts import Excerpt
from caxton_llm.context.conversation.past_texts import PastTexts
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.context.conversation.window import window_start
from caxton_llm.context.costs import Costs
from caxton_llm.context.material import Material
from caxton_llm.context.pieces import Decision, Piece, Reason
from caxton_llm.context.render.provider import excerpt_line
from caxton_llm.discreet import Discreet

__all__ = ["DIGEST", "Past", "past_of", "turn_id"]

DIGEST = "conversation:digest"

_SHARE = 0.6
"""The most of what the instructions and the tools leave that past turns get word for word: the request and what was looked
up need room, too, and a share that does not depend on them keeps the prompt's beginning the same."""
_SHARE_OF_ALL = 0.9
"""The same where all turns are wanted word for word, or nothing was looked up."""
_DIGEST_SHARE, _DIGEST_MOST, _DIGEST_LEAST = 0.1, 400, 24
_DIGESTED = 500
"""Turns that a digest is made of: the last ones that are not sent."""
_STEP, _LONG = 25, 100
"""Numbers of turns at which a digest of many may begin, and how many are many."""
_RELEVANT = 0.6
"""Parts of past turns below it are not brought back. The average is 0.5: they have clearly more to do with the request."""
_OVERVIEW = 0.6
"""The relevance of the digest: parts that have much to do with the request come before a survey of everything."""
_MOST_EXCERPTS = 200
_SPARE = 2
"""Times the room beside the window that excerpts may take together before some are chosen: others repeat them, or are too
long."""
_TOLD = 50
"""Turns that are not sent of which each is told, the last ones; the others are counted only."""


class Past(Discreet, Struct, frozen=True, kw_only=True, eq=False):
    """`window` are the turns sent word for word, `pieces` what may be chosen of all."""

    pieces: tuple[Piece, ...]
    window: tuple[PastTurn, ...]
    reach: int
    """Tokens of the window when it has grown as far as it may."""
    excerpts: dict[str, Excerpt]
    digest: str
    overflow: int
    """About how many tokens the turns, as many as are wanted word for word, take beyond the room."""
    less_relevant: int
    """Parts of past turns that were passed over."""
    left_out: "LeftOut"
    own: frozenset[int]
    """The numbers of turns that the request itself has brought."""
    depth: int


class LeftOut:
    """What became of the turns before the window, the last of them: made when somebody asks for it."""

    def __init__(
        self,
        turns: Sequence[PastTurn],
        tokens: Callable[[int], int],
        texts: PastTexts,
        *,
        start: int,
        depth: int,
        room: int,
    ) -> None:
        self._turns = turns
        self._tokens = tokens
        self._texts = texts
        self._start = start
        self._depth = depth
        self._room = room

    def __len__(self) -> int:
        return min(self._start, _TOLD)

    def __iter__(self) -> Iterator[Decision]:
        """From the newest back: those beyond the depth, beyond the room, and those left out so that the window stays, and
        leaves room for what was looked up."""
        turns, tokens = self._turns, self._tokens
        total = sum(map(tokens, range(self._start, len(turns))))
        for place in range(self._start - 1, self._start - 1 - len(self), -1):
            total += tokens(place)
            reason: Reason = "before the window"
            if len(turns) - place > self._depth:
                reason = "more than asked for"
            elif total > self._room:
                reason = "no budget left"
            piece = _recent(turns[place], tokens(place), self._texts)
            yield Decision(piece=piece, kept=False, stage="selection", reason=reason)


def turn_id(number: int) -> str:
    """The id of the piece of a turn that is sent word for word."""
    return f"turn:{number}"


def past_of(material: Material, target: TargetView, costs: Costs, texts: PastTexts, *, left: int, asked: int) -> Past:
    """What may be sent of the past turns, where the request, which takes `asked` tokens, and all that always stands leave
    `left`. Without permission for a conversation these are the turns that the request has brought, and no others."""
    turns, own, depth = _permitted(material)
    tokens = cache(lambda place: costs.turn(turns[place]))
    # The room does not depend on how long the request is, as far as it has its own: the window would move to and fro.
    share = _SHARE_OF_ALL if depth >= ALL_TURNS or not _has_looked_up(material) else _SHARE
    left = max(0, left)
    room = min(left, int(share * (left + asked)))
    start = window_start([turn.number for turn in turns], tokens, depth=depth, room=room, most=left)
    window = turns[start:]
    first = len(material.history.turns) - len(turns)
    worth, less_relevant = material.excerpts.between(first, first + start, least=_RELEVANT, most=_MOST_EXCERPTS)
    sent = sum(map(tokens, range(start, len(turns))))
    excerpts = [*_excerpts(worth, costs, _SPARE * (left - sent))]
    summary = _digest(material, turns, start, target=target, costs=costs, texts=texts)
    wanted = min(depth, len(turns))
    return Past(
        pieces=(
            *(_recent(turn, tokens(start + place), texts) for place, turn in enumerate(window)),
            *excerpts,
            *([_digest_piece(summary, costs)] if summary else []),
        ),
        window=window,
        reach=max(sent, min(room, _about(tokens, len(turns), wanted, room))),
        excerpts={piece.id: one for piece, one in zip(excerpts, worth, strict=False)},
        digest=summary,
        overflow=max(0, _about(tokens, len(turns), wanted, left) - left),
        less_relevant=less_relevant + len(worth) - len(excerpts),
        left_out=LeftOut(turns, tokens, texts, start=start, depth=depth, room=left),
        own=own,
        depth=depth,
    )


def _has_looked_up(material: Material) -> bool:
    """Whether anything stands beside what was said."""
    return bool(material.memories or material.capabilities or any(offer.tool.data for offer in material.offers))


def _permitted(material: Material) -> tuple[tuple[PastTurn, ...], frozenset[int], int]:
    """The turns that may be used, the numbers of those that the request has brought, and how many are wanted in whole."""
    history, needs = material.history, material.requirements
    brought = set(map(id, history.fresh))
    # They are the last ones; the very last may be the one that goes on.
    own = tuple(turn for turn in history.turns[-max(1, len(brought)) :] if id(turn.messages) in brought)
    numbers = frozenset(turn.number for turn in own)
    if needs.conversation:
        return history.turns, numbers, needs.conversation_depth or 0
    return own, numbers, ALL_TURNS


def _about(tokens: Callable[[int], int], count: int, wanted: int, enough: int) -> int:
    """Tokens of the last `wanted` turns; where they are more than `enough`, the rest is taken to be like those before."""
    total = 0
    for counted in range(1, wanted + 1):
        total += tokens(count - counted)
        if total > enough:
            return total + (wanted - counted) * total // counted
    return total


def _recent(turn: PastTurn, tokens: int, texts: PastTexts) -> Piece:
    return Piece(
        id=turn_id(turn.number),
        source="conversation",
        tier="recent",
        text=texts.whole(turn),
        tokens=tokens,
        score=1.0,
        order=turn.number,
    )


def _excerpts(worth: Sequence[Excerpt], costs: Costs, room: float) -> Iterator[Piece]:
    """The best ones, as many as there may be room for."""
    for one in worth:
        if room <= 0:
            return
        tokens = costs.line(excerpt_line(one.speaker, one.text))
        room -= tokens
        yield Piece(
            id=f"conversation:{one.place}",
            source="conversation",
            tier="older",
            text=one.text,
            tokens=tokens,
            score=one.score,
            order=one.place,
        )


def _digest_piece(text: str, costs: Costs) -> Piece:
    return Piece(
        id=DIGEST,
        source="conversation",
        tier="older",
        text=text,
        tokens=costs.line(text),
        score=_OVERVIEW,
        order=-1,
    )


def _digest(
    material: Material, turns: Sequence[PastTurn], start: int, *, target: TargetView, costs: Costs, texts: PastTexts
) -> str:
    """The turns before place `start`, where the window begins, in short: a summary that was made before, and sentences of
    what it does not cover."""
    if not start:
        return ""
    room = min(_DIGEST_MOST, int(_DIGEST_SHARE * target.budget))
    permitted = material.requirements.conversation
    told = best_summary(material.summaries, turns[start - 1].number + 1) if permitted else None
    if told is None:
        first = _first_digested(turns, start)
    else:
        # Behind a summary it begins where this ends.
        room -= costs.line(told.text)
        first = next((place for place in range(start) if turns[place].number > told.last), start)
        first = max(first, start - _DIGESTED)
    sentences = digest(texts.ranked(turns, first, start), room, costs.line) if room >= _DIGEST_LEAST else ""
    return "\n".join(part for part in (told.text if told is not None else "", sentences) if part)


def _first_digested(turns: Sequence[PastTurn], end: int) -> int:
    """The place of the first turn of a digest of those before `end`: like the window it begins at fixed places, so that it
    seldom changes."""
    first = max(0, end - _DIGESTED)
    if end - first < _LONG or turns[first].number == 0:
        return first
    begins = -(-turns[first].number // _STEP) * _STEP
    return next((place for place in range(first, end) if turns[place].number >= begins), first)
