"""What an operator learns of requests that failed: a line without any text of a user or a provider, and counts."""

import logging
from typing import Any

import httpx
import pytest

from caxton_llm.config.load import load_mapping
from caxton_llm.server.serve import make_app
from metrics_page import samples

SECRET_TEXT = "the moon is made of green cheese"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
CHAT: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": SECRET_TEXT}]}
FAILING = {"steps": [{"error": "overloaded"}], "repeat": True}


async def answers(llm: dict[str, Any], path: str, body: dict[str, Any]) -> tuple[httpx.Response, Samples]:
    """The answer of a gateway to one request, and its metrics afterwards."""
    app = make_app(load_mapping({"llm": llm}, {}))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post(path, json=body)
        return answer, samples((await client.get("/metrics")).text)


async def test_a_request_that_a_provider_fails_is_one_warning_with_both_ids(caplog: pytest.LogCaptureFixture) -> None:
    retry_policy = {"max_attempts": 2, "initial_delay_ms": 1}
    llm = {"provider": "builtin", "script": FAILING, "retry_policy": retry_policy}
    answer, _ = await answers(llm, "/v1/chat/completions", CHAT)
    assert answer.status_code == 503
    (record,) = [record for record in caplog.records if record.name == "caxton_llm.server"]
    assert record.levelno == logging.WARNING
    line = record.getMessage()
    assert answer.headers["x-caxton-request-id"] in line
    assert "overloaded answered=503 provider=builtin" in line
    assert "attempts=overloaded,overloaded" in line
    assert SECRET_TEXT not in caplog.text


async def test_a_client_s_own_mistake_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await answers({"provider": "builtin"}, "/v1/chat/completions", CHAT | {"model": "nope"})
    assert [record.levelno for record in caplog.records if record.name == "caxton_llm.server"] == [logging.INFO]
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
