"""An embedder on any sentence-transformers folder: better vectors, at a hundred times the cost, and with torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caxton_llm.errors import ConfigurationError
from caxton_llm.memory.embedding.embedder import Floats

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["TransformerEmbedder"]


class TransformerEmbedder:
    """An `Embedder` that runs the model in `folder` on the CPU. Needs the extra `transformers`; nothing is downloaded.

    The model reads a text up to its own limit of tokens (often 256 or 512). Raises `ConfigurationError` from the start.
    """

    def __init__(self, folder: Path) -> None:
        weights = sorted(folder.rglob("*.safetensors")) or sorted(folder.rglob("pytorch_model.bin"))
        if not (folder / "modules.json").is_file() or not weights:
            raise ConfigurationError(
                f"{folder} is no sentence-transformers folder: such a folder holds modules.json and model.safetensors"
            )
        self._model = _loaded(folder)
        self._name = f"{folder.name}@{_checksum(weights)}"
        self._dimensions = int(self.embed(["a"]).shape[1])

    @property
    def name(self) -> str:
        """The folder's name and a checksum of the weights."""
        return self._name

    @property
    def dimensions(self) -> int:
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Floats:
        """A row of length 1 for each text, of zeros for one that is blank."""
        if not texts:
            return np.zeros((0, self._dimensions), np.float32)
        # Lone surrogates, which JSON can carry, have no UTF-8 and would stop the tokenizer.
        sound = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors = self._model.encode(sound, normalize_embeddings=True, show_progress_bar=False)
        rows = np.array(vectors, np.float32)
        rows[[not text.strip() for text in texts]] = 0
        return rows


def _loaded(folder: Path) -> "SentenceTransformer":
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - loads torch: seconds, and hundreds of MB
    except ImportError:
        raise ConfigurationError(
            "the package sentence-transformers is not installed: pip install 'caxton-llm[transformers]'"
        ) from None
    try:
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{folder}: the sentence-transformers model cannot be loaded: {error}") from None


def _checksum(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
