"""What turns texts into vectors, as everything else in the memory sees it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embedder", "Floats", "TokenIds", "TokenVectors"]

Floats = NDArray[np.float32]
TokenIds = NDArray[np.int32]


@runtime_checkable
class Embedder(Protocol):
    """Texts to vectors of length 1, a row each; a text without any known word is a row of zeros.

    `name` identifies the vectors, version included: those of embedders with different names are never compared.
    """

    @property
    def name(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    def embed(self, texts: Sequence[str]) -> Floats: ...


@runtime_checkable
class TokenVectors(Protocol):
    """One vector for each token of a fixed vocabulary, whatever stands beside it: what late interaction compares.

    `name` identifies the token ids: those kept under another name are computed anew. `token_cosines` has a row for each of
    `ids`, a column for each of `others`.
    """

    @property
    def name(self) -> str: ...
    @property
    def vocabulary_size(self) -> int: ...
    def tokens(self, text: str) -> TokenIds: ...
    def token_cosines(self, ids: TokenIds, others: TokenIds) -> Floats: ...
