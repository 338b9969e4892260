"""The `openai` and the `ollama` packages prove the fake server of embeddings."""

import ollama
import openai
import pytest

from fakes import FakeEmbeddings

TEXTS = ["green tea", "black coffee"]


async def test_the_openai_package_reads_vectors_as_numbers_and_as_base64(fake_embeddings: FakeEmbeddings) -> None:
    expected = [fake_embeddings.vector(text, 8) for text in TEXTS]
    async with openai.AsyncOpenAI(base_url=fake_embeddings.base_url, api_key=fake_embeddings.api_key) as client:
        as_base64 = await client.embeddings.create(model="embed-small", input=TEXTS)
        assert fake_embeddings.last_request.json["encoding_format"] == "base64"
        as_numbers = await client.embeddings.create(model="embed-small", input=TEXTS, encoding_format="float")
        short = await client.embeddings.create(model="embed-small", input="green tea", dimensions=3)
    for answer in (as_base64, as_numbers):
        assert [one.index for one in answer.data] == [0, 1]
        assert [one.embedding for one in answer.data] == [pytest.approx(row, rel=1e-6) for row in expected]
    assert len(short.data[0].embedding) == 3


async def test_the_openai_package_knows_the_errors(fake_embeddings: FakeEmbeddings) -> None:
    async with openai.AsyncOpenAI(base_url=fake_embeddings.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.embeddings.create(model="embed-small", input="x")
    async with openai.AsyncOpenAI(
        base_url=fake_embeddings.base_url, api_key=fake_embeddings.api_key, max_retries=0
    ) as client:
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="nothing", input="x")
        with pytest.raises(openai.BadRequestError, match="maximum context length"):
            await client.embeddings.create(model="embed-small", input="x" * 8001)
        fake_embeddings.fail("rate_limited", path="/v1/embeddings")
        with pytest.raises(openai.RateLimitError):
            await client.embeddings.create(model="embed-small", input="x")


async def test_the_ollama_package_reads_vectors_and_errors(fake_embeddings: FakeEmbeddings) -> None:
    fake_embeddings.needs_key = False
    async with ollama.AsyncClient(host=fake_embeddings.root_url) as client:
        answer = await client.embed("embed-large", TEXTS)
        assert answer.embeddings == [fake_embeddings.vector(text, 16) for text in TEXTS]
        assert len((await client.embed("embed-large", "green tea", dimensions=4)).embeddings[0]) == 4
        with pytest.raises(ollama.ResponseError, match="not found"):
            await client.embed("nothing", TEXTS)
