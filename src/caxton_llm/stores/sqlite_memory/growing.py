"""Arrays that grow while others read them."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["with_room"]

_LEAST = 64
_Number = TypeVar("_Number", bound=np.generic)


def with_room(array: NDArray[_Number], used: int, needed: int) -> NDArray[_Number]:
    """The array, or a copy of its `used` rows that has `needed` ones and some more: a searcher may still read the old one."""
    if needed <= len(array):
        return array
    larger = np.empty((max(needed + needed // 8, _LEAST), *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return larger
