"""A conversation before the current request: what is stored of it and what the request brings, as one list of turns."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.conversation import Exchange, Thread
from caxton_llm.caching.kept import Kept
from caxton_llm.caching.runs import Runs
from caxton_llm.context.conversation.alignment import matches
from caxton_llm.context.conversation.exchanges import exchanges_of
from caxton_llm.context.conversation.spoken import characters_of, text_of
from caxton_llm.discreet import Discreet
from caxton_llm.types import Message

__all__ = ["LONGEST_KEPT", "History", "PastTurn", "are_at_hand", "history_of", "text_of", "turns_compared"]

NOT_RUN = "[not run]"
"""In the place of the result of a call that the caller was to run and did not."""

_SYSTEM = ("system", "developer")
_RESULTS = ("tool", "function")
_LIGHT, _HEAVIEST = 300, 12_000_000
"""Bytes of a turn beside its texts, and of all that are kept."""
LONGEST_KEPT = 65_536
"""Characters of a turn that is kept; a few longer ones would leave no room for others."""
_RUN = 4
"""Turns that weigh what the turns of a conversation take together beside each of them."""
_BRANCHES = 50
"""So many answers that were asked for again may lie between what a client shows and the end of what is stored."""


class PastTurn(Discreet, Struct, frozen=True, kw_only=True):
    """A question with all that answered it. `number` grows from turn to turn and stays what it is."""

    number: int
    messages: tuple[Message, ...]
    at: float | None = None
    """Seconds since 1970."""
    is_kept: bool = False
    """Whether what is made of it is worth keeping: it comes again as the same object, and is not too long. What a request
    brings is new each time."""
    characters: int = 0
    """About how many it has, where it is kept."""


class History(Discreet, Struct, frozen=True, kw_only=True):
    """What a request is made of: what instructs, the turns so far, and the messages that are to be answered.

    `fresh` are earlier exchanges that the request brings and no store has, `asked` is what no store has of the current one.
    """

    instructions: tuple[str, ...]
    turns: tuple[PastTurn, ...]
    current: tuple[Message, ...]
    asked: tuple[Message, ...]
    fresh: tuple[tuple[Message, ...], ...] = ()
    branched: int | None = None
    """The number from which on the turns are other ones than those that are stored; `None`: they are the same."""

    @property
    def continues(self) -> bool:
        """Whether what is asked belongs to a turn that was begun before."""
        return len(self.current) > len(self.asked)


def turns_compared(messages: Sequence[Message]) -> int:
    """How many of the last stored turns the messages of a request may repeat or continue."""
    exchanges = exchanges_of(list(messages))
    if len(exchanges) > 1:
        return len(exchanges) + _BRANCHES
    return int(any(message.role in _RESULTS for message in messages))


def history_of(messages: Sequence[Message], thread: Thread | None, *, seen: int | None = None) -> History:
    """The history of a request that continues `thread`, where there is one.

    A client may send only what is new, or the whole conversation again, or a beginning of it with another end: what it sends
    stands in the place of what is stored from there on, and what is stored already is not `fresh`. Of turns that it does not
    send, so many are there that all are at most `seen`; `None`: all that were read.
    """
    every = list(messages)
    exchanges = [tuple(every[index] for index in one) for one in exchanges_of(every)]
    brought, current = exchanges[:-1], exchanges[-1] if exchanges else ()
    stored, is_settled = _turns_of(thread.exchanges) if thread is not None else ((), True)
    asked, waits = current, False
    if stored and (known := _open_part(stored[-1].messages, current)) is not None:
        # Results of the caller's tools continue the turn that called them.
        asked, waits = current[known:], True
        current = (*stored[-1].messages, *asked)
        stored = stored[:-1]
    shown = _Shown(stored, brought)
    before = shown.before if seen is None else shown.before[max(0, len(shown.before) + len(brought) - seen) :]
    length = thread.position.length if thread is not None else 0
    fresh = tuple(PastTurn(number=length + place, messages=one) for place, one in enumerate(shown.fresh))
    # Where nothing has to be added these are the same turns as before, as one object.
    past = before if is_settled and not brought else tuple(_WITH_RESULTS.of_each([*before, *shown.known]))
    return History(
        instructions=tuple(text_of(one) for one in every if one.role in _SYSTEM),
        turns=past + fresh if fresh else past,
        current=current,
        asked=asked,
        # Nothing may come between a call and its results.
        fresh=() if waits else tuple(shown.fresh),
        branched=shown.branched,
    )


class _Shown:
    """The turns that a client shows, against those that are stored: `before` them, `known` up to the last one that is stored,
    and the `fresh` ones behind it.

    One that is not stored and stands before a stored one was changed by the client: it is shown, and never stored.
    """

    def __init__(self, stored: Sequence[PastTurn], brought: Sequence[tuple[Message, ...]]) -> None:
        places = matches([turn.messages for turn in stored], brought) if brought else []
        count = max((number for number, place in enumerate(places) if place is not None), default=-1) + 1
        first = next(((number, place) for number, place in enumerate(places) if place is not None), None)
        begin = len(stored) if first is None else first[1] - first[0]
        start = max(0, begin)
        self.before = tuple(stored[:start])
        self.fresh = brought[count:]
        self.known: list[PastTurn] = []
        number = len(stored) and stored[-1].number + 1
        for place, messages in zip(reversed(places[:count]), reversed(brought[:count]), strict=True):
            turn = PastTurn(number=number - 1, messages=messages) if place is None else stored[place]
            number = turn.number
            self.known.append(turn)
        self.known.reverse()
        expected = [*range(begin, len(stored))]
        apart = next((at for at, place in zip(expected, places[:count], strict=False) if at != place), None)
        if apart is None and count < len(expected):
            apart = expected[count]
        self.branched = None if apart is None else stored[max(0, apart)].number


def _with_results(turn: PastTurn) -> PastTurn:
    closed = _closed(turn.messages)
    return turn if closed is turn.messages else replace(turn, messages=closed)


def _closed(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with a result for every call: a model takes no others. A caller may have gone on without running its
    tools."""
    if not any(message.tool_calls for message in messages):
        return messages
    closed: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role in _RESULTS:
            waiting = [call for call in waiting if call != message.tool_call_id]
        else:
            closed += map(_not_run, waiting)
            waiting = [call.id for call in message.tool_calls or ()]
        closed.append(message)
    return (*closed, *map(_not_run, waiting))


def _not_run(call: str) -> Message:
    return Message(role="tool", tool_call_id=call, content=NOT_RUN)


def _open_part(last: tuple[Message, ...], current: tuple[Message, ...]) -> int | None:
    """How much of `current` is the end of the last turn again, which waits for these results; `None`: it does not."""
    open_calls = _call_ids(last[-1:])
    if not open_calls:
        return None
    if current and current[0].role in _RESULTS:
        return 0
    for length in range(min(len(last), len(current) - 1), 0, -1):
        if _call_ids(current[length - 1 : length]) == open_calls:
            return length
    return None


def _call_ids(messages: Sequence[Message]) -> set[str]:
    return {call.id for message in messages for call in message.tool_calls or ()}


class _Turns:
    """A turn for each exchange of a conversation, as if none continued another; `continued` are the places of those that do,
    `waiting` of those with a call without a result."""

    def __init__(self) -> None:
        self.every: list[PastTurn] = []
        self.continued: list[int] = []
        self.waiting: list[int] = []
        self._are_kept = True
        self._characters = 0
        self._last: tuple[int, int, tuple[PastTurn, ...]] = 0, 0, ()

    def add(self, exchanges: Sequence[Exchange]) -> None:
        """Add exchanges that follow."""
        for exchange in exchanges:
            if exchange.continues:
                self.continued.append(len(self.every))
            turn = _TURN.of(exchange)
            if _closed(turn.messages) is not turn.messages:
                self.waiting.append(len(self.every))
            self.every.append(turn)
            self._are_kept &= turn.is_kept
            self._characters += turn.characters

    def between(self, first: int, end: int) -> tuple[PastTurn, ...]:
        """Those from place `first` up to `end`, without it: the same object where they were asked for last."""
        last = self._last
        if last[:2] != (first, end):
            last = self._last = first, end, tuple(self.every[first:end])
        return last[2]

    def weight(self) -> int:
        """About how many bytes it takes; what is very long is not held at all."""
        return _LIGHT * (_RUN + len(self.every)) + self._characters if self._are_kept else _HEAVIEST + 1


def _turn(exchange: Exchange) -> PastTurn:
    return _weighed(PastTurn(number=exchange.number, messages=exchange.messages, at=exchange.at))


def _continued(turns: tuple[PastTurn, PastTurn]) -> PastTurn:
    """A turn with the one behind it that continues it."""
    before, turn = turns
    return _weighed(replace(before, messages=before.messages + turn.messages))


def _weighed(turn: PastTurn) -> PastTurn:
    characters = characters_of(turn.messages)
    is_kept = characters <= LONGEST_KEPT
    return replace(turn, is_kept=is_kept, characters=characters if is_kept else 0)


def _weight(_: object, turn: PastTurn) -> int | None:
    return 2 * _LIGHT + turn.characters if turn.is_kept else None


_TURN = Kept(_turn, _weight, heaviest=_HEAVIEST)
_CONTINUED = Kept(_continued, _weight, heaviest=_HEAVIEST, key=lambda turns: tuple(map(id, turns)))


_TURNS: Runs[Exchange, _Turns] = Runs(_Turns, _Turns.add, _Turns.weight, heaviest=_HEAVIEST)


def _turns_of(exchanges: Sequence[Exchange]) -> tuple[tuple[PastTurn, ...], bool]:
    """The turns, and whether all of them are what they are by themselves, with nothing missing."""
    if not exchanges:
        return (), True
    known, first = _TURNS.of(exchanges)
    end = first + len(exchanges)
    continued = [place - first for place in known.continued if first < place < end]
    if not continued:
        return known.between(first, end), not any(first <= place < end for place in known.waiting)
    places = {*continued}
    turns: list[PastTurn] = []
    for place, turn in enumerate(known.every[first:end]):
        if place in places:
            turns[-1] = _CONTINUED.of((turns[-1], turn))
        else:
            turns.append(turn)
    return tuple(turns), False


def are_at_hand(exchanges: Sequence[Exchange]) -> bool:
    """Whether it is known what turns these exchanges are, of all but the last one at least."""
    return _TURNS.hold(exchanges)


_WITH_RESULTS = Kept(_with_results, _weight, heaviest=_HEAVIEST)
