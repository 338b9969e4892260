"""A second provider is asked while the first is slow: who answers, and what becomes of the other request."""

import pytest

from fakes import FakeOpenAI
from faults.fault_gateway import assert_answered_by, fault_gateway
from faults.laboratory import Laboratory

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEDGING = {"hedge_after_ms": 50, "max_share": 1.0}


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
async def test_the_second_answers_for_a_silent_first_whose_request_is_ended_at_once(
    lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    async with fault_gateway(lab, second, hedging=HEDGING) as gateway:
        told = await gateway.ask("silent", package=package, streams=streams)
        assert_answered_by("second", told, attempts=2, asked="silent", streams=streams)
        await lab.wait_all_closed_by_client()


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
async def test_a_first_provider_that_answers_in_time_is_the_only_one_asked(
    lab: Laboratory, second: FakeOpenAI, package: str, streams: bool
) -> None:
    async with fault_gateway(lab, second, hedging={"hedge_after_ms": 5000, "max_share": 1.0}) as gateway:
        told = await gateway.ask("healthy", package=package, streams=streams)
        assert_answered_by("first", told, attempts=1, asked="healthy", streams=streams)
    assert second.requests == []
