"""Cosines of any embedder on one scale of similarity, so that a threshold means the same whichever embedder is used.

The scale is fixed by how seldom texts that have nothing to do with each other get so far: 0.5 is passed by one unrelated
pair in 10, 0.7 ("only highly relevant") by one in 100, 0.75 by one in 200, 0.8 by one in 1,000; equal texts have 1.
A hundred questions, each with a statement that answers it, give the pairs: `data/calibration_pairs.tsv`.
"""

from importlib.resources import files
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from caxton_llm.memory.embedding.embedder import Embedder, Floats
from caxton_llm.resolved import resolved

__all__ = ["Calibration", "calibrate", "calibration_pairs", "default_calibration"]

_DATA = "caxton_llm.memory.embedding"

_MEDIAN = 0.2
"""Where the median of unrelated pairs lies: an arbitrary low place."""

PASSED_BY = {0.5: 0.1, 0.7: 0.01, 0.75: 0.005, 0.8: 0.001}
"""Similarity -> share of unrelated pairs that reach it."""

_STEP = 1e-4


@resolved
class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A rising line through points: `cosines[i]` of the embedder named `embedder` is similarity `similarities[i]`."""

    embedder: str
    cosines: tuple[float, ...]
    similarities: tuple[float, ...]

    def similarity(self, cosines: Floats) -> NDArray[np.float64]:
        """Similarities from 0 to 1, in the order of `cosines`."""
        return cast("NDArray[np.float64]", np.interp(cosines, self.cosines, self.similarities))

    def cosine(self, similarity: float) -> float:
        """The cosine at which `similarity` is reached; what a search by threshold compares with."""
        return float(np.interp(similarity, self.similarities, self.cosines))


def calibrate(embedder: Embedder) -> Calibration:
    """Measures `embedder` on the pairs: 200 short texts are embedded, nothing else happens."""
    questions, statements = zip(*calibration_pairs(), strict=True)
    cosines = embedder.embed(questions) @ embedder.embed(statements).T
    unrelated = cosines[~np.eye(len(cosines), dtype=bool)].astype(np.float64)
    quantiles = np.quantile(unrelated, [0.5, *(1 - share for share in PASSED_BY.values())])
    points = [-1.0, *(float(value) for value in quantiles), 1.0]
    # An embedder that tells nothing apart has equal quantiles; the line must still rise.
    for index in range(len(points) - 2, 0, -1):
        points[index] = min(points[index], points[index + 1] - _STEP)
    return Calibration(
        embedder=embedder.name,
        cosines=tuple(round(point, 4) for point in points),
        similarities=(0.0, _MEDIAN, *PASSED_BY, 1.0),
    )


def calibration_pairs() -> list[tuple[str, str]]:
    """Questions, each with a statement that answers it; a question and another's statement are unrelated."""
    lines = (files(_DATA) / "data/calibration_pairs.tsv").read_text(encoding="utf-8").splitlines()
    return [(question, statement) for question, statement in (line.split("\t") for line in lines)]


def default_calibration() -> Calibration:
    """That of `StaticEmbedder.default()`, measured when its data was made."""
    return msgspec.json.decode((files(_DATA) / "data/calibration.json").read_bytes(), type=Calibration)
