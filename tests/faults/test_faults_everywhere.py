"""When no target can answer: one error that tells of every attempt, never an answer that only looks whole."""

import re

import pytest

from chat_clients import problem_of
from fakes import FakeOpenAI
from faults.fault_gateway import FaultGateway, fault_gateway, target_attempts
from faults.laboratory import ALWAYS_FAILING, Laboratory

pytestmark = pytest.mark.asyncio(loop_scope="module")

both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])

FIRST_KINDS = {
    "rate-limited": "rate_limited",
    "unavailable": "overloaded",
    "silent": "first_byte_timeout",
    "late": "first_byte_timeout",
    "too-long": "context_window_exceeded",
    "bad-key": "authentication",
    "no-quota": "quota_exhausted",
}
"""What the attempts at `first` are called."""
ENDS = re.compile(r'\[DONE\]|"finish_reason": ?"(stop|length)"|message_stop|"stop_reason": ?"')


@both_ways
async def test_an_error_tells_of_the_attempts_at_both_targets(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    second.fail("provider_failure", times=None)
    error = await gateway.error_of("unavailable", package=package, streams=streams)
    problem = problem_of(error)
    assert (error.status_code, problem["kind"], problem["source"]) == (502, "all_targets_failed", "provider")
    tried = target_attempts(error)
    assert lab.asked_for["unavailable"] == 3
    assert len(second.requests) > 0
    assert tried == [("first", "overloaded")] * 3 + [("second", "provider_failure")] * len(second.requests)
    assert error.response.headers["x-caxton-attempts"] == str(len(tried))


@both_ways
async def test_a_target_that_is_not_there_is_among_the_attempts(
    gateway: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    await second.refuse_connections()
    try:
        error = await gateway.error_of("unavailable", package=package, streams=streams)
    finally:
        await second.accept_connections()
    assert (error.status_code, problem_of(error)["kind"]) == (502, "all_targets_failed")
    tried = target_attempts(error)
    assert tried[:3] == [("first", "overloaded")] * 3
    assert set(tried[3:]) == {("second", "connect_failed")}
    assert error.response.headers["x-caxton-attempts"] == str(len(tried))


@both_ways
@pytest.mark.parametrize("model", FIRST_KINDS)
async def test_every_failure_of_the_first_target_has_its_own_name_among_the_attempts(
    impatient: FaultGateway, lab: Laboratory, second: FakeOpenAI, model: str, streams: bool
) -> None:
    lab.retry_after_s = 0.05
    second.fail("overloaded", times=None)
    error = await impatient.error_of(model, streams=streams)
    assert (error.status_code, problem_of(error)["kind"]) == (502, "all_targets_failed")
    tried = target_attempts(error)
    assert {kind for target, kind in tried if target == "first"} == {FIRST_KINDS[model]}
    assert [target for target, _ in tried].count("first") == lab.asked_for[model]
    assert [target for target, _ in tried].count("second") == len(second.requests)


@both_ways
@pytest.mark.parametrize("model", ALWAYS_FAILING)
async def test_no_failure_ever_looks_like_a_whole_answer(
    impatient: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, model: str, streams: bool
) -> None:
    lab.retry_after_s = 0.05
    second.fail("overloaded", times=None)
    path = "/v1/chat/completions" if package == "openai" else "/v1/messages"
    body = {
        "model": model,
        "max_tokens": 500,
        "stream": streams,
        "messages": [{"role": "user", "content": "hello there"}],
    }
    response = await impatient.http.post(path, json=body)
    assert response.status_code >= 400 or streams
    assert '"error"' in response.text
    assert ENDS.search(response.text) is None


@both_ways
async def test_the_only_target_that_was_tried_tells_its_own_error(lab: Laboratory, package: str, streams: bool) -> None:
    async with fault_gateway(lab, None) as running:
        error = await running.error_of("unavailable", package=package, streams=streams)
    assert (error.status_code, problem_of(error)["kind"]) == (503, "overloaded")
    assert problem_of(error)["provider"] == "first"
    assert target_attempts(error) == [("first", "overloaded")] * 3
    assert error.response.headers["x-caxton-attempts"] == "3"


@both_ways
async def test_silence_is_asked_again_when_there_is_nobody_else(lab: Laboratory, package: str, streams: bool) -> None:
    async with fault_gateway(lab, None, patience_s=0.3) as running:
        error = await running.error_of("silent", package=package, streams=streams)
    assert (error.status_code, problem_of(error)["kind"]) == (502, "first_byte_timeout")
    assert lab.asked_for == {"silent": 3}
