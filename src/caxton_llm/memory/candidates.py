"""What a store is asked in a search, and what it answers: the records that may be sought, a column for each thing known."""

from typing import TYPE_CHECKING

from msgspec import Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters

if TYPE_CHECKING:
    from numpy import bool_, float32, float64, int32, int64, uint8
    from numpy.typing import NDArray

__all__ = [
    "DENSE",
    "EMBEDDER_CHANGED",
    "LEXICAL",
    "NAMED",
    "NEIGHBOUR",
    "ORIGINS",
    "RELATED",
    "Candidates",
    "StoreQuery",
    "embedder_changed",
]

LEXICAL, DENSE, NAMED, NEIGHBOUR, RELATED = 1, 2, 4, 8, 16
ORIGINS = {LEXICAL: "lexical", DENSE: "dense", NAMED: "name", NEIGHBOUR: "neighbour", RELATED: "relation"}
"""Bits of `Candidates.origins`, and what they are called."""


EMBEDDER_CHANGED = "embedder_changed"
"""The code of the error for a query whose vector is of another embedder."""


class StoreQuery(Struct, frozen=True, kw_only=True):
    """A query, ready for a store: `vector` is of the store's embedder, `tokens` of its vocabulary.

    `embedder` names what has made the vector: if another one serves meanwhile, that is an `InvalidRequest` with the code
    `embedder_changed`, and the query needs a vector of the one that serves now.
    `limit` records are proposed by words and as many by vectors. `names` are keys (`name_key`) of what the query may call by
    its name; entities that have one are proposed too. Turns at most `reach` places beside a proposed one and, with
    `relations`, entities that are related to one, come with it.
    """

    text: str
    vector: "NDArray[float32] | None" = None
    embedder: str | None = None
    tokens: "NDArray[int32] | None" = None
    names: tuple[bytes, ...] = ()
    filters: Filters = Filters()
    limit: int = 100
    reach: int = 0
    relations: bool = False


class Candidates(Struct, frozen=True, kw_only=True):
    """Records that may be what is sought, each with its best passage; all columns have one length.

    `keys` are what `MemoryStore.load` takes. `lexical` is BM25 (0: none of the words, or not among the best), `dense` the
    cosine to the query (NaN: no vector, of either), exact for the best and right to 0.01 for the others. The distinct tokens
    of the passages stand one after the other in `tokens`, `lengths` of them each. `conversation` and `position` are -1 where
    the record is no turn; equal numbers are one conversation. `times_s` is what `since` is compared with; NaN in `confidence`
    is unknown. `uses` is how often the record went into an answer (`MemoryStore.note_used`). `related[i]` are the places of
    two candidates, the first standing in a relation of `strengths[i]` to the second. `holding` counts the passages that hold
    each of the query's tokens, among `documents`. `searched` is how many records the filter left.
    """

    keys: "NDArray[int64]"
    ordinals: "NDArray[int32]"
    """Which of `passages_of(record)`."""
    origins: "NDArray[uint8]"
    lexical: "NDArray[float32]"
    dense: "NDArray[float32]"
    tokens: "NDArray[int32]"
    lengths: "NDArray[int64]"
    conversation: "NDArray[int64]"
    position: "NDArray[int64]"
    named: "NDArray[bool_]"
    asks: "NDArray[bool_]"
    times_s: "NDArray[float64]"
    confidence: "NDArray[float64]"
    uses: "NDArray[int64]"
    related: "NDArray[int64]"
    strengths: "NDArray[float32]"
    holding: "NDArray[int64]"
    documents: int
    searched: int

    def __len__(self) -> int:
        return len(self.keys)


def embedder_changed(name: str) -> InvalidRequest:
    """The error for a query whose vector is not of the embedder that serves, which has this name."""
    message = f"the memory's embedder has changed to {name} since the vector was made; embed the text again"
    return InvalidRequest(message, param="vector", code=EMBEDDER_CHANGED)
