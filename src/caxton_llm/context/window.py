"""Which turns of a long conversation are sent as they are: a window that moves rarely and then far.

A provider's prompt cache pays for an unchanged beginning. A window that loses one turn with every new one changes the
beginning every time; this one fills up to `HIGH` of its room and is then cut back to `LOW`, so the beginning stays for many
turns. It follows from the turns alone, so nothing has to be remembered and equal conversations have equal windows.
"""

from collections.abc import Sequence

__all__ = ["HIGH", "LOW", "window_start"]

HIGH = 0.9
LOW = 0.6


def window_start(tokens: Sequence[int], room: int) -> int:
    """The place of the first turn that is sent; `tokens` are those of all turns in order, `room` is for them together.

    The last turn is always in, whatever it takes.
    """
    start, total = 0, 0
    for place, cost in enumerate(tokens):
        total += cost
        if total > HIGH * room:
            while start < place and total > LOW * room:
                total -= tokens[start]
                start += 1
    return start
