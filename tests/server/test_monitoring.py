"""`llm.monitoring`: what is measured, and what happens when it is switched off."""

from typing import Any

import httpx

from caxton_llm.config.load import load_mapping
from caxton_llm.server.serve import make_app

HELLO = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}


async def answers(monitoring: dict[str, Any]) -> tuple[httpx.Response, httpx.Response]:
    """The answer to a chat request and the page of the metrics, of a gateway with this block."""
    app = make_app(load_mapping({"llm": {"provider": "builtin", "monitoring": monitoring}}, {}))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.post("/v1/chat/completions", json=HELLO), await client.get("/metrics")


async def test_requests_and_their_cost_are_measured() -> None:
    chat, metrics = await answers({"metrics_enabled": True, "cost_tracking": True})
    assert chat.headers["x-caxton-cost-usd"] == "0.00000000"
    assert 'caxton_llm_requests_total{provider="builtin",status="success"} 1.0' in metrics.text


async def test_without_cost_tracking_the_cost_is_unknown_and_not_zero() -> None:
    chat, metrics = await answers({"cost_tracking": False})
    assert chat.headers["x-caxton-cost-usd"] == "unknown"
    assert 'caxton_llm_cost_unknown_total{model="builtin",provider="builtin"} 1.0' in metrics.text


async def test_metrics_that_are_switched_off_say_so() -> None:
    chat, metrics = await answers({"metrics_enabled": False})
    assert chat.status_code == 200
    assert metrics.status_code == 404
    assert "llm.monitoring.metrics_enabled" in metrics.json()["error"]["message"]
