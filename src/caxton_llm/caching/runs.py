"""What is made of things that follow each other, as the turns of a conversation do: a run grows when others follow.

A request brings hundreds of turns that the one before had, too. To look each of them up would take longer than what is done
with them.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from operator import is_
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Runs"]

_UNUSED = 64
"""Times in a row that nobody asks for the first half, from which on a run is begun anew."""

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


class _Run(Generic[_Item, _Made]):
    """Things that follow each other, with what is made of them. They are known again when they come as the same objects."""

    def __init__(self, made: _Made, add: Callable[[_Made, Sequence[_Item]], None]) -> None:
        self.made = made
        self.items: list[_Item] = []
        self._add = add
        self._lock = Lock()
        self._unused = 0
        self._last: tuple[tuple[_Item, ...], int] = (), 0

    def reach(self, items: Sequence[_Item]) -> int | None:
        """Grow to the last of the items; the place of the first one. `None`: what the run has is not what they follow."""
        with self._lock:
            if items is self._last[0] and items:
                return self._last[1]
            first = known = 0
            if self.items:
                last = self.items[-1]
                known = next((place for place in range(len(items), 0, -1) if items[place - 1] is last), 0)
                first = len(self.items) - known
                if not known or first < 0 or not all(map(is_, islice(self.items, first, None), items)):
                    return None
                self._unused = self._unused + 1 if 2 * first > len(self.items) else 0
                if self._unused > _UNUSED:
                    return None
            if known < len(items):
                self._add(self.made, items[known:])
                self.items += items[known:]
            if isinstance(items, tuple):
                self._last = items, first
            return first


class Runs(Generic[_Item, _Made]):
    """What was made of the last runs that were asked for: `new` begins it, `add` adds further items to it.

    `weight` gives about how many bytes it takes; all that is held takes at most `heaviest`. Safe to share between threads:
    of what was added, nothing may change.
    """

    def __init__(
        self,
        new: Callable[[], _Made],
        add: Callable[[_Made, Sequence[_Item]], None],
        weight: Callable[[_Made], int],
        *,
        heaviest: int,
    ) -> None:
        self._new = new
        self._add = add
        self._weight = weight
        self._heaviest = heaviest
        self._lock = Lock()
        self._held: OrderedDict[int, tuple[_Run[_Item, _Made], int]] = OrderedDict()
        """By the identity of the last item, which the run holds; with its bytes."""
        self._left = heaviest

    def hold(self, items: Sequence[_Item]) -> bool:
        """Whether little has to be made for these items: all but the last one are at hand, as far as can be seen at once."""
        with self._lock:
            return not items or any(id(item) in self._held for item in items[-2:])

    def of(self, items: Sequence[_Item]) -> tuple[_Made, int]:
        """What is made of the items, at least one, perhaps of others too; and the place of the first one of them there."""
        with self._lock:
            end = next((id(item) for item in reversed(items) if id(item) in self._held), 0)
            run = self._held[end][0] if end else _Run(self._new(), self._add)
        first = run.reach(items)
        if first is None:
            run, first, end = _Run(self._new(), self._add), 0, 0
            run.reach(items)
        last = id(run.items[-1])
        with self._lock:
            if last == end and end in self._held:
                self._held.move_to_end(end)  # it has not grown
                return run.made, first
        weight = self._weight(run.made)
        with self._lock:
            for known in {end, last} & self._held.keys():
                self._left += self._held.pop(known)[1]
            # One that is too heavy does not make the others go.
            if weight <= self._heaviest:
                self._held[id(run.items[-1])] = run, weight
                self._left -= weight
            while self._left < 0:
                self._left += self._held.popitem(last=False)[1][1]
        return run.made, first
