"""Reasoning: shown to every client, signed blocks kept verbatim on their way back, and kept from other vendors."""

from typing import Any

import pytest

from chat_clients import ChatClient, Told
from live_gateway import FakeProviders

pytestmark = pytest.mark.asyncio(loop_scope="module")

both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
WEATHER: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def thinking(client: ChatClient, budget: int = 1024) -> dict[str, Any]:
    """How each package asks a model to think."""
    if client.name == "openai":
        return {"reasoning_effort": "low", "max_tokens": 4000}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": 4000}


def signatures(told: Told) -> list[str]:
    """The signatures that the client was given."""
    if hasattr(told.raw, "content"):
        return [block.signature for block in told.raw.content if block.type == "thinking"]
    message = told.raw.choices[0].message
    return [block["signature"] for block in (message.model_extra or {}).get("thinking_blocks", [])]


@both_ways
@pytest.mark.parametrize("model", ["claude", "Qwen/Qwen3-8B", "qwen3:8b", "offline"])
async def test_visible_reasoning_reaches_every_client_apart_from_the_answer(
    client: ChatClient, model: str, streams: bool, fakes: FakeProviders
) -> None:
    told = await client.ask(model, "hello", streams=streams, **thinking(client))
    assert told.text.startswith("You said: hello")
    assert told.reasoning.startswith("Thinking about: hello" if model != "offline" else "The last of 1 message")
    assert told.finish == "stop"


@both_ways
async def test_a_signed_block_comes_back_to_its_vendor_as_it_was(
    client: ChatClient, streams: bool, fakes: FakeProviders
) -> None:
    tools = [client.tool("get_weather", WEATHER)]
    asked = client.user("use get_weather")
    called = await client.ask("claude", [asked], tools=tools, streams=streams, **thinking(client))
    assert called.finish == "tool_calls"
    assert all(signature in fakes.anthropic.signatures for signature in signatures(called))
    assert signatures(called)
    # The fake refuses a turn without its block, and a block whose text and signature do not belong together.
    conversation = [asked, client.again(called), *client.results(called, "21 degrees")]
    told = await client.ask("claude", conversation, tools=tools, streams=streams, **thinking(client))
    assert "21 degrees" in told.text
    block = fakes.anthropic.last_request.json["messages"][1]["content"][0]
    assert block == {"type": "thinking", "thinking": called.reasoning, "signature": signatures(called)[0]}


@both_ways
async def test_redacted_thinking_comes_back_to_its_vendor_as_it_was(
    client: ChatClient, streams: bool, fakes: FakeProviders
) -> None:
    fakes.anthropic.reply("done", reasoning="first", redacted="c2VjcmV0")
    first = await client.ask("claude", "hello", streams=streams, **thinking(client))
    await client.ask("claude", [client.user("hello"), client.again(first), client.user("and?")], **thinking(client))
    kinds = [block["type"] for block in fakes.anthropic.last_request.json["messages"][1]["content"]]
    assert kinds == ["thinking", "redacted_thinking", "text"]
    assert fakes.anthropic.last_request.json["messages"][1]["content"][1]["data"] == "c2VjcmV0"


@pytest.mark.parametrize("other", ["openai-main", "azure-key", "vllm-llama", "ollama-llama", "text-api", "offline"])
async def test_a_signed_block_is_kept_from_every_other_vendor(
    client: ChatClient, other: str, fakes: FakeProviders
) -> None:
    first = await client.ask("claude", "hello", **thinking(client))
    conversation = [client.user("hello"), client.again(first), client.user("again")]
    told = await client.ask(other, conversation)
    assert "again" in told.text
    for fake in (fakes.openai, fakes.azure, fakes.vllm, fakes.ollama, fakes.custom):
        for request in fake.requests:
            assert signatures(first)[0].encode() not in request.body
            assert b"Thinking about" not in request.body


@both_ways
@pytest.mark.parametrize("model", ["Qwen/Qwen3-8B", "qwen3:8b"])
async def test_unsigned_reasoning_of_another_vendor_is_never_sent_to_anthropic(
    client: ChatClient, model: str, streams: bool, fakes: FakeProviders
) -> None:
    first = await client.ask(model, "hello", streams=streams)
    assert first.reasoning
    conversation = [client.user("hello"), client.again(first), client.user("again")]
    told = await client.ask("claude", conversation, streams=streams)
    assert told.text == "You said: again"
    assert b"Thinking about" not in fakes.anthropic.last_request.body


async def test_reasoning_tokens_are_part_of_the_completion_for_every_client(
    client: ChatClient, fakes: FakeProviders
) -> None:
    told = await client.ask("gpt-5-mini", "hello")
    assert told.completion_tokens is not None
    assert told.completion_tokens > 4
    usage = told.raw.usage
    if client.name == "openai":
        assert usage.completion_tokens_details.reasoning_tokens == 3
    else:
        assert usage.output_tokens_details.thinking_tokens == 3


@both_ways
async def test_a_model_that_thinks_by_default_answers_both_clients(
    client: ChatClient, streams: bool, fakes: FakeProviders
) -> None:
    first = await client.ask("claude-sonnet-5", "hello", streams=streams)
    assert first.text == "You said: hello"
    conversation = [client.user("hello"), client.again(first), client.user("again")]
    told = await client.ask("claude-sonnet-5", conversation, streams=streams)
    assert told.text == "You said: again"
