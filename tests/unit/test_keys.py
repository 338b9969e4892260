"""Several keys of one target: turns, rests, and the way back."""

from caxton_llm.errors import Authentication, Overloaded, QuotaExhausted, RateLimited
from caxton_llm.routing.keys import KeyRing


def test_keys_take_turns() -> None:
    ring = KeyRing("abc")
    assert [ring.pick(0.0) for _ in range(4)] == [0, 1, 2, 0]


def test_a_refused_key_rests_and_comes_back_after_its_time() -> None:
    ring = KeyRing("ab")
    ring.park(0, Authentication("no"), None, 0.0)
    assert [ring.pick(59.0) for _ in range(3)] == [1, 1, 1]
    assert {ring.pick(61.0) for _ in range(2)} == {0, 1}


def test_a_key_rests_for_as_long_as_the_provider_said() -> None:
    ring = KeyRing("ab")
    ring.park(0, RateLimited("slow"), 2.0, 0.0)
    assert ring.pick(1.9) == 1
    assert ring.resting(1.9) == 1
    assert ring.resting(2.1) == 0


def test_what_is_not_the_keys_fault_lets_it_go_on() -> None:
    ring = KeyRing("ab")
    ring.park(0, Overloaded("busy"), None, 0.0)
    assert ring.resting(0.0) == 0


def test_when_all_rest_the_one_that_may_come_back_first_is_used() -> None:
    ring = KeyRing("ab")
    ring.park(0, QuotaExhausted("spent"), None, 0.0)
    ring.park(1, Authentication("no"), None, 0.0)
    assert ring.pick(1.0) == 1
    assert not ring.has_other(1.0, {1})


def test_a_key_that_is_accepted_later_rests_no_longer_and_what_was_sent_before_says_nothing() -> None:
    ring = KeyRing("ab")
    ring.park(0, QuotaExhausted("spent"), None, 5.0)
    ring.accepted(0, 4.0)
    assert ring.resting(6.0) == 1
    ring.accepted(0, 5.5)
    assert ring.resting(6.0) == 0


def test_while_all_keys_rest_it_is_known_until_when() -> None:
    ring = KeyRing("ab")
    ring.park(0, RateLimited("slow"), 3.0, 0.0)
    assert ring.all_rest_until(1.0) is None
    ring.park(1, RateLimited("slow"), 9.0, 0.0)
    assert ring.all_rest_until(1.0) == 3.0
