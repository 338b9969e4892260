"""An array that grows at its end, of which parts are handed out without a copy."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column"]

_Number = TypeVar("_Number", bound=np.generic)


class Column(Generic[_Number]):
    """Rows that are only ever added: those that were handed out stay as they are. `empty` says what a row is."""

    def __init__(self, empty: NDArray[_Number]) -> None:
        self._rows = empty
        self._count = 0

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, with the room that it has left."""
        return self._rows.nbytes

    def add(self, rows: NDArray[_Number]) -> None:
        """Add rows behind the last one."""
        end = self._count + len(rows)
        if end > len(self._rows):
            wider = np.empty((max(end, 2 * len(self._rows)), *self._rows.shape[1:]), self._rows.dtype)
            wider[: self._count] = self._rows[: self._count]
            self._rows = wider
        self._rows[self._count : end] = rows
        self._count = end

    def __getitem__(self, places: slice) -> NDArray[_Number]:
        """Rows in a row: a view. Places count from the first one."""
        return self._rows[places]
