"""Static embeddings: one vector a token from a model2vec folder, a text being their weighted sum. No torch, no network.

The default lies in the package (`data/`, made by scripts/make_embedding.py).
"""

import functools
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import cast

import msgspec
import numkong
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.errors import ConfigurationError
from caxton_llm.memory.embedding.embedder import Floats, TokenIds
from caxton_llm.memory.embedding.related import RelatedTokens
from caxton_llm.memory.embedding.tensors import UnreadableTensors, read_tensors
from caxton_llm.memory.embedding.tokenizer import TextTokenizer
from caxton_llm.resolved import resolved

__all__ = ["StaticEmbedder"]

_LONG_TEXT = 2048
"""Tokens from which on it is cheaper to count repeated tokens than to add them one by one."""
_PART = 2048
"""Rows converted at a time."""
_RECENT = 256
"""Texts that are remembered: a question is compared with more than one thing."""


@resolved
class _Config(msgspec.Struct):
    """What is read of config.json. `name` and `version` stand only in the package's own folder."""

    name: str | None = None
    version: int | None = None


class StaticEmbedder:
    """An `Embedder` and `TokenVectors` over a table of token vectors. Safe to share between threads.

    About 40 microseconds a text of 30 tokens; the default takes 25 MB and a tenth of a second to load.
    """

    def __init__(
        self,
        name: str,
        rows: NDArray[np.generic],
        weights: Floats,
        tokenizer: TextTokenizer,
        related: RelatedTokens | None = None,
    ) -> None:
        """Row `i` times `weights[i]` is the vector of token `i`. Without `related` that is computed when it is asked for."""
        self._name = name
        self._rows = rows
        self._weights = weights
        self._tokenizer = tokenizer
        self._lengths = _lengths(rows)
        self._related = related
        self._recent_ids = kept_of_text(_RECENT)(self._ids)
        self._recent_vector = kept_of_text(_RECENT)(self._vector)

    @classmethod
    @functools.cache
    def default(cls) -> "StaticEmbedder":
        """The embedder of this package; loaded once a process."""
        return _load(files("caxton_llm.memory.embedding") / "data", "the installed package caxton_llm")

    @classmethod
    def from_folder(cls, folder: Path) -> "StaticEmbedder":
        """Any model2vec folder: model.safetensors and tokenizer.json. Raises `ConfigurationError`."""
        return _load(folder, str(folder))

    @property
    def name(self) -> str:
        """Identity of the vectors and of the token ids, with the version or the checksum of the files."""
        return self._name

    @property
    def dimensions(self) -> int:
        return int(self._rows.shape[1])

    @property
    def vocabulary_size(self) -> int:
        return int(self._rows.shape[0])

    def embed(self, texts: Sequence[str]) -> Floats:
        """A row of length 1 for each text, of zeros for one without a known token."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._recent_vector(text)
        return vectors

    def embed_tokens(self, ids: TokenIds) -> Floats:
        """The vector of a text that is already split into tokens."""
        weights = self._weights[ids]
        if len(ids) > _LONG_TEXT:
            ids, counts = np.unique(ids, return_counts=True)
            weights = self._weights[ids] * counts.astype(np.float32)
        vector = weights @ self._rows[ids].astype(np.float32)
        length = float(np.sqrt(vector @ vector))
        return cast("Floats", vector / length if length > 0 else vector)

    def tokens(self, text: str) -> TokenIds:
        """Ids of the known tokens of `text`, in order, of its first 32,768 characters at most. They cannot be changed."""
        return self._recent_ids(text)

    def _vector(self, text: str) -> Floats:
        return self.embed_tokens(self.tokens(text))

    def _ids(self, text: str) -> TokenIds:
        ids = self._tokenizer.ids(text)
        ids.setflags(write=False)
        return ids

    def token_cosines(self, ids: TokenIds, others: TokenIds) -> Floats:
        """The cosine of each token of `ids` (a row) to each of `others` (a column); 0 where a token means nothing."""
        if self._rows.dtype == np.int8:
            products = numkong.cdist(self._rows[ids], self._rows[others], metric="dot", threads=1)
            cosines = np.asarray(products, np.float32).reshape(len(ids), len(others))
        else:
            cosines = self._rows[ids].astype(np.float32) @ self._rows[others].astype(np.float32).T
        return cast("Floats", cosines / self._lengths[ids, None] / self._lengths[others])

    def related(self, ids: TokenIds) -> tuple[NDArray[np.int64], TokenIds, Floats]:
        """See `TokenVectors`."""
        if self._related is not None:
            return self._related.of(ids)
        return RelatedTokens.computed(ids, self.vocabulary_size, self.token_cosines).of(np.arange(len(ids)))


def _load(folder: Traversable | Path, where: str) -> StaticEmbedder:
    try:
        packed = (folder / "model.safetensors").read_bytes()
        words = (folder / "tokenizer.json").read_bytes()
        config_file = folder / "config.json"
        related_file = folder / "related.npz"
        related = related_file.read_bytes() if related_file.is_file() else None
        config = msgspec.json.decode(config_file.read_bytes(), type=_Config) if config_file.is_file() else _Config()
    except OSError as error:
        raise ConfigurationError(
            f"{where}: {error.strerror}: a model2vec folder holds model.safetensors and tokenizer.json"
        ) from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{where}: config.json cannot be read: {error}") from None
    tokenizer = _tokenizer(words, where)
    rows, weights = _table(packed, tokenizer.vocabulary_size, where)
    known = None if related is None else RelatedTokens.read(related, where)
    return StaticEmbedder(_identity(config, folder.name, packed, words), rows, weights, tokenizer, known)


def _tokenizer(words: bytes, where: str) -> TextTokenizer:
    try:
        return TextTokenizer(Tokenizer.from_buffer(words))
    except Exception as error:  # noqa: BLE001 - the library raises plain `Exception`
        raise ConfigurationError(f"{where}: tokenizer.json cannot be read: {error}") from None


def _table(packed: bytes, vocabulary: int, where: str) -> tuple[NDArray[np.generic], Floats]:
    try:
        tensors = read_tensors(packed)
    except UnreadableTensors as error:
        raise ConfigurationError(f"{where}: model.safetensors: {error}") from None
    rows = tensors.get("embeddings", tensors.get("embedding.weight"))
    if rows is None or rows.ndim != 2:
        raise ConfigurationError(f"{where}: model.safetensors holds no table of embeddings")
    weights = tensors.get("weights", np.ones(len(rows), np.float32)).astype(np.float32)
    mapping = tensors.get("mapping")
    if mapping is not None:
        rows = rows[mapping.astype(np.int64)]
    if not len(rows) == len(weights) == vocabulary:
        raise ConfigurationError(
            f"{where}: {vocabulary} tokens in tokenizer.json, but {len(rows)} rows and {len(weights)} weights in"
            " model.safetensors: the files do not belong together"
        )
    return rows, weights


def _lengths(rows: NDArray[np.generic]) -> Floats:
    """The length of each row, a part at a time so that 8-bit rows need no second table; never 0."""
    parts = (rows[start : start + _PART].astype(np.float32) for start in range(0, len(rows), _PART))
    lengths = np.concatenate([np.sqrt(np.einsum("ij,ij->i", part, part)) for part in parts])
    return cast("Floats", np.maximum(lengths, np.float32(1e-12)))


def _identity(config: _Config, folder: str, packed: bytes, words: bytes) -> str:
    if config.name is not None and config.version is not None:
        return f"{config.name}@{config.version}"
    return f"{folder}@{hashlib.sha256(packed + words).hexdigest()[:16]}"
