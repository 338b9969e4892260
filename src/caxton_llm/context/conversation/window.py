"""Which turns of a conversation are sent word for word: a window that moves rarely and then far.

A provider's prompt cache pays for an unchanged beginning. A window that loses one turn with every new one changes the
beginning every time; this one begins at fixed places of the conversation only, so it grows from half its depth to all of it
and is then cut back. It follows from the turns alone: nothing has to be remembered.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

__all__ = ["window_start"]


def window_start(numbers: Sequence[int], tokens: Callable[[int], int], *, depth: int, room: int, most: int) -> int:
    """The place of the first turn that is sent, `len(numbers)` for none.

    `numbers` are those of the turns, ascending; `tokens` gives what the turn at a place takes, and is asked from the last one
    back as far as needed. At most `depth` turns are sent, in at most `room` tokens; but half of `depth` where there are so
    many, as far as `most` tokens permit, which are no fewer.
    """
    count = first = len(numbers)
    half, taken = (depth + 1) // 2, 0
    while first > max(0, count - depth):
        taken += tokens(first - 1)
        if taken > (most if count - first < half else room):
            break
        first -= 1
    if first in (0, count):
        return first
    possible = count - first
    least = half if possible >= half else possible / 2
    step = depth // 2 + 1
    while step > 1:
        # Finer places where turns are so long that the coarse ones would leave out too much.
        start = _place(numbers, step, first)
        if count - start >= least:
            return start
        step //= 2
    return first


def _place(numbers: Sequence[int], step: int, first: int) -> int:
    """The first place from `first` on where a block of `step` numbers begins."""
    return bisect_left(numbers, (numbers[first - 1] // step + 1) * step, first)
