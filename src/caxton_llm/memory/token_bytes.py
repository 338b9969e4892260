"""The distinct tokens of a passage as stores keep them: two bytes a token, four where a vocabulary is too large for that."""

import numpy as np

from caxton_llm.memory.embedding.embedder import TokenIds

__all__ = ["token_bytes", "token_kind"]


def token_bytes(ids: TokenIds, vocabulary_size: int) -> bytes:
    """The distinct ones of `ids`, as they are kept."""
    return np.unique(ids).astype(token_kind(vocabulary_size)).tobytes()


def token_kind(vocabulary_size: int) -> type[np.uint16 | np.uint32]:
    """The numbers that tokens are kept as."""
    return np.uint16 if vocabulary_size <= 1 << 16 else np.uint32
