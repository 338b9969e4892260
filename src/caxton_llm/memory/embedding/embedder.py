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

    `name` identifies the token ids: those kept under another name are computed anew. `related` has all pairs of one of `ids`
    (its index there) and a token that is related to it, itself among them, with their cosine; one of `ids` after the other.
    """

    @property
    def name(self) -> str: ...
    @property
    def vocabulary_size(self) -> int: ...
    def tokens(self, text: str) -> TokenIds: ...
    def related(self, ids: TokenIds) -> tuple[NDArray[np.int64], TokenIds, Floats]: ...
    def __hash__(self) -> int: ...
