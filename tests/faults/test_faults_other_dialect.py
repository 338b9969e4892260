"""A provider of another dialect stands in: the request is translated anew for it, and the caller learns what became of it."""

import openai
import pytest

from fakes import FakeAnthropic, FakeOpenAI
from live_gateway import gateway_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL: openai.types.chat.ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def test_tools_and_parameters_are_written_for_whoever_stands_in(second: FakeOpenAI) -> None:
    second.fail("overloaded", times=None)
    async with FakeAnthropic() as claude:
        first = {"name": "first", "provider": "openai", "model": "gpt-4o", "priority": 1}
        first |= {"api_key": second.api_key, "base_url": second.base_url, "retry_policy": {"max_attempts": 1}}
        other = {"name": "other", "provider": "anthropic", "model": "claude-sonnet-4-5"}
        other |= {"api_key": claude.api_key, "base_url": claude.base_url}
        async with (
            gateway_with({"llm": {"providers": [first, other]}}) as gateway,
            openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
        ):
            told = await client.chat.completions.with_raw_response.create(
                model="gpt-4o",
                messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
                tools=[TOOL],
                seed=7,
            )
    assert told.headers["x-caxton-provider"] == "other"
    assert told.headers["x-caxton-fallback"] == "failed=first:overloaded"
    assert "dropped=seed" in told.headers["x-caxton-params"]
    sent = claude.requests[-1].json
    assert (sent["model"], sent["system"]) == ("claude-sonnet-4-5", "Be brief.")
    assert sent["tools"][0]["input_schema"]["required"] == ["city"]
    assert "seed" not in sent
