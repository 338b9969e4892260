"""Types that are looked through when they are defined, so that no two threads do it at once when something is first read.

msgspec (0.22) looks at a struct when a value is first read as one, and lets a second thread use what the first has not
finished: the process ends with a segmentation fault.
"""

from typing import TypeVar

import msgspec

__all__ = ["resolved"]

_Kind = TypeVar("_Kind")


def resolved(kind: type[_Kind]) -> type[_Kind]:
    """The type, ready to be read in any thread. Needed for what `msgspec.convert` and `msgspec.json.decode` are given; a
    `Decoder` that a module makes does the same."""
    msgspec.json.Decoder(kind)
    return kind
