"""A queue in which callers take turns: round robin over the callers, each caller's own items in order."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Turns"]

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """Items of several callers. `next` is whose turn it is; nobody is skipped, so everybody gets there.

    Whoever joins has at most one item of every other caller before its first, however many they have.
    """

    __slots__ = ("_callers", "count")

    def __init__(self) -> None:
        self._callers: OrderedDict[str, deque[Item]] = OrderedDict()
        """Caller -> its items; the first caller's turn is next. No queue is empty."""
        self.count = 0

    def __iter__(self) -> Iterator[Item]:
        """All items, caller by caller."""
        for items in self._callers.values():
            yield from items

    def join(self, caller: str, item: Item) -> None:
        self._callers.setdefault(caller, deque()).append(item)
        self.count += 1

    def next(self) -> Item | None:
        """Whose turn it is, or `None` when nobody is there."""
        return next(iter(self._callers.values()))[0] if self._callers else None

    def advance(self) -> None:
        """Take out whose turn it is; the turn goes to the next caller. Raises `IndexError` when nobody is there."""
        if not self._callers:
            raise IndexError("nobody is waiting")
        caller, items = self._callers.popitem(last=False)
        items.popleft()
        self.count -= 1
        if items:
            self._callers[caller] = items

    def remove(self, caller: str, item: Item) -> None:
        """Take out an item that is there, wherever it is; turns stay as they are."""
        items = self._callers[caller]
        items.remove(item)
        self.count -= 1
        if not items:
            del self._callers[caller]

    def ahead(self, caller: str) -> int:
        """How many items would go before one that this caller adds now."""
        own = len(self._callers.get(caller, ()))
        return own + sum(min(len(items), own + 1) for name, items in self._callers.items() if name != caller)

    def last_of_longest(self, caller: str) -> Item | None:
        """The last item of the caller who has the most, if that is more than this caller would have with one more."""
        if not self._callers:
            return None
        longest = max(self._callers.values(), key=len)
        return longest[-1] if len(longest) > len(self._callers.get(caller, ())) + 1 else None
