"""Who comes first and who next: the strategies, and the plans that health makes of them."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from caxton_llm.dispatch.plan import Route, Tier
from caxton_llm.dispatch.target import Candidate
from caxton_llm.model_info import ModelInfo, ModelPrice
from caxton_llm.routing.breaker import BreakerPolicy
from caxton_llm.routing.strategy import STRATEGIES, Strategy, order
from caxton_llm.testing import FakeClock, FakeProvider
from routed import candidate

SEED = 20261127


class Place(Struct, frozen=True):
    name: str
    priority: int = 0
    weight: float = 1.0
    load: float = 0.0
    cost: float | None = None
    place: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        return (-self.priority, self.place)


def ordered(
    places: list[Place], strategy: Strategy, turn: int = 0, draw: Callable[[], float] | None = None
) -> list[str]:
    found = order(
        places,
        strategy,
        turn=turn,
        random=draw or random.Random(SEED).random,
        load=lambda each: each.load,
        cost=lambda each: each.cost,
    )
    return [each.name for each in found]


def first_shares(places: list[Place], strategy: Strategy, draws: int = 20_000) -> dict[str, float]:
    draw = random.Random(SEED).random
    counts = Counter(ordered(places, strategy, draw=draw)[0] for _ in range(draws))
    return {name: count / draws for name, count in counts.items()}


@given(
    st.lists(st.tuples(st.integers(-2, 2), st.floats(0, 10), st.floats(0, 9)), min_size=1, max_size=6),
    st.sampled_from(sorted(STRATEGIES)),
    st.integers(0, 100),
)
def test_every_strategy_gives_every_target_exactly_once(
    drawn: list[tuple[int, float, float]], strategy: Strategy, turn: int
) -> None:
    places = [Place(str(number), priority, weight, load) for number, (priority, weight, load) in enumerate(drawn)]
    assert sorted(ordered(places, strategy, turn)) == sorted(place.name for place in places)


def test_priority_puts_the_highest_first() -> None:
    assert ordered([Place("low", 1), Place("high", 3), Place("mid", 2)], "priority") == ["high", "mid", "low"]


def test_equal_priorities_that_say_nothing_of_weights_keep_their_order() -> None:
    assert ordered([Place("second", place=2), Place("first", place=1), Place("high", 3)], "priority") == [
        "high",
        "first",
        "second",
    ]


@pytest.mark.parametrize("strategy", ["priority", "weighted"])
def test_equal_priorities_share_by_weight_within_statistical_error(strategy: Strategy) -> None:
    shares = first_shares([Place("a", weight=5.0), Place("b", weight=3.0), Place("c", weight=2.0)], strategy)
    # Three standard deviations of a share of 20,000 draws are about 0.011.
    assert shares == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.2}, abs=0.011)


def test_a_weight_of_nothing_comes_last() -> None:
    draw = random.Random(SEED).random
    for _ in range(50):
        assert ordered([Place("spare", weight=0.0), Place("a"), Place("b")], "weighted", draw=draw)[-1] == "spare"


def test_round_robin_gives_each_its_turn_whatever_its_priority() -> None:
    places = [Place("a", 9), Place("b"), Place("c")]
    assert [ordered(places, "round_robin", turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]
    assert ordered(places, "round_robin", 1) == ["b", "c", "a"]


def test_load_balance_takes_the_less_busy_of_two_and_never_the_busiest_of_three() -> None:
    places = [Place("busy", load=9.0), Place("calm", load=1.0), Place("idle", load=0.0)]
    shares = first_shares(places, "load_balance", 3000)
    assert shares.keys() == {"calm", "idle"}
    assert shares["idle"] > shares["calm"]


def test_least_cost_takes_the_cheapest_and_an_unknown_price_last() -> None:
    places = [Place("unknown"), Place("dear", cost=5.0), Place("cheap", cost=0.5)]
    assert ordered(places, "least_cost") == ["cheap", "dear", "unknown"]


# -- plans --------------------------------------------------------------------------------------------------------------

POLICY = BreakerPolicy(failure_threshold=1, cooldown_s=10.0, ramp_s=100.0)


def target(name: str, clock: FakeClock, priority: int = 0, price: float | None = None) -> Candidate:
    shown = None if price is None else ModelPrice(input=price, output=price)
    return candidate(
        name,
        FakeProvider("Hi"),
        clock=clock,
        priority=priority,
        breaker=POLICY,
        describe=lambda model: ModelInfo(id=model, provider="fake", price=shown),
    )


def planned(route: Route, now: float, chance: float = 0.5) -> list[str]:
    plan = route.plan(now, random=lambda: chance)
    names = []
    while (each := plan.draw()) is not None:
        names.append(each.target.name)
    return names


def test_what_a_name_leads_to_comes_before_what_may_stand_in_whatever_their_priorities() -> None:
    clock = FakeClock()
    named, other = target("named", clock, 1), target("other", clock, 9)
    assert planned(Route(Tier.of([named], "priority"), Tier.of([other], "priority")), 0.0) == ["named", "other"]


def test_the_price_of_the_model_that_would_be_sent_decides_about_least_cost() -> None:
    clock = FakeClock()
    chain = Tier.of([target("dear", clock, price=3.0), target("cheap", clock, price=1.0)], "least_cost")
    assert planned(Route(chain), 0.0) == ["cheap", "dear"]


def test_a_target_that_is_coming_back_is_first_for_its_share_of_the_requests_only() -> None:
    clock = FakeClock()
    first, second = target("first", clock, 2), target("second", clock, 1)
    route = Route(Tier.of([first, second], "priority"))
    first.state.breaker.failed(0.0, trial=0)
    assert planned(route, 5.0) == ["second", "first"]  # open: only when nobody else can answer
    assert planned(route, 10.0) == ["first", "second"]  # a trial
    first.state.breaker.succeeded(10.0, trial=first.state.breaker.enter())
    assert planned(route, 10.0, chance=0.2) == ["second", "first"]
    assert planned(route, 10.0, chance=0.05) == ["first", "second"]
    assert planned(route, 70.0, chance=0.6) == ["first", "second"]
    assert planned(route, 110.0, chance=0.99) == ["first", "second"]


def test_the_only_target_is_always_asked() -> None:
    clock = FakeClock()
    only = target("only", clock)
    only.state.breaker.failed(0.0, trial=0)
    assert planned(Route(Tier.of([only], "priority")), 1.0) == ["only"]
