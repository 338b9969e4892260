"""Three providers of equal priority under load, one of which dies and comes back. Shares are what the providers counted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest

from fakes.http_server import Json
from faults.laboratory import KEYS, TEXT, Laboratory
from live_gateway import QUICK_RETRIES, gateway_with

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

NAMES = ("a", "b", "c")
REQUESTS, CONCURRENCY = 1000, 50
DIES_AT, RETURNS_AT = 200, 500
THRESHOLD = 5
LIMIT_S = 100.0
BODY = {"model": "default", "messages": [{"role": "user", "content": "hello there"}]}

Switch = Callable[[Laboratory], Awaitable[None]]


async def answers_503(lab: Laboratory) -> None:
    lab.up = False


async def answers_again(lab: Laboratory) -> None:
    lab.up = True


async def closes_its_port(lab: Laboratory) -> None:
    await lab.refuse_connections()


async def opens_its_port(lab: Laboratory) -> None:
    await lab.accept_connections()


DEATHS = [
    pytest.param(answers_503, answers_again, id="answers 503"),
    pytest.param(closes_its_port, opens_its_port, id="is gone"),
]


@dataclass
class Load:
    """What came of the requests: who answered, what went wrong, and how many attempts it took."""

    answers: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    attempts: int = 0


@contextlib.asynccontextmanager
async def three_labs(**breaker: Json) -> AsyncIterator[tuple[list[Laboratory], str]]:
    """Three laboratories whose model `flaps` answers as long as they are up, and the URL of the gateway before them."""
    async with contextlib.AsyncExitStack() as stack:
        labs = [await stack.enter_async_context(Laboratory()) for _ in NAMES]
        shared = {"provider": "openai", "api_key": KEYS[0], "model": "flaps", "priority": 100}
        entries = [{"name": name, "base_url": lab.base_url, **shared} for name, lab in zip(NAMES, labs, strict=True)]
        llm = {
            "providers": entries,
            "fallback_strategy": "priority",
            "retry_policy": QUICK_RETRIES,
            "deadline_seconds": 30,
            "circuit_breaker": {"failure_threshold": THRESHOLD, "half_open_requests": 1, **breaker},
        }
        running = await stack.enter_async_context(gateway_with({"llm": llm}))
        yield labs, running.url


async def asked(url: str, load: Load, *, first: int, last: int, streams: bool = False) -> None:
    """The requests with these numbers, `CONCURRENCY` at a time."""

    async def ask_on(http: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        for _ in numbers:
            async with http.post(f"{url}/v1/chat/completions", json={**BODY, "stream": streams}) as response:
                text = await response.text()
            words = " ".join(piece for piece in text.replace('"', " ").split() if piece.startswith("word"))
            if response.status != 200 or words != TEXT or (streams and not text.endswith("data: [DONE]\n\n")):
                load.problems.append(f"{response.status} {text[:300]}")
                continue
            load.answers.append(response.headers["x-caxton-provider"])
            load.attempts += int(response.headers["x-caxton-attempts"])

    numbers = iter(range(first, last))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await asyncio.gather(*(ask_on(http, numbers) for _ in range(CONCURRENCY)))


def counted(labs: Sequence[Laboratory]) -> list[int]:
    """How many requests each provider has answered."""
    return [lab.asked_for["flaps"] - lab.asked_while_down for lab in labs]


def since(labs: Sequence[Laboratory], before: Sequence[int]) -> list[int]:
    return [now - then for now, then in zip(counted(labs), before, strict=True)]


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("die", "come_back"), DEATHS)
async def test_no_request_fails_when_one_of_three_dies_and_comes_back(
    die: Switch, come_back: Switch, streams: bool
) -> None:
    async with three_labs(cooldown_seconds=0.02, ramp_seconds=0.05) as (labs, url), asyncio.timeout(LIMIT_S):
        load = Load()
        await asked(url, load, first=0, last=DIES_AT, streams=streams)
        alive = counted(labs)
        await die(labs[0])
        await asked(url, load, first=DIES_AT, last=RETURNS_AT, streams=streams)
        dead = since(labs, alive)
        alive = counted(labs)
        await come_back(labs[0])
        await asked(url, load, first=RETURNS_AT, last=REQUESTS, streams=streams)
        back = since(labs, alive)
    assert load.problems == []
    assert len(load.answers) == REQUESTS
    assert [load.answers.count(name) for name in NAMES] == counted(labs)
    assert dead[0] == 0
    assert sum(dead) == RETURNS_AT - DIES_AT
    assert min(dead[1:]) > 0
    assert min(back) > (REQUESTS - RETURNS_AT) // 10


async def test_a_request_under_way_when_its_provider_dies_is_answered_by_another() -> None:
    async with three_labs(cooldown_seconds=0.02, ramp_seconds=0.05) as (labs, url), asyncio.timeout(LIMIT_S):
        load = Load()
        running = asyncio.create_task(asked(url, load, first=0, last=REQUESTS))
        await labs[0].wait_for_requests(DIES_AT // len(NAMES), timeout=LIMIT_S)
        await labs[0].refuse_connections()
        await labs[1].wait_for_requests(RETURNS_AT // len(NAMES), timeout=LIMIT_S)
        await labs[0].accept_connections()
        await running
    assert load.problems == []
    assert len(load.answers) == REQUESTS


async def test_an_open_breaker_lets_nothing_through() -> None:
    async with three_labs(cooldown_seconds=LIMIT_S, ramp_seconds=1) as (labs, url), asyncio.timeout(LIMIT_S):
        load = Load()
        await asked(url, load, first=0, last=DIES_AT)
        labs[0].up = False
        await asked(url, load, first=DIES_AT, last=REQUESTS)
    assert load.problems == []
    assert THRESHOLD <= labs[0].asked_while_down <= THRESHOLD + CONCURRENCY
    assert load.attempts == sum(lab.asked_for["flaps"] for lab in labs)


async def test_a_provider_that_is_back_gets_a_small_share_first() -> None:
    """The ramp is longer than the test, so all that comes after the return is at its beginning."""
    async with three_labs(cooldown_seconds=0.02, ramp_seconds=10 * LIMIT_S) as (labs, url), asyncio.timeout(LIMIT_S):
        load = Load()
        labs[0].up = False
        await asked(url, load, first=0, last=RETURNS_AT)
        labs[0].up = True
        alive = counted(labs)
        await asked(url, load, first=RETURNS_AT, last=REQUESTS)
        returned, *others = since(labs, alive)
    assert load.problems == []
    assert 0 < returned < min(others) / 2


async def test_three_providers_of_equal_priority_share_the_requests() -> None:
    async with three_labs() as (labs, url), asyncio.timeout(LIMIT_S):
        load = Load()
        await asked(url, load, first=0, last=600)
    assert load.problems == []
    assert min(counted(labs)) > 600 // 5
    assert load.attempts == 600
