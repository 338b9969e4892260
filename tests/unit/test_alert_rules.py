"""When alerts begin, are repeated, and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.alerts.rules import Alert, AlertPolicy, AlertRules, Pace, TargetSample

POLICY = AlertPolicy(hold_s=5.0, repeat_s=100.0, min_requests=10, error_rate=0.5, error_rate_window_s=60.0)
UNKNOWN = Pace()


def sample(
    breaker: str = "closed",
    *,
    name: str = "a",
    checks: int = 0,
    successes: int = 0,
    failures: int = 0,
    error: str | None = None,
    whole: Pace = UNKNOWN,
) -> TargetSample:
    return TargetSample(
        name=name,
        breaker=breaker,
        checks_failed_in_a_row=checks,
        successes=successes,
        failures=failures,
        last_error=error,
        whole=whole,
    )


def told(alerts: list[Alert]) -> list[tuple[str, str]]:
    return [(alert.rule, alert.status) for alert in alerts]


def test_an_open_breaker_is_told_at_once_and_the_provider_is_down_when_it_stays_so() -> None:
    rules = AlertRules(POLICY)
    broken = [sample("open", error="overloaded"), sample(name="b")]
    first = rules.evaluate(broken, 0.0)
    assert told(first) == [("breaker_opened", "firing")]
    assert first[0].message == "the circuit breaker of a has opened; last error: overloaded"
    assert rules.evaluate(broken, 4.0) == []
    (down,) = rules.evaluate(broken, 5.0)
    assert (down.rule, down.target, down.severity, down.lasted_s) == ("provider_down", "a", "critical", 5.0)


def test_a_breaker_that_tries_its_target_again_does_not_end_the_outage() -> None:
    rules = AlertRules(POLICY)
    for now, state in enumerate(["open", "half_open", "open", "half_open"] * 5):
        found = rules.evaluate([sample(state), sample(name="b")], float(now))
        assert "recovered" not in [status for _, status in told(found)]
    assert rules.lasting == {"provider_down:a", "breaker_opened:a"}


def test_recovery_is_told_once_after_the_target_was_well_for_the_hold_time() -> None:
    rules = AlertRules(POLICY)
    for now in (0.0, 5.0):
        rules.evaluate([sample("open"), sample(name="b")], now)
    well = [sample(), sample(name="b")]
    assert rules.evaluate(well, 10.0) == []
    assert sorted(told(rules.evaluate(well, 15.0))) == [("breaker_opened", "recovered"), ("provider_down", "recovered")]
    assert rules.evaluate(well, 500.0) == []


def test_one_failed_health_check_is_no_outage_and_two_in_a_row_are() -> None:
    rules = AlertRules(POLICY)
    assert [rules.evaluate([sample(checks=1), sample(name="b")], now) for now in (0.0, 10.0)] == [[], []]
    rules.evaluate([sample(checks=2), sample(name="b")], 20.0)
    (alert,) = rules.evaluate([sample(checks=2), sample(name="b")], 25.0)
    assert alert.message == "a is down: its health check failed 2 times in a row"


def test_when_every_target_is_down_that_is_an_alert_of_its_own() -> None:
    rules = AlertRules(POLICY)
    down = [sample("open"), sample("open", name="b")]
    rules.evaluate(down, 0.0)
    assert ("all_targets_down", "firing") in told(rules.evaluate(down, 5.0))
    half = [sample("open"), sample(name="b")]
    rules.evaluate(half, 6.0)
    ended = [alert for alert in rules.evaluate(half, 11.0) if alert.rule == "all_targets_down"]
    assert [(alert.status, alert.message) for alert in ended] == [("recovered", "a provider answers again")]


def test_a_high_error_rate_needs_enough_answers() -> None:
    rules = AlertRules(POLICY)
    rules.evaluate([sample(successes=100)], 0.0)
    assert rules.evaluate([sample(successes=101, failures=8)], 10.0) == []
    rules.evaluate([sample(successes=104, failures=8)], 20.0)
    (alert,) = rules.evaluate([sample(successes=104, failures=8, error="provider_failure")], 25.0)
    assert alert.message == "8 of 12 answers of a in 60 s failed; last error: provider_failure"


def test_failures_leave_the_window_and_the_error_rate_is_over() -> None:
    rules = AlertRules(POLICY)
    for now in (0.0, 5.0):
        rules.evaluate([sample(failures=int(now) * 4)], now)
    rules.evaluate([sample(failures=20)], 10.0)
    assert rules.lasting == {"error_rate:a"}
    rules.evaluate([sample(failures=20)], 70.0)
    assert told(rules.evaluate([sample(failures=20)], 76.0)) == [("error_rate", "recovered")]


def usual(rules: AlertRules, seconds: float, batches: int) -> int:
    answers = 0
    for _ in range(batches):
        answers += POLICY.min_requests
        assert rules.evaluate([sample(whole=Pace(answers, seconds))], float(answers)) == []
    return answers


def test_a_target_that_becomes_three_times_slower_is_told_with_both_figures() -> None:
    rules = AlertRules(POLICY)
    answers = usual(rules, 1.0, batches=5)
    assert rules.evaluate([sample(whole=Pace(answers + 1, 2.9))], 1000.0) == []
    rules.evaluate([sample(whole=Pace(answers + 2, 3.1))], 1001.0)
    (alert,) = rules.evaluate([sample(whole=Pace(answers + 50, 3.5))], 1006.0)
    assert (alert.rule, alert.message) == (
        "latency_degraded",
        "whole answers of a take 3.5 s (p95), 1 s are usual",
    )


def test_a_long_slow_time_does_not_become_usual() -> None:
    rules = AlertRules(POLICY)
    answers = usual(rules, 1.0, batches=3)
    found = [
        rule
        for step in range(100)
        for rule in told(rules.evaluate([sample(whole=Pace(answers + 10 * step, 9.0))], 1000.0 + step))
    ]
    assert found == [("latency_degraded", "firing")]


def test_nothing_is_usual_before_there_were_enough_answers() -> None:
    rules = AlertRules(POLICY)
    usual(rules, 0.01, batches=2)
    assert rules.evaluate([sample(whole=Pace(21, 60.0))], 100.0) == []


@pytest.mark.parametrize(("repeat_s", "times"), [(100.0, 3), (0.0, 1)])
def test_a_lasting_alert_is_repeated_as_often_as_configured(repeat_s: float, times: int) -> None:
    rules = AlertRules(AlertPolicy(hold_s=0.0, repeat_s=repeat_s))
    found = [
        status
        for now in range(0, 300, 10)
        for rule, status in told(rules.evaluate([sample("open"), sample(name="b")], float(now)))
        if rule == "provider_down"
    ]
    assert found == ["firing", "lasting", "lasting"][:times]


steps = st.lists(
    st.tuples(
        st.floats(0.0, 30.0),
        st.sampled_from(["closed", "open", "half_open"]),
        st.integers(0, 3),
        st.integers(0, 30),
        st.integers(0, 30),
        st.floats(0.001, 10.0),
    ),
    max_size=60,
)


@given(steps=steps, hold_s=st.sampled_from([0.0, 5.0]), repeat_s=st.sampled_from([0.0, 20.0]))
def test_whatever_happens_each_begun_alert_lasts_or_has_been_recovered_exactly_once(
    steps: list[tuple[float, str, int, int, int, float]], hold_s: float, repeat_s: float
) -> None:
    rules = AlertRules(AlertPolicy(hold_s=hold_s, repeat_s=repeat_s, min_requests=5))
    now, successes, failures = 0.0, 0, 0
    open_keys: set[str] = set()
    for passed, breaker, checks, more, fewer, p95 in steps:
        now, successes, failures = now + passed, successes + more, failures + fewer
        pace = Pace(successes, p95 if successes >= 5 else None)
        samples = [
            sample(breaker, checks=checks, successes=successes, failures=failures, whole=pace),
            sample(name="b", checks=checks),
        ]
        for alert in rules.evaluate(samples, now):
            assert (alert.key in open_keys) == (alert.status != "firing")
            assert alert.lasted_s >= 0.0
            if alert.status == "firing":
                open_keys.add(alert.key)
            elif alert.status == "recovered":
                open_keys.remove(alert.key)
        assert rules.lasting == open_keys
