"""A provider that goes down and comes back under load, again and again: no request fails, and every send is accounted for."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from chat_clients import Told
from fakes import FakeOpenAI
from fakes.http_server import Json
from faults.fault_gateway import FaultGateway, assert_answered_by, fault_gateway
from faults.laboratory import Laboratory

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS, CONCURRENCY, FLIP_EVERY = 200, 20, 25
QUICK_BREAKER = {"failure_threshold": 3, "cooldown_seconds": 0.02, "half_open_requests": 1, "ramp_seconds": 0.05}
LIMIT_S = 50.0


async def asked_while_flapping(gateway: FaultGateway, lab: Laboratory, *, streams: bool) -> list[Told]:
    """So many requests, so many at a time; the switch is thrown by their number, so no time has to pass."""

    def numbers() -> Iterator[int]:
        for number in range(REQUESTS):
            if number and number % FLIP_EVERY == 0:
                lab.up = not lab.up
            yield number

    told: list[Told] = []

    async def ask_on(left: Iterator[int]) -> None:
        for _ in left:
            told.append(await gateway.ask("flaps", streams=streams))

    shared = numbers()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(ask_on(shared) for _ in range(CONCURRENCY)))
    return told


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("breaker", [{"enabled": False}, QUICK_BREAKER], ids=["no breaker", "breaker"])
async def test_no_request_fails_while_a_target_goes_down_and_comes_back(
    lab: Laboratory, second: FakeOpenAI, breaker: dict[str, Json], streams: bool
) -> None:
    async with fault_gateway(lab, second, circuit_breaker=breaker) as running:
        told = await asked_while_flapping(running, lab, streams=streams)
    assert len(told) == REQUESTS
    for one in told:
        attempts = int(one.headers["x-caxton-attempts"])
        target = one.headers["x-caxton-provider"]
        assert_answered_by(target, one, attempts=attempts, asked="flaps", streams=streams)
    answered = Counter(one.headers["x-caxton-provider"] for one in told)
    assert answered["second"] == len(second.requests)
    assert answered["first"] == lab.asked_for["flaps"] - lab.asked_while_down
    assert lab.asked_while_down > 0
    assert min(answered["first"], answered["second"]) > 0
    sends = sum(int(one.headers["x-caxton-attempts"]) for one in told)
    assert sends == lab.asked_for["flaps"] + len(second.requests)
