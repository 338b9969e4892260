"""`Caxton.count_tokens`: the provider's own count or an estimate, with components and an upper bound."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from caxton_llm import Caxton, ChatRequest, ContentPart, InvalidRequest, Message, RateLimited
from caxton_llm.types import ImageUrl
from live_gateway import QUICK_RETRIES, FakeProviders, entries_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = [Message(role="system", content="Be brief."), Message(role="user", content="one two three four")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caxton(shared_fakes: FakeProviders) -> AsyncIterator[Caxton]:
    llm = {"providers": entries_for(shared_fakes), "retry_policy": QUICK_RETRIES}
    async with Caxton.from_dict({"llm": llm}) as opened:
        yield opened


def request(model: str, *parts: ContentPart) -> ChatRequest:
    return ChatRequest(model=model, messages=[*HELLO, Message(role="user", content=list(parts))] if parts else HELLO)


@pytest.mark.parametrize("entry", ["openai-main", "azure-key", "ollama-llama", "text-api", "offline"])
async def test_an_estimate_has_components_and_a_bound(caxton: Caxton, entry: str) -> None:
    count = await caxton.count_tokens(request(entry))
    assert count.estimated
    assert count.parts is not None
    assert count.parts.tokens == count.tokens <= count.at_most
    assert min(count.parts.system, count.parts.messages, count.parts.frame) > 0
    assert count.notes == ()


async def test_a_providers_own_count_has_components_too(caxton: Caxton) -> None:
    count = await caxton.count_tokens(request("vllm-llama"))
    assert not count.estimated
    assert count.parts is not None
    assert count.parts.tokens == count.tokens == count.at_most
    claude = await caxton.count_tokens(request("claude"), parts=False)
    assert not claude.estimated
    assert claude.parts is None
    assert claude.tokens < claude.at_most


async def test_images_are_added_to_the_count_of_a_vllm_because_its_tokenizer_sees_none(caxton: Caxton) -> None:
    plain = await caxton.count_tokens(request("vllm-llama", ContentPart(type="text", text="five")))
    image = ContentPart(type="image_url", image_url=ImageUrl("https://example.com/a.png"))
    count = await caxton.count_tokens(request("vllm-llama", ContentPart(type="text", text="five"), image))
    assert count.estimated
    assert count.parts is not None
    assert count.parts.images > 4000
    assert count.tokens >= plain.tokens + 4096


@pytest.mark.parametrize("failure", [404, 401, 500])
async def test_a_vllm_whose_tokenizer_is_not_reached_is_estimated_and_says_so(
    caxton: Caxton, fakes: FakeProviders, failure: int
) -> None:
    fakes.vllm.fail(failure, path="/tokenize", times=None)
    count = await caxton.count_tokens(request("vllm-llama"))
    assert count.estimated
    assert count.tokens <= count.at_most
    (note,) = count.notes
    assert "/tokenize" in note


async def test_a_request_that_the_tokenizer_refuses_is_refused(caxton: Caxton, fakes: FakeProviders) -> None:
    fakes.vllm.fail(400, path="/tokenize")
    with pytest.raises(InvalidRequest):
        await caxton.count_tokens(request("vllm-llama"))


async def test_another_vendors_failure_to_count_is_an_error(caxton: Caxton, fakes: FakeProviders) -> None:
    fakes.anthropic.fail(429, path="/v1/messages/count_tokens")
    with pytest.raises(RateLimited):
        await caxton.count_tokens(request("claude"))


async def test_what_nobody_can_count_is_named(caxton: Caxton) -> None:
    count = await caxton.count_tokens(request("openai-main", ContentPart(type="file")))
    (note,) = count.notes
    assert "file" in note


async def test_usage_that_is_told_to_the_calibration_corrects_later_counts(caxton: Caxton) -> None:
    before = await caxton.count_tokens(request("ollama-llama"))
    model = caxton.gateway.resolve("ollama-llama").first.model
    for _ in range(30):
        caxton.token_calibration.learn(model, "ollama", {"prose": 10_000}, 14_000)
    after = await caxton.count_tokens(request("ollama-llama"))
    assert after.tokens > before.tokens
    assert after.parts is not None
    assert before.parts is not None
    assert after.parts.messages > before.parts.messages
    assert after.parts.frame == before.parts.frame
