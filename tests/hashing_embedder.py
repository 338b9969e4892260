"""An embedder without a model, and stores that use it: each word has a direction of its own, the same in every process."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.candidates import StoreQuery
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Turn
from caxton_llm.memory.store import MemoryStore
from caxton_llm.stores.sqlite_memory import SqliteMemory

_DIRECTIONS: dict[tuple[str, int], dict[str, NDArray[np.float32]]] = {}


class HashingEmbedder:
    """The mean of the words' directions."""

    def __init__(self, dimensions: int = 32, name: str = "hashing") -> None:
        self.name = name
        self.dimensions = dimensions
        self.embedded = 0
        # Making a direction costs more than everything else here.
        self._words = _DIRECTIONS.setdefault((name, dimensions), {})

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += len(texts)
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().split():
                rows[row] += self._direction(word.strip(".,:;!?()"))
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    def _direction(self, word: str) -> NDArray[np.float32]:
        if word not in self._words:
            random = np.random.default_rng(zlib.crc32(f"{self.name} {word}".encode()))
            self._words[word] = random.standard_normal(self.dimensions).astype(np.float32)
        return self._words[word]


def opened(folder: Path, embedder: HashingEmbedder | None = None, *, background: bool = False) -> SqliteMemory:
    """A store that indexes only when it is told to."""
    return SqliteMemory(folder, embedder or HashingEmbedder(), background=background)


def fact(name: str, *texts: str, **more: object) -> Entity:
    return Entity(name=name, observations=tuple(map(Observation, texts)), **more)  # type: ignore[arg-type]


def said(index: int, text: str, conversation: str = "talk", **more: object) -> Turn:
    return Turn(conversation=conversation, index=index, text=text, **more)  # type: ignore[arg-type]


class Proposed(NamedTuple):
    """One candidate, with the record's id."""

    id: str
    passage: int
    lexical: float | None
    dense: float | None


def proposed(
    store: MemoryStore,
    text: str,
    vector: NDArray[np.float32] | None,
    filters: Filters | None = None,
    limit: int = 10,
    embedder: str | None = None,
) -> list[Proposed]:
    """What words and vectors propose, the nearest first."""
    filters = filters or Filters()
    found = store.candidates(StoreQuery(text=text, vector=vector, filters=filters, limit=limit, embedder=embedder))
    records = store.load(found.keys.tolist(), tenant=filters.tenant)
    lexical = [value or None for value in found.lexical.tolist()]
    dense = [None if np.isnan(value) else value for value in found.dense.tolist()]
    order = np.lexsort((found.lexical, np.nan_to_num(found.dense, nan=-2.0)))[::-1].tolist()
    return [Proposed(records[int(found.keys[n])].id, int(found.ordinals[n]), lexical[n], dense[n]) for n in order]


def searched(store: MemoryStore, text: str, filters: Filters | None = None, limit: int = 10) -> list[Proposed]:
    return proposed(store, text, store.embedder.embed([text])[0], filters, limit)


def by_words(store: MemoryStore, text: str, filters: Filters | None = None, limit: int = 10) -> set[str]:
    """Ids of what has a word of the text."""
    return {one.id for one in proposed(store, text, None, filters, limit)}
