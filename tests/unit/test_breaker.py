"""The circuit breaker: when it opens, how it comes back, and what never happens."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.routing.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy(
    failure_threshold=3, failure_rate=0.5, window_s=10.0, cooldown_s=5.0, half_open_requests=1, ramp_s=10.0
)


def state_of(breaker: Breaker) -> str:
    """What mypy does not take for what it was a line before."""
    return breaker.state


def opened(at: float = 0.0, policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = Breaker(policy)
    for _ in range(policy.failure_threshold):
        breaker.failed(at, trial=0)
    assert state_of(breaker) == "open"
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_starts_the_count_again() -> None:
    breaker = Breaker(POLICY)
    for _ in range(2):
        breaker.failed(0.0, trial=0)
    breaker.succeeded(0.0, trial=0)
    for _ in range(2):
        breaker.failed(0.0, trial=0)
    assert state_of(breaker) == "closed"
    breaker.failed(0.0, trial=0)
    assert state_of(breaker) == "open"
    assert breaker.opened_at == 0.0


def test_half_of_the_requests_in_the_window_open_it_however_they_are_mixed() -> None:
    breaker = Breaker(POLICY)
    for second in range(2):
        breaker.succeeded(second, trial=0)
        breaker.failed(second, trial=0)
    assert state_of(breaker) == "closed"
    breaker.succeeded(2.0, trial=0)
    breaker.failed(2.0, trial=0)
    assert state_of(breaker) == "open"


def test_failures_that_are_older_than_the_window_are_forgotten() -> None:
    breaker = Breaker(POLICY)
    for second in (0.0, 0.0, 20.0, 20.0, 40.0, 40.0):
        breaker.failed(second, trial=0)
        breaker.succeeded(second, trial=0)
    assert state_of(breaker) == "closed"


def test_an_open_breaker_gets_nothing_until_its_cool_down_is_over_and_then_one_trial_at_a_time() -> None:
    breaker = opened()
    assert breaker.share(4.9) == 0.0
    assert breaker.share(5.0) == 1.0
    assert breaker.enter() > 0
    assert state_of(breaker) == "half_open"
    assert breaker.share(5.0) == 0.0


def test_a_trial_that_succeeds_closes_it_and_the_share_grows_from_a_tenth_to_all() -> None:
    breaker = opened()
    trial = breaker.enter()
    breaker.succeeded(6.0, trial=trial)
    assert state_of(breaker) == "closed"
    assert breaker.share(6.0) == pytest.approx(0.1)
    assert breaker.share(11.0) == pytest.approx(0.55)
    assert breaker.share(16.0) == 1.0
    assert breaker.share(7.0) == 1.0  # what has been reached is not taken back


def test_a_trial_that_fails_opens_it_for_another_cool_down() -> None:
    breaker = opened()
    trial = breaker.enter()
    breaker.failed(6.0, trial=trial)
    assert state_of(breaker) == "open"
    assert breaker.share(10.9) == 0.0
    assert breaker.share(11.0) == 1.0


def test_a_trial_that_was_cancelled_gives_its_place_back() -> None:
    breaker = opened()
    trial = breaker.enter()
    breaker.forgotten(trial=trial)
    assert state_of(breaker) == "half_open"
    assert breaker.share(6.0) == 1.0


def test_what_began_before_it_opened_says_nothing_about_its_recovery() -> None:
    breaker = opened()
    breaker.succeeded(1.0, trial=0)
    assert state_of(breaker) == "open"
    breaker.enter()
    breaker.succeeded(6.0, trial=0)
    breaker.failed(6.0, trial=0)
    assert state_of(breaker) == "half_open"


def test_a_trial_of_an_earlier_period_says_nothing_in_a_later_one() -> None:
    breaker = opened(policy=BreakerPolicy(failure_threshold=1, half_open_requests=2, cooldown_s=5.0))
    late, failed = breaker.enter(), breaker.enter()
    breaker.failed(6.0, trial=failed)
    breaker.enter()
    breaker.succeeded(12.0, trial=late)
    breaker.failed(12.0, trial=late)
    assert (state_of(breaker), breaker.trials) == ("half_open", 1)


def test_a_breaker_that_is_switched_off_never_opens() -> None:
    breaker = Breaker(BreakerPolicy(enabled=False, failure_threshold=1))
    breaker.failed(0.0, trial=0)
    assert state_of(breaker) == "closed"
    assert breaker.share(0.0) == 1.0


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from(["enter", "fail", "succeed", "forget", "reset"])), max_size=200
    ),
    st.integers(1, 3),
)
def test_it_never_skips_half_open_and_never_has_more_trials_than_allowed(
    steps: list[tuple[float, str]], trials: int
) -> None:
    states: list[str] = ["closed"]
    policy = BreakerPolicy(failure_threshold=2, cooldown_s=2.0, window_s=5.0, half_open_requests=trials, ramp_s=3.0)
    breaker = Breaker(policy, states.append)
    now, under_way = 0.0, list[int]()
    for pause, step in steps:
        now += pause
        share = breaker.share(now)
        assert 0.0 <= share <= 1.0
        if step == "enter":
            if share > 0.0:
                under_way.append(breaker.enter())
        elif step == "reset":
            breaker.reset()
        elif under_way:
            trial = under_way.pop(0)
            if step == "fail":
                breaker.failed(now, trial=trial)
            elif step == "succeed":
                breaker.succeeded(now, trial=trial)
            else:
                breaker.forgotten(trial=trial)
        if breaker.state == "half_open":
            assert 0 <= breaker.trials <= trials
    allowed = {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")}
    assert set(pairwise(states)) <= allowed
