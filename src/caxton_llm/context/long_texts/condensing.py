"""The long material of a current request made shorter: what says most stands word for word, what is left out is marked.

Deterministic, without a model, by the same measure as the digest of a conversation. The first and the last piece come before
all others: people and programs put there what the rest is to be read by.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from caxton_llm.context.conversation.digest import worth
from caxton_llm.context.conversation.exchanges import exchanges_of
from caxton_llm.context.long_texts.seams import csv_header, pieces_of
from caxton_llm.context.long_texts.splitting import take_apart, with_material
from caxton_llm.discreet import Discreet
from caxton_llm.memory.embedding import Embedder
from caxton_llm.tokens import message_tokens
from caxton_llm.tokens.content import kind_of
from caxton_llm.types import ChatRequest

__all__ = ["Condensed", "condense", "condensed"]

_PIECE = 300
"""Characters of a piece: two or three sentences, so that what stands can be read."""
_MOST_PIECES = 4_000
"""Beyond that pieces are longer: comparing takes a tenth of a millisecond each."""
_MISFITS = 50
"""Pieces that do not fit any more, after which no other is tried."""
_LEAST = 48
"""Tokens of material with which a request still says something."""
_TRIES = 4


class Condensed(Discreet, Struct, frozen=True, kw_only=True):
    """A request whose material is shortened; the same object when it had not to be. `notes` say what was done."""

    request: ChatRequest
    notes: tuple[str, ...] = ()


def condensed(request: ChatRequest, room: int, count: Callable[[str], int], embedder: Embedder) -> Condensed | None:
    """The request whose current messages together have at most `room` tokens, as `message_tokens` counts them; `None` where
    shortening their long texts is not enough. System messages and the earlier conversation are neither counted nor changed.
    """
    if _current_tokens(request, count) <= room:
        return Condensed(request=request)
    taken = take_apart(request, room // 2, count)
    if not taken.material:
        return None
    lengths = [len(one.text) for one in taken.material]
    left = room - _current_tokens(with_material(request, taken, [""] * len(lengths)), count)
    for _ in range(_TRIES):
        if left < _LEAST:
            return None
        texts = [
            condense(one.text, left * length // sum(lengths), count, embedder)
            for one, length in zip(taken.material, lengths, strict=True)
        ]
        if not all(texts):
            return None
        shorter = with_material(request, taken, texts)
        excess = _current_tokens(shorter, count) - room
        if excess <= 0:
            note = (
                f"the long text of the request was shortened to fit, from {sum(lengths):,} characters to "
                f"{sum(map(len, texts)):,}: it says where something is left out"
            )
            return Condensed(request=shorter, notes=(note,))
        left -= excess  # texts joined may have a few tokens more than each alone
    return None


def condense(text: str, room: int, count: Callable[[str], int], embedder: Embedder) -> str:
    """The text in at most `room` tokens, each gap marked `[... 12,300 words left out ...]`; empty where nothing fits."""
    if count(text) <= room:
        return text
    header = csv_header(text)
    cut = pieces_of(text[len(header) :], max(_PIECE, len(text) // _MOST_PIECES), len, rows=bool(header))
    pieces = [header] * bool(header) + [piece for piece, _ in cut]
    order = _order(pieces, embedder)
    chosen = _chosen(pieces, order, room, count)
    while chosen:
        shorter = _joined(pieces, set(chosen))
        if count(shorter) <= room:
            return shorter
        chosen.pop()
    return ""


def _order(pieces: Sequence[str], embedder: Embedder) -> list[int]:
    """The places of the pieces, the first to be taken first."""
    scores = worth(pieces, embedder)
    ends = (0, len(pieces) - 1)
    return sorted(range(len(pieces)), key=lambda place: (place not in ends, -float(scores[place]), place))


def _chosen(pieces: Sequence[str], order: Sequence[int], room: int, count: Callable[[str], int]) -> list[int]:
    """Places of pieces that fit together with the marks between them."""
    mark = count(_mark(" ".join(["word"] * 9_999)))
    chosen: list[int] = []
    taken = {-1, len(pieces)}
    left, misfits = room - mark, 0
    for place in order:
        # A piece between two others fills a gap, one beside another moves its edge, any other makes two of one.
        gaps = 1 - (place - 1 in taken) - (place + 1 in taken)
        cost = count(pieces[place]) + gaps * mark
        if cost <= left:
            chosen.append(place)
            taken.add(place)
            left -= cost
        else:
            misfits += 1
            if misfits == _MISFITS:
                break
    return chosen


def _joined(pieces: Sequence[str], chosen: set[int]) -> str:
    found: list[str] = []
    gap: list[str] = []
    for place, piece in enumerate(pieces):
        if place not in chosen:
            gap.append(piece)
            continue
        if gap:
            found.append(_mark("".join(gap)))
            gap = []
        found.append(piece)
    if gap:
        found.append(_mark("".join(gap)))
    return "".join(found).strip("\n")


def _mark(gap: str) -> str:
    return f"\n[... {_amount(gap)} left out ...]\n"


def _amount(text: str) -> str:
    """How much a text is, in the unit of its script."""
    number, unit = (len(text), "character") if kind_of(text) == "cjk" else (len(text.split()), "word")
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _current_tokens(request: ChatRequest, count: Callable[[str], int]) -> int:
    current = next(reversed(exchanges_of(request.messages)), [])
    return sum(message_tokens(request.messages[place], count) for place in current)
