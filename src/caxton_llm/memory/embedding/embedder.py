"""What turns texts into vectors, as everything else in the memory sees it."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.embedding import Embedder

__all__ = ["Embedder", "Floats", "TokenIds", "TokenVectors"]

Floats = NDArray[np.float32]
TokenIds = NDArray[np.int32]


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
