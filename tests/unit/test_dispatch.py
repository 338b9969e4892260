"""From target to target: what follows a failure, what is shared by all attempts, and what the caller learns."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton_llm.attempts import Skip
from caxton_llm.errors import (
    AllTargetsFailed,
    Authentication,
    ConnectFailed,
    ContentFiltered,
    ContextWindowExceeded,
    DeadlineExceeded,
    FirstByteTimeout,
    InvalidRequest,
    LlmError,
    ModelNotFound,
    Overloaded,
    ProviderError,
    ProviderFailure,
    QuotaExhausted,
    RateLimited,
    UnsupportedFeature,
)
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.routing.breaker import BreakerPolicy
from caxton_llm.routing.hedging import HedgePolicy
from caxton_llm.routing.limits import TargetLimits
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.testing import FakeClock, FakeProvider
from caxton_llm.types import ChatRequest, ChatResponse, FunctionDefinition, Message, Tool
from routed import Records, candidate, gateway, let_go

REQUEST = ChatRequest(messages=[Message(role="user", content="Hello")])
TOOL = Tool(type="function", function=FunctionDefinition(name="look", parameters={"type": "object"}))


def failing(error: Callable[[], LlmError], times: int = 20) -> FakeProvider:
    return FakeProvider(*(error() for _ in range(times)))


class Silent(FakeProvider):
    """Never answers, until it is cancelled."""

    def __init__(self) -> None:
        super().__init__("never")
        self.cancelled = 0

    async def complete_chat(self, request: ChatRequest) -> ChatResponse:
        self.requests.append(request)
        answer: asyncio.Future[ChatResponse] = asyncio.get_running_loop().create_future()
        try:
            return await answer
        finally:
            self.cancelled += 1


# -- the next target ----------------------------------------------------------------------------------------------------


async def test_after_its_repeats_a_failing_target_is_followed_by_the_next_and_the_answer_tells_all_of_it() -> None:
    clock, records = FakeClock(), Records()
    first, second = failing(lambda: Overloaded("busy")), FakeProvider("Hi")
    chain = gateway(
        candidate("first", first, clock=clock, priority=2, model="big"),
        candidate("second", second, clock=clock, priority=1, model="small"),
        clock=clock,
        observers=[records],
    )
    response = await chain.complete(REQUEST)
    assert (response.text, response.provider, response.attempts) == ("Hi", "second", 4)
    assert [attempt.target for attempt in response.failed_attempts] == ["first"] * 3
    assert second.requests[0].model == "small"
    assert records.fallbacks == [("first", "second", "overloaded")]
    assert records.failures == [("first", "overloaded")] * 3
    assert [(each.target, each.model, each.attempts) for each in records.finished_records] == [("second", "small", 4)]


@pytest.mark.parametrize(
    "error", [ConnectFailed, FirstByteTimeout, ModelNotFound, ContextWindowExceeded, Authentication]
)
async def test_what_a_repeat_would_not_mend_goes_to_the_next_target_at_once(error: type[LlmError]) -> None:
    clock = FakeClock()
    first = failing(lambda: error("no"))
    chain = gateway(
        candidate("first", first, clock=clock, priority=2),
        candidate("second", FakeProvider("Hi"), clock=clock),
        clock=clock,
    )
    assert (await chain.complete(REQUEST)).attempts == 2
    assert len(first.requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize("error", [ConnectFailed, FirstByteTimeout])
async def test_where_no_other_target_is_left_a_slow_one_is_asked_again(error: type[LlmError]) -> None:
    clock = FakeClock()
    only = FakeProvider(error("slow"), "Hi")
    assert (await gateway(candidate("only", only, clock=clock), clock=clock).complete(REQUEST)).attempts == 2


@pytest.mark.parametrize("error", [ContentFiltered, InvalidRequest])
async def test_what_the_caller_must_change_ends_the_request_unless_the_operator_says_otherwise(
    error: type[LlmError],
) -> None:
    clock = FakeClock()
    for allowed in (frozenset[str](), frozenset({error.kind})):
        second = FakeProvider("Hi")
        chain = gateway(
            candidate(
                "first", failing(lambda: error("no", source="provider")), clock=clock, priority=2, fallback_on=allowed
            ),
            candidate("second", second, clock=clock),
            clock=clock,
        )
        if allowed:
            assert (await chain.complete(REQUEST)).text == "Hi"
        else:
            with pytest.raises(error):
                await chain.complete(REQUEST)
            assert second.requests == []


async def test_a_fallback_with_a_narrower_api_is_followed_by_the_next() -> None:
    clock = FakeClock()
    narrow = failing(lambda: InvalidRequest("no assistant message at the end", source="provider"))
    chain = gateway(
        candidate("first", failing(lambda: ProviderFailure("broken")), clock=clock, priority=3),
        candidate("narrow", narrow, clock=clock, priority=2),
        candidate("third", FakeProvider("Hi"), clock=clock, priority=1),
        clock=clock,
    )
    response = await chain.complete(REQUEST)
    assert response.text == "Hi"
    assert len(narrow.requests) == 1


async def test_when_all_fail_the_error_says_what_was_tried_with_each() -> None:
    clock = FakeClock()
    chain = gateway(
        candidate("first", failing(lambda: RateLimited("slow", retry_after_s=500.0)), clock=clock, priority=3),
        candidate("second", failing(lambda: ProviderFailure("broken")), clock=clock, priority=2),
        candidate("third", failing(lambda: UnsupportedFeature("no tools")), clock=clock, priority=1),
        clock=clock,
    )
    with pytest.raises(AllTargetsFailed, match="first: rate_limited; second: provider_failure") as caught:
        await chain.complete(REQUEST)
    error = caught.value
    assert [attempt.target for attempt in error.attempts] == ["first", "second", "second", "second"]
    assert error.skipped == [Skip("third", "no tools")]
    assert error.should_retry
    assert error.retry_after_s == 500.0


async def test_when_every_target_says_that_the_request_is_wrong_the_first_of_them_is_believed() -> None:
    clock = FakeClock()
    chain = gateway(
        candidate("first", failing(lambda: ContextWindowExceeded("200,001 tokens")), clock=clock, priority=2),
        candidate("second", failing(lambda: ContextWindowExceeded("8,193 tokens")), clock=clock, priority=1),
        clock=clock,
    )
    with pytest.raises(ContextWindowExceeded, match="200,001"):
        await chain.complete(REQUEST)


# -- shared limits ------------------------------------------------------------------------------------------------------


async def test_one_limit_holds_for_repeats_and_targets_and_leaves_a_send_for_each_target() -> None:
    clock = FakeClock()
    providers = [failing(lambda: ProviderFailure("broken")) for _ in range(4)]
    chain = gateway(
        *(candidate(f"t{number}", each, clock=clock, priority=-number) for number, each in enumerate(providers)),
        clock=clock,
    )
    with pytest.raises(AllTargetsFailed) as caught:
        await chain.complete(REQUEST)
    assert [len(each.requests) for each in providers] == [3, 1, 1, 1]
    assert len(caught.value.attempts) == 6


async def test_of_two_targets_each_is_asked_as_often_as_its_policy_says() -> None:
    clock = FakeClock()
    providers = [failing(lambda: ProviderFailure("broken")) for _ in range(2)]
    chain = gateway(
        *(candidate(f"t{number}", each, clock=clock, priority=-number) for number, each in enumerate(providers)),
        clock=clock,
    )
    with pytest.raises(AllTargetsFailed):
        await chain.complete(REQUEST)
    assert [len(each.requests) for each in providers] == [3, 3]


async def test_the_attempt_limit_of_a_request_holds_over_all_targets() -> None:
    clock = FakeClock()
    providers = [failing(lambda: ProviderFailure("broken")) for _ in range(4)]
    chain = gateway(
        *(candidate(f"t{number}", each, clock=clock, priority=-number) for number, each in enumerate(providers)),
        clock=clock,
        max_attempts=4,
    )
    with pytest.raises(AllTargetsFailed) as caught:
        await chain.complete(REQUEST)
    assert len(caught.value.attempts) == 4


async def test_a_silent_target_leaves_time_for_the_others() -> None:
    clock = FakeClock()
    silent = Silent()
    quick = Timeouts(attempt_s=30.0, deadline_s=0.2)
    chain = gateway(
        candidate("silent", silent, clock=clock, priority=2, timeouts=quick),
        candidate("second", FakeProvider("Hi"), clock=clock, timeouts=quick),
        clock=clock,
    )
    response = await chain.complete(REQUEST)
    assert (response.text, response.failed_attempts[0].error) == ("Hi", "first_byte_timeout")
    assert silent.cancelled == 1


async def test_the_deadline_ends_the_last_attempt() -> None:
    clock = FakeClock()
    only = candidate("silent", Silent(), clock=clock, timeouts=Timeouts(attempt_s=30.0, deadline_s=0.02))
    with pytest.raises(DeadlineExceeded, match="deadline_seconds"):
        await gateway(only, clock=clock).complete(REQUEST)


async def test_after_the_deadline_no_target_is_asked_any_more() -> None:
    clock = FakeClock()

    class Ages(FakeProvider):
        async def complete_chat(self, request: ChatRequest) -> ChatResponse:
            clock.advance(130.0)
            return await super().complete_chat(request)

    second = FakeProvider("late")
    chain = gateway(
        candidate("ages", Ages(ConnectFailed("down")), clock=clock, priority=2),
        candidate("second", second, clock=clock),
        clock=clock,
    )
    with pytest.raises(DeadlineExceeded) as caught:
        await chain.complete(REQUEST)
    assert second.requests == []
    assert [attempt.error for attempt in caught.value.attempts] == ["connect_failed"]


async def test_a_retry_after_longer_than_the_queue_may_be_goes_to_the_next_target_at_once() -> None:
    clock = FakeClock()
    first = failing(lambda: RateLimited("slow", retry_after_s=6.0))
    chain = gateway(
        candidate("first", first, clock=clock, priority=2),
        candidate("second", FakeProvider("Hi"), clock=clock),
        clock=clock,
    )
    assert (await chain.complete(REQUEST)).provider == "second"
    assert (len(first.requests), clock.slept) == (1, [])


async def test_a_short_retry_after_is_waited_for() -> None:
    clock = FakeClock()
    first = FakeProvider(RateLimited("slow", retry_after_s=1.0), "Hi")
    chain = gateway(
        candidate("first", first, clock=clock, priority=2),
        candidate("second", FakeProvider("no"), clock=clock),
        clock=clock,
    )
    assert (await chain.complete(REQUEST)).provider == "first"
    assert clock.slept == [1.0]


# -- keys ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Authentication, QuotaExhausted, RateLimited])
async def test_a_refused_key_is_followed_by_the_next_without_a_wait_and_rests(error: type[ProviderError]) -> None:
    clock = FakeClock()
    bad, good = failing(lambda: error("no")), FakeProvider("Hi", "Hi", "Hi")
    chain = gateway(candidate("two", bad, good, clock=clock), clock=clock)
    response = await chain.complete(REQUEST)
    assert (response.attempts, response.failed_attempts[0].key, clock.slept) == (2, 1, [])
    for _ in range(2):
        assert (await chain.complete(REQUEST)).attempts == 1
    assert len(bad.requests) == 1


async def test_every_key_is_tried_however_few_repeats_are_allowed() -> None:
    clock = FakeClock()
    keys = [failing(lambda: Authentication("no")) for _ in range(4)]
    good = FakeProvider("Hi")
    only = candidate("many", *keys, good, clock=clock, retry=RetryPolicy(max_attempts=1))
    assert (await gateway(only, clock=clock).complete(REQUEST)).attempts == 5


async def test_keys_take_turns() -> None:
    clock = FakeClock()
    keys = [FakeProvider("Hi", "Hi") for _ in range(3)]
    chain = gateway(candidate("many", *keys, clock=clock), clock=clock)
    for _ in range(6):
        await chain.complete(REQUEST)
    assert [len(each.requests) for each in keys] == [2, 2, 2]


# -- breakers -----------------------------------------------------------------------------------------------------------


async def test_an_open_breaker_is_passed_over_without_a_send_and_tried_when_nobody_else_can_answer() -> None:
    clock, records = FakeClock(), Records()
    first = failing(lambda: ProviderFailure("broken"))
    second = FakeProvider("Hi", *(ProviderFailure("broken") for _ in range(9)))
    policy = BreakerPolicy(failure_threshold=3, cooldown_s=1000.0)
    chain = gateway(
        candidate("first", first, clock=clock, priority=2, breaker=policy, observers=[records]),
        candidate("second", second, clock=clock, breaker=policy, observers=[records]),
        clock=clock,
    )
    assert (await chain.complete(REQUEST)).attempts == 4
    assert records.changes == [("first", "open")]
    with pytest.raises(AllTargetsFailed) as caught:
        await chain.complete(REQUEST)
    assert [attempt.target for attempt in caught.value.attempts] == ["second"] * 3 + ["first"] * 3
    assert records.changes[:4] == [("first", "open"), ("second", "open"), ("first", "half_open"), ("first", "open")]


async def test_when_all_are_open_the_one_that_opened_first_is_tried() -> None:
    clock = FakeClock()
    policy = BreakerPolicy(failure_threshold=1, cooldown_s=1000.0)
    chosen = [
        candidate(name, FakeProvider("Hi"), clock=clock, priority=-number, breaker=policy)
        for number, name in enumerate("abc")
    ]
    for each, opened_at in zip(chosen, (3.0, 1.0, 2.0), strict=True):
        each.state.breaker.failed(opened_at, trial=0)
    response = await gateway(*chosen, clock=clock).complete(REQUEST)
    assert response.provider == "b"
    assert {skip.target for skip in response.skipped} == {"a", "c"}


@pytest.mark.parametrize("error", [InvalidRequest, ContentFiltered, ContextWindowExceeded])
async def test_the_callers_own_mistakes_never_open_a_breaker(error: type[LlmError]) -> None:
    clock = FakeClock()
    only = candidate(
        "only",
        failing(lambda: error("no", source="provider"), 30),
        clock=clock,
        breaker=BreakerPolicy(failure_threshold=1),
    )
    for _ in range(20):
        with pytest.raises(error):
            await gateway(only, clock=clock).complete(REQUEST)
    assert only.state.breaker.state == "closed"


# -- fitting ------------------------------------------------------------------------------------------------------------


async def test_a_fallback_that_lacks_a_feature_is_passed_over_with_the_reason() -> None:
    clock = FakeClock()
    info = ModelInfo(id="m", provider="fake", capabilities=Capabilities(tools=False))
    plain = FakeProvider("no tools")
    chain = gateway(
        candidate("first", failing(lambda: ConnectFailed("down")), clock=clock, priority=3),
        candidate("plain", plain, clock=clock, priority=2, describe=lambda _model: info),
        candidate("third", FakeProvider("Hi"), clock=clock, priority=1),
        clock=clock,
    )
    response = await chain.complete(ChatRequest(messages=REQUEST.messages, tools=[TOOL]))
    assert (response.provider, response.skipped) == ("third", [Skip("plain", "m takes no tools")])
    assert plain.requests == []


async def test_a_fallback_with_a_smaller_window_gets_a_shorter_conversation_and_the_caller_is_told() -> None:
    clock = FakeClock()
    small = FakeProvider("Hi")
    info = ModelInfo(id="small", provider="fake", context_window=400)
    chain = gateway(
        candidate("first", failing(lambda: ConnectFailed("down")), clock=clock, priority=2),
        candidate("small", small, clock=clock, describe=lambda _model: info, model="small"),
        clock=clock,
    )
    turns = [Message(role="user" if each % 2 == 0 else "assistant", content="word " * 50) for each in range(20)]
    messages = [Message(role="system", content="Be brief."), *turns, Message(role="user", content="And now?")]
    response = await chain.complete(ChatRequest(messages=messages))
    sent = small.requests[0].messages
    assert (sent[0].content, sent[-1].content) == ("Be brief.", "And now?")
    assert len(sent) < len(messages)
    assert any("left out to fit 400 tokens of small" in warning for warning in response.warnings)


# -- pacing, hedging, the last resort -----------------------------------------------------------------------------------


async def test_a_target_whose_turn_is_far_away_is_asked_only_when_nobody_else_can_answer() -> None:
    clock = FakeClock()
    limited = candidate(
        "limited", FakeProvider("one", "two"), clock=clock, priority=2, limits=TargetLimits(requests_per_minute=1)
    )
    second = FakeProvider("Hi")
    chain = gateway(limited, candidate("second", second, clock=clock), clock=clock)
    assert (await chain.complete(REQUEST)).provider == "limited"
    assert (await chain.complete(REQUEST)).provider == "second"
    clock.advance(60.0)
    assert (await chain.complete(REQUEST)).provider == "limited"


async def test_a_second_target_is_asked_while_the_first_is_slow_and_the_loser_is_cancelled() -> None:
    clock, records = FakeClock(), Records()
    silent, second = Silent(), FakeProvider("Hi")
    chain = gateway(
        candidate("silent", silent, clock=clock, priority=2),
        candidate("second", second, clock=clock),
        clock=clock,
        observers=[records],
        hedging=HedgePolicy(enabled=True, after_s=0.0, max_share=1.0),
    )
    response = await chain.complete(REQUEST)
    await let_go()
    assert (response.provider, silent.cancelled, records.hedges) == ("second", 1, [("second", True)])
    assert response.attempts == 2
    assert [attempt.error for attempt in response.failed_attempts] == ["cancelled"]


async def test_hedges_are_limited_to_their_share_of_the_requests() -> None:
    clock, records = FakeClock(), Records()
    chain = gateway(
        candidate(
            "slow",
            Silent(),
            clock=clock,
            priority=2,
            timeouts=Timeouts(attempt_s=0.01),
            breaker=BreakerPolicy(enabled=False),
        ),
        candidate("second", FakeProvider(*(["Hi"] * 40)), clock=clock),
        clock=clock,
        observers=[records],
        hedging=HedgePolicy(enabled=True, after_s=0.0, max_share=0.1),
    )
    for _ in range(40):
        await chain.complete(REQUEST)
    assert len(records.hedges) == 4


async def test_a_hedge_whose_first_target_fails_waits_for_the_second() -> None:
    clock = FakeClock()
    chain = gateway(
        candidate("slow", Silent(), clock=clock, priority=2, timeouts=Timeouts(attempt_s=0.02)),
        candidate("second", FakeProvider(ProviderFailure("no"), "Hi"), clock=clock),
        clock=clock,
        hedging=HedgePolicy(enabled=True, after_s=0.0, max_share=1.0),
    )
    assert (await chain.complete(REQUEST)).text == "Hi"


async def test_the_last_resort_is_the_operators_own_message_and_marked() -> None:
    clock, records = FakeClock(), Records()
    only = candidate("only", failing(lambda: ProviderFailure("broken")), clock=clock)
    chain = gateway(only, clock=clock, observers=[records], degraded_message="Please try again later.")
    response = await chain.complete(REQUEST)
    assert (response.text, response.degraded, response.provider) == ("Please try again later.", True, "degraded")
    assert response.attempts == 3
    async with chain.stream(REQUEST) as stream:
        text = "".join([chunk.text async for chunk in stream])
    assert (text, stream.degraded, stream.provider) == ("Please try again later.", True, "degraded")
    assert [record.status for record in records.finished_records] == ["error", "error"]


async def test_the_callers_own_mistake_gets_no_last_resort() -> None:
    clock = FakeClock()
    only = candidate("only", failing(lambda: InvalidRequest("no", source="provider")), clock=clock)
    with pytest.raises(InvalidRequest):
        await gateway(only, clock=clock, degraded_message="Later.").complete(REQUEST)


# -- laws ---------------------------------------------------------------------------------------------------------------

_ERRORS = st.sampled_from(
    [
        lambda: RateLimited("slow", retry_after_s=0.5),
        lambda: Overloaded("busy"),
        lambda: ProviderFailure("broken"),
        lambda: ConnectFailed("down"),
        lambda: Authentication("no"),
        lambda: ContextWindowExceeded("long"),
        lambda: InvalidRequest("no", source="provider"),
        lambda: InvalidRequest("no"),
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(_ERRORS, max_size=6), min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 3))
def test_attempts_stay_within_their_limit_targets_come_once_and_no_wait_is_below_a_retry_after(
    scripts: list[list[Callable[[], LlmError]]], max_attempts: int, keys: int
) -> None:
    async def run() -> None:
        clock = FakeClock()
        retry = RetryPolicy(max_attempts=max_attempts)
        chosen = []
        for number, script in enumerate(scripts):
            providers = [FakeProvider(*(error() for error in script), *(["Hi"] * 20)) for _ in range(keys)]
            chosen.append(candidate(f"t{number}", *providers, clock=clock, priority=-number, retry=retry))
        try:
            answer = await gateway(*chosen, clock=clock).complete(REQUEST)
            failed, sends = answer.failed_attempts, answer.attempts
        except LlmError as error:
            failed, sends = error.attempts, len(error.attempts)
        assert sends <= len(scripts) * keys * max_attempts
        assert sends <= max(6, len(scripts) * keys)
        order = [attempt.target for attempt in failed]
        assert order == sorted(order)  # a target that was left is never asked again
        for earlier, later in pairwise(failed):
            limited = earlier.error == "rate_limited" and (earlier.target, earlier.key) == (later.target, later.key)
            assert not limited or later.started - earlier.started >= 0.5

    asyncio.run(run())


# -- what is shared by targets and keys ---------------------------------------------------------------------------------


async def test_a_stand_in_gets_a_fitting_request_also_when_the_first_is_passed_over_for_its_breaker() -> None:
    clock = FakeClock()
    small = FakeProvider("Hi")
    info = ModelInfo(id="small", provider="fake", context_window=400)
    first = candidate(
        "first",
        FakeProvider("no"),
        clock=clock,
        priority=2,
        breaker=BreakerPolicy(failure_threshold=1, cooldown_s=99.0),
    )
    first.state.breaker.failed(0.0, trial=0)
    chain = gateway(first, candidate("small", small, clock=clock, describe=lambda _model: info), clock=clock)
    turns = [Message(role="user" if each % 2 == 0 else "assistant", content="word " * 50) for each in range(21)]
    response = await chain.complete(ChatRequest(messages=turns))
    assert response.provider == "small"
    assert len(small.requests[0].messages) < len(turns)


async def test_keys_leave_one_send_for_every_target_that_is_still_to_come() -> None:
    clock = FakeClock()
    bad = [failing(lambda: Authentication("no")) for _ in range(5)]
    healthy = FakeProvider("Hi")
    chain = gateway(
        candidate("keys", *bad, clock=clock, priority=2),
        candidate("healthy", healthy, clock=clock),
        clock=clock,
        max_attempts=2,
    )
    response = await chain.complete(REQUEST)
    assert (response.provider, response.attempts) == ("healthy", 2)


async def test_refused_keys_do_not_open_the_breaker_of_a_target_that_has_a_good_one() -> None:
    clock = FakeClock()
    bad = [failing(lambda: Authentication("no")) for _ in range(5)]
    only = candidate("keys", *bad, FakeProvider("Hi"), clock=clock, breaker=BreakerPolicy(failure_threshold=3))
    assert (await gateway(only, clock=clock).complete(REQUEST)).text == "Hi"
    assert (only.state.breaker.state, only.state.failures) == ("closed", 0)


async def test_the_only_key_that_is_refused_is_the_targets_failure() -> None:
    clock = FakeClock()
    only = candidate(
        "key", failing(lambda: Authentication("no")), clock=clock, breaker=BreakerPolicy(failure_threshold=1)
    )
    with pytest.raises(Authentication):
        await gateway(only, clock=clock).complete(REQUEST)
    assert only.state.breaker.state == "open"


async def test_what_a_provider_must_not_raise_is_a_failure_like_any_other_and_not_repeated_in_words() -> None:
    clock = FakeClock()

    class Broken(FakeProvider):
        async def complete_chat(self, request: ChatRequest) -> ChatResponse:
            raise ValueError(request.messages[0].content)

    chain = gateway(
        candidate("broken", Broken("x"), clock=clock, priority=2, retry=RetryPolicy(max_attempts=1)),
        candidate("second", FakeProvider("Hi"), clock=clock),
        clock=clock,
    )
    response = await chain.complete(REQUEST)
    assert (response.provider, response.failed_attempts[0].error) == ("second", "provider_failure")


async def test_a_hedge_counts_as_a_send() -> None:
    clock, records = FakeClock(), Records()
    slow = candidate("slow", Silent(), clock=clock, priority=2, timeouts=Timeouts(attempt_s=0.02))
    other = FakeProvider("Hi")
    chain = gateway(
        slow,
        candidate("other", other, clock=clock),
        clock=clock,
        observers=[records],
        max_attempts=1,
        hedging=HedgePolicy(enabled=True, after_s=0.0, max_share=1.0),
    )
    with pytest.raises(FirstByteTimeout):
        await chain.complete(REQUEST)
    assert (other.requests, records.hedges) == ([], [])


async def test_no_hedge_goes_to_a_target_whose_breaker_is_open() -> None:
    clock, records = FakeClock(), Records()
    resting = candidate(
        "resting", FakeProvider("Hi"), clock=clock, breaker=BreakerPolicy(failure_threshold=1, cooldown_s=99.0)
    )
    resting.state.breaker.failed(0.0, trial=0)
    chain = gateway(
        candidate("slow", Silent(), clock=clock, priority=2, timeouts=Timeouts(attempt_s=0.02)),
        resting,
        clock=clock,
        observers=[records],
        hedging=HedgePolicy(enabled=True, after_s=0.0, max_share=1.0),
    )
    response = await chain.complete(REQUEST)  # the last resort after the first has failed
    assert (response.provider, records.hedges) == ("resting", [])


async def test_a_target_that_asked_for_a_wait_is_asked_again_when_nobody_else_could_answer() -> None:
    clock = FakeClock()
    first = FakeProvider(RateLimited("slow"), "Hi")
    chain = gateway(
        candidate(
            "first",
            first,
            clock=clock,
            priority=2,
            limits=TargetLimits(max_queue_ms=0.0),
            retry=RetryPolicy(max_attempts=2),
        ),
        candidate("second", failing(lambda: ConnectFailed("down")), clock=clock, retry=RetryPolicy(max_attempts=1)),
        clock=clock,
    )
    response = await chain.complete(REQUEST)
    assert (response.provider, [attempt.target for attempt in response.failed_attempts]) == (
        "first",
        ["first", "second"],
    )


async def test_too_little_time_for_the_usual_answer_is_no_failure_of_the_target() -> None:
    clock = FakeClock()
    limits = Timeouts(attempt_s=30.0, deadline_s=0.04)
    slow = candidate(
        "slow", Silent(), clock=clock, priority=2, timeouts=limits, breaker=BreakerPolicy(failure_threshold=1)
    )
    slow.state.whole.add(5.0)
    chain = gateway(slow, candidate("second", FakeProvider("Hi"), clock=clock, timeouts=limits), clock=clock)
    assert (await chain.complete(REQUEST)).provider == "second"
    assert slow.state.breaker.state == "closed"


async def test_a_round_robin_counts_the_requests_of_each_name_by_itself() -> None:
    clock = FakeClock()
    chosen = [candidate(name, FakeProvider(*(["Hi"] * 8)), clock=clock) for name in "ab"]
    chain = gateway(*chosen, clock=clock, strategy="round_robin")
    asked = []
    for _ in range(4):
        asked.append((await chain.complete(REQUEST)).provider)
        await chain.complete(ChatRequest(model="a", messages=REQUEST.messages))
    assert asked == ["a", "b", "a", "b"]
