"""Limits of a provider under concurrent callers, as the provider and the callers see them."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from caxton_llm.types import Json
from fakes import FakeOpenAI
from live_gateway import gateway_with

HELLO = {"model": "main", "messages": [{"role": "user", "content": "Hello"}]}


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


def entry(fake: FakeOpenAI, **more: Json) -> dict[str, Json]:
    return {
        "name": "main",
        "provider": "openai",
        "model": "gpt-4o",
        "api_key": fake.api_key,
        "base_url": fake.base_url,
        "priority": 1,
        **more,
    }


async def asked(url: str, count: int) -> list[httpx.Response]:
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        return await asyncio.gather(*(http.post("/v1/chat/completions", json=HELLO) for _ in range(count)))


async def test_a_configured_limit_is_never_exceeded_and_the_rest_is_told_when_to_come_back(fake: FakeOpenAI) -> None:
    limited = entry(fake, requests_per_minute=5, deadline_seconds=2)
    async with gateway_with({"llm": {"providers": [limited]}}) as gateway:
        answers = await asked(gateway.url, 30)
    assert len(fake.requests) == 5
    refused = [each for each in answers if each.status_code != 200]
    assert len(refused) == 25
    for each in refused:
        problem = each.json()["error"]
        assert (each.status_code, problem["kind"], problem["source"]) == (429, "limit_exceeded", "gateway")
        assert "requests_per_minute" in problem["message"]
        assert 30 <= int(each.headers["retry-after"]) <= 400


async def test_what_one_provider_may_not_take_goes_to_the_other_without_a_failure(fake: FakeOpenAI) -> None:
    providers = [entry(fake, requests_per_minute=5), {"name": "spare", "provider": "builtin"}]
    async with gateway_with({"llm": {"providers": providers}}) as gateway:
        answers = await asked(gateway.url, 30)
    assert [each.status_code for each in answers] == [200] * 30
    assert len(fake.requests) == 5


async def test_what_the_headers_say_is_left_is_not_exceeded(fake: FakeOpenAI) -> None:
    headers = {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "50s",
    }
    fake.reply("Hi", headers=headers)
    providers = [entry(fake), {"name": "spare", "provider": "builtin"}]
    async with gateway_with({"llm": {"providers": providers}}) as gateway:
        await asked(gateway.url, 1)
        answers = await asked(gateway.url, 20)
    assert [each.status_code for each in answers] == [200] * 20
    assert len(fake.requests) == 3


async def test_no_more_than_max_concurrency_are_under_way_and_all_are_served_in_the_end(fake: FakeOpenAI) -> None:
    held = fake.reply("Hi", times=None).hold()
    async with gateway_with({"llm": {"providers": [entry(fake, max_concurrency=3)]}}) as gateway:
        asking = asyncio.ensure_future(asked(gateway.url, 12))
        await held.wait_reached()
        async with httpx.AsyncClient(base_url=gateway.url) as http, asyncio.timeout(10):
            while True:
                (main,) = (await http.get("/api/v1/providers")).json()["providers"]
                if main["queue"]["queued"] == 9:
                    break
        assert main["queue"]["in_flight"] == 3
        assert len(fake.requests) == 3
        held.release()
        answers = await asking
    assert [each.status_code for each in answers] == [200] * 12
    assert len(fake.requests) == 12
