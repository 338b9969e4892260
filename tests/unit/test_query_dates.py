"""Times that a question names."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.memory.query_dates import Period, from_then, periods_in


def at(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("query", "period"),
    [
        ("Where was Ann on 8 May 2023?", Period(2023, 5, 8)),
        ("Where was Ann on May 8th, 2023?", Period(2023, 5, 8)),
        ("on the 3rd of October", Period(None, 10, 3)),
        ("in Sept. 2021", Period(2021, 9)),
        ("in May?", Period(None, 5)),
        ("log of 2023-05-08.", Period(2023, 5, 8)),
        ("2023-05 figures", Period(2023, 5)),
        ("What happened in 2023?", Period(2023)),
        ("May 2022", Period(2022, 5)),
    ],
)
def test_days_months_and_years_are_read(query: str, period: Period) -> None:
    assert periods_in(query) == (period,)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "May I go?",
        "you may march on",
        "March on!",
        "port 20231",
        "v2023-05-08-1",
        "1,2023",
        "2023.5",
        "the marching band",
    ],
)
def test_what_only_looks_like_a_time_is_none(query: str) -> None:
    assert periods_in(query) == ()


def test_several_times_are_all_read() -> None:
    assert list(periods_in("between 2019-01-02 and June 2020, or 1999")) == [
        Period(2019, 1, 2),
        Period(2020, 6),
        Period(1999),
    ]


def test_a_record_is_from_then_up_to_three_days_after() -> None:
    times = [at(2023, 5, 7), at(2023, 5, 8), at(2023, 5, 11), at(2023, 5, 12), float("nan")]
    assert from_then([Period(2023, 5, 8)], np.array(times)).tolist() == [False, True, True, False, False]


def test_a_month_without_a_year_is_that_of_any_year() -> None:
    times = np.array([at(1969, 5, 8), at(2023, 5, 31), at(2023, 6, 2), at(2023, 6, 4)])
    assert from_then([Period(None, 5)], times).tolist() == [True, True, True, False]


def test_without_a_time_in_the_question_no_record_is_from_then() -> None:
    assert not from_then([], np.array([at(2023, 5, 8)])).any()
    assert from_then([Period(2023)], np.zeros(0)).tolist() == []


@given(st.dates(date(1950, 1, 1), date(2090, 1, 1)), st.integers(-40, 40))
def test_a_written_day_covers_itself_and_three_more(day: date, offset: int) -> None:
    when = day + timedelta(days=offset)
    found = from_then(periods_in(f"on {day.isoformat()}"), np.array([at(when.year, when.month, when.day)]))
    assert found.tolist() == [0 <= offset <= 3]


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(query: str) -> None:
    assert all(period.day is None or 1 <= period.day <= 31 for period in periods_in(query))
