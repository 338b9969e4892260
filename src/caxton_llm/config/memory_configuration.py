"""The memory of a configuration as the program uses it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from caxton_llm.config.memory_schema import EmbedderType
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.providers.settings import SecretReference

__all__ = ["EmbedderSettings", "MemoryConfiguration"]


class EmbedderSettings(Struct, frozen=True, kw_only=True):
    """Which embedder, and how it is reached.

    `path` is a folder as it counts from the current one. `server` has address, key and connection settings of an embedder
    over HTTP: those of the entry called `provider` where it names one.
    """

    type: EmbedderType = "static"
    path: str | None = None
    provider: str | None = None
    server: ProviderEntry | None = None
    model: str = ""
    dimensions: int | None = None
    batch_size: int = 64
    timeout_s: float = 30.0


class MemoryConfiguration(Struct, frozen=True, kw_only=True):
    """A memory that is switched on. `url` is text once secrets are resolved; no `repr` shows it.

    `weights` has what was given of `memory.scoring.Weights`, by the names there; ages are in seconds.
    """

    store: Literal["sqlite", "postgres"]
    folder: str
    """Of the store `sqlite`."""
    url: str | SecretReference | None = None
    embedder: EmbedderSettings = EmbedderSettings()
    max_results: int = 10
    min_similarity: float | None = None
    candidates: int = 64
    weights: Mapping[str, float | tuple[float, ...]] = {}
    max_age_s: float | None = None
    max_records: int | None = None

    def __repr__(self) -> str:
        return f"MemoryConfiguration(store={self.store!r}, folder={self.folder!r}, embedder={self.embedder!r})"
