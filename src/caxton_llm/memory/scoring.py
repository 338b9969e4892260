"""Which candidates answer a query best, and why. Pure arithmetic over a few hundred of them, in well under a millisecond.

Three views of a candidate are compared: the words it shares with the query (BM25, from the lexical index), what it is about
as a whole (cosine, from the dense index), and the query token by token against its tokens (`late_interaction`). Each is
normalised over the candidates of this query to mean 0 and deviation 1, so that the weights mean the same for every query.
A turn of a conversation shares in what stands beside it, for answers seldom repeat the words of the question before them.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import Floats
from caxton_llm.memory.hits import Reasons
from caxton_llm.memory.neighbours import Neighbourhood

__all__ = ["Features", "Scores", "Weights", "score"]

_FLAT = 1e-6
"""A deviation below this is rounding: all candidates are alike."""
_MANY_USES = 32
"""From here on another use adds nothing."""


class Weights(Struct, frozen=True, kw_only=True):
    """What counts how much, in standard deviations of the candidates' scores.

    `neighbours` is the share of its neighbours' lexical and dense score that a turn gets at distance 1, 2, ...;
    `late_neighbours` what a neighbour's matching token is worth in its place. `relations` is the share that an entity gets of
    the best one that it stands in a relation of strength 1 to. `named` is added when the query names the
    speaker, `dated` when it names a time that the record is from; `question` is taken away from a turn that itself asks. A
    recent candidate gains up to `recency`, half of it at an age of `recency_half_life_s`; confidence 1 gains `confidence`,
    0 loses it. What went into answers gains `used` after 32 of them, a fifth of it after the first: the more there were, the
    less another one adds, so that what was found once does not stay in front for good.
    """

    lexical: float = 0.2
    dense: float = 0.3
    late: float = 0.6
    neighbours: tuple[float, ...] = (0.4, 0.2)
    late_neighbours: tuple[float, ...] = (0.8, 0.5)
    relations: float = 0.3
    named: float = 1.0
    dated: float = 1.0
    question: float = 0.5
    recency: float = 0.1
    recency_half_life_s: float = 30 * 86_400.0
    confidence: float = 0.1
    used: float = 0.1


class Features(Struct, frozen=True, kw_only=True):
    """What is known of the candidates, a column each, all of one length.

    `lexical` is BM25 (0: no word shared), `dense` the cosine to the query, `matches` a row of `late_interaction`. Turns
    carry their conversation and position in it (numbers from 0 to 2**31 - 1); -1 is no turn. `named`: the query names the
    speaker or the entity; `dated`: it names a time that the record is from; `asks`: the text ends with a question. NaN in
    `age_s` and `confidence` is unknown. `uses` is how often each went into an answer. Row i of `related` names two
    candidates, `strengths[i]` (0..1) how strongly the first is related to the second.
    """

    lexical: Floats
    dense: Floats
    matches: Floats
    conversation: NDArray[np.int64] | None = None
    position: NDArray[np.int64] | None = None
    named: NDArray[np.bool_] | None = None
    dated: NDArray[np.bool_] | None = None
    asks: NDArray[np.bool_] | None = None
    age_s: NDArray[np.float64] | None = None
    confidence: NDArray[np.float64] | None = None
    uses: NDArray[np.int64] | None = None
    related: NDArray[np.int64] | None = None
    strengths: Floats | None = None

    def __len__(self) -> int:
        return len(self.lexical)


class Scores(Struct, frozen=True, kw_only=True):
    """The scores of all candidates, a column for each part of them."""

    total: NDArray[np.float64]
    lexical: NDArray[np.float64]
    dense: NDArray[np.float64]
    late: NDArray[np.float64]
    neighbour: NDArray[np.float64]
    relation: NDArray[np.float64]
    named: NDArray[np.float64]
    dated: NDArray[np.float64]
    question: NDArray[np.float64]
    recency: NDArray[np.float64]
    confidence: NDArray[np.float64]
    used: NDArray[np.float64]

    def order(self) -> NDArray[np.int64]:
        """Indexes of the candidates, best first; equals keep their order."""
        return np.argsort(-self.total, kind="stable")

    def reasons(self, indexes: Sequence[int]) -> list[Reasons]:
        """Why these candidates have their scores."""
        names = Reasons.__struct_fields__
        places = np.array(indexes, np.int64)
        # Zero added: no negative zero.
        columns = [(getattr(self, name)[places] + 0.0).tolist() for name in names]
        return [Reasons(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]

    def __iter__(self) -> Iterator[Reasons]:
        return iter(self.reasons(range(len(self.total))))


def score(features: Features, weights: Weights | None = None) -> Scores:
    """Scores of the candidates of `features` for the query that their columns were computed for."""
    weights = weights or Weights()
    none = np.zeros(len(features))
    """Stands for every part that is nothing, which need not be added then."""
    beside = _neighbourhood(features, max(len(weights.neighbours), len(weights.late_neighbours)))
    lexical = weights.lexical * _normalised(features.lexical)
    dense = weights.dense * _normalised(features.dense)
    late, late_shared = _late(features.matches, beside, weights)
    own = lexical + dense
    parts = {
        "lexical": lexical,
        "dense": dense,
        "late": late,
        "neighbour": beside.shared(own, weights.neighbours) + late_shared if beside.rings else none,
        "relation": _related(features, own + late, weights.relations, none),
        "named": _flagged(features.named, weights.named, none),
        "dated": _flagged(features.dated, weights.dated, none),
        "question": _flagged(features.asks, -weights.question, none),
        "recency": _recency(features, weights, none),
        "confidence": _confidence(features, weights, none),
        "used": _used(features, weights, none),
    }
    return Scores(total=sum([part for part in parts.values() if part is not none], none), **parts)


def _neighbourhood(features: Features, reach: int) -> Neighbourhood:
    if features.conversation is None or features.position is None:
        return Neighbourhood.nobody(len(features))
    return Neighbourhood.of(features.conversation, features.position, reach)


def _late(matches: Floats, beside: Neighbourhood, weights: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The late part by a candidate's own tokens, and what its neighbours add to it: both on the scale of their sum."""
    own = matches.sum(axis=1, dtype=np.float64)
    joined = own if not beside.rings else beside.best(matches, weights.late_neighbours).sum(axis=1, dtype=np.float64)
    mean, deviation = _spread(joined)
    if deviation < _FLAT:
        return np.zeros(len(own)), np.zeros(len(own))
    return weights.late * (own - mean) / deviation, weights.late * (joined - own) / deviation


def _related(
    features: Features, base: NDArray[np.float64], share: float, none: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What each candidate gets of the best one that it is related to; a poor one takes nothing away."""
    if features.related is None or features.strengths is None or not len(features.related):
        return none
    found = none.copy()
    mine, other = features.related.T
    np.maximum.at(found, mine, share * features.strengths * np.maximum(base[other], 0.0))
    return found


def _normalised(values: Floats) -> NDArray[np.float64]:
    exact = values.astype(np.float64)
    mean, deviation = _spread(exact)
    return (exact - mean) / deviation if deviation >= _FLAT else np.zeros(len(exact))


def _spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and deviation; 0 of nothing."""
    if not len(values):
        return 0.0, 0.0
    mean = float(values.sum()) / len(values)
    apart = values - mean
    return mean, math.sqrt(float(apart @ apart) / len(values))


def _flagged(flags: NDArray[np.bool_] | None, weight: float, none: NDArray[np.float64]) -> NDArray[np.float64]:
    return none if flags is None or not flags.any() else weight * flags.astype(np.float64)


def _recency(features: Features, weights: Weights, none: NDArray[np.float64]) -> NDArray[np.float64]:
    if features.age_s is None or not weights.recency:
        return none
    halvings = np.maximum(features.age_s, 0.0) / weights.recency_half_life_s
    return _known(weights.recency * np.exp2(-halvings))


def _confidence(features: Features, weights: Weights, none: NDArray[np.float64]) -> NDArray[np.float64]:
    if features.confidence is None or not weights.confidence:
        return none
    return _known(weights.confidence * (2 * features.confidence - 1))


def _used(features: Features, weights: Weights, none: NDArray[np.float64]) -> NDArray[np.float64]:
    if features.uses is None or not weights.used or not features.uses.any():
        return none
    gained: NDArray[np.float64] = np.log1p(np.minimum(features.uses, _MANY_USES)) * (
        weights.used / math.log1p(_MANY_USES)
    )
    return gained


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 for NaN."""
    return np.where(np.isnan(values), 0.0, values)
