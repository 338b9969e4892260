"""A gateway whose provider fails and comes back tells it to a webhook; its checks bring the provider back."""

import httpx

from canned_server import Canned
from caxton_llm.types import Json
from fakes import FakeOpenAI
from live_gateway import gateway_with

HELLO = {"model": "main", "messages": [{"role": "user", "content": "Hello"}]}
BREAKER = {"failure_threshold": 2, "cooldown_seconds": 0.01, "ramp_seconds": 0}


async def test_an_outage_is_told_once_and_ends_when_a_health_check_succeeds() -> None:
    async with FakeOpenAI() as fake, Canned() as hook:
        main: dict[str, Json] = {
            "name": "main",
            "provider": "openai",
            "model": "gpt-4o",
            "api_key": fake.api_key,
            "base_url": fake.base_url,
            "retry_policy": {"max_attempts": 1},
            "circuit_breaker": BREAKER,
            "health_check": {"interval_seconds": 0.05, "test_prompt": "Say OK"},
        }
        channel = {"type": "webhook", "url": f"{hook.root_url}/alerts", "secret": "s3cret", "only": ["provider_down"]}
        alerts = {"channels": [channel], "hold_seconds": 0}
        outage = fake.fail("overloaded", times=None)
        configuration = {"llm": {"providers": [main], "monitoring": {"alerts": alerts}}}
        async with gateway_with(configuration) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
            began = await hook.wait_for_requests(1, timeout=20.0)
            assert (began.json["target"], began.json["status"]) == ("main", "firing")
            assert "x-caxton-signature" in began.headers
            assert (await client.get("/api/v1/providers/main")).json()["health_check"]["error"] == "overloaded"
            fake.start_over()
            ended = await hook.wait_for_requests(2, timeout=20.0)
            assert ended.json["status"] == "recovered"
            assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
            metrics = (await client.get("/metrics")).text
        assert 'caxton_llm_health_checks_total{outcome="overloaded",provider="main"}' in metrics
        assert 'caxton_llm_alerts_total{channel="webhook-1",outcome="success",rule="provider_down"}' in metrics
        assert len(hook.requests) == 2
        assert outage.status == 503
