"""What turns texts into vectors, for a store and for a search."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Embedder"]


@runtime_checkable
class Embedder(Protocol):
    """Texts to vectors of length 1, a row each; a text without any known word is a row of zeros.

    `name` identifies the vectors, version included: those of embedders with different names are never compared.
    """

    @property
    def name(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    def embed(self, texts: Sequence[str]) -> "NDArray[float32]": ...
