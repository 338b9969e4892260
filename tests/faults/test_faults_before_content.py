"""What goes wrong before the first content: tried again where that helps, else the next target answers, whole."""

import asyncio

import pytest

from fakes import FakeOpenAI
from faults.fault_gateway import FaultGateway, assert_answered_by, fault_gateway
from faults.laboratory import FIRST_KEY, SECOND_KEY, Laboratory

pytestmark = pytest.mark.asyncio(loop_scope="module")

both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])

REPEATED = [("healthy", 1), ("fails-once", 2), ("no-done", 1), ("refuses-prefill", 1), ("flaps", 1)]
"""Models that answer in the end, and after how many attempts."""
LEFT_AFTER_THREE = ["unavailable", "cut-early"]
"""Models that are asked as often as `retry_policy` says before the next target is."""
LEFT_AFTER_ONE = ["too-long", "bad-key", "no-quota", "bad-key-a", "no-quota-a"]
"""Models that another attempt cannot mend; the entry has one key."""


async def assert_second_answers(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, model: str, *, after: int, package: str, streams: bool
) -> None:
    told = await gateway.ask(model, package=package, streams=streams)
    assert_answered_by("second", told, attempts=after + 1, asked=model, streams=streams)
    assert lab.asked_for == {model: after}
    assert [request.json["model"] for request in second.requests] == ["gpt-4o-mini"]


@both_ways
@pytest.mark.parametrize(("model", "attempts"), REPEATED)
async def test_what_another_attempt_mends_stays_with_the_first_target(
    gateway: FaultGateway,
    lab: Laboratory,
    second: FakeOpenAI,
    package: str,
    model: str,
    attempts: int,
    streams: bool,
) -> None:
    told = await gateway.ask(model, package=package, streams=streams)
    assert_answered_by("first", told, attempts=attempts, asked=model, streams=streams)
    assert lab.asked_for == {model: attempts}
    assert second.requests == []


@both_ways
@pytest.mark.parametrize("model", LEFT_AFTER_THREE)
async def test_a_target_that_keeps_failing_is_left_after_its_attempts(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, model: str, streams: bool
) -> None:
    await assert_second_answers(gateway, lab, second, model, after=3, package=package, streams=streams)


@both_ways
@pytest.mark.parametrize("model", LEFT_AFTER_ONE)
async def test_a_refusal_that_waiting_cannot_mend_costs_one_attempt(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, model: str, streams: bool
) -> None:
    await assert_second_answers(gateway, lab, second, model, after=1, package=package, streams=streams)


@both_ways
@pytest.mark.parametrize("model", ["silent", "late"])
async def test_silence_costs_one_attempt_while_another_target_is_left(
    impatient: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, model: str, streams: bool
) -> None:
    await assert_second_answers(impatient, lab, second, model, after=1, package=package, streams=streams)
    await lab.wait_closed_by_client()


@both_ways
async def test_a_reset_connection_is_tried_again_and_then_left(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    await lab.close_idle_connections()
    await assert_second_answers(gateway, lab, second, "resets", after=3, package=package, streams=streams)


async def test_a_plain_answer_that_is_cut_is_never_handed_on(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str
) -> None:
    for model in ("cut", "cut-cleanly", "malformed"):
        lab.start_over()
        second.start_over()
        await assert_second_answers(gateway, lab, second, model, after=3, package=package, streams=False)


async def test_a_plain_answer_that_stalls_is_left_for_the_next_target(
    impatient: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str
) -> None:
    await assert_second_answers(impatient, lab, second, "stalls", after=1, package=package, streams=False)
    await lab.wait_closed_by_client()


@both_ways
async def test_a_second_is_waited_when_retry_after_says_so(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    """The laboratory refuses until the second has passed, so two attempts prove the wait."""
    told = await gateway.ask("rate-limited-once", package=package, streams=streams)
    assert_answered_by("first", told, attempts=2, asked="rate-limited-once", streams=streams)
    assert lab.asked_for == {"rate-limited-once": 2}
    assert second.requests == []


@both_ways
async def test_a_rate_limit_that_does_not_end_leads_to_the_next_target(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    lab.retry_after_s = 0.05
    await assert_second_answers(gateway, lab, second, "rate-limited", after=3, package=package, streams=streams)


@both_ways
async def test_a_wait_that_the_deadline_does_not_leave_is_not_begun(
    lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    """The gateway is its own, because the target may be left alone for as long as it said."""
    lab.retry_after_s = 60
    async with fault_gateway(lab, second) as running, asyncio.timeout(9):  # less than the deadline
        await assert_second_answers(running, lab, second, "rate-limited", after=1, package=package, streams=streams)


# -- the filter ---------------------------------------------------------------------------------------------------------


@both_ways
async def test_what_the_first_provider_refuses_to_say_no_other_is_asked_to(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    error = await gateway.error_of("filtered", package=package, streams=streams)
    problem = error.body["error"] if package == "anthropic" else error.body
    assert (error.status_code, problem["kind"], problem["source"]) == (400, "content_filtered", "provider")
    assert (problem["provider"], error.response.headers["x-caxton-attempts"]) == ("first", "1")
    assert lab.asked_for == {"filtered": 1}
    assert second.requests == []


@both_ways
async def test_another_provider_is_asked_after_a_filter_where_the_operator_wants_that(
    shared_lab: Laboratory,
    shared_second: FakeOpenAI,
    lab: Laboratory,
    second: FakeOpenAI,
    package: str,
    streams: bool,
) -> None:
    async with fault_gateway(shared_lab, shared_second, fallback_on=["content_filtered"]) as running:
        await assert_second_answers(running, lab, second, "filtered", after=1, package=package, streams=streams)


# -- keys ---------------------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("model", ["bad-key-a", "no-quota-a"])
async def test_the_next_key_of_the_same_target_is_tried_before_the_next_target(
    lab: Laboratory, second: FakeOpenAI, model: str, streams: bool
) -> None:
    async with fault_gateway(lab, second, keys=(FIRST_KEY, SECOND_KEY)) as running:
        told = await running.ask(model, streams=streams)
    assert_answered_by("first", told, attempts=2, asked=model, streams=streams)
    assert lab.keys[model] == [FIRST_KEY, SECOND_KEY]
    assert second.requests == []


@both_ways
@pytest.mark.parametrize("model", ["bad-key", "no-quota"])
async def test_the_next_target_is_asked_when_every_key_was_refused(
    lab: Laboratory, second: FakeOpenAI, model: str, streams: bool
) -> None:
    async with fault_gateway(lab, second, keys=(FIRST_KEY, SECOND_KEY)) as running:
        await assert_second_answers(running, lab, second, model, after=2, package="openai", streams=streams)
    assert lab.keys[model] == [FIRST_KEY, SECOND_KEY]


async def test_a_refused_key_is_not_the_first_choice_of_the_next_request(lab: Laboratory, second: FakeOpenAI) -> None:
    async with fault_gateway(lab, second, keys=(FIRST_KEY, SECOND_KEY)) as running:
        for _ in range(4):
            await running.ask("bad-key-a", streams=False)
    assert lab.keys["bad-key-a"] == [FIRST_KEY, SECOND_KEY, SECOND_KEY, SECOND_KEY, SECOND_KEY]
