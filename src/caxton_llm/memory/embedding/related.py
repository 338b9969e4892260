"""Which tokens of a vocabulary are related to each: computed once with the embedding, so that a search only looks them up."""

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.errors import ConfigurationError
from caxton_llm.memory.embedding.embedder import Floats, TokenIds

__all__ = ["RelatedTokens"]

_RELATED = 0.4
"""Two tokens with a cosine below this have nothing to do with each other."""
_MOST = 64
"""Tokens that one may be related to, the nearest: what is related to more is noise, a sign of a script little read."""
_STEPS = 255
"""Of cosines from 0 to 1, as they are kept."""
_AT_ONCE = 256


class RelatedTokens(Struct, frozen=True):
    """For each of some tokens those that are related to it, itself among them, one token's after the other's.

    Those of token number `i` are `tokens[starts[i] : starts[i + 1]]`, ascending, with their `cosines` in 255 steps.
    """

    starts: NDArray[np.int32]
    tokens: NDArray[np.integer]
    cosines: NDArray[np.uint8]

    @classmethod
    def computed(cls, ids: TokenIds, vocabulary_size: int, cosines: Callable[[TokenIds, TokenIds], Floats]) -> Self:
        """Compare each of `ids` with the whole vocabulary: some milliseconds a token. `cosines` is as `token_cosines`."""
        every = np.arange(vocabulary_size, dtype=np.int32)
        tokens, steps, counts = [], [], [0]
        for start in range(0, len(ids), _AT_ONCE):
            for near in cosines(every, ids[start : start + _AT_ONCE]).T:
                found = np.flatnonzero(near >= _RELATED)
                found = np.sort(found[np.argsort(-near[found], kind="stable")[:_MOST]])
                tokens.append(found)
                steps.append(np.rint(np.minimum(near[found], 1) * _STEPS))
                counts.append(len(found))
        together = np.concatenate([*tokens, np.empty(0)])
        ids_of = together.astype(np.uint16) if vocabulary_size <= 1 << 16 else together.astype(np.int32)
        return cls(np.cumsum(counts, dtype=np.int32), ids_of, np.concatenate([*steps, np.empty(0)]).astype(np.uint8))

    @classmethod
    def read(cls, data: bytes, where: str) -> Self:
        """What `written` has made. Raises `ConfigurationError` that names `where`."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return cls(arrays["starts"], arrays["tokens"], arrays["cosines"])
        except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise ConfigurationError(f"{where}: related.npz cannot be read: {error}") from None

    def written(self) -> bytes:
        """Compressed; equal tables give equal bytes."""
        file = io.BytesIO()
        np.savez_compressed(file, starts=self.starts, tokens=self.tokens, cosines=self.cosines)
        return file.getvalue()

    def of(self, numbers: NDArray[np.integer]) -> tuple[NDArray[np.int64], TokenIds, Floats]:
        """All that is related to the tokens of these numbers: whose it is (an index of `numbers`), the token, the cosine."""
        starts, ends = self.starts[numbers], self.starts[numbers + 1]
        counts = ends - starts
        whose = np.arange(len(counts)).repeat(counts)
        found = np.arange(len(whose)) + (ends - counts.cumsum())[whose]
        return whose, self.tokens[found].astype(np.int32), self.cosines[found] * np.float32(1 / _STEPS)
