"""Targets with windows and answers of their own: each is sent what it can take."""

import asyncio
from pathlib import Path

import pytest

from agents_configured import configured, drained, entry, sent, user
from caxton_llm import Caxton
from caxton_llm.errors import ContextWindowExceeded
from caxton_llm.types import ChatRequest, ChatResponse, ChatStream, Json, Message
from fakes import ChatModel, FakeAnthropic, FakeOpenAI, FakeVllm

LONG = "What does it say? " + "word " * 2_000
HISTORY: list[Json] = [
    message
    for number in range(60)
    for message in (*user(f"Question {number}? " + "word " * 40), {"role": "assistant", "content": "answer " * 40})
]


def two(first: dict[str, Json], second: dict[str, Json]) -> Json:
    """The second stands in for the first."""
    once = {"retry_policy": {"max_attempts": 1}}
    return {
        "providers": [{"name": "first", "priority": 2, **once, **first}, {"name": "second", "priority": 1, **second}]
    }


def window(tokens: int) -> dict[str, Json]:
    return {"model_facts": {"context_window": tokens}}


async def test_two_servers_of_one_model_get_what_their_own_windows_take(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    fake_openai.fail("overloaded")
    llm = two(entry(fake_openai, **window(100_000)), entry(fake_openai, **window(1_500)))
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=[*HISTORY, *user("Now?")])
    assert answer.provider == "second"
    assert answer.context is not None
    assert answer.context.tokens <= answer.context.budget <= 1_500
    assert len(sent(fake_openai)["messages"]) < len(sent(fake_openai, 0)["messages"])


async def test_a_target_with_a_larger_window_stands_in_for_one_that_cannot_take_the_request(
    tmp_path: Path, fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    llm = two(entry(fake_openai, **window(2_000)), entry(fake_anthropic, **window(50_000)))
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user(LONG))
        async with caxton.stream_chat(model="agent:A", messages=user(LONG)) as stream:
            async for _ in stream:
                pass
        document = await caxton.prepare_context(model="agent:A", messages=user(LONG))
    assert (answer.provider, stream.provider) == ("second", "second")
    assert [skip.target for skip in answer.skipped] == ["first"]
    assert not fake_openai.requests
    assert any("first cannot take" in note and "second" in note for note in document.context_metadata.notes)
    assert "error" in document.payloads["first"]
    assert LONG in str(document.payloads["second"])


@pytest.mark.parametrize("oversize", ["trim", "error"])
async def test_a_request_that_no_target_may_take_names_the_first_ones_budget(
    tmp_path: Path, fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic, oversize: str
) -> None:
    larger = 3_000 if oversize == "trim" else 50_000
    llm = two(entry(fake_openai, **window(2_400)), entry(fake_anthropic, **window(larger)))
    agent = {"name": "A", "context": {"oversize": oversize}}
    async with Caxton.from_dict(configured(tmp_path, llm, agent)) as caxton:
        with pytest.raises(ContextWindowExceeded, match="budget for the whole context is 1,376"):
            await caxton.complete_chat(model="agent:A", messages=user(LONG))
    assert not fake_openai.requests
    assert not fake_anthropic.requests


async def test_the_tokens_of_a_request_to_an_agent_are_those_of_its_whole_prompt(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    agent = {"name": "A", "system_prompt": "You write reports for the board, and you are brief."}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai, **window(8_000)), agent)) as caxton:
        asked = [Message(role="user", content="Now?")]
        count = await caxton.count_tokens(ChatRequest(model="agent:A", messages=asked))
        answer = await caxton.complete(ChatRequest(model="agent:A", messages=asked))
        assert answer.context is not None
        assert count.tokens == count.at_most == answer.context.tokens
        assert count.notes == ("counted with the agent's instructions, tools and context, as they would be sent now",)
        too_long = [Message(role="user", content="word " * 10_000)]
        assert (await caxton.count_tokens(ChatRequest(model="agent:A", messages=too_long))).tokens > 10_000


@pytest.mark.parametrize("streams", [False, True])
async def test_a_prompt_that_a_provider_finds_too_long_after_all_is_sent_shorter_once(
    tmp_path: Path, fake_openai: FakeOpenAI, streams: bool
) -> None:
    fake_openai.fail("context_window_exceeded")
    fake_openai.reply("It fits.")
    llm = entry(fake_openai, **window(8_000))
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        asked: dict[str, Json] = {"model": "agent:A", "messages": [*HISTORY, *user("Now?")]}
        answer: ChatResponse | ChatStream
        if streams:
            answer = caxton.stream_chat(**asked)
            await drained(answer)
        else:
            answer = await caxton.complete_chat(**asked)
    first, second = (sent(fake_openai, place)["messages"] for place in (0, 1))
    assert first[-1] == second[-1] == {"role": "user", "content": "Now?"}
    assert len(str(second)) < 0.85 * len(str(first))
    assert any("found the prompt too long" in warning for warning in answer.warnings)
    assert answer.attempts == 2


async def test_a_prompt_that_stays_too_long_or_may_not_be_shortened_fails_with_the_providers_words(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    fake_openai.fail("context_window_exceeded", times=None)
    llm = entry(fake_openai, **window(8_000))
    agents = {"name": "A"}, {"name": "Strict", "context": {"oversize": "error"}}
    async with Caxton.from_dict(configured(tmp_path, llm, *agents)) as caxton:
        for name, sends, history in (("A", 2, HISTORY), ("A", 1, []), ("Strict", 1, HISTORY[-2:])):
            before = len(fake_openai.requests)
            with pytest.raises(ContextWindowExceeded, match="130012 tokens"):
                await caxton.complete_chat(model=f"agent:{name}", messages=[*history, *user("Now?")])
            assert len(fake_openai.requests) - before == sends


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_beside_an_answer_of_the_configured_length_the_prompt_fits_the_window(
    tmp_path: Path, fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic, kind: str
) -> None:
    server = fake_openai if kind == "openai" else fake_anthropic
    llm = entry(server, max_tokens=3_000, **window(8_000))
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=[*HISTORY, *user("Now?")])
    assert answer.context is not None
    assert answer.context.budget == 5_000
    body = sent(server)
    assert (body.get("max_tokens") or body.get("max_completion_tokens")) == 3_000


async def test_a_configured_answer_that_leaves_no_room_for_a_prompt_is_shortened_and_that_is_said(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    llm = entry(fake_openai, max_tokens=7_900, **window(8_000))
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=[*HISTORY, *user("Now?")])
    assert answer.context is not None
    assert answer.context.budget == 6_000
    assert sent(fake_openai)["max_completion_tokens"] == 2_000
    assert any("limited to 2,000 tokens instead of 7,900" in warning for warning in answer.warnings)


async def test_a_server_is_asked_how_large_its_window_is_before_the_first_request(
    tmp_path: Path, fake_vllm: FakeVllm
) -> None:
    fake_vllm.models["small"] = ChatModel("small", 1_500, 1_500)
    llm = {"provider": "vllm", "model": "small", "api_key": fake_vllm.api_key, "base_url": fake_vllm.base_url}
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        requests = [caxton.complete_chat(model="agent:A", messages=[*HISTORY, *user("Now?")]) for _ in range(3)]
        answers = await asyncio.gather(*requests)
    assert [answer.context.budget for answer in answers if answer.context] == [476] * 3
    assert [request.path for request in fake_vllm.requests].count("/v1/models") == 1


async def test_a_server_that_does_not_tell_its_window_is_not_asked_with_every_request(
    tmp_path: Path, fake_vllm: FakeVllm
) -> None:
    llm = {"provider": "vllm", "model": "unlisted", "api_key": "wrong", "base_url": fake_vllm.base_url}
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        for _ in range(3):
            document = await caxton.prepare_context(model="agent:A", messages=user("Hello"))
    assert any("8,192 tokens are assumed" in note for note in document.context_metadata.notes)
    assert [request.path for request in fake_vllm.requests].count("/v1/models") == 1


@pytest.mark.parametrize("oversize", ["trim", "summarize", "error"])
async def test_an_answer_that_would_fill_the_window_is_named_as_what_leaves_no_room(
    tmp_path: Path, fake_openai: FakeOpenAI, oversize: str
) -> None:
    agent = {"name": "A", "context": {"oversize": oversize}}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai, **window(8_192)), agent)) as caxton:
        with pytest.raises(ContextWindowExceeded, match=r"shorter answer than 9,000 tokens \(max_tokens\)") as caught:
            await caxton.complete_chat(model="agent:A", messages=user("Hi"), max_tokens=9_000)
    assert ("context.oversize" in str(caught.value)) == (oversize != "summarize")


async def test_a_configured_answer_that_leaves_no_room_is_named_too(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    llm = entry(fake_openai, max_tokens=3_000, **window(6_000))
    async with Caxton.from_dict(configured(tmp_path, llm, {"name": "A"})) as caxton:
        with pytest.raises(ContextWindowExceeded, match=r"shorter answer than 3,000 tokens \(max_tokens\)"):
            await caxton.complete_chat(model="agent:A", messages=user("word " * 4_000))
