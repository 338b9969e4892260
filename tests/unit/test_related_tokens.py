"""Which tokens are related to each: the table in the package is what comparing all tokens gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.errors import ConfigurationError
from caxton_llm.memory.embedding.embedder import Floats, TokenIds
from caxton_llm.memory.embedding.related import RelatedTokens
from caxton_llm.memory.embedding.static import StaticEmbedder

EMBEDDER = StaticEmbedder.default()


def table_of(cosines: Floats) -> RelatedTokens:
    def compared(ids: TokenIds, others: TokenIds) -> Floats:
        return cosines[np.ix_(ids, others)]

    return RelatedTokens.computed(np.arange(len(cosines), dtype=np.int32), len(cosines), compared)


def test_the_table_in_the_package_is_what_comparing_its_tokens_gives() -> None:
    ids = EMBEDDER.tokens("a doctor and a physician took the train to Zürich , 42 ##")
    ids = np.append(ids, np.int32(EMBEDDER.vocabulary_size - 1))
    whose, tokens, cosines = EMBEDDER.related(ids)
    computed = RelatedTokens.computed(ids, EMBEDDER.vocabulary_size, EMBEDDER.token_cosines).of(np.arange(len(ids)))
    assert np.array_equal(whose, computed[0])
    assert np.array_equal(tokens, computed[1])
    assert np.allclose(cosines, computed[2], atol=0.005)


def test_a_token_is_wholly_related_to_itself_and_partly_to_what_means_the_like() -> None:
    doctor, physician, train = (EMBEDDER.tokens(word) for word in ("doctor", "physician", "train"))
    _, tokens, cosines = EMBEDDER.related(doctor)
    related = dict(zip(tokens.tolist(), cosines.tolist(), strict=True))
    assert related[doctor.item()] == pytest.approx(1)
    assert 0.4 <= related[physician.item()] < 1
    assert train.item() not in related


def test_of_too_many_related_tokens_the_nearest_are_kept() -> None:
    cosines = np.full((100, 100), 0.5, np.float32)
    cosines[90:, :] = 0.9
    np.fill_diagonal(cosines, 1)
    _, tokens, _ = table_of(cosines).of(np.array([3]))
    assert len(tokens) == 64
    assert {3, *range(90, 100)} <= set(tokens.tolist())


@given(st.lists(st.lists(st.floats(-1, 1, width=32), min_size=6, max_size=6), min_size=6, max_size=6))
def test_a_table_that_was_written_and_read_is_the_same(rows: list[list[float]]) -> None:
    table = table_of(np.array(rows, np.float32))
    read = RelatedTokens.read(table.written(), "somewhere")
    assert all(np.array_equal(table.of(np.arange(6))[column], read.of(np.arange(6))[column]) for column in range(3))
    whose, tokens, cosines = read.of(np.arange(6))
    near = np.array(rows, np.float32)
    assert set(zip(whose.tolist(), tokens.tolist(), strict=True)) == {
        (other, one) for one in range(6) for other in range(6) if near[one, other] >= 0.4
    }
    assert np.allclose(cosines, near[tokens, whose], atol=0.003)


def test_no_tokens_have_no_related_ones() -> None:
    assert [len(column) for column in EMBEDDER.related(np.empty(0, np.int32))] == [0, 0, 0]


def test_a_damaged_table_is_refused_by_its_name() -> None:
    whole = table_of(np.eye(4, dtype=np.float32)).written()
    for data in (b"", b"no table", whole[: len(whole) // 2]):
        with pytest.raises(ConfigurationError, match=r"somewhere: related.npz cannot be read"):
            RelatedTokens.read(data, "somewhere")
