"""What a search answers: the hits, each with how it was found and what its score is made of."""

from typing import TYPE_CHECKING

from msgspec import Struct

from caxton_llm.discreet import Discreet
from caxton_llm.memory.model import Record

if TYPE_CHECKING:
    from numpy import int32
    from numpy.typing import NDArray

__all__ = ["ComparedHit", "Found", "Hit", "Reasons", "Searched"]


class Reasons(Struct, frozen=True, kw_only=True):
    """Why one candidate stands where it stands: parts that add up to `total`, in standard deviations."""

    total: float
    lexical: float
    dense: float
    late: float
    neighbour: float
    relation: float
    named: float
    dated: float
    question: float
    recency: float
    confidence: float
    used: float


class Hit(Discreet, Struct, frozen=True, kw_only=True):
    """A record that a search has found.

    `similarity` is the calibrated one of its best passage (0..1; `None`: it has no vector, or nothing to compare). `score`
    is relative to the other candidates of this search: it orders them and means nothing beyond. `found_by` says what
    proposed it: `lexical`, `dense`, `name` (the query calls it by its name), `neighbour` (a turn beside another candidate),
    `relation` (an entity related to one); `reasons` are the parts of its score.
    """

    record: Record
    passage: str
    similarity: float | None
    score: float
    found_by: tuple[str, ...]
    reasons: Reasons


class Found(Discreet, Struct, frozen=True, kw_only=True):
    """What a search has found, best first.

    `searched` records were left by the filters; of the `candidates` that were compared, `above_threshold` reached
    `min_similarity` (all, where none was asked for). `problem` says why similarities are not known and no threshold was
    kept to, for instance because the embedder failed and words alone were searched.
    """

    hits: tuple[Hit, ...]
    searched: int
    candidates: int
    above_threshold: int
    problem: str | None = None


class ComparedHit(Discreet, Struct, frozen=True, eq=False):
    """What the query was compared with: the distinct tokens of the hit's passage, and the cosine of its vector."""

    tokens: "NDArray[int32]"
    cosine: float


class Searched(Discreet, Struct, frozen=True, kw_only=True, eq=False):
    """What a search has found, with what it has compared, for whoever compares that with something else.

    `compared` has for each hit what is known of it; `None` where it has further passages, or no vector. `embedder` is whose
    tokens and vectors these are, by its name; `None`: they are not of one embedder, and nothing can be compared with them.
    """

    found: Found
    compared: tuple[ComparedHit | None, ...]
    embedder: str | None
