"""Vectors as a store keeps them, compared with a query."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.stores.sqlite_memory.vectors import as_bytes, cosines


@given(st.integers(1, 300), st.integers(1, 12), st.integers(0, 2**32))
def test_cosines_of_stored_vectors_are_right_whatever_their_length(dimensions: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, dimensions)).astype(np.float32)
    rows[0] = 0
    query = random.normal(size=dimensions).astype(np.float32)
    query /= np.linalg.norm(query)
    halves = rows.astype(np.float16).astype(np.float32)
    expected = halves @ query / np.maximum(np.linalg.norm(halves, axis=1), 1e-9)
    assert cosines(as_bytes(rows), query) == pytest.approx(expected, abs=5e-4)
