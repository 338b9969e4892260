"""What an operator learns of requests that failed: a line without any text of a user or a provider, and counts."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton_llm.config.load import load_mapping
from caxton_llm.server.serve import make_app
from fakes import FakeAnthropic, FakeOpenAI
from metrics_page import samples
from plug_ins import install_plug_in

SECRET_TEXT = "the moon is made of green cheese"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
CHAT: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": SECRET_TEXT}]}
REQUESTS, ERRORS = "caxton_llm_requests_total", "caxton_llm_errors_total"
FAILING = {"steps": [{"error": "overloaded"}], "repeat": True}


async def answers(
    llm: dict[str, Any], path: str, body: dict[str, Any], begun: asyncio.Event | None = None
) -> tuple[httpx.Response, Samples]:
    """The answer of a gateway to one request, and its metrics afterwards; `begun` is set when the answer's body begins."""
    app = make_app(load_mapping({"llm": llm}, {}))

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            await send(message)
            if begun is not None and message["type"] == "http.response.body":
                begun.set()

        await app(scope, receive, sent)

    transport = httpx.ASGITransport(app=watched)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post(path, json=body)
        return answer, samples((await client.get("/metrics")).text)


def failures(metrics: Samples) -> Samples:
    """What is counted of requests that did not succeed."""
    return {
        key: value
        for key, value in metrics.items()
        if key[0] == ERRORS or (key[0] == REQUESTS and ("status", "success") not in key[1])
    }


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "caxton_llm.server"]


async def test_a_request_that_a_provider_fails_is_one_warning_with_both_ids(caplog: pytest.LogCaptureFixture) -> None:
    retry_policy = {"max_attempts": 2, "initial_delay_ms": 1}
    llm = {"provider": "builtin", "script": FAILING, "retry_policy": retry_policy}
    answer, metrics = await answers(llm, "/v1/chat/completions", CHAT)
    assert answer.status_code == 503
    assert failures(metrics) == {
        (REQUESTS, (("provider", "builtin"), ("status", "error"))): 1,
        (ERRORS, (("error_type", "overloaded"), ("provider", "builtin"))): 1,
    }
    (record,) = lines(caplog)
    assert record.levelno == logging.WARNING
    line = record.getMessage()
    assert answer.headers["x-caxton-request-id"] in line
    assert "overloaded answered=503 provider=builtin" in line
    assert "attempts=overloaded,overloaded" in line
    assert SECRET_TEXT not in caplog.text


async def test_a_client_s_own_mistake_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await answers({"provider": "builtin"}, "/v1/chat/completions", CHAT | {"model": "nope"})
    assert [record.levelno for record in lines(caplog)] == [logging.INFO]
    assert SECRET_TEXT not in caplog.text


@pytest.mark.parametrize(
    ("path", "change", "kind"),
    [
        ("/v1/chat/completions", {"model": "nope"}, "unknown_model"),
        ("/v1/chat/completions", {"messages": 5}, "invalid_request"),
        ("/v1/messages/count_tokens", {"model": "nope"}, "unknown_model"),
    ],
)
async def test_requests_that_reach_no_provider_are_counted(path: str, change: dict[str, Any], kind: str) -> None:
    answer, metrics = await answers({"provider": "builtin"}, path, CHAT | change)
    assert answer.status_code in (400, 404)
    assert metrics["caxton_llm_errors_total", (("error_type", kind), ("provider", "gateway"))] == 1
    assert metrics["caxton_llm_requests_total", (("provider", "gateway"), ("status", "error"))] == 1


# -- what the gateway itself is to blame for -------------------------------------------------------------------------------

BROKEN = """
from caxton_llm.testing import FakeProvider


class Broken(FakeProvider):
    async def complete_chat(self, request):
        raise ZeroDivisionError(request.messages[0].content)

    def stream_chat(self, request):
        raise ZeroDivisionError(request.messages[0].content)


def make(settings, api_key):
    return Broken("never said")
"""


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_what_a_plug_in_must_not_raise_is_a_failure_of_its_own_with_its_places_in_the_log(
    streams: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install_plug_in(tmp_path, monkeypatch, BROKEN, broken="make")
    llm = {"provider": "broken", "model": "m", "name": "own"}
    answer, metrics = await answers(llm, "/v1/chat/completions", CHAT | {"stream": streams})
    problem = answer.json()["error"]
    assert (answer.status_code, problem["kind"], problem["source"]) == (502, "provider_failure", "gateway")
    assert "unexpected ZeroDivisionError" in problem["message"]
    assert failures(metrics) == {
        (REQUESTS, (("provider", "own"), ("status", "error"))): 1,
        (ERRORS, (("error_type", "server_error"), ("provider", "own"))): 1,
    }
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage().partition("\n")[0] for record in told] == ["own raised ZeroDivisionError"] * 3
    assert "in complete_chat" in told[0].getMessage() or streams
    assert SECRET_TEXT not in caplog.text + answer.text


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_a_shutdown_in_the_middle_is_one_line_and_counted_once_under_the_entry(
    streams: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeOpenAI() as fake:
        reply = fake.reply("one two three").stall_after(3 if streams else 1)
        begun = asyncio.Event()
        entry = {"provider": "openai", "model": "gpt-4o", "api_key": fake.api_key, "base_url": fake.base_url}
        asking = asyncio.create_task(answers(entry, "/v1/chat/completions", CHAT | {"stream": streams}, begun))
        await reply.wait_reached()
        if streams:
            await begun.wait()
        asking.cancel()  # what the server does with a request that outlives the drain
        answer, metrics = await asking
        await fake.wait_closed_by_client()
    assert answer.status_code == (200 if streams else 503)
    assert "the gateway is shutting down" in answer.text
    assert failures(metrics) == {(REQUESTS, (("provider", "openai"), ("status", "cancelled"))): 1}
    (record,) = lines(caplog)
    assert record.levelno == logging.WARNING
    assert "failed: overloaded" in record.getMessage()


# -- counting ---------------------------------------------------------------------------------------------------------------


async def test_a_provider_that_fails_to_count_is_counted_under_its_entry(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeAnthropic() as fake:
        fake.fail("rate_limited", path="/v1/messages/count_tokens")
        entry = {"provider": "anthropic", "model": "claude-sonnet-4-5", "api_key": fake.api_key, "name": "claude"}
        llm = entry | {"base_url": fake.base_url}
        answer, metrics = await answers(llm, "/v1/messages/count_tokens", CHAT)
    assert answer.status_code == 429
    assert failures(metrics) == {
        (REQUESTS, (("provider", "claude"), ("status", "error"))): 1,
        (ERRORS, (("error_type", "rate_limit"), ("provider", "claude"))): 1,
    }
    (record,) = lines(caplog)
    assert "rate_limited answered=429 provider=claude" in record.getMessage()
