"""One scale of similarity for every embedder."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.memory.embedding.calibration import calibrate, calibration_pairs, default_calibration
from caxton_llm.memory.embedding.static import StaticEmbedder

DEFAULT = default_calibration()


class Indifferent:
    """Every text has the same vector."""

    name = "indifferent@1"
    dimensions = 2

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))


def test_the_calibration_in_the_package_is_that_of_the_embedder_in_the_package() -> None:
    measured = calibrate(StaticEmbedder.default())
    assert measured.embedder == DEFAULT.embedder
    assert measured.similarities == DEFAULT.similarities
    assert measured.cosines == pytest.approx(DEFAULT.cosines, abs=1e-3)


def test_at_most_one_unrelated_pair_in_100_is_highly_relevant_and_most_related_ones_are() -> None:
    questions, statements = zip(*calibration_pairs(), strict=True)
    embedder = StaticEmbedder.default()
    similar = DEFAULT.similarity(embedder.embed(questions) @ embedder.embed(statements).T)
    unrelated = similar[~np.eye(len(similar), dtype=bool)]
    assert (unrelated >= 0.7).mean() <= 0.011
    assert (unrelated >= 0.8).mean() <= 0.002
    assert (np.diagonal(similar) >= 0.7).mean() >= 0.6


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_similarity_rises_with_the_cosine(one: float, other: float) -> None:
    low, high = DEFAULT.similarity(np.array(sorted([one, other]), np.float32))
    assert 0 <= low <= high <= 1


@given(st.floats(0, 1))
def test_a_threshold_becomes_the_cosine_that_reaches_it(similarity: float) -> None:
    assert float(DEFAULT.similarity(np.array([DEFAULT.cosine(similarity)]))[0]) == pytest.approx(similarity, abs=1e-6)


def test_equal_texts_have_similarity_1_and_rounding_does_not_exceed_it() -> None:
    assert DEFAULT.similarity(np.array([1.0, 1.0000002], np.float32)).tolist() == [1, 1]


def test_an_embedder_that_tells_nothing_apart_still_gets_a_rising_scale() -> None:
    calibration = calibrate(Indifferent())
    assert np.all(np.diff(calibration.cosines) > 0)


def test_each_pair_of_the_calibration_is_there_once() -> None:
    pairs = calibration_pairs()
    assert len(pairs) == 100
    assert len({text for pair in pairs for text in pair}) == 200
