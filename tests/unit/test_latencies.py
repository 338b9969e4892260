"""Percentiles of the last answers."""

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.routing.latency import Latencies


def filled(values: list[float]) -> Latencies:
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    return latencies


@given(values=st.lists(st.floats(0.0, 100.0), max_size=600), last=st.integers(1, 256), share=st.floats(0.0, 1.0))
def test_the_recent_percentile_is_that_of_the_last_answers(values: list[float], last: int, share: float) -> None:
    found = filled(values).recent_percentile(share, last)
    if len(values) < last:
        assert found is None
    else:
        assert found == sorted(values[-last:])[min(last - 1, int(share * last))]


def test_percentiles_are_renewed_after_32_more_answers_whenever_somebody_looks() -> None:
    latencies = filled([1.0] * 256)
    assert latencies.percentile(0.5) == 1.0
    for _ in range(255):
        latencies.add(9.0)
    assert latencies.percentile(0.5) == 9.0
