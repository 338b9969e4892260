"""What turns texts into vectors, for a store and for a search."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Embedder"]


class Embedder(Protocol):
    """Texts -> vectors of length 1. Equal names mean equal vectors for equal texts: a store keeps vectors by name."""

    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> "NDArray[float32]":
        """One row of `dimensions` numbers for each text."""
