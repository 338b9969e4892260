"""Texts as they are compared with a request: their tokens, vectors and words, computed once and kept."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from caxton_llm.caching.kept import Kept
from caxton_llm.discreet import Discreet
from caxton_llm.memory.analysis import terms_of
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.hits import ComparedHit
from caxton_llm.memory.query_words import is_question

__all__ = ["COMPARED", "ComparedTexts", "TextVectors", "terms_in"]

COMPARED = 2_000
"""Characters of a text, and of a query, that are compared: its beginning says what it is about."""
_HEAVIEST = 40_000_000
"""Bytes of what is kept of texts: that of ten to twenty thousand."""


class ComparedTexts(Discreet, Struct, frozen=True, kw_only=True, eq=False):
    """What is known of some texts, one text after the other: a column for each thing.

    `names` says whose a text is, empty for nobody's. `tokens` and `terms` have those of all texts, `token_counts` and
    `term_counts` how many are whose; `vectors` has a row for each text, `asks` whether it ends with a question. Of what a
    search has found the `cosines` to the query are known, and the rows are empty.
    """

    names: Sequence[str]
    tokens: NDArray[np.int32]
    token_counts: NDArray[np.int64]
    vectors: NDArray[np.float32]
    terms: NDArray[np.int64]
    term_counts: NDArray[np.int64]
    asks: NDArray[np.bool_]
    cosines: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def likeness(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosines to the query."""
        return self.vectors @ query if self.cosines is None else self.cosines


class _Embedded(Discreet, Struct, frozen=True, eq=False):
    tokens: NDArray[np.int32]
    vector: bytes


class _Worded(Discreet, Struct, frozen=True, eq=False):
    terms: NDArray[np.int64]
    asks: bool


class TextVectors:
    """Tokens, vectors and words of texts, those of the last ones kept: a conversation comes with request after request.

    Safe to share between threads.
    """

    def __init__(self, embedder: StaticEmbedder) -> None:
        self.embedder = embedder
        self._embedded = Kept(self._embed, _embedded_weight, heaviest=_HEAVIEST, key=str)
        self._worded = Kept(_words, _worded_weight, heaviest=_HEAVIEST, key=str)

    @property
    def name(self) -> str:
        return self.embedder.name

    @property
    def dimensions(self) -> int:
        return self.embedder.dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A row for each text: this is an `Embedder`, too."""
        return self._rows(self._embedded.of_each([text[:COMPARED] for text in texts]))

    def compared(self, said: Sequence[tuple[str, str]]) -> ComparedTexts:
        """What is known of texts, each with the name of whom it is of or from."""
        embedded = self._embedded.of_each(map(_as_compared, said))
        return self._columns(said, [one.tokens for one in embedded], self._rows(embedded))

    def found(self, said: Sequence[tuple[str, str]], hits: Sequence[ComparedHit]) -> ComparedTexts:
        """The same of texts that a search has found, and has compared with its query already."""
        columns = self._columns(said, [hit.tokens for hit in hits], np.empty((len(hits), 0), np.float32))
        cosines = np.array([hit.cosine for hit in hits], np.float32)
        return replace(columns, cosines=cosines)

    def _columns(
        self,
        said: Sequence[tuple[str, str]],
        tokens: Sequence[NDArray[np.int32]],
        vectors: NDArray[np.float32],
    ) -> ComparedTexts:
        worded = self._worded.of_each(map(_as_compared, said))
        return ComparedTexts(
            names=tuple(name for name, _ in said),
            tokens=np.concatenate([np.empty(0, np.int32), *tokens]),
            token_counts=np.array([len(one) for one in tokens], np.int64),
            vectors=vectors,
            terms=np.concatenate([np.empty(0, np.int64), *(one.terms for one in worded)]),
            term_counts=np.array([len(one.terms) for one in worded], np.int64),
            asks=np.array([one.asks for one in worded], np.bool_),
        )

    def _embed(self, text: str) -> _Embedded:
        # A question was embedded by the search already, and is remembered by the embedder.
        return _Embedded(self.embedder.tokens(text), self.embedder.embed([text]).tobytes())

    def _rows(self, known: Sequence[_Embedded]) -> NDArray[np.float32]:
        vectors = np.frombuffer(b"".join([one.vector for one in known]), np.float32)
        return vectors.reshape(len(known), self.dimensions)


def _as_compared(said: tuple[str, str]) -> str:
    name, text = said
    return (f"{name}: {text}" if name else text)[:COMPARED]


def _embedded_weight(text: str, made: _Embedded) -> int:
    return 400 + len(text) + len(made.vector) + made.tokens.nbytes


def _worded_weight(text: str, made: _Worded) -> int:
    return 300 + len(text) + made.terms.nbytes


def _words(text: str) -> _Worded:
    return _Worded(terms_in(text), is_question(text))


def terms_in(text: str) -> NDArray[np.int64]:
    """A number for each word that means something, without its ending."""
    return np.array([crc32(term.encode("utf-8", "surrogatepass")) for term in terms_of(text)], np.int64)
