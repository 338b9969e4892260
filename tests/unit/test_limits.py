"""Limits per minute hold exactly, a provider's own limits are believed, and concurrency follows its law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.routing.limits import AdaptiveConcurrency, LearnedLimits, LimitsLeft, Sent, SlidingWindow
from caxton_llm.wire.rate_limits import RateLimitInfo, Window

# -- the sliding window --------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 60), st.booleans()), max_size=60),
)
def test_no_60_seconds_ever_see_more_than_the_limit(limit: int, schedule: list[tuple[float, int, bool]]) -> None:
    window, now, taken = SlidingWindow(limit), 0.0, list[tuple[float, int]]()
    for pause, amount, patient in schedule:
        now += pause
        wait = window.wait_s(now, amount)
        if wait > 0 and not patient:
            continue
        now += wait
        if window.wait_s(now, amount) > 1e-9:  # it was told the truth, but for rounding
            raise AssertionError("the wait did not suffice")
        now += window.wait_s(now, amount)
        window.take(now, amount)
        taken.append((now, amount))
    for start, first in taken:
        inside = [amount for moment, amount in taken if start <= moment < start + 60]
        assert sum(inside) <= limit or (first > limit and inside == [first])


@given(st.integers(1, 20), st.lists(st.integers(1, 20), min_size=1, max_size=20), st.integers(1, 20))
def test_the_wait_is_the_shortest_that_suffices(limit: int, amounts: list[int], wanted: int) -> None:
    window = SlidingWindow(limit)
    for second, amount in enumerate(amounts):
        window.take(float(second), amount)
    now = float(len(amounts))
    wait = window.wait_s(now, wanted)
    if wait > 0:
        assert window.wait_s(now + wait - 0.5, wanted) == pytest.approx(0.5)
    assert window.wait_s(now + wait, wanted) == 0


def test_what_is_taken_becomes_free_after_a_minute_and_not_before() -> None:
    window = SlidingWindow(2)
    window.take(10.0)
    window.take(20.0)
    assert window.wait_s(69.0) == 1.0
    assert window.remaining(69.0) == 0
    assert window.wait_s(70.0) == 0
    assert window.remaining(70.0) == 1


def test_an_amount_above_the_limit_waits_for_an_empty_window_and_is_let_through() -> None:
    window = SlidingWindow(100)
    window.take(0.0, 10)
    window.take(5.0, 10)
    assert window.wait_s(6.0, 500) == 59.0
    assert window.wait_s(65.0, 500) == 0
    window.take(65.0, 500)
    assert window.wait_s(66.0, 1) == 59.0


def test_tokens_are_settled_after_the_answer() -> None:
    window = SlidingWindow(100)
    window.take(0.0, 90)
    assert window.wait_s(1.0, 20) == 59.0
    window.correct(0.0, 90, 30)
    assert window.remaining(1.0) == 70
    window.correct(0.0, 30, 150)
    assert window.remaining(1.0) == 0
    assert window.wait_s(2.0, 1) == 58.0


def test_a_settlement_that_comes_after_the_minute_changes_nothing() -> None:
    window = SlidingWindow(100)
    window.take(0.0, 90)
    window.take(61.0, 20)
    window.correct(0.0, 90, 500)
    assert window.remaining(62.0) == 80


# -- what the provider says ----------------------------------------------------------------------------------------------


def requests(limit: int | None, remaining: int | None, reset_s: float | None) -> RateLimitInfo:
    return RateLimitInfo(requests=Window(limit, remaining, reset_s))


def after(learned: LearnedLimits, sends: int, tokens: int = 0) -> Sent:
    for _ in range(sends):
        learned.sent(tokens)
    return Sent(learned.sent_requests, learned.sent_tokens)


def test_nothing_waits_before_anything_is_known() -> None:
    learned = LearnedLimits()
    after(learned, 1000)
    assert learned.wait_s(0.0, 5) == 0
    assert learned.snapshot(0.0) == LimitsLeft()


def test_where_nothing_is_left_the_wait_is_until_the_reset() -> None:
    learned = LearnedLimits()
    learned.learn(requests(50, 0, 12.0), 100.0, after(learned, 1))
    assert learned.wait_s(103.0, 0) == 9.0
    assert learned.snapshot(103.0) == LimitsLeft(requests=0, requests_reset_s=9.0)
    assert learned.wait_s(112.0, 0) == 0


def test_each_send_since_takes_one_off() -> None:
    learned = LearnedLimits()
    learned.learn(requests(50, 2, 12.0), 0.0, after(learned, 1))
    after(learned, 1)
    assert (learned.snapshot(0.0).requests, learned.wait_s(0.0, 0)) == (1, 0)
    after(learned, 1)
    assert (learned.snapshot(0.0).requests, learned.wait_s(0.0, 0)) == (0, 12.0)


def test_what_was_sent_while_the_answer_was_under_way_is_taken_off_too() -> None:
    learned = LearnedLimits()
    first = after(learned, 1)
    after(learned, 9)
    learned.learn(requests(50, 9, 12.0), 0.0, first)
    assert learned.wait_s(0.0, 0) == 12.0


def test_an_answer_to_an_older_request_is_old_news() -> None:
    learned = LearnedLimits()
    slow = after(learned, 1)
    fast = after(learned, 1)
    learned.learn(requests(50, 0, 12.0), 0.0, fast)
    learned.learn(requests(50, 49, 1.0), 5.0, slow)
    assert learned.wait_s(5.0, 0) == 7.0


def test_a_send_that_did_not_happen_is_given_back() -> None:
    learned = LearnedLimits()
    learned.learn(requests(50, 1, 12.0), 0.0, after(learned, 1))
    learned.sent(7)
    learned.unsent(7)
    assert learned.wait_s(0.0, 0) == 0
    assert learned.sent_tokens == 0


def test_after_the_reset_the_limit_holds_even_when_nobody_hears_from_the_provider() -> None:
    learned = LearnedLimits()
    learned.learn(requests(3, 0, 10.0), 0.0, after(learned, 1))
    assert learned.wait_s(10.0, 0) == 0
    after(learned, 3)
    assert learned.wait_s(11.0, 0) == 59.0


def test_what_the_provider_had_not_counted_may_count_against_its_next_window() -> None:
    learned = LearnedLimits()
    first = after(learned, 1)
    after(learned, 2)
    learned.learn(requests(3, 2, 1.0), 0.0, first)
    assert learned.wait_s(1.0, 0) == 0
    after(learned, 1)
    assert learned.wait_s(2.0, 0) == 59.0
    assert learned.wait_s(61.0, 0) == 0


def test_a_limit_that_refills_all_the_time_is_waited_for_only_until_enough_has_come_back() -> None:
    learned = LearnedLimits()
    learned.learn(requests(500, 0, 60.0), 0.0, after(learned, 1))
    assert learned.wait_s(0.0, 0) == pytest.approx(0.12)
    assert learned.wait_s(0.121, 0) == 0
    after(learned, 3)
    assert learned.wait_s(0.121, 0) == pytest.approx(0.12 * 3 - 0.001)


def test_a_limit_that_refills_never_holds_more_than_itself() -> None:
    learned = LearnedLimits()
    learned.learn(requests(60, 59, 1.0), 0.0, after(learned, 1))
    assert learned.snapshot(1000.0).requests == 60
    after(learned, 60)
    assert learned.wait_s(1000.0, 0) == pytest.approx(1.0)


def test_a_refilling_limit_of_tokens_waits_for_the_estimate() -> None:
    learned = LearnedLimits()
    learned.learn(RateLimitInfo(tokens=Window(6000, 1000, 50.0)), 0.0, after(learned, 1, 5000))
    assert learned.wait_s(0.0, 3000) == pytest.approx(20.0)
    assert learned.wait_s(0.0, 90_000) == pytest.approx(50.0)
    assert learned.wait_s(51.0, 90_000) == 0


@pytest.mark.parametrize("info", [requests(None, 0, 5.0), requests(9, 0, None), requests(9, None, 5.0)])
def test_what_is_not_told_holds_nobody_back(info: RateLimitInfo) -> None:
    learned = LearnedLimits()
    learned.learn(info, 0.0, after(learned, 1))
    after(learned, 100)
    assert learned.wait_s(5.0, 0) == 0


def test_tokens_wait_when_the_estimate_does_not_fit_and_never_for_more_than_the_whole_limit() -> None:
    learned = LearnedLimits()
    learned.learn(RateLimitInfo(tokens=Window(1000, 400, 30.0)), 0.0, after(learned, 1, 600))
    assert learned.wait_s(0.0, 400) == 0
    assert learned.wait_s(0.0, 401) == 30.0
    after(learned, 1, 400)
    assert learned.wait_s(0.0, 0) == 30.0
    assert learned.wait_s(30.0, 5000) > 0
    assert learned.wait_s(90.0, 5000) == 0


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_input_and_output_tokens_hold_back_when_the_provider_says_that_none_are_left(name: str) -> None:
    learned = LearnedLimits()
    learned.learn(RateLimitInfo(**{name: Window(1000, 1, 30.0)}), 0.0, after(learned, 1, 600))
    assert learned.wait_s(0.0, 400) == 0
    learned.learn(RateLimitInfo(**{name: Window(1000, 0, 30.0)}), 0.0, after(learned, 1, 600))
    assert learned.wait_s(0.0, 400) == 30.0


def test_a_pause_holds_and_a_shorter_one_does_not_end_it() -> None:
    learned = LearnedLimits()
    learned.pause(20.0)
    learned.pause(5.0)
    assert learned.wait_s(3.0, 0) == 17.0
    assert learned.wait_s(20.0, 0) == 0


@given(st.integers(1, 8), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=80))
def test_a_provider_s_window_is_never_overrun_once_it_is_known(limit: int, steps: list[tuple[bool, int]]) -> None:
    """A provider with windows of a minute; answers come late and in any order, all of them within the window."""
    learned, under_way, used = LearnedLimits(), list[tuple[Sent, int]](), 0
    for send, which in [(True, 0), (False, 0), *steps]:
        if send and learned.wait_s(1.0, 0) == 0 and (used == 0 or learned.snapshot(1.0).requests is not None):
            used += 1
            under_way.append((after(learned, 1), limit - used))
        elif not send and under_way:
            sent, remaining = under_way.pop(which % len(under_way))
            learned.learn(requests(limit, remaining, 50.0), 1.0, sent)
    assert used <= limit


# -- concurrency ---------------------------------------------------------------------------------------------------------


def test_overload_takes_the_limit_to_seven_tenths_once_per_second() -> None:
    adaptive = AdaptiveConcurrency(100)
    for _ in range(50):
        adaptive.overloaded(10.0, 100)
    assert adaptive.limit == 70
    adaptive.overloaded(10.9, 70)
    assert adaptive.limit == 70
    adaptive.overloaded(11.0, 70)
    assert adaptive.limit == 49


def test_a_round_of_successes_adds_about_one_up_to_the_maximum() -> None:
    adaptive = AdaptiveConcurrency(20)
    adaptive.overloaded(0.0, 20)
    assert adaptive.limit == 14
    for _ in range(15):
        adaptive.succeeded()
    assert adaptive.limit == 15
    for _ in range(1000):
        adaptive.succeeded()
    assert adaptive.limit == 20


def test_what_was_under_way_is_what_was_too_much() -> None:
    adaptive = AdaptiveConcurrency(100)
    adaptive.overloaded(0.0, 10)
    assert adaptive.limit == 7


def test_without_a_maximum_nothing_limits_until_the_first_overload_and_never_much() -> None:
    adaptive = AdaptiveConcurrency(None)
    adaptive.succeeded()
    assert adaptive.limit is None
    adaptive.overloaded(0.0, 200)
    assert adaptive.limit == 140
    for second in range(1, 50):
        adaptive.overloaded(second, 200)
    assert adaptive.limit == 16
    for _ in range(256 * 130):
        adaptive.succeeded()
    assert adaptive.limit is None


def test_a_target_that_is_well_again_starts_anew() -> None:
    adaptive = AdaptiveConcurrency(100)
    adaptive.overloaded(0.0, 100)
    adaptive.restore()
    assert adaptive.limit == 100


@given(st.integers(1, 300), st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=100))
def test_the_limit_stays_between_one_and_the_maximum(maximum: int, events: list[tuple[bool, float]]) -> None:
    adaptive, now = AdaptiveConcurrency(maximum), 0.0
    for good, pause in events:
        now += pause
        before = adaptive.limit
        adaptive.succeeded() if good else adaptive.overloaded(now, maximum)
        assert before is not None
        assert adaptive.limit is not None
        assert 1 <= adaptive.limit <= maximum
        assert adaptive.limit >= before if good else adaptive.limit <= before
